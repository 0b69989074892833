"""Rows of a run's tables as dicts, with the names of analysis.schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.outline import Outline
from analysis.schema import size_bin
from dynamask.coco_read import CocoAnnotation, CocoImage
from dynamask.config import GRIDS

Row = dict[str, Any]
Rows = dict[str, list[Row]]
"""Table, as in schema.TABLES, to its rows."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Match:
    """The detection that has an object's box.

    Attributes:
        row: its place among the photo's detections.
        detection_id: its id in the run.
        iou: box IoU of the two.
        score: the detection's.
    """

    row: int
    detection_id: int
    iou: float
    score: float


def photo_columns(image: CocoImage) -> Row:
    """What every table says about the photo."""
    return {"image_id": image.id, "image_width": image.width, "image_height": image.height}


def box_columns(xywh: Sequence[float]) -> Row:
    """A box (x, y, width, height) in photo pixels."""
    return dict(zip(("box_x", "box_y", "box_w", "box_h"), map(float, xywh), strict=True))


def per_grid(prefix: str, values: Sequence[float]) -> Row:
    """Four numbers in the order of GRIDS."""
    return {f"{prefix}{g}": float(v) for g, v in zip(GRIDS, values, strict=True)}


def xywh(corners: Sequence[float]) -> Box:
    """(x1, y1, x2, y2) as (x, y, width, height)."""
    x1, y1, x2, y2 = (float(v) for v in corners)
    return (x1, y1, x2 - x1, y2 - y1)


def unmeasured() -> Row:
    """What a row about a mask says where there is none."""
    names = [f"{prefix}{g}" for prefix in ("p", "iou", "biou") for g in GRIDS]
    names += ["grid", "gmac", "oracle_grid", "iou", "biou", "regret", "switch_ms", "decode_ms"]
    return dict.fromkeys(names)


def object_columns(
    image: CocoImage,
    annotation: CocoAnnotation,
    category: str,
    shape: Outline,
    match: Match | None,
    error: str | None,
) -> Row:
    """What no policy changes about an annotated object."""
    return {
        **photo_columns(image),
        "file_name": image.file_name,
        "annotation_id": annotation.id,
        "category_id": annotation.category_id,
        "category": category,
        "crowd": annotation.crowd,
        "truncated": shape.truncated,
        "area_px2": annotation.area,
        "size_bin": size_bin(annotation.area),
        "boundary_length_px": shape.length_px,
        "compactness": shape.compactness,
        "matched": match is not None,
        "detection_id": None if match is None else match.detection_id,
        "match_iou": None if match is None else match.iou,
        "score": None if match is None else match.score,
        "error": error,
    }


def truth_row(image: CocoImage, annotation: CocoAnnotation, category: str, counts: str) -> Row:
    """One row of the table ``truths``; ``counts`` of its compressed RLE."""
    return {
        "annotation_id": annotation.id,
        **photo_columns(image),
        "category_id": annotation.category_id,
        "category": category,
        "crowd": annotation.crowd,
        "area_px2": annotation.area,
        **box_columns(annotation.bbox),
        "rle": counts,
    }


def photo_row(
    image: CocoImage,
    state: str,
    objects: int = 0,
    detections: int = 0,
    encode_ms: float | None = None,
    seconds: float | None = None,
) -> Row:
    """One row of the table ``photos``."""
    return {
        **photo_columns(image),
        "file_name": image.file_name,
        "state": state,
        "objects": objects,
        "detections": detections,
        "encode_ms": encode_ms,
        "seconds": seconds,
    }


def problem_row(
    place: str, number: int | None, image_id: int | None, outcome: str, reason: str
) -> Row:
    """One row of the table ``problems``."""
    return {
        "place": place,
        "id": number,
        "image_id": image_id,
        "outcome": outcome,
        "reason": reason,
    }


def skipped_photo(image: CocoImage, reason: str) -> Rows:
    """Rows of a photo that cannot be used: nothing but the reason."""
    return {
        "part": [],
        "detections": [],
        "truths": [],
        "pairs": [],
        "areas": [],
        "photos": [photo_row(image, "skipped")],
        "problems": [problem_row("photo", image.id, image.id, "skipped", reason)],
    }
