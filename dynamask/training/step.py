"""One training step: a batch of partly labelled photos in, every loss out.

What each kind of photo teaches (``partial`` in a target): ``full`` everything; ``person_only``
its person, with no negatives anywhere else; ``masks_only`` the mask branch and the switch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
from dynamask.model.region_fpn import GridLogits
from dynamask.model.roi import boxes_to_rois
from dynamask.training.augment import jitter_boxes
from dynamask.training.distributed import Team, TeamSampler

RPN_LOSSES = ("loss_objectness", "loss_rpn_box_reg")
BOX_LOSSES = ("loss_classifier", "loss_box_reg")
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
    """RoIs of the mask branch.

    Attributes:
        rois: (N, 5).
        labels: (N,) from 0.
        targets: what the masks should be.
        rows: (N,) int64, where these RoIs stand among those of all processes.
        total: number of RoIs of all processes.
    """

    rois: Tensor
    labels: Tensor
    targets: MaskTargets
    rows: Tensor
    total: int


def choose_mask_rois(
    batch: Mapping[str, Any],
    options: StepOptions,
    rng: np.random.Generator,
    team: Team | None = None,
) -> MaskRois | None:
    """Pick labelled objects, jitter their boxes, cut their targets; None where there are none.

    A process of a team may have no RoIs (N = 0) while others have some.
    """
    team = team or Team()
    usable_of = []
    for target in batch["targets"]:
        boxes = target["boxes"]
        sides = boxes[:, 2:] - boxes[:, :2] if len(boxes) else boxes.new_zeros((0, 2))
        usable_of.append(torch.nonzero((sides >= MIN_SIDE_PX).all(dim=1)).squeeze(1))
    boxes_of: list[Tensor] = []
    labels: list[Tensor] = []
    targets: list[MaskTargets] = []
    rows: list[int] = []
    total = 0
    for rank, place, (count,) in team.in_order([(len(u),) for u in usable_of], 1):
        kept = min(count, options.rois_per_photo)
        order = rng.permutation(count)[:kept] if kept < count else np.arange(count)
        if rank != team.rank:  # another process's photo: only its draws are made
            jitter_boxes(torch.zeros((kept, 4)), rng, options.box_jitter)
            total += kept
            continue
        target = batch["targets"][place]
        usable = usable_of[place][torch.from_numpy(np.sort(order)).to(usable_of[place].device)]
        jittered = jitter_boxes(target["boxes"][usable], rng, options.box_jitter)
        jittered = clip_boxes(jittered, batch["sizes"][place])
        boxes_of.append(jittered)
        rows.extend(range(total, total + kept))
        total += kept
        if kept:
            labels.append(target["labels"][usable].clamp(min=0))
            targets.append(
                mask_targets(target["masks"], jittered, usable, ignore=target.get("ignore"))
            )
    if not total:
        return None
    device = batch["images"].device
    if not targets:
        empty = {g: torch.zeros((0, g, g), device=device) for g in GRIDS}
        labels, targets = [torch.zeros(0, dtype=torch.int64)], [MaskTargets(empty, empty)]
    return MaskRois(
        boxes_to_rois(boxes_of),
        torch.cat(labels).to(device),
        join_targets(targets),
        torch.tensor(rows, dtype=torch.int64, device=device),
        total,
    )


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
    temperature: float | None = None,
    team: Team | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """Forward pass and losses of one batch.

    Args:
        model: in training mode.
        batch: what ``collate`` returned.
        options: what to train and how many RoIs.
        rng: box jitter and RoI choice.
        generator: noise of the switch.
        autocast: run convolutions in bfloat16 (losses stay float32).
        temperature: of the switch's draw; None takes the config's.
        team: the processes that share the batch.

    Returns:
        The total loss, and every part as a number for the log: losses, share of each grid,
        ``cost_ratio`` (mean cost over C_t), ``temperature``. In a team the numbers are those of
        the whole batch, and the loss is this process's part, scaled so that the mean of the
        processes' gradients is the whole batch's gradient. The loss has no gradient where no
        process has anything to learn from.
    """
    team = team or Team()
    device = batch["images"].device
    with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        pyramid = model.extract(batch["images"])
    sums = Sums(team)
    if options.train_detector:
        _add_detector(sums, model, batch, pyramid, autocast)
    rois = choose_mask_rois(batch, options, rng, team) if options.train_masks else None
    facts: dict[str, float] = {}
    if rois is not None:
        temperature = model.config.loss.temperature if temperature is None else temperature
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            levels = {name: pyramid[name] for name in PYRAMID_LEVELS}
            logits = None
            if len(rois.rois):
                frozen = not any(p.requires_grad for p in model.mask_head.parameters())
                with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
                    logits = model.mask_head.all_grids(levels, rois.rois, rois.labels)
            # without RoIs of its own too: batch norm sums over the processes
            switch = model.mask_switch
            chosen = switch.classify(switch.crop(pyramid["p2"], rois.rois))
        facts = _add_masks(sums, model, rois, logits, chosen, temperature, generator)
    return sums.close(facts, next((p for p in model.parameters() if p.requires_grad), None))


@dataclass
class Sums:
    """Losses of a step, each a mean over things that are counted over all processes.

    Attributes:
        team: the processes.
        local: name to this process's weighted loss, for the gradient.
        shown: name to this process's part of the number in the log.
        equal: name to a number that every process has.
    """

    team: Team
    local: dict[str, Tensor] = field(default_factory=dict)
    shown: dict[str, float] = field(default_factory=dict)
    equal: dict[str, float] = field(default_factory=dict)

    def add_mean(self, name: str, value: Tensor | None, own: int, total: int) -> None:
        """A mean over ``own`` things here, ``total`` in all; None where there are none here."""
        if not total:
            return
        share = own / total
        if value is not None and own:
            # DistributedDataParallel takes the mean of the processes' gradients
            weight = self.team.world * share
            self.local[name] = value if weight == 1 else value * weight
            self.shown[name] = float(value.detach()) * share
        else:
            self.shown[name] = 0.0

    def add_equal(self, name: str, value: Tensor) -> None:
        """A loss of sums over the team, the same in every process."""
        self.local[name] = value
        self.equal[name] = float(value.detach())

    def close(
        self, facts: dict[str, float], anchor: Tensor | None
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss to differentiate, and the numbers of the whole batch."""
        names = list(self.shown)
        numbers = dict(zip(names, self.team.total(self.shown.values()), strict=True))
        numbers.update(self.equal)
        if self.local:
            total = torch.stack([p.float() for p in self.local.values()]).sum()
        elif self.team.world > 1 and anchor is not None:
            total = 0.0 * anchor.sum()  # nothing here, but the others wait for our gradient
        else:
            total = torch.zeros(())
        facts = {**facts, **numbers}
        alone = self.team.world == 1
        facts["loss"] = float(total.detach()) if alone else sum(numbers.values())
        return total, facts


