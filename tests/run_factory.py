"""Invented detections with masks, and a written run, for the tests of analysis."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from pycocotools import mask as mask_api

from analysis.metrics import Found, Truth, overlaps
from dynamask.config import GRIDS

HEIGHT, WIDTH = 120, 160
CLASSES = (1, 3, 18)


def blob(rng: np.random.Generator, cx: float, cy: float, size: float, rough: float) -> np.ndarray:
    """(HEIGHT, WIDTH) bool disc whose radius wobbles by ``rough``."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    angle = np.arctan2(y - cy, x - cx)
    wobble = sum(
        rng.normal(0, rough) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(2, 7)
    )
    return np.hypot(x - cx, y - cy) < size * (1 + wobble)


def encode(mask: np.ndarray) -> dict:
    return mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))


def mask_box(mask: np.ndarray) -> tuple[float, float, float, float]:
    if not mask.any():
        return (0.0, 0.0, 0.0, 0.0)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = columns[0], rows[0]
    return (float(x), float(y), float(columns[-1] - x + 1), float(rows[-1] - y + 1))


def invent_detections(
    photos: int = 12, objects: int = 6, seed: int = 0, crowds: bool = True
) -> tuple[list[Truth], list[Found]]:
    """Objects on small photos, and detections with every kind of error among them.

    Ids are large and have gaps, scores have ties, some photos have no detection, one class has
    objects only in some photos.
    """
    rng = np.random.default_rng(seed)
    truths: list[Truth] = []
    founds: list[Found] = []

    def found(image_id: int, category: int, mask: np.ndarray, score: float) -> None:
        where = 500 + 3 * len(founds)
        founds.append(
            Found(where, image_id, category, round(score, 2), encode(mask), mask_box(mask))
        )

    for image_id in range(11, 11 + photos):
        for _ in range(int(rng.integers(0, objects + 1))):
            cx, cy = rng.uniform(15, WIDTH - 15), rng.uniform(15, HEIGHT - 15)
            size = np.exp(rng.uniform(1.2, 3.9))
            state = rng.integers(1 << 30)
            mask = blob(np.random.default_rng(state), cx, cy, size, 0.05)
            if not mask.any():
                continue
            category = int(rng.choice(CLASSES))
            crowd = bool(crowds and rng.random() < 0.1)
            truths.append(
                Truth(
                    900 + 7 * len(truths),
                    image_id,
                    category,
                    encode(mask),
                    float(mask.sum()) * rng.uniform(0.95, 1.05),
                    mask_box(mask),
                    crowd,
                )
            )
            if image_id % 5 == 0 or rng.random() < 0.12:
                continue
            shift = rng.normal(0, 0.12 * size, 2)
            rough = float(rng.choice([0.02, 0.08, 0.25]))
            other = blob(
                np.random.default_rng(state), cx + shift[0], cy + shift[1], size, 0.05 + rough
            )
            named = int(rng.choice(CLASSES)) if rng.random() < 0.15 else category
            found(image_id, named, other, rng.uniform(0.3, 1))
            if rng.random() < 0.2:
                found(image_id, category, other, rng.uniform(0.1, 0.6))
            if rng.random() < 0.2:
                found(image_id, category, other & (np.arange(WIDTH) < cx), rng.uniform(0.1, 0.9))
        if rng.random() < 0.5:
            mask = blob(rng, rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), 12, 0.1)
            found(image_id, int(rng.choice(CLASSES)), mask, rng.uniform(0.05, 0.5))
    return truths, founds


def write_detections(
    run: Path, truths: list[Truth], founds: list[Found], policy: str, grids: bool = False
) -> None:
    """Add the tables of detections and annotated masks to a run folder.

    With ``grids`` the policy's masks are those at the grids that are its likeliest, and there are
    also the masks of the four fixed policies, and the tables ``pairs`` and ``areas``.
    """

    def row(value: Truth | Found) -> dict:
        names = ("box_x", "box_y", "box_w", "box_h")
        return {
            "image_id": value.image_id,
            "category_id": value.category_id,
            "image_width": WIDTH,
            "image_height": HEIGHT,
            "rle": value.rle["counts"].decode(),
            **dict(zip(names, value.box, strict=True)),
        }

    pd.DataFrame(
        [{**row(t), "annotation_id": t.id, "crowd": t.crowd, "area_px2": t.area} for t in truths]
    ).to_parquet(run / "truths-00000.parquet")
    p = np.random.default_rng(len(founds)).dirichlet(np.ones(4), len(founds))
    picked = p.argmax(axis=1)
    by_policy = {policy: founds}
    if grids:
        at = [at_grid(founds, g) for g in GRIDS]
        by_policy = {policy: [at[k][row] for row, k in enumerate(picked)]}
        by_policy |= {f"fixed:{g}": masks for g, masks in zip(GRIDS, at, strict=True)}
        write_pairs(run, truths, founds)
    policy_grids = {policy: picked} | {
        f"fixed:{g}": np.full(len(founds), k) for k, g in enumerate(GRIDS)
    }
    pd.DataFrame(
        [
            {
                **row(d),
                "detection_id": d.id,
                "policy": name,
                "score": d.score,
                "grid": GRIDS[k],
                **{f"p{g}": float(v) for g, v in zip(GRIDS, values, strict=True)},
            }
            for name, group in by_policy.items()
            for d, values, k in zip(group, p, policy_grids[name], strict=True)
        ]
    ).to_parquet(run / "detections-00000.parquet")


def at_grid(founds: list[Found], grid: int) -> list[Found]:
    """The same detections with masks in blocks of 8 px (grid 14) down to 1 px (grid 112)."""
    side = 112 // grid

    def blocky(mask: np.ndarray) -> np.ndarray:
        parts = mask.reshape(HEIGHT // side, side, WIDTH // side, side).mean(axis=(1, 3))
        return np.kron(parts >= 0.5, np.ones((side, side), bool))

    return [replace(d, rle=encode(blocky(mask_api.decode(d.rle)))) for d in founds]


def write_pairs(run: Path, truths: list[Truth], founds: list[Found]) -> None:
    """Add the tables of overlaps and of mask areas at every grid to a run folder."""
    both: dict[tuple[int, int], dict[str, float | None]] = {}
    names = [f"{prefix}{g}" for prefix in ("iou", "rim") for g in GRIDS]
    areas: dict[str, list] = {"detection_id": [d.id for d in founds]}
    for g in GRIDS:
        at = at_grid(founds, g)
        areas[f"area{g}"] = mask_api.area([d.rle for d in at]).astype(float).tolist()
        data = overlaps(truths, at)
        for prefix, cells in (("iou", data.masks), ("rim", data.boundaries)):
            for cell in cells:
                for d, t in np.argwhere(cell.iou > 0):
                    key = (int(cell.found[d]), int(cell.truth[t]))
                    both.setdefault(key, dict.fromkeys(names, 0.0))[f"{prefix}{g}"] = cell.iou[d, t]
        for d in at:
            for t in truths:
                other = d.image_id == t.image_id and d.category_id != t.category_id
                if other and not t.crowd:
                    iou = float(mask_api.iou([d.rle], [t.rle], [0])[0, 0])
                    both.setdefault((d.id, t.id), dict.fromkeys(names))[f"iou{g}"] = iou
    rows = [{"detection_id": d, "annotation_id": t, **v} for (d, t), v in both.items()]
    pd.DataFrame(rows).to_parquet(run / "pairs-00000.parquet")
    pd.DataFrame(areas).to_parquet(run / "areas-00000.parquet")
