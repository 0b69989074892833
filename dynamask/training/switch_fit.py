"""``python -m dynamask fit-switch``: teach the switch alone, from gains measured once.

The masks stay as they are. Since crops and gains are kept (:mod:`dynamask.training.switch_data`),
an epoch over thousands of objects takes seconds, where a training step encodes its photos anew;
so both ways of teaching the switch can be tried on the same objects: the paper's loss, and the
regression of each grid's gain (:func:`dynamask.losses.gain_loss`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dynamask.checkpoint import load_weights, save_weights
from dynamask.config import GRIDS, LossConfig, SwitchConfig, preset
from dynamask.cost import cost_table
from dynamask.errors import InputError
from dynamask.losses import budget_loss, gain_loss
from dynamask.model.mask_switch import MaskSwitch, gumbel_softmax_switch
from dynamask.predictor import Predictor
from dynamask.training.augment import AugmentConfig
from dynamask.training.calibrate import fit_price
from dynamask.training.data import DataPaths, Source, standard_sources
from dynamask.training.history import training_stages
from dynamask.training.state import learning_rate_factor
from dynamask.training.switch_data import SwitchData, collect_gains

HELD_OUT = 5  # every fifth photo only measures
HUBER = 3.0  # gains up to 3 gain_scale count squared: it is their mean that is wanted


@dataclass(frozen=True)
class FitOptions:
    """How the switch is taught.

    Attributes:
        epochs: passes over the data.
        lr: peak rate of AdamW; warm-up of 5 %, then cosine.
        weight_decay: of matrices and kernels.
        batch: objects per step.
        seed: order, mirror images, noise, and the weights of a fresh switch.
    """

    epochs: int = 24
    lr: float = 1e-3
    weight_decay: float = 0.05
    batch: int = 128
    seed: int = 0


def fit_switch(
    switch: MaskSwitch,
    data: SwitchData,
    loss: LossConfig,
    mac: np.ndarray,
    options: FitOptions,
) -> list[float]:
    """Train the switch in place; returns the mean loss of each epoch.

    Horizontal mirror images of the crops are used as well: a grid gains the same on both.

    Args:
        switch: the module.
        data: training objects only.
        loss: ``switch_loss`` decides between the two ways and brings their settings.
        mac: (4,) cost of leaving at each grid.
        options: the schedule.

    Raises:
        InputError: fewer than two objects.
    """
    if len(data) < 2:  # batch statistics need two
        raise InputError(f"Expected at least 2 objects to teach the switch, got {len(data)}.")
    generator = torch.Generator().manual_seed(options.seed)
    groups = [
        {
            "params": [p for p in switch.parameters() if p.ndim > 1],
            "weight_decay": options.weight_decay,
        },
        {"params": [p for p in switch.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=options.lr)
    batches = max(1, len(data) // options.batch)
    total, step = options.epochs * batches, 0
    costs = torch.from_numpy(mac).float()
    history = []
    switch.requires_grad_(True).train()
    for _ in range(options.epochs):
        order = torch.randperm(len(data), generator=generator)
        losses = []
        for rows in order.tensor_split(batches):
            crops = data.crops[rows].float()
            mirrored = torch.rand(len(rows), generator=generator) < 0.5
            crops[mirrored] = crops[mirrored].flip(-1)
            for group in optimizer.param_groups:
                factor = learning_rate_factor(step, total=total, warmup=total // 20)
                group["lr"] = options.lr * factor
            logits = switch.classify(crops)
            if loss.switch_loss == "gain":
                value = gain_loss(logits, data.quality[rows], loss, huber=HUBER)
            else:
                drawn = gumbel_softmax_switch(
                    logits, temperature=loss.temperature, generator=generator
                )
                edge = (drawn * data.edges[rows]).sum(dim=1).mean()
                hinge = budget_loss(drawn, costs, loss)
                value = loss.edge_weight * edge + loss.budget_weight * hinge
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(switch.parameters(), 5.0)
            optimizer.step()
            losses.append(value.item())
            step += 1
        history.append(float(np.mean(losses)))
    switch.eval()
    return history


@torch.inference_mode()
def switch_logits(switch: MaskSwitch, crops: Tensor, batch: int = 256) -> Tensor:
    """(N, 4) float32 logits of (N, C, s, s) crops, in evaluation mode."""
    return torch.cat([switch.classify(part.float()) for part in crops.split(batch)])


def expected_quality(scores: Tensor, quality: Tensor, mac: np.ndarray, fraction: float) -> float:
    """Mean quality where one price makes the mean cost ``fraction`` of the finest grid's."""
    values = scores.double().numpy()
    price = fit_price(values, mac, fraction)
    choice = (values - price * mac / mac[-1]).argmax(axis=1)
    return float(quality.numpy()[np.arange(len(choice)), choice].mean())


def held_out_report(
    logits: Tensor, data: SwitchData, mac: np.ndarray, fractions: Sequence[float]
) -> dict[str, Any]:
    """What the switch is worth on photos that it has not been taught on.

    Returns:
        ``argmax``: shares, cost fraction and mean quality of its own choice, no price added;
        for each fraction the mean quality of the priced switch, of one grid for all (the
        mixture of two neighbours that costs as much), and of the best choice at that cost.
    """
    quality = data.quality
    mean = quality.mean(dim=0).numpy()
    choice = logits.argmax(dim=1)
    share = torch.bincount(choice, minlength=len(GRIDS)).numpy() / max(1, len(choice))
    relative = mac / mac[-1]

    def short(value: float) -> float:
        return round(float(value), 4)

    return {
        "objects": len(data),
        "mean_quality": {str(g): short(q) for g, q in zip(GRIDS, mean, strict=True)},
        "best_choice": short(quality.max(dim=1).values.mean()),
        "argmax": {
            "share": {str(g): short(s) for g, s in zip(GRIDS, share, strict=True)},
            "fraction": short((share * relative).sum()),
            "quality": short(quality[torch.arange(len(choice)), choice].mean()),
        },
        "at_fraction": {
            str(f): {
                "switch": short(expected_quality(logits, quality, mac, f)),
                "mixture": short(np.interp(f, relative, mean)),
                "oracle": short(expected_quality(quality * 100, quality, mac, f)),
            }
            for f in fractions
        },
    }


