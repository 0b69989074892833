"""What goes wrong with detected masks, in plain words, and what each kind of error costs in AP.

Follows the idea of TIDE (Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection
Errors", ECCV 2020) with masks instead of boxes and two kinds of its own. A detection is right when
its overlap with a still free object of its class, min(mask IoU, boundary IoU), is at least 0.5;
objects are given away by falling score. Every other detection has exactly one error, the first
that holds:

==================  ===============================================================================
rough boundary      mask IoU with a free object of its class >= 0.5, but boundary IoU below 0.5
duplicate           mask IoU with an object of its class >= 0.5 that a better detection has
wrong class         mask IoU with an object of another class >= 0.5
badly placed box    mask IoU with an object of its class 0.1 to 0.5, and the boxes' IoU below 0.5
wrong region        the same, but the box fits (IoU >= 0.5): the mask covers the wrong part of it
background          everything else: nothing there, or wrong in more than one way
==================  ===============================================================================

``missed`` are objects that no detection is right about and that none of these errors explains,
duplicates and background aside. The cost of a kind is AP after its errors alone are repaired,
minus AP: misplaced, rough and misnamed detections become right (the best-scored one per object
that nobody is right about; the others go), duplicates and background go, missed objects are no
longer asked for. Costs overlap, so they do not add up to 1 - AP.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.metrics import (
    EVERYTHING,
    Cell,
    ClassMatches,
    Found,
    Overlaps,
    Truth,
    class_precision,
    match_cell,
    rle_iou,
)

KINDS = (
    "rough boundary",
    "duplicate",
    "wrong class",
    "badly placed box",
    "wrong region",
    "background",
    "missed",
)
"""In the order in which they are looked for."""

RIGHT = 0.5
"""Overlap from which a detection is right."""

NEAR = 0.1
"""Mask IoU below which an object has nothing to do with a detection."""

MEANING = {
    "rough boundary": "the right object and region, but the outline is too coarse or shifted",
    "duplicate": "the object already has a better-scored detection",
    "wrong class": "the mask fits an object of another class",
    "badly placed box": "the right object, but the box is off, and the mask with it",
    "wrong region": "the box fits, but the mask covers the wrong part of it",
    "background": "nothing of the kind is there",
    "missed": "an object that no detection is about",
}
_REPAIRED = ("rough boundary", "wrong class", "badly placed box", "wrong region")


@dataclass(frozen=True)
class Verdicts:
    """Every detection and every object with its verdict.

    Attributes:
        detections: id, image_id, category_id, score, error ("" where right, "ignored" where a
            crowd takes it), annotation_id (the object it is right about, or that the error is
            about; -1 for none), iou (mask IoU with that object).
        objects: annotation_id, image_id, category_id, error ("", "missed", or the kind that
            explains why nobody is right about it).
    """

    detections: pd.DataFrame
    objects: pd.DataFrame


def classify(data: Overlaps) -> Verdicts:
    """Give every detection its error and every object the reason why it is not found.

    Args:
        data: overlaps made with :func:`analysis.metrics.overlaps`.
    """
    truths: dict[int, list[Truth]] = defaultdict(list)
    for truth in data.truths:
        truths[truth.image_id].append(truth)
    founds = {d.id: d for d in data.founds}
    rows: list[tuple] = []
    for masks, thin in zip(data.masks, data.boundaries, strict=True):
        if len(masks.found):
            rows += _judge_cell(masks, thin, truths[masks.image_id], founds)
    columns = ["id", "image_id", "category_id", "score", "error", "annotation_id", "iou"]
    detections = pd.DataFrame(rows, columns=columns)
    return Verdicts(detections, _judge_objects(data, detections))


def _judge_cell(
    masks: Cell, thin: Cell, on_photo: list[Truth], founds: dict[int, Found]
) -> list[tuple]:
    # a crowd takes detections by their region: its outline is that of no object
    thin = replace(thin, iou=np.where(masks.crowd, masks.iou, thin.iou))
    hit, ignored, _, columns = match_cell(thin, EVERYTHING, np.array([RIGHT]))
    taken = {int(c) for c, h, i in zip(columns[0], hit[0], ignored[0], strict=True) if h and not i}
    others = [t for t in on_photo if t.category_id != masks.category_id and not t.crowd]
    dts = [founds[int(i)] for i in masks.found]
    other_iou = rle_iou([d.rle for d in dts], [t.rle for t in others], [False] * len(others))
    rows = []
    for d, found in enumerate(dts):
        kind, about, iou = "background", -1, 0.0
        if ignored[0, d]:
            kind = "ignored"
        elif hit[0, d]:
            column = int(columns[0, d])
            kind, about, iou = "", int(masks.truth[column]), float(masks.iou[d, column])
        else:
            kind, about, iou = _error(masks, d, taken, other_iou[d], others, on_photo, found)
        key = (found.id, found.image_id, found.category_id, found.score)
        rows.append((*key, kind, about, iou))
    return rows


def _error(
    cell: Cell,
    d: int,
    taken: set[int],
    other_iou: np.ndarray,
    others: list[Truth],
    on_photo: list[Truth],
    found: Found,
) -> tuple[str, int, float]:
    own = np.where(cell.crowd, -1.0, cell.iou[d])
    free = np.array([-1.0 if g in taken else v for g, v in enumerate(own)])
    if len(free) and free.max() >= RIGHT:
        return "rough boundary", int(cell.truth[free.argmax()]), float(free.max())
    if len(own) and own.max() >= RIGHT:
        return "duplicate", int(cell.truth[own.argmax()]), float(own.max())
    if len(other_iou) and other_iou.max() >= RIGHT:
        return "wrong class", others[int(other_iou.argmax())].id, float(other_iou.max())
    if len(own) and own.max() >= NEAR:
        about = int(cell.truth[own.argmax()])
        box = next(t.box for t in on_photo if t.id == about)
        fits = box_iou(found.box, box) >= RIGHT
        return ("wrong region" if fits else "badly placed box"), about, float(own.max())
    return "background", -1, max(float(own.max()) if len(own) else 0.0, 0.0)


def box_iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """IoU of two xywh boxes; 0 where both are empty."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(width, 0.0) * max(height, 0.0)
    union = a[2] * a[3] + b[2] * b[3] - both
    return both / union if union > 0 else 0.0


