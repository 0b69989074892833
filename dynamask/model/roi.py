"""RoIAlign over the pyramid, with the level rule and the ``aligned`` switch in one place.

RoIs are (N, 5) float tensors [batch index, x1, y1, x2, y2] in pixels of the network input.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from dynamask.config import PYRAMID_LEVELS, STRIDES


def roi_levels(rois: Tensor) -> Tensor:
    """Return (N,) int64 indices into PYRAMID_LEVELS: floor(log2(sqrt(w h) / 56 + 1e-6)), clamped.

    Lin et al., "Feature Pyramid Networks", equation 1, as the released code has it.
    """
    side = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).clamp(min=0).sqrt()
    levels = torch.floor(torch.log2(side / 56 + 1e-6))
    return levels.clamp(0, len(PYRAMID_LEVELS) - 1).long()


def pyramid_roi_align(
    pyramid: Mapping[str, Tensor], rois: Tensor, size: int, *, aligned: bool, sampling: int = 0
) -> Tensor:
    """Crop every RoI from its own level.

    Args:
        pyramid: level name to (B, C, h, w).
        rois: (N, 5).
        size: output side in cells.
        aligned: half-pixel correction of RoIAlign (True in the released config, False in
            torchvision's Mask R-CNN weights).
        sampling: samples per bin and axis; 0 is adaptive.

    Returns:
        (N, C, size, size).
    """
    levels = roi_levels(rois)
    channels = pyramid["p2"].shape[1]
    # float32 throughout: box coordinates need more than bfloat16's 8 bits
    out = rois.new_zeros((len(rois), channels, size, size), dtype=torch.float32)
    for index, name in enumerate(PYRAMID_LEVELS):
        picked = torch.nonzero(levels == index).squeeze(1)
        if len(picked):
            crops = roi_align(
                pyramid[name].float(),
                rois[picked].float(),
                size,
                spatial_scale=1 / STRIDES[name],
                sampling_ratio=sampling,
                aligned=aligned,
            )
            out = out.index_copy(0, picked, crops)
    return out


class PyramidRoIAlign(nn.Module):
    """The box head's pooler, in the call shape that torchvision's RoIHeads expects."""

    def __init__(self, size: int, *, aligned: bool, sampling: int = 0) -> None:
        super().__init__()
        self.size = size
        self.aligned = aligned
        self.sampling = sampling

    def forward(
        self, features: Mapping[str, Tensor], boxes: list[Tensor], image_shapes: object = None
    ) -> Tensor:
        """Lists of (n_i, 4) boxes, one per image -> (sum n_i, C, size, size)."""
        return pyramid_roi_align(
            features,
            boxes_to_rois(boxes),
            self.size,
            aligned=self.aligned,
            sampling=self.sampling,
        )


def boxes_to_rois(boxes: list[Tensor]) -> Tensor:
    """Join per-image (n_i, 4) boxes to (N, 5) RoIs."""
    return torch.cat(
        [torch.cat((b.new_full((len(b), 1), i), b), dim=1) for i, b in enumerate(boxes)]
    )
