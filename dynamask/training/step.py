"""One training step: a batch of partly labelled photos in, every loss out.

What each kind of photo teaches (``partial`` in a target): ``full`` everything; ``person_only``
its person, with no negatives anywhere else; ``masks_only`` the mask branch and the switch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dynamask.config import GRIDS, PYRAMID_LEVELS
from dynamask.cost import cost_table
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
from dynamask.model.detector import DynaMask
from dynamask.model.mask_switch import gumbel_softmax_switch
from dynamask.model.roi import boxes_to_rois
from dynamask.training.augment import jitter_boxes

MIN_SIDE_PX = 4.0  # objects smaller than one cell of P2 teach a mask nothing


@dataclass(frozen=True)
class StepOptions:
    """How a batch becomes losses."""

    rois_per_photo: int = 8
    box_jitter: float = 0.1
    train_detector: bool = True
    train_masks: bool = True


@dataclass(frozen=True)
class MaskRois:
    """RoIs of the mask branch: ``rois`` (N, 5), ``labels`` (N,) from 0, and their targets."""

    rois: Tensor
    labels: Tensor
    targets: MaskTargets


def choose_mask_rois(
    batch: Mapping[str, Any], options: StepOptions, rng: np.random.Generator
) -> MaskRois | None:
    """Pick labelled objects, jitter their boxes, cut their targets; None where there are none."""
    boxes_of: list[Tensor] = []
    labels: list[Tensor] = []
    targets: list[MaskTargets] = []
    for target, size in zip(batch["targets"], batch["sizes"], strict=True):
        boxes = target["boxes"]
        sides = boxes[:, 2:] - boxes[:, :2] if len(boxes) else boxes.new_zeros((0, 2))
        usable = torch.nonzero((sides >= MIN_SIDE_PX).all(dim=1)).squeeze(1)
        if len(usable) > options.rois_per_photo:
            picked = rng.permutation(len(usable))[: options.rois_per_photo]
            usable = usable[torch.from_numpy(np.sort(picked))]
        jittered = jitter_boxes(boxes[usable], rng, options.box_jitter)
        jittered = clip_boxes(jittered, size)
        boxes_of.append(jittered)
        if len(usable):
            labels.append(target["labels"][usable].clamp(min=0))
            targets.append(
                mask_targets(target["masks"], jittered, usable, ignore=target.get("ignore"))
            )
    if not targets:
        return None
    return MaskRois(boxes_to_rois(boxes_of), torch.cat(labels), join_targets(targets))


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Clip (N, 4) xyxy boxes to a photo of (height, width), at least one pixel wide."""
    height, width = size
    x1 = boxes[:, 0].clamp(0, width - 1)
    y1 = boxes[:, 1].clamp(0, height - 1)
    x2 = torch.maximum(boxes[:, 2].clamp(max=width), x1 + 1)
    y2 = torch.maximum(boxes[:, 3].clamp(max=height), y1 + 1)
    return torch.stack((x1, y1, x2, y2), dim=1)


def detector_targets(batch: Mapping[str, Any]) -> tuple[list[int], list[dict[str, Tensor]]]:
    """Targets in torchvision's terms, and which photos of the batch have any."""
    picked, targets = [], []
    for index, target in enumerate(batch["targets"]):
        if target["partial"] == "masks_only":
            continue
        picked.append(index)
        targets.append(
            {
                "boxes": target["boxes"],
                "labels": target["labels"] + 1,  # torchvision keeps 0 for the background
                "ignore_boxes": target["ignore_boxes"],
                "negatives": torch.tensor(target["partial"] == "full"),
            }
        )
    return picked, targets


def training_losses(
    model: DynaMask,
    batch: Mapping[str, Any],
    options: StepOptions,
    *,
    rng: np.random.Generator,
    generator: torch.Generator,
    autocast: bool = False,
) -> tuple[Tensor, dict[str, float]]:
    """Forward pass and losses of one batch.

    Args:
        model: in training mode.
        batch: what ``collate`` returned.
        options: what to train and how many RoIs.
        rng: box jitter and RoI choice.
        generator: noise of the switch.
        autocast: run convolutions in bfloat16 (losses stay float32).

    Returns:
        The total loss, and every part as a number for the log: losses, share of each grid,
        ``cost_ratio`` (mean cost over C_t).
    """
    config = model.config.loss
    device = batch["images"].device
    with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        pyramid = model.extract(batch["images"])
    parts: dict[str, Tensor] = {}
    facts: dict[str, float] = {}
    picked, targets = detector_targets(batch)
    if options.train_detector and picked:
        own = {name: level[picked] for name, level in pyramid.items()}
        sizes = [batch["sizes"][i] for i in picked]
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            parts.update(model.detection_losses(own, sizes, targets))
    rois = choose_mask_rois(batch, options, rng) if options.train_masks else None
    if rois is not None:
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            levels = {name: pyramid[name] for name in PYRAMID_LEVELS}
            frozen = not any(p.requires_grad for p in model.mask_head.parameters())
            with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
                logits = model.mask_head.all_grids(levels, rois.rois, rois.labels)
            chosen = model.mask_switch(pyramid["p2"], rois.rois)
        mac = cost_table(model.config).exit_mac
        grid_mac = torch.tensor([mac[g] for g in GRIDS], dtype=torch.float32, device=device)
        parts["loss_mask"] = mask_loss(logits, rois.targets, config)
        switch = gumbel_softmax_switch(chosen, temperature=config.temperature, generator=generator)
        if config.switch_loss == "gain":
            switch = functional.one_hot(chosen.argmax(dim=1), len(GRIDS)).float()
            parts["loss_gain"] = gain_loss(
                chosen.float(), grid_quality(logits, rois.targets), config
            )
        costs = edge_costs(logits, rois.targets, config)
        parts["loss_edge"] = config.edge_weight * edge_loss(costs, switch, config)
        if config.switch_loss == "paper":
            parts["loss_budget"] = config.budget_weight * budget_loss(switch, grid_mac, config)
        if config.entropy_weight:
            parts["loss_balance"] = config.entropy_weight * balance_loss(chosen)
        share = switch.detach().mean(dim=0)
        facts.update({f"share_{g}": float(s) for g, s in zip(GRIDS, share, strict=True)})
        target_mac = config.budget_fraction * grid_mac[-1]
        facts["cost_ratio"] = float((share * grid_mac).sum() / target_mac)
    total = torch.stack([p.float() for p in parts.values()]).sum()
    facts.update({name: float(value.detach()) for name, value in parts.items()})
    facts["loss"] = float(total.detach())
    return total, facts
