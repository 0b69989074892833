"""Options of ``python -m dynamask train``, and what of them a resumed run must repeat."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamask.errors import InputError
from dynamask.training.augment import AugmentConfig
from dynamask.training.data import CocoSource, DataPaths, Source, standard_sources
from dynamask.training.schedule import (
    PUBLISHED_PRESETS,
    SCHEDULES,
    RateFactor,
    Schedule,
    cosine_factor,
    pick_schedule,
    step_factor,
)

DEFAULT_SIDES = "384,576"
DEFAULT_BATCH = "coco=1,person=1"
DEFAULT_ROIS = 8
DEFAULT_CLIP = 5.0

LATER: dict[str, Any] = {
    "schedule": None,
    "data_coco": None,
    "temperature": None,
    "temperature_end": None,
    "own_padding": False,
    "processes": 1,
}
"""Options that came after the first runs: at these values they do not enter the options hash, so
that an old run can still be resumed."""

FREE = {
    *("resume", "stop_after", "checkpoint_seconds", "log_every", "workers", "threads"),
    *("device", "export", "command", "data", "run", "debug", "handler", "estimate"),
}
"""Options that may differ between a run and its resumption."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the train command."""
    parser.add_argument("--preset", default="effnet_lite2_fpn", help="model to train")
    parser.add_argument("--data", default="../shared/data", help="folder with coco_mini")
    parser.add_argument(
        "--data-coco",
        nargs=2,
        metavar=("ANN", "IMAGES"),
        help="train on this COCO set alone: annotation file and photo folder",
    )
    parser.add_argument("--run", default="runs/train", help="folder for checkpoint and log")
    parser.add_argument("--export", help="write averaged float16 weights here at each checkpoint")
    parser.add_argument(
        "--init", help="start from these weights (ours, or torchvision's .pth), not ImageNet's"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    parser.add_argument(
        "--schedule",
        choices=tuple(SCHEDULES),
        help="published COCO schedule: SGD, steps, rate, sizes; scaled to the batch",
    )
    parser.add_argument(
        "--estimate",
        type=int,
        nargs="?",
        const=10,
        metavar="N",
        help="measure N steps (default 10), print the hours of the whole run, write nothing",
    )
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--lr", type=float, default=4e-4, help="peak rate of AdamW")
    parser.add_argument("--backbone-lr", type=float, default=0.0, help="0 keeps it frozen")
    parser.add_argument("--backbone-from", type=int, default=3, help="first stage that learns")
    parser.add_argument("--weight-decay", type=float, default=1e-2)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--clip", type=float, default=DEFAULT_CLIP, help="gradient norm limit")
    parser.add_argument("--ema", type=float, default=0.998, help="decay of the weight average")
    parser.add_argument(
        "--batch",
        default=DEFAULT_BATCH,
        help="photos a step by source, in each process; 0.5: every other step",
    )
    parser.add_argument(
        "--own-padding",
        action="store_true",
        help="torchrun: each process pads to its own photos (faster, not the same numbers)",
    )
    parser.add_argument("--copy-paste", type=float, default=0.0, help="probability for a photo")
    parser.add_argument("--sides", default=DEFAULT_SIDES, help="range of the long side, px")
    parser.add_argument("--rois", type=int, default=DEFAULT_ROIS, help="mask RoIs a photo at most")
    parser.add_argument("--only", choices=("all", "masks", "switch"), default="all")
    parser.add_argument("--budget-fraction", type=float, help="C_t over the cost of grid 112")
    parser.add_argument("--switch-loss", choices=("paper", "gain"), default="paper")
    parser.add_argument("--temperature", type=float, help="of the switch's draw (default 0.5)")
    parser.add_argument("--temperature-end", type=float, help="anneal to this by the last step")
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


def run_options(args: argparse.Namespace, processes: int = 1) -> dict[str, Any]:
    """What must be equal for a resume to continue the same run."""
    values = {**vars(args), "processes": processes}
    if values.get("data_coco"):
        values["data_coco"] = [Path(p).name for p in values["data_coco"]]  # folders may move
    plain = (str, int, float, bool, list, type(None))
    return {
        k: v
        for k, v in values.items()
        if k not in FREE and isinstance(v, plain) and not (k in LATER and v == LATER[k])
    }


@dataclass(frozen=True)
class Plan:
    """What the options amount to.

    Attributes:
        photos: photos a step in each process, by source.
        steps: of the whole run.
        factor: step to factor on the peak rate.
        lr, backbone_lr: peak rates.
        backbone_from: first backbone stage that learns.
        schedule: the published one, or None for AdamW and the cosine.
        rois: mask RoIs a photo at most.
        clip: gradient norm limit; the published code has none.
        augmentation: of the photos.
    """

    photos: dict[str, float]
    steps: int
    factor: RateFactor
    lr: float
    backbone_lr: float
    backbone_from: int
    schedule: Schedule | None
    rois: int
    clip: float
    augmentation: AugmentConfig


def make_plan(args: argparse.Namespace, processes: int = 1) -> Plan:
    """Read the options; raises InputError where they contradict each other."""
    for name in ("temperature", "temperature_end"):
        value = getattr(args, name)
        if value is not None and not 0 < value <= 100:
            raise InputError(
                f"Expected --{name.replace('_', '-')} above 0 and at most 100, got {value:g}; "
                "try 0.5."
            )
    if args.estimate is not None and args.estimate < 2:
        raise InputError(f"Expected --estimate of at least 2 steps, got {args.estimate}.")
    batch = args.batch
    if args.data_coco and batch == DEFAULT_BATCH:
        batch = "coco=2"  # the published batch of 16 on eight devices
    photos = parse_batch(batch)
    if args.data_coco and set(photos) != {"coco"}:
        raise InputError(
            f"Expected --batch coco=N with --data-coco, which is the only source then, got "
            f"{batch!r}; leave the others out."
        )
    if args.schedule is None:
        return Plan(
            photos,
            args.steps,
            lambda step: cosine_factor(step, total=args.steps, warmup=args.warmup),
            args.lr,
            args.backbone_lr,
            args.backbone_from,
            None,
            args.rois,
            args.clip,
            AugmentConfig(long_side=parse_sides(args.sides), copy_paste=args.copy_paste),
        )
    return _published(args, pick_schedule(args.schedule), photos, processes)


def _published(
    args: argparse.Namespace, schedule: Schedule, photos: dict[str, float], processes: int
) -> Plan:
    if args.preset not in PUBLISHED_PRESETS:
        raise InputError(
            f"Expected --schedule with one of the presets {', '.join(PUBLISHED_PRESETS)}, got "
            f"{args.preset!r}; leave --schedule out for the compact presets."
        )
    steps, milestones, lr = schedule.for_batch(round(sum(photos.values()) * processes))
    sizes: dict[str, Any] = {
        "long_side": (min(schedule.short_sides), schedule.long_side),
        "short_sides": schedule.short_sides,
    }
    if args.sides != DEFAULT_SIDES:  # a rehearsal at another size
        sizes = {"long_side": parse_sides(args.sides)}
    plain = {"crop": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
    return Plan(
        photos,
        steps,
        lambda step: step_factor(
            step,
            milestones=milestones,
            warmup=schedule.warmup,
            warmup_start=schedule.warmup_start,
        ),
        lr,
        lr,
        schedule.backbone_from,
        schedule,
        schedule.rois if args.rois == DEFAULT_ROIS else args.rois,
        math.inf if args.clip == DEFAULT_CLIP else args.clip,
        AugmentConfig(**sizes, flip=schedule.flip, copy_paste=args.copy_paste, **plain),
    )


def open_sources(args: argparse.Namespace) -> dict[str, Source]:
    """The sets to train on; raises DataError where they cannot be read."""
    if args.data_coco:
        annotations, images = (Path(p) for p in args.data_coco)
        return {"coco": CocoSource(annotations, images)}
    return standard_sources(DataPaths(Path(args.data)))