def _judge_objects(data: Overlaps, detections: pd.DataFrame) -> pd.DataFrame:
    right = set(detections.loc[detections["error"] == "", "annotation_id"])
    # the best-scored error about an object explains it
    blamed = (
        detections[detections["error"].isin(_REPAIRED)]
        .sort_values("score", ascending=False, kind="stable")
        .drop_duplicates("annotation_id")
    )
    why = dict(zip(blamed["annotation_id"], blamed["error"], strict=True))
    rows = [
        (t.id, t.image_id, t.category_id, "" if t.id in right else why.get(t.id, "missed"))
        for t in data.truths
        if not t.crowd
    ]
    return pd.DataFrame(rows, columns=["annotation_id", "image_id", "category_id", "error"])


def error_costs(data: Overlaps, verdicts: Verdicts | None = None) -> pd.DataFrame:
    """How many errors of each kind there are and what repairing them alone would bring.

    Returns:
        kind (of KINDS), meaning, n (detections; objects for "missed"), ap (AP after the repair,
        at overlap 0.5), cost (ap minus AP before; NaN without objects).
    """
    verdicts = verdicts or classify(data)
    base = _ap(data, verdicts, None)
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        table = verdicts.objects if kind == "missed" else verdicts.detections
        n = int((table["error"] == kind).sum())
        ap = _ap(data, verdicts, kind)
        meaning = MEANING[kind]
        rows.append({"kind": kind, "meaning": meaning, "n": n, "ap": ap, "cost": ap - base})
    return pd.DataFrame(rows)


def base_ap(verdicts: Verdicts, data: Overlaps) -> float:
    """AP at overlap 0.5 before any repair; NaN without objects."""
    return _ap(data, verdicts, None)


def _ap(data: Overlaps, verdicts: Verdicts, kind: str | None) -> float:
    """AP at overlap 0.5 with the errors of one kind repaired."""
    found = verdicts.detections
    found = found[found["error"] != "ignored"]
    objects = verdicts.objects
    if kind == "missed":
        objects = objects[objects["error"] != "missed"]
    elif kind in ("duplicate", "background"):
        found = found[found["error"] != kind]
    elif kind is not None:
        found = _repaired(found, objects, kind)
    values = []
    place = {int(i): k for k, i in enumerate(data.images)}
    for category_id, group in objects.groupby("category_id"):
        mine = found[found["category_id"] == category_id]
        mine = mine.sort_values("score", ascending=False, kind="stable")
        hit = (mine["error"] == "").to_numpy()[None]
        per_photo = np.zeros(len(place))
        np.add.at(per_photo, group["image_id"].map(place).to_numpy(), 1)
        photo = mine["image_id"].map(place).to_numpy(dtype=np.int64)
        precision = class_precision(ClassMatches(hit, np.zeros_like(hit), photo, per_photo))
        values.append(float(precision[0]) if precision is not None else np.nan)
    return float(np.mean(values)) if values else float("nan")


def _repaired(found: pd.DataFrame, objects: pd.DataFrame, kind: str) -> pd.DataFrame:
    right = set(found.loc[found["error"] == "", "annotation_id"])
    faulty = found[found["error"] == kind].sort_values("score", ascending=False, kind="stable")
    best = faulty.drop_duplicates("annotation_id")
    best = best[~best["annotation_id"].isin(right)]
    classes = objects.set_index("annotation_id")["category_id"]
    best = best.assign(error="", category_id=best["annotation_id"].map(classes))
    return pd.concat([found[found["error"] != kind], best], ignore_index=True)