def run_fit(
    weights: str | Path,
    out: str | Path,
    measure: Callable[[Predictor, MaskSwitch], SwitchData],
    *,
    loss: LossConfig,
    options: FitOptions,
    shape: SwitchConfig | None = None,
    fresh: bool = True,
    fractions: Sequence[float] = (0.4, 0.55, 0.75),
    command: str = "",
) -> dict[str, Any]:
    """Fit on four fifths of the photos, report on the rest, write the weights.

    Args:
        weights: file to read.
        out: file to write.
        measure: gives the objects, for crops of the given switch.
        loss: see :func:`fit_switch`.
        options: see there.
        shape: another shape of the switch, to compare; None keeps it.
        fresh: start from random weights instead of those in the file.
        fractions: budgets to report on.
        command: what to note in the file's history.

    Returns:
        What was measured, for the log and the model card.
    """
    predictor = Predictor.from_weights(weights, device="cpu")
    loaded = load_weights(weights)
    model = loaded.model
    config = model.config.replace(loss=loss)
    if shape is not None:
        config = config.replace(switch=shape)
    if fresh or shape is not None:
        torch.manual_seed(options.seed)
        model.mask_switch = MaskSwitch(config.switch)
    model.config = config
    started = time.monotonic()
    data = measure(predictor, model.mask_switch)
    measured = time.monotonic()
    held = data.photos % HELD_OUT == 0
    mac = cost_table(config).exit_macs().astype(np.float64)
    history = fit_switch(model.mask_switch, data.rows(~held), loss, mac, options)
    test = data.rows(held)
    facts: dict[str, Any] = {
        "switch_loss": loss.switch_loss,
        "budget_fraction": loss.budget_fraction,
        "taught_on": int((~held).sum()),
        "loss": [round(history[0], 4), round(history[-1], 4)],
        "held_out": held_out_report(
            switch_logits(model.mask_switch, test.crops), test, mac, fractions
        ),
        "seconds": {
            "measure": round(measured - started),
            "fit": round(time.monotonic() - measured),
        },
        "options": vars(options),
    }
    stages = [*training_stages(loaded.metadata), {"command": command, **facts}]
    save_weights(model, out, categories=loaded.categories, metadata={"stages": stages})
    return facts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the fit-switch command."""
    parser.add_argument("--weights", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--data", default="../shared/data", help="folder with coco_mini")
    parser.add_argument(
        "--photos",
        default="coco=1029,person=200,extra=300",
        help="photos by source; more than there are: several passes, augmented anew",
    )
    parser.add_argument("--sides", default="480,704", help="range of the long side, px")
    parser.add_argument("--cache", help="keep the measurements in this file, or take them from it")
    parser.add_argument("--switch-loss", choices=("gain", "paper"), default="gain")
    parser.add_argument("--budget-fraction", type=float, help="C_t of the paper's loss")
    parser.add_argument("--temperature", type=float, help="of the paper's draws")
    parser.add_argument("--budget-weight", type=float, help="of the paper's hinge")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--full-shape", action="store_true", help="the released switch's shape")
    parser.add_argument("--keep", action="store_true", help="go on from the switch in the file")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Fit; returns the exit status."""
    from dynamask.training.train import parse_batch, parse_sides

    if args.threads:
        torch.set_num_threads(args.threads)
    config = load_weights(args.weights).model.config
    chosen = {
        "switch_loss": args.switch_loss,
        "budget_fraction": args.budget_fraction,
        "temperature": args.temperature,
        "budget_weight": args.budget_weight,
    }
    loss = replace(config.loss, **{k: v for k, v in chosen.items() if v is not None})
    released = preset("resnet50_fpn").switch
    shape = replace(released, in_channels=config.switch.in_channels) if args.full_shape else None
    sides, photos = parse_sides(args.sides), parse_batch(args.photos)

    def measure(predictor: Predictor, switch: MaskSwitch) -> SwitchData:
        if args.cache and Path(args.cache).is_file():
            return SwitchData.load(args.cache)
        data = _measure(args, predictor, switch, sides, photos)
        if args.cache:
            data.save(args.cache)
        return data

    facts = run_fit(
        args.weights,
        args.out,
        measure,
        loss=loss,
        options=FitOptions(args.epochs, args.lr, args.weight_decay, seed=args.seed),
        shape=shape,
        fresh=not args.keep,
        command="python -m dynamask fit-switch " + " ".join(sys.argv[2:]),
    )
    for name, value in facts.items():
        sys.stdout.write(f"{name}: {value}\n")
    return 0


def _measure(
    args: argparse.Namespace,
    predictor: Predictor,
    switch: MaskSwitch,
    sides: tuple[int, int],
    photos: Mapping[str, float],
) -> SwitchData:
    started = time.monotonic()

    def progress(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            left = (time.monotonic() - started) / done * (total - done)
            sys.stderr.write(f"{done} of {total} photos, {left / 60:.0f} min left\n")
            sys.stderr.flush()

    sources: Mapping[str, Source] = standard_sources(DataPaths(Path(args.data)))
    return collect_gains(
        predictor,
        sources,
        {name: int(count) for name, count in photos.items() if count},
        augmentation=AugmentConfig(long_side=sides),
        seed=args.seed,
        switch=switch,
        progress=progress,
    )
