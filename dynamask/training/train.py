"""``python -m dynamask train``: one recipe, resumable, on partly labelled photos.

The run folder holds the checkpoint, the log and its curves; ``--export`` writes the averaged
weights as float16 safetensors every time a checkpoint is written, so an interrupted run is still
usable. Under ``torchrun`` every process takes its part of each batch, and the first one writes.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch.utils.data import DataLoader

from dynamask.device import describe_device
from dynamask.errors import InputError
from dynamask.training.data import MixedDataset, MixedSampler, Source, collate, worker_init
from dynamask.training.distributed import leave_team
from dynamask.training.options import (
    add_arguments,
    make_plan,
    open_sources,
    parse_batch,
    parse_sides,
    run_options,
)
from dynamask.training.schedule import training_hours
from dynamask.training.step import StepOptions
from dynamask.training.trainer import (
    COLLAPSE_SHARE,
    COLLAPSE_STEPS,
    Trainer,
    build_model,
    join_team,
    trained_parameters,
)

__all__ = [
    "COLLAPSE_SHARE",
    "COLLAPSE_STEPS",
    "Trainer",
    "add_arguments",
    "build_model",
    "parse_batch",
    "parse_sides",
    "run",
    "run_options",
    "trained_parameters",
]

STOPPED = 128 + signal.SIGTERM  # what a shell reports of a process that SIGTERM ended
WARM_STEPS = 2  # of an estimate, not counted: allocations, kernels' first choice


def run(args: argparse.Namespace) -> int:
    """Train; returns the exit status: 0 done, 143 stopped by SIGTERM with a checkpoint."""
    if args.threads:
        torch.set_num_threads(args.threads)
    team = join_team(args)
    try:
        with sigterm_as_flag() as asked:
            make_plan(args, team.world)  # a typing error is said before photos are read
            sources = open_sources(args)
            trainer = Trainer(args, team, writes=args.estimate is None)
            trainer.categories = sources["coco"].coco.category_names
            try:
                if args.estimate is not None:
                    return estimate(trainer, sources)
                return train(trainer, sources, asked)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                raise_if_memory(error, trainer)
                raise
            finally:
                if trainer.records is not None:
                    trainer.records.close()
    finally:
        leave_team(team)


def train(trainer: Trainer, sources: Mapping[str, Source], asked: list[int]) -> int:
    """Steps from the trainer's own up to the last; returns the exit status."""
    args = trainer.args
    last = min(trainer.plan.steps, args.stop_after or trainer.plan.steps)
    loader = batches(trainer, sources, last)
    options = step_options(trainer)
    started = saved = before = time.monotonic()
    first, spent = trainer.step, trainer.seconds
    stopped = False
    for batch in loader:
        stopped = trainer.team.begin(batch, stop=bool(asked), alike=not args.own_padding)
        if stopped:
            break
        facts = trainer.one_step(to_device(batch, trainer.device), options)
        trainer.watch_switch(facts)
        now = time.monotonic()
        trainer.seconds = spent + now - started
        if trainer.records is not None:
            trainer.records.write(trainer.step, {**facts, "seconds": now - before})
        before = now
        trainer.step += 1
        if trainer.team.leads and (trainer.step % args.log_every == 0 or trainer.step == last):
            pace = (now - started) / (trainer.step - first)
            print_progress(trainer.step, last, pace, facts)
        if now - saved > args.checkpoint_seconds:
            trainer.checkpoint()
            saved = before = time.monotonic()
    trainer.checkpoint()
    trainer.team.wait()  # torchrun ends the others as soon as one has left
    if not stopped:
        return 0
    if trainer.team.leads:
        sys.stderr.write(
            f"stopped by SIGTERM after step {trainer.step}; the checkpoint is in "
            f"{trainer.folder}: repeat the command with --resume to go on\n"
        )
    return STOPPED


def estimate(trainer: Trainer, sources: Mapping[str, Source]) -> int:
    """Measure steps and print what the whole run takes on these devices; writes nothing."""
    args, team, plan = trainer.args, trainer.team, trainer.plan
    options = step_options(trainer)
    seconds: list[float] = []
    before = time.monotonic()
    for batch in batches(trainer, sources, WARM_STEPS + args.estimate):
        team.begin(batch, stop=False, alike=not args.own_padding)
        trainer.one_step(to_device(batch, trainer.device), options)  # reads numbers: it waits
        now = time.monotonic()
        seconds.append(now - before)
        before = now
        trainer.step += 1
    step = statistics.median(seconds[WARM_STEPS:])
    hours, device_hours = training_hours(step, plan.steps, team.world)
    if team.leads:
        kind = "GPU" if trainer.device.type == "cuda" else "CPU"
        photos = sum(plan.photos.values()) * team.world
        memory = ""
        if trainer.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(trainer.device) / 2**30
            memory = f", {peak:.1f} GiB of its memory at most"
        sys.stdout.write(
            f"{step:.2f} s/step (median of {args.estimate}) at {photos:g} photos a step on "
            f"{team.world} x {describe_device(trainer.device)}{memory}\n"
            f"{plan.steps} steps: {hours:.1f} h, {device_hours:.1f} {kind} hours\n"
        )
    team.wait()
    return 0


def step_options(trainer: Trainer) -> StepOptions:
    """How this run's batches become losses."""
    return StepOptions(rois_per_photo=trainer.plan.rois, train_detector=trainer.args.only == "all")


def batches(trainer: Trainer, sources: Mapping[str, Source], last: int) -> DataLoader:
    """Collated batches from the trainer's step up to ``last``, the same at every start."""
    args, plan, team = trainer.args, trainer.plan, trainer.team
    dataset = MixedDataset(sources, trainer.model.config, plan.augmentation, args.seed)
    sizes = {name: len(source) for name, source in sources.items()}
    sampler = MixedSampler(
        sizes, plan.photos, args.seed, last, trainer.step, rank=team.rank, world=team.world
    )
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=args.workers,
        worker_init_fn=worker_init,
        pin_memory=trainer.device.type == "cuda",
        persistent_workers=False,
    )


@contextmanager
def sigterm_as_flag() -> Iterator[list[int]]:
    """While inside, SIGTERM fills the list that is given, and the step at hand is finished."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked  # Python takes signals in the main thread only
        return

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        asked.append(number)

    old = signal.signal(signal.SIGTERM, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, old)


def raise_if_memory(error: Exception, trainer: Trainer) -> None:
    """Say in one sentence that memory ran out; other errors pass.

    Raises:
        InputError: from ``error``, where it is about memory.
    """
    words = str(error).lower()
    short = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        w in words for w in ("out of memory", "can't allocate memory", "not enough memory")
    )
    if not short:
        return
    where = "GPU" if trainer.device.type == "cuda" else "main"
    kept = trainer.folder / "checkpoint.pt"
    then = f"; {kept} holds the run up to its last checkpoint" if kept.exists() else ""
    raise InputError(
        f"Expected step {trainer.step} to fit into {where} memory, it did not; give fewer photos "
        f"(--batch), a smaller size (--sides), fewer --rois, or --bf16{then}."
    ) from error


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
