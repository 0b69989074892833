"""What the MaskViewer draws: an id map, outlines, and one record for each object.

The id map is a PNG at display resolution in which red + 256 x green is an object's id, 0 where
there is none. Large objects are drawn first, so that small ones stay on top; outlines are complete
also where another object hides a part.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from app import settings, text
from app.session import Decoded, Opened
from dynamask.config import GRIDS
from dynamask.palette import GRID_COLOURS, GRID_DASHES, UNKNOWN_CLASS, class_colour, halo
from dynamask.paste import crop_mask
from dynamask.types import Instances

SIZES = (("small", 32**2, "#3b6fe0"), ("medium", 96**2, "#e08a1e"), ("large", math.inf, "#2fa36b"))
"""COCO's size bins by mask area in px² (name, upper end, colour)."""

SCORE_COLOURS = ("#443a83", "#31688e", "#21918c", "#5ec962", "#fde725")
"""Fifths of the score from 0 to 1, dark to bright (viridis)."""

SCORE_KEY = [[f"{i / 5:.1f} to {(i + 1) / 5:.1f}", c] for i, c in enumerate(SCORE_COLOURS)]


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of one photo at display resolution.

    Attributes:
        id_map: (h, w) uint16, an object's id or 0.
        areas: (N,) int64, area of each object in pixels of the photo (not of the display).
        outlines: per object, polygons as flat [x, y, x, y, ...] lists in display pixels.
        anchors: per object, (x, y) in display pixels well inside its visible part, or None.
    """

    id_map: np.ndarray
    areas: np.ndarray
    outlines: list[list[list[int]]]
    anchors: list[tuple[int, int] | None]


def display_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a photo as the page shows it; never enlarged."""
    factor = min(1.0, settings.DISPLAY_SIDE / max(image_size))
    height, width = (max(1, round(side * factor)) for side in image_size)
    return height, width


def display_jpeg(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB -> a JPEG at display size, without metadata."""
    height, width = display_size(pixels.shape[:2])
    if (height, width) != pixels.shape[:2]:
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return encode(pixels[..., ::-1], ".jpg", [cv2.IMWRITE_JPEG_QUALITY, settings.JPEG_QUALITY])


def build_masks(instances: Instances, ids: Sequence[int] | np.ndarray) -> Masks:
    """Paste objects into an id map.

    Args:
        instances: the objects.
        ids: (N,) their ids, 1 to 65535.
    """
    size = display_size(instances.image_size)
    crops = [
        crop_mask(logits, box, instances.image_size, instances.threshold)
        for logits, box in zip(instances.mask_logits, instances.boxes_xyxy_px, strict=True)
    ]
    areas = np.array([int(mask.sum()) for mask, _ in crops], dtype=np.int64)
    id_map = np.zeros(size, dtype=np.uint16)
    outlines: list[list[list[int]]] = [[] for _ in crops]
    for i in np.argsort(-areas, kind="stable"):
        mask, (x, y) = to_display(*crops[i], instances.image_size, size)
        view = id_map[y : y + mask.shape[0], x : x + mask.shape[1]]
        view[mask] = int(ids[i])
        outlines[i] = _outlines(mask, (x, y))
    anchors = [_anchor(id_map, int(object_id)) for object_id in ids]
    return Masks(id_map, areas, outlines, anchors)


def id_map_png(id_map: np.ndarray) -> bytes:
    """(h, w) uint16 -> a PNG, red + 256 x green = id; opaque, so that no browser scales colours."""
    bgr = np.zeros((*id_map.shape, 3), dtype=np.uint8)
    bgr[..., 2] = id_map & 0xFF
    bgr[..., 1] = id_map >> 8
    return encode(bgr, ".png", [cv2.IMWRITE_PNG_COMPRESSION, 1])  # as small, and far quicker


def encode(bgr: np.ndarray, suffix: str, options: list[int] | None = None) -> bytes:
    """(H, W, 3) uint8 BGR -> bytes of an image file."""
    done, data = cv2.imencode(suffix, np.ascontiguousarray(bgr), options or [])
    if not done:
        raise RuntimeError(f"no {suffix} encoder")
    return data.tobytes()


def data_url(data: bytes, kind: str) -> str:
    """Bytes as a ``data:`` URL, which needs no request of its own."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def viewer_value(
    opened: Opened, decoded: Decoded, *, name: str, min_score: float, select: int | None = None
) -> dict[str, Any]:
    """Everything that the MaskViewer needs, except the photo itself.

    Args:
        opened: the photo.
        decoded: its objects.
        name: the photo's file name, for its label.
        min_score: the smallest score, for the sentence shown where nothing is found.
        select: an id that becomes the selected one, or 0 for none of them; None leaves the
            selection as it is in the browser.
    """
    instances, selection = decoded.instances, decoded.instances.selection
    masks = build_masks(instances, decoded.ids)
    height, width = masks.id_map.shape
    counts = selection.counts()
    return {
        "key": opened.scene.key,
        "name": name,
        "width": width,
        "height": height,
        "photo_width": instances.image_size[1],
        "photo_height": instances.image_size[0],
        "idmap": data_url(id_map_png(masks.id_map), "image/png"),
        "objects": [
            _object(decoded, masks, row, int(object_id))
            for row, object_id in enumerate(decoded.ids)
        ],
        "grids": [
            {
                "grid": grid,
                "colour": GRID_COLOURS[grid],
                "halo": halo(GRID_COLOURS[grid]),
                "dash": list(GRID_DASHES[grid]),
                "count": counts[grid],
            }
            for grid in GRIDS
        ],
        "keys": {"score": SCORE_KEY, "size": [[n, c] for n, _, c in SIZES]},
        "select": select,
        "summary": text.objects(len(instances)),
        "cost": cost_line(instances),
        "hint": "" if len(instances) else _hint(decoded.hidden, min_score),
        "notices": [*opened.notices, *decoded.notices],
    }


