"""Does choosing the grid pay? Every object measured at every grid once, then policies are lookups.

A photo is encoded once and its ground-truth boxes are decoded at all four grids; each mask is
compared with the truth once. A policy, also one whose budget holds over the whole set, then only
picks a column per object, so curves of many budgets and bootstrap intervals cost almost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dynamask.allocation import budget_grids, random_grids
from dynamask.coco_read import decode_mask, read_coco, read_photo
from dynamask.config import GRIDS
from dynamask.cost import CostTable, grid_indices
from dynamask.errors import DataError
from dynamask.metrics import boundary_width, mask_boundary, mask_iou
from dynamask.paste import paste_mask
from dynamask.policies import fit_size_thresholds
from dynamask.predictor import Predictor

MIN_BOX_PX = 1.01
DRAWS = 2000
METRICS = ("mean_iou", "mean_boundary_iou")
CERTAIN = 1e4  # turns an IoU into a log probability that the budget's price can outbid


@dataclass(frozen=True)
class ObjectTable:
    """N objects of M photos.

    Attributes:
        iou: (N, 4) float64 mask IoU at each grid.
        boundary_iou: (N, 4) float64.
        probabilities: (N, 4) float64, the switch's.
        sqrt_area_px: (N,) float64, square root of the box's area in photo pixels.
        mask_area_px2: (N,) float64, the truth's area.
        photo: (N,) int64, 0 to M - 1.
        shapes: (M,) level shapes of p2, p3 and p4, per photo.
        cost: of the model.
    """

    iou: np.ndarray
    boundary_iou: np.ndarray
    probabilities: np.ndarray
    sqrt_area_px: np.ndarray
    mask_area_px2: np.ndarray
    photo: np.ndarray
    shapes: tuple[dict[str, tuple[int, int]], ...]
    cost: CostTable

    def __len__(self) -> int:
        return len(self.photo)

    def gmac_per_roi(self, grids: np.ndarray, pays_switch: bool) -> float:
        """Mean cost of an object: its stages, the switch if asked, the photo's branches."""
        total = float(self.cost.object_mac(grids, pays_switch).sum())
        finest = np.zeros(len(self.shapes), dtype=np.int64)
        np.maximum.at(finest, self.photo, grids)
        for shape, grid in zip(self.shapes, finest, strict=True):
            total += self.cost.image_mac([grid] if grid else [], shape)
        return total / max(1, len(grids)) / 1e9


