"""Mask Switch Module: a small classifier on the RoI's crop says which grid the object needs.

DynaMask (CVPR 2023), section on the MSM. Training draws a one-hot choice with straight-through
Gumbel-Softmax (Jang et al., ICLR 2017); inference takes the argmax and never noise.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from dynamask.config import GRIDS, STRIDES, SwitchConfig


class MaskSwitch(nn.Module):
    """RoI crop of P2 -> logits over GRIDS. Parameter names are the released ones."""

    def __init__(self, config: SwitchConfig) -> None:
        super().__init__()
        self.config = config
        first, second = config.channels
        side = _halved(_halved(config.crop))
        self.conv1 = nn.Conv2d(config.in_channels, first, 1)
        self.bn1 = nn.BatchNorm2d(first)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(second)
        self.fc1 = nn.Linear(second * side * side, config.hidden)
        self.fc2 = nn.Linear(config.hidden, len(GRIDS))

    def crop(self, p2: Tensor, rois: Tensor) -> Tensor:
        """(B, C, h, w) map and (N, 5) RoIs -> (N, C, crop, crop), gradient stopped."""
        return roi_align(
            p2.detach().float(),  # box coordinates need more than bfloat16's 8 bits
            rois.float(),
            self.config.crop,
            spatial_scale=1 / STRIDES["p2"],
            sampling_ratio=0,
            aligned=True,
        )

    def classify(self, crops: Tensor) -> Tensor:
        """(N, C, crop, crop) -> (N, 4) logits."""
        x = F.relu(self.bn1(self.conv1(crops)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)

    def forward(self, p2: Tensor, rois: Tensor) -> Tensor:
        """(B, C, h, w) map and (N, 5) RoIs -> (N, 4) logits over GRIDS."""
        if not len(rois):
            return p2.new_zeros((0, len(GRIDS)))
        return self.classify(self.crop(p2, rois))


def _halved(side: int) -> int:
    return (side + 1) // 2  # what a 3x3 max-pool of stride 2, padding 1 leaves


def gumbel_softmax_switch(
    logits: Tensor, *, temperature: float, generator: torch.Generator | None = None
) -> Tensor:
    """Draw a one-hot switch whose gradient is the soft sample's (straight-through).

    Args:
        logits: (N, 4).
        temperature: softmax temperature; lower is closer to one-hot.
        generator: source of the noise, for runs that can be repeated.

    Returns:
        (N, 4): exactly one-hot in value, soft in gradient.
    """
    uniform = torch.rand(logits.shape, device=logits.device, generator=generator)
    tiny = torch.finfo(uniform.dtype).tiny  # log(0) would be an infinite sample
    exponential = (-torch.log(uniform.clamp(min=tiny))).clamp(min=tiny)
    noise = -torch.log(exponential)
    soft = ((logits.float() + noise) / temperature).softmax(dim=1)
    hard = F.one_hot(soft.argmax(dim=1), logits.shape[1]).to(soft.dtype)
    return hard + soft - soft.detach()
