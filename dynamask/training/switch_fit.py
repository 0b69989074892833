"""Teach the switch alone, on what every grid really gained for objects of training photos.

The masks stay as they are. Each sample is the crop that the switch sees and the quality of the
four masks at the photo's own size, measured as evaluation measures it; the switch then regresses
the gains (:func:`dynamask.losses.gain_loss`). Since crops are kept in memory, an epoch over
thousands of objects takes seconds, where a training step encodes its photos anew.
"""

from __future__ import annotations

import argparse
import logging
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
from dynamask.config import GRIDS
from dynamask.cost import cost_table
from dynamask.errors import DataError, InputError
from dynamask.losses import gain_loss
from dynamask.metrics import boundary_width, mask_boundary, mask_iou
from dynamask.model.mask_switch import MaskSwitch
from dynamask.model.roi import boxes_to_rois
from dynamask.paste import crop_mask
from dynamask.predictor import Predictor
from dynamask.training.augment import AugmentConfig, Raw, augment, jitter_boxes
from dynamask.training.calibrate import fit_price
from dynamask.training.data import DataPaths, Source, standard_sources
from dynamask.training.history import training_stages
from dynamask.training.state import learning_rate_factor

logger = logging.getLogger(__name__)

MIN_SIDE_PX = 4.0
HELD_OUT = 5  # every fifth photo only measures
HUBER = 3.0  # quality gains up to 3 gain_scale count squared: their mean is what is wanted


@dataclass(frozen=True)
class SwitchData:
    """Objects with known gains.

    Attributes:
        crops: (N, C, s, s) float16, what the switch sees.
        quality: (N, 4) float32 of :func:`quality_at_grids`.
        photos: (N,) int64, which photo each object comes from.
    """

    crops: Tensor
    quality: Tensor
    photos: Tensor

    def __len__(self) -> int:
        return len(self.photos)

    def rows(self, picked: Tensor) -> SwitchData:
        """The given rows, or those where a (N,) bool is true."""
        return SwitchData(self.crops[picked], self.quality[picked], self.photos[picked])


