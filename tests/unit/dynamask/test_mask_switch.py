"""The Mask Switch Module and its straight-through draw."""

import pytest
import torch

from dynamask.config import SwitchConfig, preset
from dynamask.model.mask_switch import MaskSwitch, gumbel_softmax_switch


def test_released_parameter_count() -> None:
    switch = MaskSwitch(preset("resnet50_fpn").switch)
    assert sum(p.numel() for p in switch.parameters()) == 1_659_828


def test_draw_is_one_hot_and_follows_the_probabilities() -> None:
    probabilities = torch.tensor([0.6, 0.3, 0.08, 0.02])
    logits = probabilities.log().expand(20_000, 4)
    drawn = gumbel_softmax_switch(
        logits, temperature=0.5, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(drawn.sum(dim=1).round(decimals=4), torch.ones(20_000))
    assert set(drawn.round(decimals=4).unique().tolist()) == {0.0, 1.0}
    # the Gumbel argmax draws exactly from softmax(logits), whatever the temperature
    assert drawn.mean(dim=0).tolist() == pytest.approx(probabilities.tolist(), abs=0.012)


def test_straight_through_gradient_is_the_soft_samples() -> None:
    logits = torch.randn(64, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    price = torch.tensor([1.0, 2.0, 3.0, 4.0])

    def noise() -> torch.Generator:
        return torch.Generator().manual_seed(2)

    (gumbel_softmax_switch(logits, temperature=0.7, generator=noise()) * price).sum().backward()
    uniform = torch.rand(logits.shape, generator=noise())
    leaf = logits.detach().clone().requires_grad_()
    soft = ((leaf - (-uniform.log()).log()) / 0.7).softmax(dim=1)
    (soft * price).sum().backward()
    assert torch.allclose(logits.grad, leaf.grad, atol=1e-5)
    assert logits.grad.abs().max() > 0.01


def test_same_generator_same_draw() -> None:
    logits = torch.zeros(50, 4)
    draws = [
        gumbel_softmax_switch(logits, temperature=1, generator=torch.Generator().manual_seed(s))
        for s in (4, 4, 5)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_gradient_stops_at_the_pyramid() -> None:
    torch.manual_seed(0)
    switch = MaskSwitch(SwitchConfig(in_channels=8, crop=28, channels=(8, 4), hidden=16))
    p2 = torch.randn(1, 8, 40, 40, requires_grad=True)
    rois = torch.tensor([[0, 8.0, 8, 100, 90], [0, 30, 20, 60, 150]])
    switch(p2, rois).sum().backward()
    assert p2.grad is None
    assert all(p.grad is not None for p in switch.parameters())


def test_no_rois() -> None:
    switch = MaskSwitch(SwitchConfig(in_channels=8, crop=28, channels=(8, 4), hidden=16)).eval()
    assert switch(torch.randn(1, 8, 20, 20), torch.zeros(0, 5)).shape == (0, 4)
