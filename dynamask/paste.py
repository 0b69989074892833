"""From box-local mask logits to pixels of the photo, and to COCO's RLE.

A cell (i, j) of an S x S grid covers its own part of the box, as RoIAlign with ``aligned=True``
sampled it; a pixel belongs to the object where the bilinearly sampled probability at the pixel's
centre is above the threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pycocotools.mask as coco_mask
from torch import Tensor

from dynamask.config import GRIDS

if TYPE_CHECKING:
    from dynamask.types import Instances


def crop_mask(
    logits: Tensor, box_xyxy_px: Tensor, image_size: tuple[int, int], threshold: float = 0.5
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return an object's mask inside its own box only.

    Args:
        logits: (S, S) mask logits.
        box_xyxy_px: (4,) in photo pixels; may reach outside the photo.
        image_size: (height, width) of the photo.
        threshold: mask probability above which a pixel belongs to the object.

    Returns:
        (h, w) bool, and (x, y) of its top-left pixel in the photo.
    """
    height, width = image_size
    x1, y1, x2, y2 = (float(v) for v in box_xyxy_px)
    columns = _pixels(x1, x2, width)
    rows = _pixels(y1, y2, height)
    values = logits.detach().cpu().numpy().astype(np.float64)
    probability = 1 / (1 + np.exp(-np.clip(values, -60, 60)))
    down = _interpolate(probability, rows, y1, y2)  # (h, S)
    mask = _interpolate(down.T, columns, x1, x2).T > threshold  # (h, w)
    return mask, (int(columns[0]), int(rows[0]))


def paste_mask(
    logits: Tensor, box_xyxy_px: Tensor, image_size: tuple[int, int], threshold: float = 0.5
) -> np.ndarray:
    """Return an object's mask as (height, width) bool; arguments as for :func:`crop_mask`."""
    crop, (x, y) = crop_mask(logits, box_xyxy_px, image_size, threshold)
    out = np.zeros(image_size, dtype=bool)
    out[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return out


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """(H, W) bool -> compressed COCO RLE, ``counts`` as text so that JSON takes it."""
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(s) for s in rle["size"]], "counts": rle["counts"].decode("ascii")}


def instances_to_coco(instances: Instances) -> list[dict[str, Any]]:
    """One JSON-able dict per object.

    Keys: ``bbox`` [x, y, w, h] in photo pixels, ``category``, ``score``, ``area_px2`` (the RLE's
    area), ``grid``, ``probabilities`` by grid (sum 1), ``gmac``, ``segmentation`` (compressed RLE
    of the whole photo).
    """
    selection = instances.selection
    objects = []
    for i in range(len(instances)):
        rle = instances.rle(i)
        x1, y1, x2, y2 = (float(v) for v in instances.boxes_xyxy_px[i])
        p = selection.probabilities[i].astype(np.float64)
        p = p / p.sum()
        objects.append(
            {
                "bbox": [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
                "category": instances.category(i),
                "score": round(float(instances.scores[i]), 4),
                "area_px2": int(coco_mask.area(rle)),
                "grid": int(selection.grids[i]),
                "probabilities": {str(g): float(v) for g, v in zip(GRIDS, p, strict=True)},
                "gmac": float(selection.gmac[i]),
                "segmentation": rle,
            }
        )
    return objects


def _pixels(low: float, high: float, size: int) -> np.ndarray:
    """Indices of the pixels whose centre lies in [low, high); at least one, inside the photo."""
    first = int(np.clip(np.ceil(low - 0.5), 0, size - 1))
    last = int(np.clip(np.ceil(high - 0.5), first + 1, size))
    return np.arange(first, last)


def _interpolate(values: np.ndarray, pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Sample rows of (S, K) values at pixel centres of a box side: (len(pixels), K)."""
    cells = len(values)
    at = (pixels + 0.5 - low) / max(high - low, 1e-6) * cells - 0.5
    at = np.clip(at, 0, cells - 1)
    before = np.minimum(at.astype(np.int64), cells - 2)
    weight = (at - before)[:, None]
    return values[before] * (1 - weight) + values[before + 1] * weight
