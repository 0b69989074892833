"""A whole training step, from pixels to gradients: partial labels, switch, hinge, temperature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dynamask.config import preset
from dynamask.model.detector import DynaMask
from dynamask.training.step import StepOptions, choose_mask_rois, training_losses

SIDE, BOX = 256, (24.0, 32.0, 88.0, 160.0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on a busy machine wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_model(**loss: Any) -> DynaMask:
    torch.manual_seed(0)
    config = preset("effnet_lite0_fpn")
    config = config.replace(loss=replace(config.loss, **loss))
    return DynaMask(config).train()


def make_batch(partial: str = "person_only") -> dict[str, Any]:
    """One photo with one person at its left."""
    image = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    x1, y1, x2, y2 = (int(v) for v in BOX)
    mask = torch.zeros(1, SIDE, SIDE, dtype=torch.uint8)
    mask[0, y1 + 4 : y2 - 4, x1 + 4 : x2 - 4] = 1
    target = {
        "boxes": torch.tensor([BOX]),
        "labels": torch.tensor([0]),
        "masks": mask,
        "ignore": torch.zeros(SIDE, SIDE, dtype=torch.uint8),
        "ignore_boxes": torch.zeros(0, 4),
        "partial": partial,
    }
    return {"images": image, "sizes": [(SIDE, SIDE)], "targets": [target]}


def step(model: DynaMask, batch: dict[str, Any], **options: Any) -> tuple[Tensor, dict[str, float]]:
    torch.manual_seed(3)
    return training_losses(
        model,
        batch,
        StepOptions(rois_per_photo=4),
        rng=np.random.default_rng(0),
        generator=torch.Generator().manual_seed(0),
        **options,
    )


def pyramid_gradient(partial: str) -> dict[str, Tensor]:
    """Gradient of the total loss at the pyramid's maps, where regions can be told apart."""
    model = make_model()
    seen: dict[str, Tensor] = {}
    extract = model.extract

    def watched(images: Tensor) -> dict[str, Tensor]:
        seen.update({k: v.detach().requires_grad_() for k, v in extract(images).items()})
        return seen

    model.extract = watched  # type: ignore[method-assign]
    loss, _ = step(model, make_batch(partial))
    loss.backward()
    return {name: level.grad for name, level in seen.items() if level.grad is not None}


def test_person_single_photo_has_no_gradient_from_outside_its_person() -> None:
    # the box's right side is at x = 88; jitter, RoIAlign, 3x3 convolutions and proposals that
    # overlap the person by half reach further, but never past twice its width
    gradients = pyramid_gradient("person_only")
    for name, stride in (("p2", 4), ("p3", 8), ("p4", 16)):
        gradient = gradients[name]
        assert gradient[..., : int(BOX[2]) // stride].any(), f"{name}: the person teaches"
        assert not gradient[..., 200 // stride :].any(), f"{name}: nothing else does"


def test_the_same_photo_fully_labelled_teaches_its_background() -> None:
    gradients = pyramid_gradient("full")
    assert gradients["p2"][..., 50:].any()


def test_photo_with_masks_only_teaches_no_detector() -> None:
    model = make_model()
    loss, facts = step(model, make_batch("masks_only"))
    loss.backward()
    for part in (model.rpn, model.roi_heads):
        assert all(p.grad is None for p in part.parameters())
    assert all(p.grad is not None for p in model.mask_head.parameters())
    assert "loss_classifier" not in facts and facts["loss_mask"] > 0


def switch_gradient(monkeypatch: pytest.MonkeyPatch, budget: float) -> tuple[Tensor, dict]:
    """Gradient at the switch's last bias from the budget loss alone."""
    from dynamask.training import step as module

    monkeypatch.setattr(module, "edge_loss", lambda costs, switch, config: costs.sum() * 0)
    model = make_model(budget_fraction=budget)
    loss, facts = step(model, make_batch("masks_only"))
    loss.backward()
    return model.mask_switch.fc2.bias.grad, facts


def test_budget_hinge_teaches_the_switch_only_above_the_target(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    off, facts = switch_gradient(monkeypatch, budget=1.0)  # no grid costs more than the finest
    assert facts["loss_budget"] == 0 and facts["cost_ratio"] <= 1
    assert not off.any()
    on, facts = switch_gradient(monkeypatch, budget=0.05)  # every grid costs more
    assert facts["loss_budget"] > 0
    assert on.sum().abs() < 1e-6, "softmax: what one grid gains the others lose"
    push = -on  # where descent moves the logits: towards the cheap grids
    assert (push * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum() < 0


def test_straight_through_edge_loss_reaches_the_switch() -> None:
    model = make_model(budget_weight=0.0)
    loss, facts = step(model, make_batch("masks_only"))
    loss.backward()
    shares = [facts[f"share_{g}"] for g in (14, 28, 56, 112)]
    assert sorted(shares) == [0, 0, 0, 1], "one object, one grid, in the forward pass"
    assert model.mask_switch.fc2.bias.grad.all(), "every grid in the backward pass"


def test_temperature_is_logged_and_used() -> None:
    model = make_model()
    batch = make_batch("masks_only")
    _, facts = step(model, batch)
    assert facts["temperature"] == model.config.loss.temperature
    gradients = []
    for temperature in (0.1, 5.0):
        model.zero_grad()
        loss, facts = step(model, batch, temperature=temperature)
        loss.backward()
        assert facts["temperature"] == temperature
        gradients.append(model.mask_switch.fc2.bias.grad.clone())
    assert not torch.allclose(*gradients)


def test_nothing_to_learn_from_is_no_error() -> None:
    model = make_model()
    batch = make_batch("masks_only")
    batch["targets"][0]["boxes"] = torch.tensor([[10.0, 10, 12, 12]])  # below a cell of P2
    loss, facts = step(model, batch)
    assert not loss.requires_grad and facts == {"loss": 0.0}


def test_roi_choice_keeps_the_boxes_within_the_photo() -> None:
    rois = choose_mask_rois(make_batch(), StepOptions(), np.random.default_rng(0))
    assert rois is not None and rois.total == len(rois.rois) == 1
    assert rois.rows.tolist() == [0]
    assert (rois.rois[:, 1:] >= 0).all() and (rois.rois[:, 1:] <= SIDE).all()
