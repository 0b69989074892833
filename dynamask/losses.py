"""The training loss of the mask branch and the switch (DynaMask, CVPR 2023; MODEL: losses).

N is the number of RoIs; every loss is a mean over RoIs, so it does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dynamask.config import GRIDS, LossConfig
from dynamask.model.region_fpn import GridLogits
from dynamask.targets import crop_mask_grids, edge_target


@dataclass(frozen=True)
class MaskTargets:
    """What the mask branch should say.

    Attributes:
        masks: grid to (N, grid, grid) float {0, 1}.
        valid: grid to (N, grid, grid) float, 0 where the photo does not say; None if it always
            does.
        edges: grid to (N, grid, grid) float {0, 1}, each from that grid's own mask.
    """

    masks: Mapping[int, Tensor]
    edges: Mapping[int, Tensor]
    valid: Mapping[int, Tensor] | None = None


def mask_targets(
    masks: Tensor, boxes: Tensor, index: Tensor, *, ignore: Tensor | None = None
) -> MaskTargets:
    """Cut targets at every grid.

    Args:
        masks: (M, H, W) uint8 or bool, one photo's objects.
        boxes: (N, 4) RoIs in the pixels of ``masks``.
        index: (N,) int64, which object each RoI is about.
        ignore: (H, W) pixels that belong to nobody knows whom.
    """
    cut = crop_mask_grids(masks, boxes, index, GRIDS)
    valid = None
    if ignore is not None and bool(ignore.any()):
        nobody = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        ignored = crop_mask_grids(ignore[None], boxes, nobody, GRIDS)
        valid = {g: 1 - m for g, m in ignored.items()}
    return MaskTargets(cut, {g: edge_target(m) for g, m in cut.items()}, valid)


def join_targets(parts: Sequence[MaskTargets]) -> MaskTargets:
    """Concatenate the targets of several photos."""
    valid = None
    if any(p.valid is not None for p in parts):
        valid = {
            g: torch.cat(
                [torch.ones_like(p.masks[g]) if p.valid is None else p.valid[g] for p in parts]
            )
            for g in GRIDS
        }
    return MaskTargets(
        {g: torch.cat([p.masks[g] for p in parts]) for g in GRIDS},
        {g: torch.cat([p.edges[g] for p in parts]) for g in GRIDS},
        valid,
    )


def _bce_per_roi(logits: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
    loss = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    if valid is None:
        return loss.mean(dim=(1, 2))
    return (loss * valid).sum(dim=(1, 2)) / valid.sum(dim=(1, 2)).clamp(min=1)


def mask_loss(logits: GridLogits, targets: MaskTargets, config: LossConfig) -> Tensor:
    """Weighted mask BCE summed over the four grids (departure 2): scalar."""
    total = torch.zeros((), device=targets.masks[GRIDS[0]].device)
    for grid, weight in zip(GRIDS, config.mask_weights, strict=True):
        valid = None if targets.valid is None else targets.valid[grid]
        total = total + weight * _bce_per_roi(logits[grid][0], targets.masks[grid], valid).mean()
    return total


def edge_costs(logits: GridLogits, targets: MaskTargets, config: LossConfig) -> Tensor:
    """(N, 4): BCE of each grid's edge map, which the switch compares.

    By default every map is brought to one common grid and held against one target, so a finer
    grid wins only where its edges are better (departure 5). With ``edge_common_grid == 0`` each
    grid meets its own target, as released.
    """
    common = config.edge_common_grid
    costs = []
    for grid in GRIDS:
        edge = logits[grid][1].float()
        target_grid = common or grid
        if grid != target_grid:
            edge = F.interpolate(
                edge[:, None], size=target_grid, mode="bilinear", align_corners=False
            ).squeeze(1)
        valid = None if targets.valid is None else targets.valid[target_grid]
        costs.append(_bce_per_roi(edge, targets.edges[target_grid], valid))
    return torch.stack(costs, dim=1)


def edge_loss(costs: Tensor, switch: Tensor, config: LossConfig) -> Tensor:
    """The paper's edge loss, mean over RoIs of sum_k y_k BCE_k: scalar.

    Args:
        costs: (N, 4) of :func:`edge_costs`.
        switch: (N, 4) one-hot y with a straight-through gradient.
        config: ``edge_every_grid`` adds that much of every grid's own BCE, so that a grid which
            is never chosen still learns its edges; 0 is the paper's loss alone.
    """
    loss = (switch * costs).sum(dim=1).mean()
    if config.edge_every_grid:
        loss = loss + config.edge_every_grid * costs.sum(dim=1).mean()
    return loss


def budget_loss(switch: Tensor, grid_mac: Tensor, config: LossConfig) -> Tensor:
    """Hinge ``max(E[C] / C_t - 1, 0)``: scalar, zero once the mean cost is within the target.

    Args:
        switch: (N, 4) one-hot y with a straight-through gradient.
        grid_mac: (4,) cost of leaving at each grid.
        config: ``budget_fraction`` gives C_t as a fraction of the finest grid's cost.
    """
    target = config.budget_fraction * grid_mac[-1]
    expected = (switch * grid_mac).sum(dim=1).mean()
    return F.relu(expected / target - 1)


def balance_loss(logits: Tensor) -> Tensor:
    """Log 4 minus the entropy of the mean choice: 0 where all grids are used alike (option)."""
    mean = logits.float().softmax(dim=1).mean(dim=0)
    return (mean * (mean * len(GRIDS)).clamp(min=1e-9).log()).sum()


@torch.no_grad()
def grid_quality(logits: GridLogits, targets: MaskTargets) -> Tensor:
    """(N, 4): IoU of each grid's mask with the truth, all measured on the finest grid.

    Training computes the four masks anyway, so what each grid would have given is known.
    """
    finest = GRIDS[-1]
    truth = targets.masks[finest] > 0.5
    valid = torch.ones_like(truth) if targets.valid is None else targets.valid[finest] > 0.5
    qualities = []
    for grid in GRIDS:
        mask = logits[grid][0].float()
        if grid != finest:
            mask = F.interpolate(
                mask[:, None], size=finest, mode="bilinear", align_corners=False
            ).squeeze(1)
        found = mask > 0
        overlap = (found & truth & valid).sum(dim=(1, 2))
        union = ((found | truth) & valid).sum(dim=(1, 2))
        qualities.append(overlap / union.clamp(min=1))
    return torch.stack(qualities, dim=1)


def gain_loss(
    switch_logits: Tensor, quality: Tensor, config: LossConfig, *, huber: float = 1.0
) -> Tensor:
    """Second way to teach the switch: regress what each grid gains. Scalar.

    ``gain_scale * logit`` becomes the expected IoU of a grid up to a constant of the object, so
    argmax is the grid of highest expected IoU, and differences of log p are IoU differences over
    ``gain_scale``: the budget policy, which adds log p up, then maximises expected mean IoU.

    Args:
        switch_logits: (N, 4).
        quality: (N, 4) of :func:`grid_quality`.
        config: ``gain_scale``.
        huber: errors above this many ``gain_scale`` count linearly: a mask that failed altogether
            is no guide.
    """
    predicted = config.gain_scale * (switch_logits - switch_logits.mean(dim=1, keepdim=True))
    measured = quality - quality.mean(dim=1, keepdim=True)
    return F.smooth_l1_loss(predicted / config.gain_scale, measured / config.gain_scale, beta=huber)
