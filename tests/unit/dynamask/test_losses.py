"""Losses of the mask branch: the switch's gradient, the budget hinge, the common edge grid."""

from dataclasses import replace

import pytest
import torch

from dynamask.config import GRIDS, LossConfig
from dynamask.losses import (
    MaskTargets,
    balance_loss,
    budget_loss,
    edge_costs,
    edge_loss,
    gain_loss,
    grid_quality,
    join_targets,
    mask_loss,
    mask_targets,
)
from dynamask.model.mask_switch import gumbel_softmax_switch

MAC = torch.tensor([0.231, 0.395, 0.576, 0.789])


def disc_targets(n: int = 2) -> MaskTargets:
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing="ij")
    disc = (((x - 100) ** 2 + (y - 90) ** 2) < 60**2).to(torch.uint8)
    boxes = torch.tensor([[40.0, 30, 160, 150], [50.0, 20, 170, 160]])[:n]
    return mask_targets(disc[None], boxes, torch.zeros(n, dtype=torch.int64))


def random_logits(n: int = 2) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    g = torch.Generator().manual_seed(0)
    return {
        s: (
            torch.randn(n, s, s, generator=g).requires_grad_(),
            torch.randn(n, s, s, generator=g).requires_grad_(),
        )
        for s in GRIDS
    }


def test_mask_loss_is_the_weighted_sum_of_four_means() -> None:
    logits, targets = random_logits(), disc_targets()
    expected = sum(
        w * torch.nn.functional.binary_cross_entropy_with_logits(logits[g][0], targets.masks[g])
        for g, w in zip(GRIDS, (0.5, 0.75, 0.75, 1.0), strict=True)
    )
    assert mask_loss(logits, targets, LossConfig()).item() == pytest.approx(expected.item(), 1e-5)