def _hint(hidden: int, min_score: float) -> str:
    words = text.NOTHING_VOUCHED if hidden else text.NOTHING_FOUND
    return words.format(score=min_score)


def cost_line(instances: Instances) -> str:
    """One sentence: the masks' cost, and its share of all objects at grid 112."""
    if not len(instances):
        return text.COST_NONE
    selection = instances.selection
    return text.COST.format(
        gmac=text.gmac(selection.total_gmac), share=f"{selection.share_of_full:.0%}"
    )


def object_name(decoded: Decoded, row: int) -> str:
    """Class name of a row, or what a drawn box is called."""
    if int(decoded.ids[row]) >= decoded.first_drawn and int(decoded.instances.labels[row]) < 0:
        return text.DRAWN_NAME
    return decoded.instances.category(row)


def _object(decoded: Decoded, masks: Masks, row: int, object_id: int) -> dict[str, Any]:
    instances = decoded.instances
    selection = instances.selection
    drawn = object_id >= decoded.first_drawn
    label, score, area = int(instances.labels[row]), float(instances.scores[row]), masks.areas[row]
    size, size_colour = next((n, c) for n, most, c in SIZES if area < most)
    return {
        "id": object_id,
        "name": object_name(decoded, row),
        "drawn": drawn,
        "colours": {
            "class": class_colour(label),
            "score": UNKNOWN_CLASS if drawn else _score_colour(score),
            "size": size_colour,
            "instance": class_colour(object_id),
        },
        "score": None if drawn else round(score, 4),
        "size": size,
        "by_hand": object_id in decoded.by_hand,
        "box": [round(float(v), 1) for v in instances.boxes_xyxy_px[row]],
        "area": int(area),
        "grid": int(selection.grids[row]),
        "probs": [round(float(p), 6) for p in selection.probabilities[row]],
        "gmac": text.gmac(float(selection.gmac[row])),
        "outlines": masks.outlines[row],
        "anchor": masks.anchors[row],
    }


def _score_colour(score: float) -> str:
    return SCORE_COLOURS[min(int(score * len(SCORE_COLOURS)), len(SCORE_COLOURS) - 1)]


def to_display(
    mask: np.ndarray, corner: tuple[int, int], full: tuple[int, int], shown: tuple[int, int]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Sample a crop of the photo at the centres of display pixels; at least one pixel is left."""
    if full == shown:
        return mask, corner
    x, xs = _samples(corner[0], mask.shape[1], full[1], shown[1])
    y, ys = _samples(corner[1], mask.shape[0], full[0], shown[0])
    return mask[np.ix_(ys, xs)], (x, y)


def _samples(start: int, length: int, full: int, shown: int) -> tuple[int, np.ndarray]:
    """First display pixel of a crop along one axis, and where in the crop each one samples."""
    centres = (np.arange(shown) + 0.5) * full / shown
    inside = np.flatnonzero((centres >= start) & (centres < start + length))
    if not len(inside):
        nearest = min(int((start + length / 2) * shown / full), shown - 1)
        return nearest, np.array([length // 2])
    return int(inside[0]), (centres[inside] - start).astype(np.int64).clip(0, length - 1)


def _outlines(mask: np.ndarray, corner: tuple[int, int]) -> list[list[int]]:
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=corner
    )
    smooth = (cv2.approxPolyDP(c, settings.CONTOUR_SLACK, True) for c in contours)
    return [polygon.reshape(-1).tolist() for polygon in smooth if len(polygon) > 2]


def _anchor(id_map: np.ndarray, object_id: int) -> tuple[int, int] | None:
    """The pixel of an object that lies furthest from its edge, as (x, y)."""
    mask = (id_map == object_id).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(mask)
    if not width:
        return None
    inner = cv2.copyMakeBorder(
        mask[y : y + height, x : x + width], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0
    )
    depth = cv2.distanceTransform(inner, cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return x + int(column) - 1, y + int(row) - 1