def quality_at_grids(
    logits: Mapping[int, Tensor], box: Tensor, truth: np.ndarray, known: np.ndarray | None = None
) -> np.ndarray:
    """(4,) float: mean of mask IoU and boundary IoU with the truth, for one object.

    Args:
        logits: grid to (grid, grid) mask logits.
        box: (4,) xyxy in photo pixels.
        truth: (H, W) bool mask of the object at the photo's size.
        known: (H, W) bool, false where the photo does not say; None if it always does.
    """
    height, width = truth.shape
    d = boundary_width(height, width)
    x1, y1 = (max(0, int(v) - d - 2) for v in box[:2])
    x2, y2 = (int(v) + d + 3 for v in box[2:])
    ys, xs = np.nonzero(truth)
    if len(ys):  # the truth may reach beyond a jittered box
        x1, x2 = min(x1, int(xs.min())), max(x2, int(xs.max()) + 1)
        y1, y2 = min(y1, int(ys.min())), max(y2, int(ys.max()) + 1)
    window = (slice(y1, min(y2, height)), slice(x1, min(x2, width)))
    wanted = truth[window]
    rim = mask_boundary(truth, d)[window]
    seen = None if known is None else known[window]
    values = []
    for grid in GRIDS:
        crop, (x, y) = crop_mask(logits[grid], box, (height, width))
        full = np.zeros((height, width), dtype=bool)
        full[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        found, band = full[window], mask_boundary(full, d)[window]
        pairs = [(found, wanted), (band, rim)]
        if seen is not None:
            pairs = [(a & seen, b & seen) for a, b in pairs]
        values.append(np.mean([mask_iou(a, b) for a, b in pairs]))
    return np.array(values, dtype=np.float32)


@torch.inference_mode()
def measure_photo(
    predictor: Predictor,
    raw: Raw,
    rng: np.random.Generator,
    *,
    box_jitter: float,
    most: int,
) -> tuple[Tensor, Tensor] | None:
    """(N, C, s, s) float16 crops and (N, 4) quality of one photo's objects; None without any."""
    boxes = torch.from_numpy(raw.boxes)
    sides = boxes[:, 2:] - boxes[:, :2]
    usable = torch.nonzero((sides >= MIN_SIDE_PX).all(dim=1)).squeeze(1)
    if len(usable) > most:
        usable = usable[torch.from_numpy(np.sort(rng.permutation(len(usable))[:most]))]
    if not len(usable):
        return None
    scene = predictor.encode(raw.image, jitter_boxes(boxes[usable], rng, box_jitter).numpy())
    height, width = scene.input_size
    factor = torch.tensor([width / scene.image_size[1], height / scene.image_size[0]] * 2)
    rois = boxes_to_rois([(scene.boxes_xyxy_px * factor).to(predictor.device)])
    crops = predictor.model.mask_switch.crop(scene.pyramid["p2"], rois)
    logits = predictor.decode_all_grids(scene)
    known = None if raw.ignore is None else raw.ignore == 0
    quality = [
        quality_at_grids(
            {g: logits[g][0][i] for g in GRIDS},
            scene.boxes_xyxy_px[i],
            raw.masks[int(row)].astype(bool),
            known,
        )
        for i, row in enumerate(usable)
    ]
    return crops.to(torch.float16).cpu(), torch.from_numpy(np.stack(quality))


def collect_gains(
    predictor: Predictor,
    sources: Mapping[str, Source],
    photos: Mapping[str, int],
    *,
    augmentation: AugmentConfig,
    box_jitter: float = 0.1,
    most: int = 12,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SwitchData:
    """Measure every grid on augmented training photos.

    Args:
        predictor: the model, masks already trained.
        sources: training sets.
        photos: source name to how many photos; more than there are means several passes, each
            augmented anew.
        augmentation: crops, flips, scale, colour.
        box_jitter: see :func:`dynamask.training.augment.jitter_boxes`.
        most: objects of a photo at most.
        seed: of every draw.
        progress: called with (photos done, photos in all).

    Raises:
        DataError: no object in these photos.
    """
    parts: list[tuple[Tensor, Tensor, int]] = []
    total = sum(photos.values())
    done = 0
    for tag, (name, count) in enumerate(sorted(photos.items())):
        source = sources[name]
        for k in range(count):
            turn, place = divmod(k, len(source))
            order = np.random.default_rng([seed, tag, turn]).permutation(len(source))
            index = int(order[place])
            rng = np.random.default_rng([seed, tag, turn, index])
            raw = augment(source.load(index), augmentation, rng)
            made = measure_photo(predictor, raw, rng, box_jitter=box_jitter, most=most)
            if made is not None:  # the same photo has one number, however often it is seen
                parts.append((*made, tag * 1_000_000 + index))
            done += 1
            if progress is not None:
                progress(done, total)
    if not parts:
        raise DataError("Expected training photos with objects, got none; check --data.")
    photo = torch.cat([torch.full((len(q),), number) for _, q, number in parts])
    return SwitchData(
        torch.cat([c for c, _, _ in parts]), torch.cat([q for _, q, _ in parts]), photo
    )


def expected_quality(logits: Tensor, quality: Tensor, mac: np.ndarray, fraction: float) -> float:
    """Mean quality where one price makes the mean cost ``fraction`` of the finest grid's."""
    scores = logits.double().numpy()
    price = fit_price(scores, mac, fraction)
    choice = (scores - price * mac / mac[-1]).argmax(axis=1)
    return float(quality.numpy()[np.arange(len(choice)), choice].mean())


def fit_switch(
    switch: MaskSwitch,
    data: SwitchData,
    loss_config: Any,
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
    batch: int = 128,
    seed: int = 0,
) -> list[float]:
    """Train the switch in place; returns the mean loss of each epoch.

    Horizontal mirror images of the crops are used as well: a grid gains the same on both.

    Args:
        switch: the module.
        data: training objects only.
        loss_config: gives ``gain_scale``.
        epochs: passes over the data.
        lr: peak rate of AdamW; warm-up of 5 %, then cosine.
        weight_decay: of matrices and kernels.
        batch: objects per step.
        seed: order and mirror images.
    """
    if len(data) < 2:  # batch statistics need two
        raise InputError(f"Expected at least 2 objects to teach the switch, got {len(data)}.")
    generator = torch.Generator().manual_seed(seed)
    decay = [p for p in switch.parameters() if p.ndim > 1]
    plain = [p for p in switch.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0}]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    batches = max(1, len(data) // batch)
    total, step = epochs * batches, 0
    history = []
    switch.requires_grad_(True).train()
    for _ in range(epochs):
        order = torch.randperm(len(data), generator=generator)
        losses = []
        for rows in order.tensor_split(batches):
            crops = data.crops[rows].float()
            mirrored = torch.rand(len(rows), generator=generator) < 0.5
            crops[mirrored] = crops[mirrored].flip(-1)
            for group in optimizer.param_groups:
                group["lr"] = lr * learning_rate_factor(step, total=total, warmup=total // 20)
            loss = gain_loss(switch.classify(crops), data.quality[rows], loss_config, huber=HUBER)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(switch.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())
            step += 1
        history.append(float(np.mean(losses)))
    switch.eval()
    return history


@torch.inference_mode()
def switch_logits(switch: MaskSwitch, crops: Tensor, batch: int = 256) -> Tensor:
    """(N, 4) float32 logits of (N, C, s, s) crops, in evaluation mode."""
    return torch.cat([switch.classify(part.float()) for part in crops.split(batch)])


def run_fit(
    weights: str | Path,
    out: str | Path,
    sources: Mapping[str, Source],
    photos: Mapping[str, int],
    *,
    sides: tuple[int, int],
    epochs: int = 24,
    lr: float = 1e-3,
    weight_decay: float = 0.05,
    fractions: Sequence[float] = (0.4, 0.55, 0.75),
    seed: int = 0,
    fresh: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure, fit on four fifths of the photos, report on the rest, write the weights.

    ``held_out`` in the result compares, on photos that the switch has not seen, its mean quality
    at each fraction with that of one grid for all (the best mixture of two grids at that cost)
    and of the best choice for each object.
    """
    predictor = Predictor.from_weights(weights, device="cpu")
    augmentation = AugmentConfig(long_side=sides)
    started = time.monotonic()
    data = collect_gains(
        predictor, sources, photos, augmentation=augmentation, seed=seed, progress=progress
    )
    measured = time.monotonic()
    held = data.photos % HELD_OUT == 0
    loaded = load_weights(weights)
    model = loaded.model
    if fresh:
        torch.manual_seed(seed)
        model.mask_switch = MaskSwitch(model.config.switch)
    history = fit_switch(
        model.mask_switch,
        data.rows(~held),
        model.config.loss,
        epochs=epochs,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
    )
    test = data.rows(held)
    mac = cost_table(model.config).exit_macs().astype(np.float64)
    logits = switch_logits(model.mask_switch, test.crops)
    mean = test.quality.mean(dim=0)
    facts: dict[str, Any] = {
        "photos": dict(photos),
        "objects": len(data),
        "held_out_objects": len(test),
        "epochs": epochs,
        "loss": [round(history[0], 4), round(history[-1], 4)],
        "mean_quality": {str(g): round(float(q), 4) for g, q in zip(GRIDS, mean, strict=True)},
        "best_choice": round(float(test.quality.max(dim=1).values.mean()), 4),
        "held_out": {
            str(f): {
                "switch": round(expected_quality(logits, test.quality, mac, f), 4),
                "mixture": round(float(np.interp(f, mac / mac[-1], mean.numpy())), 4),
                "oracle": round(
                    expected_quality(
                        test.quality / model.config.loss.gain_scale, test.quality, mac, f
                    ),
                    4,
                ),
            }
            for f in fractions
        },
        "seconds": [round(measured - started), round(time.monotonic() - measured)],
        "seed": seed,
    }
    model.config = model.config.replace(loss=replace(model.config.loss, switch_loss="gain"))
    stage = {"command": "python -m dynamask fit-switch", **facts}
    stages = [*training_stages(loaded.metadata), stage]
    save_weights(model, out, categories=loaded.categories, metadata={"stages": stages})
    return facts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the fit-switch command."""
    parser.add_argument("--weights", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--data", default="../shared/data", help="folder with coco_mini")
    parser.add_argument("--photos", default="coco=1029,person=200,extra=300")
    parser.add_argument("--sides", default="480,704", help="range of the long side, px")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--keep", action="store_true", help="go on from the switch in the file")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Fit; returns the exit status."""
    from dynamask.training.train import parse_batch, parse_sides

    if args.threads:
        torch.set_num_threads(args.threads)
    started = time.monotonic()

    def progress(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            left = (time.monotonic() - started) / done * (total - done)
            sys.stderr.write(f"{done} of {total} photos, {left / 60:.0f} min left\n")
            sys.stderr.flush()

    facts = run_fit(
        args.weights,
        args.out,
        standard_sources(DataPaths(Path(args.data))),
        {name: int(count) for name, count in parse_batch(args.photos).items() if count},
        sides=parse_sides(args.sides),
        epochs=args.epochs,
        lr=args.lr,
        weight_decay=args.weight_decay,
        seed=args.seed,
        fresh=not args.keep,
        progress=progress,
    )
    for name, value in facts.items():
        sys.stdout.write(f"{name}: {value}\n")
    return 0
