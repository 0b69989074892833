"""Region-level FPN: one object's feature grows 14 -> 28 -> 56 -> 112, as far as it is asked to.

DynaMask (CVPR 2023), sections on r-FPN and FAM; layer shapes and parameter names are the
released ones, so converted weights fit. N is the number of RoIs, S a stage's grid.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynamask.config import GRIDS, STRIDES, MaskHeadConfig
from dynamask.model.deform_conv import DeformConv
from dynamask.model.roi import pyramid_roi_align

STAGE_LEVELS: tuple[str, ...] = ("p4", "p3", "p2")
"""The image-level map that each stage's image branch reads: detail matches the stage's grid."""

GridLogits = dict[int, tuple[Tensor, Tensor]]
"""Grid to (mask logits, edge logits), both (N, grid, grid)."""


def label_logits(conv: nn.Conv2d, x: Tensor, labels: Tensor) -> Tensor:
    """A 1x1 convolution of which only each RoI's own class channel is computed.

    Args:
        conv: C -> classes, 1x1, with bias; one class means class agnostic.
        x: (N, C, S, S).
        labels: (N,) int64; ignored where the convolution has one output.

    Returns:
        (N, S, S).
    """
    if conv.out_channels == 1:
        return conv(x).squeeze(1)
    weight = conv.weight[labels].flatten(1).to(x.dtype)  # (N, C)
    logits = torch.einsum("nc,nchw->nhw", weight, x)
    return logits + conv.bias[labels].to(x.dtype)[:, None, None]


def sample_image_branch(feature: Tensor, rois: Tensor, size: int, stride: int) -> Tensor:
    """One bilinear sample of an image-level map at each of the size x size bin centres.

    Args:
        feature: (B, C, h, w) map of the given stride.
        rois: (N, 5).
        size: bins per side.
        stride: network-input pixels per cell of the map.

    Returns:
        (N, C, size, size); zero outside the map.
    """
    n = len(rois)
    height, width = feature.shape[-2:]
    centres = (torch.arange(size, device=rois.device, dtype=rois.dtype) + 0.5) / size
    x = rois[:, 1, None] + centres * (rois[:, 3] - rois[:, 1])[:, None]  # (N, S)
    y = rois[:, 2, None] + centres * (rois[:, 4] - rois[:, 2])[:, None]
    gx = (2 * x / (width * stride) - 1)[:, None, :].expand(n, size, size)
    gy = (2 * y / (height * stride) - 1)[:, :, None].expand(n, size, size)
    grid = torch.stack((gx, gy), dim=-1).to(feature.dtype)  # (N, S, S, 2)
    if feature.shape[0] == 1:
        # one image: all RoIs side by side in one call, so the map is not copied N times
        sampled = F.grid_sample(feature, grid.reshape(1, n * size, size, 2), align_corners=False)
        return sampled.view(-1, n, size, size).transpose(0, 1)
    out = feature.new_zeros((n, feature.shape[1], size, size))
    for index in range(feature.shape[0]):
        picked = torch.nonzero(rois[:, 0] == index).squeeze(1)
        if len(picked):
            sampled = F.grid_sample(
                feature[index : index + 1],
                grid[picked].reshape(1, len(picked) * size, size, 2),
                align_corners=False,
            )
            own = sampled.view(-1, len(picked), size, size).transpose(0, 1)
            out = out.index_copy(0, picked, own)
    return out


class ConvModule(nn.Module):
    """3x3 convolution and ReLU; the wrapper keeps the released key ``instance_convs.i.conv``."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, S, S) -> (N, C', S, S)."""
        return F.relu(self.conv(x))


