"""Fit what the policies need on training photos: the switch's price per MAC, the size rule.

A switch taught by ``gain`` says what each grid is worth, not what to spend. One price, found by
bisection so that the mean cost of its choices on training objects is C_t, is written into the
last bias: ``logit_k - price * cost_k / cost_112``. The size rule's thresholds are then fitted to
the same shares of grids, hence to the same mean cost.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dynamask.checkpoint import load_weights, save_weights
from dynamask.config import GRIDS
from dynamask.cost import cost_table
from dynamask.errors import DataError, InputError
from dynamask.policies import fit_size_thresholds
from dynamask.predictor import Predictor
from dynamask.training.data import DataPaths, Source, standard_sources

BISECTIONS = 60


@dataclass(frozen=True)
class SwitchSample:
    """What the switch says about objects of known size.

    Attributes:
        log_probabilities: (N, 4).
        sqrt_areas_px: (N,) square root of the box area in photo pixels.
    """

    log_probabilities: np.ndarray
    sqrt_areas_px: np.ndarray


def collect(
    predictor: Predictor, sources: list[Source], photos: int, *, seed: int = 0
) -> SwitchSample:
    """Ask the switch about ground-truth boxes of randomly picked training photos.

    Args:
        predictor: the model.
        sources: training sets; photos are taken from each in turn.
        photos: how many in all.
        seed: of the choice.

    Raises:
        DataError: no object in these photos.
    """
    rng = np.random.default_rng(seed)
    logs, areas = [], []
    for source in sources:
        count = min(len(source), -(-photos // len(sources)))
        for index in rng.permutation(len(source))[:count]:
            raw = source.load(int(index))
            sides = raw.boxes[:, 2:] - raw.boxes[:, :2]
            boxes = raw.boxes[(sides >= 2).all(axis=1)]
            if not len(boxes):
                continue
            scene = predictor.encode(raw.image, boxes=boxes)
            logs.append(scene.probabilities.clamp(min=1e-12).log().numpy())
            kept = scene.boxes_xyxy_px.numpy()
            areas.append(np.sqrt(np.prod(kept[:, 2:] - kept[:, :2], axis=1)))
    if not logs:
        raise DataError("Expected training photos with objects, got none; check --data.")
    return SwitchSample(np.concatenate(logs), np.concatenate(areas))


def fit_price(log_probabilities: np.ndarray, mac: np.ndarray, fraction: float) -> float:
    """Price per unit of (cost / finest cost) at which argmax costs ``fraction`` on average.

    Args:
        log_probabilities: (N, 4).
        mac: (4,) cost of leaving at each grid.
        fraction: target mean cost over the finest grid's cost.

    Returns:
        The smallest price that meets the target; negative where the switch alone spends less.
    """
    relative = mac / mac[-1]

    def spent(price: float) -> float:
        return float(relative[(log_probabilities - price * relative).argmax(axis=1)].mean())

    low, high = -1e4, 1e4
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if spent(middle) > fraction:
            low = middle
        else:
            high = middle
    return high


def calibrate(
    weights: str | Path,
    out: str | Path,
    sources: list[Source],
    *,
    photos: int,
    fraction: float,
    price_switch: bool,
    seed: int = 0,
    sample: SwitchSample | None = None,
) -> dict[str, object]:
    """Write calibrated weights.

    Args:
        weights: file to read.
        out: file to write.
        sources: training sets.
        photos: how many photos to look at.
        fraction: C_t as a share of the cost of grid 112.
        price_switch: change the switch's bias; else only the size rule is fitted.
        seed: of the choice of photos.
        sample: what :func:`collect` gave for these arguments, if it is there already.

    Returns:
        What was fitted, for the log and the model card.
    """
    if sample is None:
        sample = collect(Predictor.from_weights(weights), sources, photos, seed=seed)
    loaded = load_weights(weights)
    model = loaded.model
    mac = cost_table(model.config).exit_macs().astype(np.float64)
    price = fit_price(sample.log_probabilities, mac, fraction) if price_switch else 0.0
    step = price * mac / mac[-1]
    with torch.no_grad():
        model.mask_switch.fc2.bias -= torch.from_numpy(step).float()
    choice = (sample.log_probabilities - step).argmax(axis=1)
    shares = np.bincount(choice, minlength=len(GRIDS)) / len(choice)
    thresholds = tuple(float(t) for t in fit_size_thresholds(sample.sqrt_areas_px, shares))
    model.config = model.config.replace(
        size_thresholds_px=thresholds,
        loss=replace(model.config.loss, budget_fraction=fraction),
    )
    facts: dict[str, object] = {
        "photos": photos,
        "objects": len(choice),
        "seed": seed,
        "budget_fraction": fraction,
        "realised_fraction": round(float((mac[choice] / mac[-1]).mean()), 4),
        "price": round(price, 4),
        "share": {str(g): round(float(s), 4) for g, s in zip(GRIDS, shares, strict=True)},
        "size_thresholds_px": [round(t, 1) for t in thresholds],
    }
    metadata = {**loaded.metadata, "calibration": facts}
    save_weights(model, out, categories=loaded.categories, metadata=metadata)
    return facts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the calibrate command."""
    parser.add_argument("--weights", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--data", default="../shared/data", help="folder with coco_mini")
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument(
        "--fraction",
        type=float,
        nargs="+",
        default=[0.6],
        help="C_t over the cost at 112; for several, --out holds {fraction}",
    )
    parser.add_argument("--keep-switch", action="store_true", help="fit only the size rule")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Calibrate; returns the exit status."""
    if len(args.fraction) > 1 and "{fraction}" not in args.out:
        raise InputError(
            f"Expected {{fraction}} in --out for {len(args.fraction)} files, got {args.out}; "
            "for example W-{fraction}.safetensors."
        )
    # every object is labelled in this set, so sizes come as they are met
    sources: list[Source] = [standard_sources(DataPaths(Path(args.data)))["coco"]]
    sample = collect(Predictor.from_weights(args.weights), sources, args.photos, seed=args.seed)
    for fraction in args.fraction:
        facts = calibrate(
            args.weights,
            args.out.replace("{fraction}", f"{fraction:g}"),
            sources,
            photos=args.photos,
            fraction=fraction,
            price_switch=not args.keep_switch,
            seed=args.seed,
            sample=sample,
        )
        for name, value in facts.items():
            sys.stdout.write(f"{name}: {value}\n")
    return 0