def test_unknown_pixels_give_no_gradient() -> None:
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    mask, ignore = (x < 32).to(torch.uint8), (y < 32).to(torch.uint8)
    boxes = torch.tensor([[0.0, 0, 64, 64]])
    targets = mask_targets(mask[None], boxes, torch.zeros(1, dtype=torch.int64), ignore=ignore)
    logits = random_logits(1)
    mask_loss(logits, targets, LossConfig()).backward()
    for grid in GRIDS:
        gradient = logits[grid][0].grad[0]
        assert not gradient[: grid // 2].any()
        assert gradient[grid // 2 :].all()


def test_edges_are_compared_on_one_grid() -> None:
    targets = disc_targets()
    perfect = {g: (m * 0, targets.edges[g] * 20 - 10) for g, m in targets.masks.items()}
    common = edge_costs(perfect, targets, LossConfig())
    own = edge_costs(perfect, targets, replace(LossConfig(), edge_common_grid=0))
    assert (own < 1e-3).all()  # against its own target every perfect grid looks the same
    assert (common[:, :-1] > common[:, 1:]).all()  # on the common one coarse edges are blurred


def test_edge_loss_prices_only_the_chosen_grid() -> None:
    logits, targets = random_logits(), disc_targets()
    switch = torch.tensor([[0.0, 1, 0, 0], [0, 0, 0, 1]])
    edge_loss(edge_costs(logits, targets, LossConfig()), switch, LossConfig()).backward()
    touched = {g: logits[g][1].grad is not None and bool(logits[g][1].grad.any()) for g in GRIDS}
    assert touched == {14: False, 28: True, 56: False, 112: True}
    logits = random_logits()
    config = LossConfig(edge_every_grid=0.25)
    edge_loss(edge_costs(logits, targets, config), switch, config).backward()
    assert all(logits[g][1].grad.any() for g in GRIDS)


def test_switch_learns_from_edge_loss_through_the_draw() -> None:
    costs = torch.tensor([[0.9, 0.5, 0.1, 0.7]]).expand(256, 4)
    logits = torch.zeros(256, 4, requires_grad=True)
    switch = gumbel_softmax_switch(
        logits, temperature=1.0, generator=torch.Generator().manual_seed(0)
    )
    edge_loss(costs, switch, LossConfig()).backward()
    push = -logits.grad.mean(dim=0)  # where gradient descent moves each logit
    assert push.argmax() == 2
    assert push.argmin() == 0


def test_budget_hinge_off_within_the_target() -> None:
    logits = torch.tensor([[9.0, 0, 0, 0]]).expand(32, 4).clone().requires_grad_()
    switch = gumbel_softmax_switch(logits, temperature=0.5)
    loss = budget_loss(switch, MAC, LossConfig(budget_fraction=0.6))
    loss.backward()
    assert float(loss) == 0.0
    assert not logits.grad.any()


def test_budget_hinge_on_above_the_target() -> None:
    logits = torch.zeros(512, 4, requires_grad=True)
    generator = torch.Generator().manual_seed(0)
    switch = gumbel_softmax_switch(logits, temperature=1.0, generator=generator)
    loss = budget_loss(switch, MAC, LossConfig(budget_fraction=0.5))
    mean = float((switch.detach() * MAC).sum(dim=1).mean())
    assert float(loss) == pytest.approx(mean / (0.5 * 0.789) - 1, abs=1e-5)
    loss.backward()
    push = -logits.grad.sum(dim=0)
    assert push[0] > 0 > push[3]  # towards the cheap grid, away from the dear one


def test_balance_loss_is_zero_for_even_use() -> None:
    even = torch.eye(4) * 30
    assert float(balance_loss(even)) == pytest.approx(0.0, abs=1e-5)
    collapsed = torch.tensor([[30.0, 0, 0, 0]]).expand(4, 4)
    assert float(balance_loss(collapsed)) == pytest.approx(1.3863, abs=1e-3)


def test_join_targets_keeps_photos_without_unknown_pixels() -> None:
    plain = disc_targets(1)
    unknown = MaskTargets(
        plain.masks, plain.edges, {g: torch.zeros_like(m) for g, m in plain.masks.items()}
    )
    joined = join_targets([plain, unknown])
    assert joined.masks[28].shape == (2, 28, 28)
    assert joined.valid[28][0].all()
    assert not joined.valid[28][1].any()
    assert join_targets([plain, plain]).valid is None


def test_quality_of_perfect_masks_grows_with_the_grid() -> None:
    targets = disc_targets()
    perfect = {g: (m * 20 - 10, m) for g, m in targets.masks.items()}
    quality = grid_quality(perfect, targets)
    assert quality.shape == (2, 4)
    assert (quality[:, 3] == 1).all()
    assert (quality.diff(dim=1) >= 0).all()
    assert quality[:, 0].min() > 0.85


def test_quality_ignores_unknown_pixels_and_survives_nothing() -> None:
    plain = disc_targets(1)
    unknown = {g: torch.zeros_like(m) for g, m in plain.masks.items()}
    targets = MaskTargets(plain.masks, plain.edges, unknown)
    wrong = {g: (m * 0 - 5, m) for g, m in plain.masks.items()}
    assert grid_quality(wrong, targets).tolist() == [[0.0] * 4]


def test_gain_loss_teaches_quality_differences() -> None:
    config = LossConfig(switch_loss="gain")
    quality = torch.tensor([[0.60, 0.66, 0.68, 0.68], [0.9, 0.9, 0.9, 0.9]])
    logits = torch.zeros(2, 4, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(400):
        optimizer.zero_grad()
        gain_loss(logits, quality, config).backward()
        optimizer.step()
    gains = config.gain_scale * (logits - logits.mean(dim=1, keepdim=True))
    expected = quality - quality.mean(dim=1, keepdim=True)
    assert torch.allclose(gains.detach(), expected, atol=1e-3)
    # the common part of an object's quality is no choice, so it must not matter
    assert gain_loss(logits + 5, quality, config).item() == pytest.approx(
        gain_loss(logits, quality, config).item(), abs=1e-4
    )