class Stage(nn.Module):
    """One step of the r-FPN: logits at this grid, then the Feature Aggregation Module.

    The released names are kept: ``instance`` is mask, ``detail`` is edge, ``semantic`` is the
    image branch.
    """

    def __init__(
        self, pyramid_channels: int, channels: int, num_classes: int, offset_groups: int
    ) -> None:
        super().__init__()
        out = channels // 2
        self.semantic_transform_in = nn.Conv2d(pyramid_channels, channels, 1)
        self.instance_logits = nn.Conv2d(channels, num_classes, 1)
        self.detail_logits = nn.Conv2d(channels, num_classes, 1)
        self.fuse_conv = nn.Sequential(
            nn.Conv2d(2 * channels + 2, channels, 1),
            DeformConv(channels, offset_groups),
        )
        self.fuse_transform_out = nn.Conv2d(channels, out - 2, 1)
        for conv in (self.semantic_transform_in, self.fuse_conv[0], self.fuse_transform_out):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        for conv in (self.instance_logits, self.detail_logits):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)

    def logits(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mask and edge logits of the stage input: (N, c, S, S) -> two (N, S, S)."""
        mask = label_logits(self.instance_logits, x, labels)
        edge = label_logits(self.detail_logits, x, labels)
        return mask, edge

    def image_branch(self, level: Tensor) -> Tensor:
        """The whole image-level map, (B, C, h, w) -> (B, c, h, w); once per photo."""
        return F.relu(self.semantic_transform_in(level))

    def forward(self, x: Tensor, image: Tensor, mask: Tensor, edge: Tensor) -> Tensor:
        """Feature Aggregation Module.

        Args:
            x: (N, c, S, S) stage input.
            image: (N, c, S, S) image branch at the bin centres.
            mask: (N, S, S) mask logits.
            edge: (N, S, S) edge logits.

        Returns:
            (N, c / 2, S, S); the last two channels are the mask and edge probabilities.
        """
        guides = torch.stack((mask.sigmoid(), edge.sigmoid()), dim=1).to(x.dtype)  # (N, 2, S, S)
        x = F.relu(self.fuse_conv[0](torch.cat((x, image, guides), dim=1)))
        x = F.relu(self.fuse_conv[1](x))
        x = F.relu(self.fuse_transform_out(x))
        return torch.cat((x, guides.to(x.dtype)), dim=1)


class RegionFPN(nn.Module):
    """The mask head. ``decode`` runs each stage only for the RoIs that go beyond it."""

    def __init__(self, config: MaskHeadConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.stage_channels
        self.instance_convs = nn.ModuleList(
            ConvModule(config.in_channels if i == 0 else widths[0], widths[0])
            for i in range(config.stem_convs)
        )
        self.stages = nn.ModuleList(
            Stage(config.in_channels, c, config.num_classes, config.offset_groups) for c in widths
        )
        self.final_instance_logits = nn.Conv2d(widths[-1] // 2, 1, 1)
        self.final_detail_logits = nn.Conv2d(widths[-1] // 2, 1, 1)
        for conv in (self.final_instance_logits, self.final_detail_logits):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)

    def roi_features(self, pyramid: Mapping[str, Tensor], rois: Tensor) -> Tensor:
        """(N, 5) RoIs -> (N, C, 14, 14): RoIAlign from each RoI's level, adaptive sampling."""
        return pyramid_roi_align(pyramid, rois, GRIDS[0], aligned=True)

    def stem(self, roi_features: Tensor) -> Tensor:
        """(N, C, 14, 14) -> (N, c0, 14, 14)."""
        x = roi_features
        for conv in self.instance_convs:
            x = conv(x)
        return x

    def advance(
        self, index: int, x: Tensor, logits: tuple[Tensor, Tensor], level: Tensor, rois: Tensor
    ) -> Tensor:
        """Run stage ``index`` and return the next stage's input at twice the grid.

        Args:
            index: 0, 1 or 2.
            x: (N, c, S, S).
            logits: this stage's mask and edge logits, (N, S, S) each.
            level: (B, c, h, w), the stage's image branch.
            rois: (N, 5).
        """
        stride = STRIDES[STAGE_LEVELS[index]]
        image = sample_image_branch(level, rois, GRIDS[index], stride)
        x = self.stages[index](x, image.to(x.dtype), *logits)
        if index == len(self.stages) - 1:
            return x  # the last doubling is done on the logits, see `final`
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    def final(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 32, 56, 56) -> mask and edge logits (N, 112, 112)."""
        both = torch.cat((self.final_instance_logits(x), self.final_detail_logits(x)), dim=1)
        both = F.interpolate(both, scale_factor=2, mode="bilinear", align_corners=True)
        return both[:, 0], both[:, 1]

    def all_grids(
        self,
        pyramid: Mapping[str, Tensor],
        rois: Tensor,
        labels: Tensor,
        *,
        roi_features: Tensor | None = None,
    ) -> GridLogits:
        """Logits of every RoI at every grid: for training, the oracle and the film strip.

        Args:
            pyramid: p2..p5, (B, C, h, w).
            rois: (N, 5).
            labels: (N,) int64, 0-based; ignored by a class-agnostic head.
            roi_features: (N, C, 14, 14) where they are known already.

        Returns:
            Grid to (mask, edge) logits, each (N, grid, grid).
        """
        x = self.stem(self.roi_features(pyramid, rois) if roi_features is None else roi_features)
        out: GridLogits = {}
        for index, stage in enumerate(self.stages):
            logits = stage.logits(x, labels)
            out[GRIDS[index]] = logits
            level = stage.image_branch(pyramid[STAGE_LEVELS[index]])
            x = self.advance(index, x, logits, level, rois)
        out[GRIDS[-1]] = self.final(x)
        return out

    def decode(
        self,
        pyramid: Mapping[str, Tensor],
        rois: Tensor,
        labels: Tensor,
        grids: Tensor,
        *,
        branches: dict[int, Tensor] | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Logits of every RoI at its own grid; a stage runs only for the RoIs that need it.

        Args:
            pyramid: p2..p5, (B, C, h, w).
            rois: (N, 5).
            labels: (N,) int64.
            grids: (N,) int64, each one of GRIDS.
            branches: image branches by stage, filled here as stages need them; a caller that
                decodes one photo in several parts hands in the same dict, so that each runs once.

        Returns:
            N mask and N edge logit tensors, the i-th (grids[i], grids[i]), float32.
        """
        masks: list[Tensor] = [rois.new_zeros(0)] * len(rois)
        edges: list[Tensor] = [rois.new_zeros(0)] * len(rois)
        if not len(rois):
            return masks, edges
        branches = {} if branches is None else branches
        grids = grids.to(rois.device)
        alive = torch.arange(len(rois), device=rois.device)
        x = self.stem(self.roi_features(pyramid, rois))

        def leave(here: Tensor, logits: tuple[Tensor, Tensor]) -> None:
            for row in torch.nonzero(here).squeeze(1).tolist():
                masks[int(alive[row])] = logits[0][row].float()
                edges[int(alive[row])] = logits[1][row].float()

        for index, stage in enumerate(self.stages):
            logits = stage.logits(x, labels[alive])
            going_on = grids[alive] > GRIDS[index]
            leave(~going_on, logits)
            if not going_on.any():
                return masks, edges
            x, alive = x[going_on], alive[going_on]
            kept = (logits[0][going_on], logits[1][going_on])
            if index not in branches:
                branches[index] = stage.image_branch(pyramid[STAGE_LEVELS[index]])
            x = self.advance(index, x, kept, branches[index], rois[alive])
        leave(torch.ones_like(alive, dtype=torch.bool), self.final(x))
        return masks, edges
