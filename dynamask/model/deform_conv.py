"""Deformable convolution v1 in two exact forms, picked per device.

Dai et al., "Deformable Convolutional Networks", ICCV 2017. torchvision's kernel is made for GPUs;
on a CPU the same sum written as one bilinear ``grid_sample`` and one matrix product is several
times faster (``python -m dynamask bench`` measures the ratio) and equal up to rounding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

KERNEL = 3
TAPS = KERNEL * KERNEL


def deform_conv2d_by_sampling(x: Tensor, offset: Tensor, weight: Tensor, groups: int) -> Tensor:
    """3x3 deformable convolution, stride 1, padding 1, no bias, as sampling plus matmul.

    Args:
        x: (N, C, H, W) input.
        offset: (N, groups * 18, H, W); for group g and tap k, channel ``2 * (9 * g + k)`` is the
            row offset and the next one the column offset, in cells (torchvision's layout).
        weight: (O, C, 3, 3).
        groups: offset groups; C must be divisible by it.

    Returns:
        (N, O, H, W).
    """
    n, c, h, w = x.shape
    ys = torch.arange(h, device=x.device, dtype=x.dtype)
    xs = torch.arange(w, device=x.device, dtype=x.dtype)
    tap = torch.arange(TAPS, device=x.device)
    dy = (tap // KERNEL - 1).to(x.dtype)
    dx = (tap % KERNEL - 1).to(x.dtype)
    offset = offset.view(n, groups, TAPS, 2, h, w)
    rows = offset[:, :, :, 0] + ys.view(1, 1, 1, h, 1) + dy.view(1, 1, TAPS, 1, 1)
    cols = offset[:, :, :, 1] + xs.view(1, 1, 1, 1, w) + dx.view(1, 1, TAPS, 1, 1)
    # align_corners=True maps cell index i to 2 i / (size - 1) - 1; a map one cell wide has no scale
    grid = torch.stack((cols * (2 / max(w - 1, 1)) - 1, rows * (2 / max(h - 1, 1)) - 1), dim=-1)
    sampled = F.grid_sample(
        x.reshape(n * groups, c // groups, h, w),
        grid.view(n * groups, TAPS * h, w, 2),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=True,
    )  # (N * groups, C / groups, 9 * H, W)
    columns = sampled.view(n, c * TAPS, h * w)
    return torch.matmul(weight.flatten(1), columns).view(n, -1, h, w)


class DeformConv(nn.Module):
    """3x3 deformable convolution with its own zero-initialised offset convolution.

    Parameter names (``weight``, ``conv_offset``) are the released ones.
    """

    def __init__(self, channels: int, offset_groups: int) -> None:
        super().__init__()
        self.offset_groups = offset_groups
        self.weight = nn.Parameter(torch.empty(channels, channels, KERNEL, KERNEL))
        self.conv_offset = nn.Conv2d(channels, offset_groups * 2 * TAPS, KERNEL, padding=1)
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        offset = self.conv_offset(x)
        if x.device.type == "cuda":
            # the compiled kernel knows no bfloat16 and loses accuracy in half precision
            with torch.autocast("cuda", enabled=False):
                return deform_conv2d(x.float(), offset.float(), self.weight.float(), padding=1)
        return deform_conv2d_by_sampling(x, offset.to(x.dtype), self.weight, self.offset_groups)
