"""The fast deformable convolution is torchvision's, to rounding, in value and in gradient."""

import pytest
import torch
from torchvision.ops import deform_conv2d

from dynamask.model.deform_conv import DeformConv, deform_conv2d_by_sampling


@pytest.mark.parametrize(("size", "channels", "groups"), [(14, 16, 2), (28, 8, 2), (7, 6, 3)])
def test_equals_torchvision(size: int, channels: int, groups: int) -> None:
    g = torch.Generator().manual_seed(size)
    x = torch.randn(2, channels, size, size, generator=g, dtype=torch.float64)
    weight = torch.randn(5, channels, 3, 3, generator=g, dtype=torch.float64)
    # offsets of several cells push samples over every border
    offset = 3 * torch.randn(2, groups * 18, size, size, generator=g, dtype=torch.float64)
    ours = deform_conv2d_by_sampling(x, offset, weight, groups)
    theirs = deform_conv2d(x, offset, weight, padding=1)
    assert (ours - theirs).abs().max() <= 1e-9 * theirs.abs().max()


def test_gradients_equal_torchvision() -> None:
    g = torch.Generator().manual_seed(1)
    leaves = [
        torch.randn(1, 4, 6, 6, generator=g, dtype=torch.float64, requires_grad=True),
        torch.randn(1, 36, 6, 6, generator=g, dtype=torch.float64, requires_grad=True),
        torch.randn(3, 4, 3, 3, generator=g, dtype=torch.float64, requires_grad=True),
    ]
    x, offset, weight = leaves
    probe = torch.randn(1, 3, 6, 6, generator=g, dtype=torch.float64)
    ours = torch.autograd.grad(
        (deform_conv2d_by_sampling(x, offset, weight, 2) * probe).sum(), leaves
    )
    theirs = torch.autograd.grad(
        (deform_conv2d(x, offset, weight, padding=1) * probe).sum(), leaves
    )
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-9)


def test_starts_as_an_ordinary_convolution() -> None:
    torch.manual_seed(0)
    layer = DeformConv(8, offset_groups=2)
    x = torch.randn(2, 8, 14, 14)
    plain = torch.nn.functional.conv2d(x, layer.weight, padding=1)
    assert torch.allclose(layer(x), plain, atol=1e-5)
