"""Invented runs of any size, for tests and benchmarks: every number follows from the seed.

Objects are as in real runs: larger and more ragged objects gain more from finer grids, the switch
knows some of that, and photos differ from one another (so that photos, not objects, are what a
bootstrap may draw).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.schema import LARGE_PX2, SCHEMA_VERSION, SIZE_BINS, SMALL_PX2, to_arrow
from dynamask.categories import COCO_CATEGORIES
from dynamask.config import GRIDS, preset
from dynamask.cost import cost_table

PRESET = "effnet_lite2_fpn"
POLICIES = ("msm", "size", "fixed:14", "fixed:28", "fixed:56", "fixed:112", "oracle")
_SIZE_THRESHOLDS_PX = (40.0, 110.0, 260.0)


def invent_objects(objects: int, photos: int, seed: int = 0) -> pd.DataFrame:
    """Return one row per object with everything that no policy changes.

    Args:
        objects: number of rows; annotation ids count from 1.
        photos: number of photos they lie on; image ids count from 1.
        seed: of every random number.

    Returns:
        A frame with the columns of a run's table but policy, grid, gmac, iou, biou and regret.
    """
    rng = np.random.default_rng(seed)
    image = np.sort(rng.integers(1, photos + 1, objects))
    mood = rng.normal(0, 0.35, photos + 1)[image]
    area = np.clip(np.exp(rng.normal(7.6, 1.9, objects)), 4, 150_000)
    compact = np.clip(rng.beta(4, 3, objects), 0.03, 1.0)
    perimeter = np.sqrt(4 * np.pi * area / compact)
    detail = 0.55 * (np.log(area) - 7) / 1.9 + 1.2 * (0.57 - compact) + mood
    floor = np.clip(0.62 + 0.05 * (np.log(area) - 7) / 1.9, 0.3, 0.9)
    gain = np.clip(0.10 + 0.08 * detail, 0.0, 0.25)[:, None] * np.array([0, 0.55, 0.85, 1.0])
    noise = rng.normal(0, 0.012, (objects, 4))
    iou = np.clip(floor[:, None] + gain + noise - 0.02 * (detail < -0.5)[:, None] * range(4), 0, 1)
    biou = np.clip(iou - 0.12 - 0.10 * (np.array([3, 2, 1, 0]) / 3), 0, 1)
    logits = iou / 0.02 - np.arange(4) * 0.8 + rng.normal(0, 1.0, (objects, 4))
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    category = rng.choice(len(COCO_CATEGORIES), objects, p=_zipf(len(COCO_CATEGORIES)))
    side = np.sqrt(area / 0.6)
    frame = pd.DataFrame(
        {
            "image_id": image.astype(np.int64),
            "image_width": np.full(objects, 640, np.int32),
            "image_height": np.full(objects, 480, np.int32),
            "annotation_id": np.arange(1, objects + 1, dtype=np.int64),
            "boxes": "gt",
            "category_id": (category + 1).astype(np.int32),
            "category": pd.Categorical.from_codes(category, list(COCO_CATEGORIES)),
            "crowd": False,
            "truncated": rng.random(objects) < 0.15,
            "area_px2": area.astype(np.float32),
            "box_x": (rng.random(objects) * 300).astype(np.float32),
            "box_y": (rng.random(objects) * 200).astype(np.float32),
            "box_w": side.astype(np.float32),
            "box_h": side.astype(np.float32),
            "size_bin": np.array(SIZE_BINS)[np.searchsorted((SMALL_PX2, LARGE_PX2), area, "right")],
            "boundary_length_px": perimeter.astype(np.float32),
            "compactness": compact.astype(np.float32),
            "score": np.nan,
            "matched": False,
            "detection_id": pd.array([None] * objects, dtype="Int64"),
            "match_iou": np.nan,
            "error": None,
            "encode_ms": np.float32(40),
            "switch_ms": np.float32(1),
            "decode_ms": np.float32(3),
        }
    )
    frame["file_name"] = pd.Series(image).map(lambda i: f"{i:012d}.jpg").astype("str")
    for k, grid in enumerate(GRIDS):
        frame[f"p{grid}"] = p[:, k].astype(np.float32)
        frame[f"iou{grid}"] = iou[:, k].astype(np.float32)
        frame[f"biou{grid}"] = biou[:, k].astype(np.float32)
    frame["oracle_grid"] = np.array(GRIDS, np.int32)[_stack(frame, "iou").argmax(1)]
    return frame


def with_policy(frame: pd.DataFrame, policy: str) -> pd.DataFrame:
    """Return the rows of one policy: its grid, cost, quality and regret added."""
    iou, biou = _stack(frame, "iou"), _stack(frame, "biou")
    if policy == "msm":
        index = _stack(frame, "p").argmax(1)
    elif policy == "size":
        sides = np.sqrt(frame["box_w"] * frame["box_h"])
        index = np.searchsorted(_SIZE_THRESHOLDS_PX, sides, side="right")
    elif policy == "oracle":
        index = iou.argmax(1)
    elif policy == "random":
        index = np.random.default_rng(len(frame)).integers(0, 4, len(frame))
    else:
        index = np.full(len(frame), GRIDS.index(int(policy.partition(":")[2])))
    macs = cost_table(preset(PRESET)).exit_macs(policy == "msm") / 1e9
    rows = np.arange(len(frame))
    return frame.assign(
        policy=policy,
        grid=np.array(GRIDS, np.int32)[index],
        gmac=macs[index].astype(np.float32),
        iou=iou[rows, index],
        biou=biou[rows, index],
        regret=iou.max(1) - iou[rows, index],
    )


def write_run(
    path: str | Path,
    objects: int,
    photos: int,
    *,
    seed: int = 0,
    policies: tuple[str, ...] = POLICIES,
    shard_objects: int = 50_000,
    detections: float = 0.0,
) -> Path:
    """Write a run folder of invented objects: manifest.json and part-*.parquet.

    Args:
        path: a folder that is made.
        objects: number of objects, each with one row per policy.
        photos: number of photos.
        seed: of every random number.
        policies: rows to write.
        shard_objects: objects per shard.
        detections: for each object, with the tables that AP at any grids needs; 0 for none.
    """
    import pyarrow.parquet as pq

    from analysis.synthetic_detections import write_detections

    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    frame = invent_objects(objects, photos, seed)
    for number, start in enumerate(range(0, max(objects, 1), shard_objects)):
        part = frame.iloc[start : start + shard_objects]
        if not len(part):
            break
        rows = pd.concat([with_policy(part, p) for p in policies], ignore_index=True)
        pq.write_table(
            to_arrow(rows, "part"), path / f"part-{number:05d}.parquet", compression="zstd"
        )
        if detections:
            write_detections(path, number, part, cost_table(preset(PRESET)), seed, detections)
    (path / "manifest.json").write_text(json.dumps(invent_manifest(objects, photos, policies)))
    return path


def invent_manifest(objects: int, photos: int, policies: tuple[str, ...]) -> dict[str, Any]:
    """The manifest of a finished invented run."""
    return {
        "schema_version": SCHEMA_VERSION,
        "state": "done",
        "name": f"synthetic-{objects}",
        "weights": "synthetic",
        "weights_sha256": "0" * 64,
        "preset": PRESET,
        "config": json.loads(preset(PRESET).to_json()),
        "policies": list(policies),
        "photos": photos,
        "photos_done": photos,
        "objects": objects,
    }


def _zipf(count: int) -> np.ndarray:
    weights = 1 / np.arange(1, count + 1)
    return weights / weights.sum()


def _stack(frame: pd.DataFrame, prefix: str) -> np.ndarray:
    return np.stack([frame[f"{prefix}{g}"].to_numpy(np.float32) for g in GRIDS], axis=1)
