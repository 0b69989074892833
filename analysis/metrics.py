"""COCO average precision of detected masks and boundaries, over any range of object areas.

The rules are pycocotools' own (Lin et al., "Microsoft COCO", ECCV 2014): per photo and class the
100 best-scored detections are matched greedily to the ground truth at IoU 0.50 to 0.95, precision
is read at 101 recalls. Tests hold the numbers to pycocotools within 1e-6. Boundary AP takes
min(mask IoU, boundary IoU) as the overlap (Cheng et al., CVPR 2021). Overlaps are computed once;
each area range, error type and resample is then only another count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.intervals import draws

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100
EVERYTHING = (0.0, 1e10)
SIZES = {"S": (0.0, 32.0**2), "M": (32.0**2, 96.0**2), "L": (96.0**2, 1e10)}
AP_COLUMNS = ("AP", "AP50", "AP75", "APS", "APM", "APL", "boundary_AP")


@dataclass(frozen=True)
class Truth:
    """One annotated object: compressed COCO RLE at photo size, xywh box in photo pixels."""

    id: int
    image_id: int
    category_id: int
    rle: dict[str, Any]
    area: float
    box: tuple[float, float, float, float]
    crowd: bool = False


@dataclass(frozen=True)
class Found:
    """One detection: compressed COCO RLE at photo size, xywh box in photo pixels."""

    id: int
    image_id: int
    category_id: int
    score: float
    rle: dict[str, Any]
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Cell:
    """The detections (by falling score, at most 100) and objects of one photo and class.

    Attributes:
        image_id: the photo.
        category_id: the class.
        found: (D,) detection ids.
        scores: (D,) falling.
        found_area: (D,) mask areas in px².
        truth: (G,) annotation ids.
        area: (G,) annotated areas in px².
        crowd: (G,) bool.
        iou: (D, G) overlaps in use; a crowd's is intersection over the detection's area.
    """

    image_id: int
    category_id: int
    found: np.ndarray
    scores: np.ndarray
    found_area: np.ndarray
    truth: np.ndarray
    area: np.ndarray
    crowd: np.ndarray
    iou: np.ndarray


@dataclass
class Overlaps:
    """Everything that average precision needs, overlaps computed.

    Attributes:
        masks: one cell per photo and class, overlap = mask IoU.
        boundaries: the same cells, overlap = min(mask IoU, boundary IoU).
        images: ids of the photos, rising.
    """

    masks: list[Cell]
    boundaries: list[Cell]
    images: np.ndarray
    truths: Sequence[Truth] = field(default=(), repr=False)
    founds: Sequence[Found] = field(default=(), repr=False)


def overlaps(
    truths: Sequence[Truth], founds: Sequence[Found], images: Sequence[int] | None = None
) -> Overlaps:
    """Compute mask and boundary overlaps of every detection with the objects of its class.

    Args:
        truths: annotated objects, crowds included.
        founds: detections.
        images: every photo that was looked at; those of the objects and detections where None.
    """
    groups: dict[tuple[int, int], tuple[list[Truth], list[Found]]]
    groups = defaultdict(lambda: ([], []))
    for truth in truths:
        groups[truth.image_id, truth.category_id][0].append(truth)
    for found in founds:
        groups[found.image_id, found.category_id][1].append(found)
    bands = _Bands()
    masks, boundaries = [], []
    for (image_id, category_id), (gts, dts) in sorted(groups.items()):
        order = np.argsort([-d.score for d in dts], kind="mergesort")[:MAX_DETECTIONS]
        dts = [dts[i] for i in order]
        cell = Cell(
            image_id,
            category_id,
            np.array([d.id for d in dts], np.int64),
            np.array([d.score for d in dts], np.float64),
            rle_areas([d.rle for d in dts]),
            np.array([g.id for g in gts], np.int64),
            np.array([g.area for g in gts], np.float64),
            np.array([g.crowd for g in gts], bool),
            rle_iou([d.rle for d in dts], [g.rle for g in gts], [g.crowd for g in gts]),
        )
        masks.append(cell)
        thin = rle_iou(
            [bands.of(d.rle) for d in dts] if gts else [],
            [bands.of(g.rle) for g in gts] if dts else [],
            [g.crowd for g in gts] if dts else [],
        )
        thin = thin.reshape(cell.iou.shape) if thin.size == cell.iou.size else cell.iou
        boundaries.append(replace(cell, iou=np.minimum(cell.iou, thin)))
    if images is None:
        images = sorted({g.image_id for g in truths} | {d.image_id for d in founds})
    return Overlaps(masks, boundaries, np.array(sorted(images), np.int64), truths, founds)


def rle_iou(dts: list[dict], gts: list[dict], crowd: Sequence[bool]) -> np.ndarray:
    """(D, G) float64 mask IoU of compressed RLEs, as pycocotools defines it for crowds."""
    from pycocotools import mask as mask_api

    if not dts or not gts:
        return np.zeros((len(dts), len(gts)))
    return np.asarray(mask_api.iou(dts, gts, [int(c) for c in crowd]), dtype=np.float64)


def rle_areas(rles: list[dict]) -> np.ndarray:
    """(D,) float64 areas in px²."""
    from pycocotools import mask as mask_api

    return np.asarray(mask_api.area(rles), np.float64) if rles else np.zeros(0)


class _Bands:
    """Boundary bands as RLE, each mask eroded once."""

    def __init__(self) -> None:
        self._known: dict[int, dict] = {}

    def of(self, rle: dict) -> dict:
        from pycocotools import mask as mask_api

        from dynamask.metrics import boundary_width, mask_boundary

        if id(rle) not in self._known:
            mask = mask_api.decode(rle)
            band = mask_boundary(mask, boundary_width(*mask.shape))
            self._known[id(rle)] = mask_api.encode(np.asfortranarray(band, dtype=np.uint8))
        return self._known[id(rle)]


@dataclass(frozen=True)
class ClassMatches:
    """One class: detections over all photos by falling score, and what they matched.

    Attributes:
        hit: (T, D) bool, matched to an object.
        ignored: (T, D) bool, neither right nor wrong.
        photo: (D,) rows in Overlaps.images.
        objects: (P,) objects to be found on each photo.
    """

    hit: np.ndarray
    ignored: np.ndarray
    photo: np.ndarray
    objects: np.ndarray


def match(
    cells: Sequence[Cell],
    images: np.ndarray,
    area: tuple[float, float] = EVERYTHING,
    thresholds: np.ndarray = THRESHOLDS,
) -> dict[int, ClassMatches]:
    """Match every class; ``area`` in px² makes objects outside it ignored, as COCO does."""
    by_class: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_class[cell.category_id].append(cell)
    out = {}
    for category_id, group in by_class.items():
        parts = [match_cell(c, area, thresholds) for c in group]
        photo = np.searchsorted(images, [c.image_id for c in group])
        objects = np.zeros(len(images))
        np.add.at(objects, photo, [p[2] for p in parts])
        scores = np.concatenate([c.scores for c in group])
        order = np.argsort(-scores, kind="mergesort")
        out[category_id] = ClassMatches(
            np.concatenate([p[0] for p in parts], axis=1)[:, order],
            np.concatenate([p[1] for p in parts], axis=1)[:, order],
            np.repeat(photo, [len(c.scores) for c in group])[order],
            objects,
        )
    return out


def match_cell(
    cell: Cell, area: tuple[float, float], thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """Match one photo and class.

    Returns:
        (T, D) hit, (T, D) ignored, the number of objects that count, and (T, D) the column of
        the matched object, -1 for none.
    """
    outside = (cell.area < area[0]) | (cell.area > area[1])
    skip = cell.crowd | outside
    count, width = len(cell.scores), len(skip)
    steps = len(thresholds)
    matched = np.full((steps, count), -1)
    hit, ignored = np.zeros((steps, count), bool), np.zeros((steps, count), bool)
    far = (cell.found_area < area[0]) | (cell.found_area > area[1])
    taken = np.zeros((steps, width), bool)
    rows, floor = np.arange(steps), np.minimum(thresholds, 1 - 1e-10)[:, None]
    for d in range(count if width else 0):
        fits = (cell.iou[d] >= floor) & (~taken | cell.crowd)
        if not fits.any():
            continue
        # objects that count come first; of equal overlaps pycocotools keeps the last
        for which in (~skip, skip):
            value = np.where(fits & which & (matched[:, d] < 0)[:, None], cell.iou[d], -1.0)
            best = width - 1 - value[:, ::-1].argmax(axis=1)
            good = value[rows, best] >= 0
            matched[good, d] = best[good]
        got = matched[:, d] >= 0
        taken[got, matched[got, d]] = True
        hit[got, d] = True
        ignored[got, d] = skip[matched[got, d]]
    ignored |= ~hit & far[None, :]
    return hit, ignored, int((~skip).sum()), matched


def class_precision(matches: ClassMatches, weights: np.ndarray | None = None) -> np.ndarray | None:
    """(T,) average precision of one class, or None without objects.

    Args:
        matches: of one class.
        weights: (P,) how often each photo counts; once where None.
    """
    total = matches.objects.sum() if weights is None else matches.objects @ weights
    if total <= 0:
        return None
    each = 1.0 if weights is None else weights[matches.photo][None]
    count = ~matches.ignored
    right = np.cumsum((matches.hit & count) * each, axis=1, dtype=np.float64)
    wrong = np.cumsum((~matches.hit & count) * each, axis=1, dtype=np.float64)
    if not right.shape[1]:
        return np.zeros(len(right))
    recall = right / total
    precision = right / np.maximum(right + wrong, np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    out = np.empty(len(right))
    for t in range(len(right)):
        place = np.searchsorted(recall[t], RECALLS, side="left")
        inside = place < right.shape[1]
        out[t] = precision[t, place[inside]].sum() / len(RECALLS)
    return out


def average_precision(
    matches: dict[int, ClassMatches], weights: np.ndarray | None = None
) -> np.ndarray:
    """(T,) AP at each threshold, the mean over classes with objects; NaN where there is none."""
    values = [class_precision(m, weights) for m in matches.values()]
    values = [v for v in values if v is not None]
    return np.mean(values, axis=0) if values else np.full(len(THRESHOLDS), np.nan)


def ap_row(data: Overlaps) -> dict[str, float]:
    """AP, AP50, AP75, APS, APM, APL and boundary_AP in 0..1; NaN where undefined."""
    every = average_precision(match(data.masks, data.images))
    row = {"AP": float(every.mean()), "AP50": float(every[0]), "AP75": float(every[5])}
    for name, area in SIZES.items():
        row[f"AP{name}"] = float(average_precision(match(data.masks, data.images, area)).mean())
    bands = average_precision(match(data.boundaries, data.images))
    return row | {"boundary_AP": float(bands.mean())}


def ap_interval(
    data: Overlaps,
    area: tuple[float, float] = EVERYTHING,
    boundary: bool = False,
    count: int = 100,
    seed: int = 0,
) -> tuple[float, float, float]:
    """AP with its 95 % bootstrap interval over photos; NaN bounds with fewer than two photos."""
    cells = data.boundaries if boundary else data.masks
    matches = match(cells, data.images, area)
    value = float(average_precision(matches).mean())
    if len(data.images) < 2 or not np.isfinite(value):
        return value, float("nan"), float("nan")
    again = [average_precision(matches, w).mean() for w in draws(len(data.images), seed, count)]
    low, high = np.nanpercentile(again, [2.5, 97.5])
    return value, float(low), float(high)


def ap_by_area(data: Overlaps, per_decade: int = 2, count: int = 60) -> pd.DataFrame:
    """AP over log-area bins, a curve instead of COCO's three sizes.

    Returns:
        low_px2, high_px2, n (objects of the bin that count), ap, ap_low, ap_high and the same
        for boundary AP as ``bap``; bins without objects are absent.
    """
    areas = np.array([g.area for g in data.truths if not g.crowd])
    columns = ["low_px2", "high_px2", "n", "ap", "ap_low", "ap_high"]
    columns += ["bap", "bap_low", "bap_high"]
    if not len(areas):
        return pd.DataFrame(columns=columns)
    bins = np.floor(np.log10(np.maximum(areas, 1)) * per_decade).astype(int)
    rows = []
    for b in np.unique(bins):
        low, high = 10 ** (b / per_decade), 10 ** ((b + 1) / per_decade)
        area = (0.0 if b == 0 else low, float(np.nextafter(high, 0)))
        ap = ap_interval(data, area, count=count)
        bap = ap_interval(data, area, boundary=True, count=count)
        rows.append((low, high, int((bins == b).sum()), *ap, *bap))
    return pd.DataFrame(rows, columns=columns)