def _add_detector(
    sums: Sums,
    model: DynaMask,
    batch: Mapping[str, Any],
    pyramid: Mapping[str, Tensor],
    autocast: bool,
) -> None:
    """Losses of the RPN and the box head, over the photos that have classes."""
    picked, targets = detector_targets(batch)
    rpn, box = model.rpn.fg_bg_sampler, model.roi_heads.fg_bg_sampler
    shared = isinstance(rpn, TeamSampler)
    if shared:
        rpn.places, box.places = picked, picked
    losses: dict[str, Tensor] = {}
    if picked:
        own = {name: level[picked] for name, level in pyramid.items()}
        sizes = [batch["sizes"][i] for i in picked]
        with torch.autocast(batch["images"].device.type, torch.bfloat16, enabled=autocast):
            losses = model.detection_losses(own, sizes, targets)
    elif shared:
        rpn([])
        box([])
    for names, sampler in ((RPN_LOSSES, rpn), (BOX_LOSSES, box)):
        own_count = sampler.own if shared else len(picked)
        total = sampler.total if shared else len(picked)
        for name in names:
            sums.add_mean(name, losses.get(name), own_count, total)


def _add_masks(
    sums: Sums,
    model: DynaMask,
    rois: MaskRois,
    logits: GridLogits | None,
    chosen: Tensor,
    temperature: float,
    generator: torch.Generator,
) -> dict[str, float]:
    """Losses of the mask branch and the switch; returns the switch's numbers for the log."""
    config = model.config.loss
    mac = cost_table(model.config).exit_mac
    grid_mac = torch.tensor([mac[g] for g in GRIDS], dtype=torch.float32, device=chosen.device)
    own, total = len(rois.rois), rois.total
    # the noise of all processes' RoIs is drawn, and ours taken
    everyone = (
        chosen.float().new_zeros((total, len(GRIDS))).index_copy(0, rois.rows, chosen.float())
    )
    switch = gumbel_softmax_switch(everyone, temperature=temperature, generator=generator)
    switch = switch[rois.rows]
    if config.switch_loss == "gain":
        switch = functional.one_hot(chosen.argmax(dim=1), len(GRIDS)).float()
    found = logits is not None
    sums.add_mean(
        "loss_mask", mask_loss(logits, rois.targets, config) if found else None, own, total
    )
    if config.switch_loss == "gain":
        gain = None
        if found:
            gain = gain_loss(chosen.float(), grid_quality(logits, rois.targets), config)
        sums.add_mean("loss_gain", gain, own, total)
    edge = None
    if found:
        costs = edge_costs(logits, rois.targets, config)
        edge = config.edge_weight * edge_loss(costs, switch, config)
    sums.add_mean("loss_edge", edge, own, total)
    # hinge and entropy are no means over RoIs: they take the mean choice of all processes
    team = sums.team
    mean_choice = (
        switch.mean(dim=0)
        if team.world == 1
        else (team.sum_with_gradient(switch.sum(dim=0)) / total)
    )
    if team.world > 1:
        # every process goes back through the shared batch norm, with RoIs or without
        sums.local["joint"] = chosen[:0].float().sum()
    if config.switch_loss == "paper":
        budget = budget_loss(switch if team.world == 1 else mean_choice[None], grid_mac, config)
        sums.add_equal("loss_budget", config.budget_weight * budget)
    if config.entropy_weight:
        if team.world > 1:
            soft = team.sum_with_gradient(chosen.float().softmax(dim=1).sum(dim=0)) / total
            balance = balance_loss(soft.clamp(min=1e-30).log()[None])
        else:
            balance = balance_loss(chosen)
        sums.add_equal("loss_balance", config.entropy_weight * balance)
    share = mean_choice.detach()
    facts = {f"share_{g}": float(s) for g, s in zip(GRIDS, share, strict=True)}
    target_mac = config.budget_fraction * grid_mac[-1]
    facts["cost_ratio"] = float((share * grid_mac).sum() / target_mac)
    facts["temperature"] = temperature
    return facts
