"""Reads a run's detections and annotated masks for average precision.

A run that was made with detector boxes has two more tables beside ``objects``: ``detections``
(one row per detection and policy: detection_id, policy, image_id, category_id, score, box_x,
box_y, box_w, box_h, rle) and ``truths`` (one row per annotation, crowds included: annotation_id,
image_id, category_id, crowd, area_px2, box_x, box_y, box_w, box_h, rle). ``rle`` is the counts of
the compressed COCO RLE as text; image_width and image_height give its size.
"""

from __future__ import annotations

import pandas as pd

from analysis.filters import Filters, Queryable
from analysis.metrics import Found, Overlaps, Truth, overlaps


def has_detections(run: Queryable) -> bool:
    """Whether the run holds what average precision needs."""
    names = run.query(
        "SELECT table_name FROM information_schema.tables "
        "WHERE table_name IN ('detections', 'truths')"
    )
    return len(names) == 2


def detection_policies(run: Queryable) -> list[str]:
    """Policies with detections, by name; empty without any."""
    if not has_detections(run):
        return []
    found = run.query("SELECT DISTINCT policy FROM detections ORDER BY policy")
    return [str(p) for p in found["policy"]]


def count_detections(run: Queryable, policy: str) -> int:
    """How many detections a policy has."""
    sql = "SELECT count(*) AS n FROM detections WHERE policy = ?"
    return int(run.query(sql, [policy])["n"].iloc[0])


def load(run: Queryable, policy: str, filters: Filters | None = None) -> Overlaps | None:
    """Overlaps of one policy's detections with the annotations; None without detections.

    Args:
        run: a run.
        policy: whose masks.
        filters: only classes and the score count here; the others are about single objects.
    """
    if policy not in detection_policies(run):
        return None
    filters = filters or Filters()
    truths = run.query("SELECT * FROM truths ORDER BY annotation_id")
    founds = run.query(
        "SELECT * FROM detections WHERE policy = ? ORDER BY image_id, detection_id", [policy]
    )
    images = sorted(set(truths["image_id"]) | set(founds["image_id"]))
    if filters.categories is not None:
        names = run.query("SELECT DISTINCT category_id, category FROM objects")
        kept = set(names.loc[names["category"].isin(filters.categories), "category_id"])
        truths = truths[truths["category_id"].isin(kept)]
        founds = founds[founds["category_id"].isin(kept)]
    if filters.score is not None:
        founds = founds[founds["score"].between(*filters.score)]
    return overlaps(
        [
            Truth(
                int(r.annotation_id),
                int(r.image_id),
                int(r.category_id),
                _rle(r),
                float(r.area_px2),
                _box(r),
                bool(r.crowd),
            )
            for r in truths.itertuples()
        ],
        [
            Found(
                int(r.detection_id),
                int(r.image_id),
                int(r.category_id),
                float(r.score),
                _rle(r),
                _box(r),
            )
            for r in founds.itertuples()
        ],
        [int(i) for i in images],
    )


def _rle(row: pd.Series) -> dict:
    counts = row.rle.encode() if isinstance(row.rle, str) else bytes(row.rle)
    return {"size": [int(row.image_height), int(row.image_width)], "counts": counts}


def _box(row: pd.Series) -> tuple[float, float, float, float]:
    return (float(row.box_x), float(row.box_y), float(row.box_w), float(row.box_h))