def measure_objects(
    predictor: Predictor,
    coco_json: str | Path,
    images_dir: str | Path,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ObjectTable:
    """Measure every object that is no crowd, at its ground-truth box.

    Raises:
        DataError: a file that cannot be used, or no object in it.
    """
    coco = read_coco(coco_json)
    columns: dict[str, list[Any]] = {k: [] for k in ("iou", "biou", "p", "size", "area", "photo")}
    shapes = []
    images = coco.images[:limit]
    for done, image in enumerate(images, start=1):
        objects = [a for a in coco.by_image[image.id] if not a.crowd]
        if objects:
            boxes = np.array([a.box_xyxy for a in objects], dtype=np.float32)
            for axis, size in ((0, image.width), (1, image.height)):
                # COCO holds a few boxes thinner than a pixel, which the predictor refuses
                low = np.clip(boxes[:, axis], 0, max(0.0, size - MIN_BOX_PX))
                high = np.clip(boxes[:, axis + 2], low + MIN_BOX_PX, max(size, MIN_BOX_PX))
                boxes[:, axis], boxes[:, axis + 2] = low, high
            scene = predictor.encode(read_photo(images_dir, image), boxes)
            logits = predictor.decode_all_grids(scene)
            d = boundary_width(image.height, image.width)
            for i, annotation in enumerate(objects):
                truth = decode_mask(annotation, image.height, image.width)
                rim = mask_boundary(truth, d)
                found = [
                    paste_mask(logits[g][0][i], scene.boxes_xyxy_px[i], scene.image_size)
                    for g in GRIDS
                ]
                columns["iou"].append([mask_iou(m, truth) for m in found])
                columns["biou"].append([mask_iou(mask_boundary(m, d), rim) for m in found])
                columns["area"].append(float(truth.sum()))
            columns["p"].append(scene.probabilities.numpy().astype(np.float64))
            columns["size"].append(np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
            columns["photo"].extend([len(shapes)] * len(objects))
            shapes.append(predictor.model.level_shapes(scene.pyramid))
        if progress is not None:
            progress(done, len(images))
    if not shapes:
        raise DataError("Expected objects that are no crowds, got none; choose another set.")
    return ObjectTable(
        iou=np.array(columns["iou"], dtype=np.float64),
        boundary_iou=np.array(columns["biou"], dtype=np.float64),
        probabilities=np.concatenate(columns["p"]),
        sqrt_area_px=np.concatenate(columns["size"]).astype(np.float64),
        mask_area_px2=np.array(columns["area"]),
        photo=np.array(columns["photo"], dtype=np.int64),
        shapes=tuple(shapes),
        cost=predictor.cost_table,
    )


@dataclass(frozen=True)
class Choice:
    """What a policy chose: a name for tables, (N,) grids, and whether it asked the switch."""

    name: str
    grids: np.ndarray
    pays_switch: bool


def fixed(table: ObjectTable, grid: int) -> Choice:
    """One grid for all."""
    return Choice(f"fixed:{grid}", np.full(len(table), grid), False)


def switch_alone(table: ObjectTable) -> Choice:
    """The switch's own choice: argmax, the cheaper grid on ties."""
    return Choice("msm", np.array(GRIDS)[table.probabilities.argmax(axis=1)], True)


def switch_at(table: ObjectTable, gmac: float) -> Choice:
    """The switch under one budget for the whole set, in GMAC per object, itself included."""
    macs = table.cost.exit_macs(pays_switch=True)
    return Choice(f"budget:{gmac:.4f}", budget_grids(table.probabilities, macs, gmac * 1e9), True)


def random_at(table: ObjectTable, gmac: float, seed: int = 0) -> Choice:
    """Grids drawn without looking, at a mean cost."""
    macs = table.cost.exit_macs().astype(np.float64)
    rng = np.random.default_rng(seed)
    return Choice(f"random:{gmac:.4f}", random_grids(len(table), macs, gmac * 1e9, rng), False)


def size_at(table: ObjectTable, shares: np.ndarray) -> Choice:
    """The size rule with thresholds such that its shares of grids are the given ones.

    The thresholds are fitted on these very objects, which favours the rule.
    """
    edges = fit_size_thresholds(table.sqrt_area_px, shares)
    index = np.searchsorted(np.asarray(edges), table.sqrt_area_px, side="right")
    return Choice("size", np.array(GRIDS)[index], False)


def oracle_at(table: ObjectTable, gmac: float, metric: str = "mean_iou") -> Choice:
    """The best choice by ground truth under a mean cost, no switch paid."""
    values = table.iou if metric == "mean_iou" else table.boundary_iou
    logs = CERTAIN * (values - values.max(axis=1, keepdims=True))
    macs = table.cost.exit_macs()
    return Choice("oracle", _lagrange(logs, macs, gmac * 1e9), False)


def _lagrange(gain: np.ndarray, macs: np.ndarray, mean_mac: float) -> np.ndarray:
    """As ``budget_grids``, for gains that are no log probabilities."""
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        picked = (gain - middle * macs).argmax(axis=1)
        low, high = (middle, high) if macs[picked].mean() > mean_mac else (low, middle)
    return np.array(GRIDS)[(gain - high * macs).argmax(axis=1)]


def qualities(table: ObjectTable, choice: Choice) -> dict[str, np.ndarray]:
    """Metric to (N,) values of the chosen masks."""
    rows, columns = np.arange(len(table)), grid_indices(choice.grids)
    return {
        "mean_iou": table.iou[rows, columns],
        "mean_boundary_iou": table.boundary_iou[rows, columns],
    }


def photo_weights(photos: int, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(draws, photos) how often each photo comes in each bootstrap sample of photos."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(photos, np.full(photos, 1 / photos), size=draws)


def interval(values: np.ndarray, photo: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a mean over objects, photos resampled.

    Args:
        values: (N,) one number per object.
        photo: (N,) its photo, 0 to M - 1.
        weights: (draws, M) of :func:`photo_weights`.
    """
    sums = np.bincount(photo, weights=values, minlength=weights.shape[1])
    counts = np.bincount(photo, minlength=weights.shape[1])
    means = (weights @ sums) / np.maximum(1, weights @ counts)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def row(table: ObjectTable, choice: Choice, weights: np.ndarray) -> dict[str, Any]:
    """Means with intervals, cost and shares of one policy."""
    values = qualities(table, choice)
    counts = {g: int((choice.grids == g).sum()) for g in GRIDS}
    return {
        "policy": choice.name,
        **{name: float(v.mean()) for name, v in values.items()},
        "ci95": {name: interval(v, table.photo, weights) for name, v in values.items()},
        "gmac_per_roi": table.gmac_per_roi(choice.grids, choice.pays_switch),
        "share": {str(g): n / len(table) for g, n in counts.items()},
    }


def paired(table: ObjectTable, one: Choice, two: Choice, weights: np.ndarray) -> dict[str, Any]:
    """Differences one - two on the same objects, with their intervals."""
    a, b = qualities(table, one), qualities(table, two)
    return {
        "policies": [one.name, two.name],
        "gmac_per_roi": [table.gmac_per_roi(c.grids, c.pays_switch) for c in (one, two)],
        **{
            name: {
                "difference": float((a[name] - b[name]).mean()),
                "ci95": interval(a[name] - b[name], table.photo, weights),
            }
            for name in METRICS
        },
    }
