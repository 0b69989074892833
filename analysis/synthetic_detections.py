"""Invented detections of an invented run, with everything that AP at any grids needs.

Most objects are found, some twice, some badly or under another name, and there is much with a low
score where nothing is. There are no masks: overlaps and areas are invented directly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.schema import to_arrow
from dynamask.categories import COCO_CATEGORIES
from dynamask.config import GRIDS
from dynamask.cost import CostTable

PER_OBJECT = 2.0
"""Detections for each object, as detectors that keep scores from 0.05 on have them."""
FOUND, TWICE, SHIFTED, RENAMED, CROWDED = 0.8, 0.15, 0.08, 0.05, 0.3


def write_detections(
    path: Path,
    number: int,
    frame: pd.DataFrame,
    cost: CostTable,
    seed: int = 0,
    per_object: float = PER_OBJECT,
) -> None:
    """Add the tables of one shard: detections under ``msm``, truths, pairs and areas.

    Args:
        path: the run folder.
        number: of the shard.
        frame: its objects, of synthetic.invent_objects.
        cost: of the run's model.
        seed: of every random number.
        per_object: detections for each object.
    """
    import pyarrow.parquet as pq

    rng = np.random.default_rng((seed, number))
    objects = _about(rng, len(frame), per_object)
    tables = _detections(rng, frame, objects, number, cost)
    tables["truths"] = frame[
        [
            *("annotation_id", "image_id", "image_width", "image_height", "category_id"),
            *("category", "crowd", "area_px2", "box_x", "box_y", "box_w", "box_h"),
        ]
    ].assign(rle=None)
    for table, rows in tables.items():
        file = path / f"{table}-{number:05d}.parquet"
        pq.write_table(to_arrow(rows, table), file, compression="zstd")


def _about(rng: np.random.Generator, count: int, per_object: float) -> pd.DataFrame:
    """One row per detection: the object (a row), what it is like, and how well it fits."""
    found = np.flatnonzero(rng.random(count) < FOUND)
    parts = [("found", found, 10.0), ("twice", found[rng.random(len(found)) < TWICE], 6.0)]
    for name, share in (("shifted", SHIFTED), ("renamed", RENAMED)):
        parts.append((name, np.flatnonzero(rng.random(count) < share), 8.0))
    so_far = sum(len(rows) for _, rows, _ in parts)
    empty = max(0, round(count * per_object) - so_far)
    parts.append(("nothing", rng.integers(0, count, empty), 1.0))
    rows = [
        pd.DataFrame({"object": at, "like": name, "fit": rng.beta(good, 1.6, len(at))})
        for name, at, good in parts
    ]
    return pd.concat(rows, ignore_index=True).sort_values("object", ignore_index=True)


def _detections(
    rng: np.random.Generator,
    frame: pd.DataFrame,
    about: pd.DataFrame,
    number: int,
    cost: CostTable,
) -> dict[str, pd.DataFrame]:
    n, at, like = len(about), about["object"].to_numpy(), about["like"].to_numpy()
    fit = np.where(like == "shifted", 0.2 + 0.4 * about["fit"], about["fit"])[:, None]
    nothing, renamed = like == "nothing", like == "renamed"
    photo = frame.iloc[at].reset_index(drop=True)
    base = 0.15 + 0.75 * fit[:, 0] ** 2 - 0.25 * (like == "twice") - 0.2 * (like == "shifted")
    base = np.where(nothing, 0.05 + rng.exponential(0.08, n), base + rng.normal(0, 0.1, n))
    kind = photo["category_id"].to_numpy()
    kind = np.where(renamed | nothing, rng.integers(1, len(COCO_CATEGORIES) + 1, n), kind)
    p = photo[[f"p{g}" for g in GRIDS]].to_numpy(np.float32)
    p[nothing] = rng.dirichlet((2, 3, 2, 1), int(nothing.sum()))
    index = p.argmax(axis=1)
    ids = np.int64(number) * 10_000_000 + np.arange(n)
    names = np.asarray(COCO_CATEGORIES)
    out: dict[str, Any] = {"detection_id": ids, "policy": "msm"}
    for name in ("image_id", "image_width", "image_height"):
        out[name] = photo[name]
    out |= {"category_id": kind.astype(np.int64), "category": names[kind - 1]}
    out |= {"score": np.clip(base, 0.05, 1.0), "rle": None, "error": None}
    for name, half in (("box_x", "box_w"), ("box_y", "box_h")):
        shift = np.where(like == "shifted", 0.5, 0.03) * rng.normal(0, 1, n)
        out[name] = photo[name].to_numpy(np.float64) + shift * photo[half].to_numpy(np.float64)
        out[half] = photo[half].to_numpy(np.float64)
    out |= {f"p{g}": p[:, k] for k, g in enumerate(GRIDS)}
    out |= {"grid": np.asarray(GRIDS)[index], "gmac": cost.exit_macs(True)[index] / 1e9}
    out |= {"annotation_id": pd.array([None] * n, dtype="Int64"), "mask_iou": np.nan}
    size = photo["area_px2"].to_numpy(np.float64) * rng.uniform(0.85, 1.15, n)
    areas = {f"area{g}": np.round(size * (0.97 + 0.01 * k)) for k, g in enumerate(GRIDS)}
    pairs = _pairs(rng, frame, photo, ids, at, fit, kind, nothing)
    return {
        "detections": pd.DataFrame(out),
        "areas": pd.DataFrame({"detection_id": ids, **areas}),
        "pairs": pairs,
    }


def _pairs(
    rng: np.random.Generator,
    frame: pd.DataFrame,
    photo: pd.DataFrame,
    ids: np.ndarray,
    at: np.ndarray,
    fit: np.ndarray,
    kind: np.ndarray,
    nothing: np.ndarray,
) -> pd.DataFrame:
    iou = photo[[f"iou{g}" for g in GRIDS]].to_numpy(np.float64) * fit
    rim = np.minimum(iou, photo[[f"biou{g}" for g in GRIDS]].to_numpy(np.float64) * fit)
    own = photo["category_id"].to_numpy() == kind
    rim[~own] = np.nan
    # some also cover a part of the next object of their photo and class
    after = np.minimum(at + 1, len(frame) - 1)
    image, category = frame["image_id"].to_numpy(), frame["category_id"].to_numpy()
    near = (after > at) & (image[after] == image[at]) & (category[after] == kind) & ~nothing
    near &= rng.random(len(at)) < CROWDED
    part = rng.uniform(0.02, 0.65, (int(near.sum()), 1)) * np.linspace(0.97, 1, len(GRIDS))
    real = ~nothing & (own | (iou.max(axis=1) >= 0.5))
    values = np.concatenate([iou[real], part]), np.concatenate([rim[real], 0.8 * part])
    truth = frame["annotation_id"].to_numpy()
    rows: dict[str, np.ndarray] = {
        "detection_id": np.concatenate([ids[real], ids[near]]),
        "annotation_id": np.concatenate([truth[at[real]], truth[after[near]]]),
    }
    for name, stack in zip(("iou", "rim"), values, strict=True):
        rows |= {f"{name}{g}": stack[:, k] for k, g in enumerate(GRIDS)}
    return pd.DataFrame(rows)
