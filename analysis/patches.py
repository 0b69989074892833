"""Pictures of single objects: a crop of the photo with the true outline, or its silhouette.

The true masks come from the run's table ``truths`` (see analysis.detections), so that silhouettes
can be drawn where the photos are not at hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from analysis.filters import Queryable
from dynamask.coco_read import CocoImage, read_photo
from dynamask.errors import DataError, InputError
from dynamask.palette import GRID_COLOURS, UNKNOWN_CLASS, halo, rgb

SIDE = 240  # px of a patch; a gallery shows it at half of that
MARGIN = 0.15  # of the box's longer side
MIN_CROP = 24  # px of the photo, so that a tiny object is seen with its surroundings
PAPER, SHAPE = (82, 82, 91), (212, 212, 216)  # neither dazzles on a light or a dark page
MAX_PIXELS = 60_000_000  # of a photo whose mask is unpacked


@dataclass(frozen=True, eq=False)
class Patch:
    """One object.

    Attributes:
        annotation_id: of the object.
        pixels: (SIDE, SIDE, 3) uint8 RGB.
        photo: whether the photo is in it; else the silhouette, or the box where there is no mask.
        masked: whether the true mask is known.
    """

    annotation_id: int
    pixels: np.ndarray
    photo: bool
    masked: bool


def patches(run: Queryable, objects: pd.DataFrame, photos: Path | None = None) -> Iterator[Patch]:
    """Draw objects, in their order.

    Args:
        run: the run that they are of.
        objects: rows of dashboards.objects_behind: annotation_id, image_id, file_name, box_x,
            box_y, box_w, box_h, grid.
        photos: folder of the photos; None draws silhouettes.
    """
    known = truths(run, [int(i) for i in objects["annotation_id"]])
    sizes = photo_sizes(run, [int(i) for i in objects["image_id"]])
    last: tuple[str, np.ndarray | None] = ("", None)  # neighbours are often on one photo
    for row in objects.itertuples(index=False):
        size = sizes.get(int(row.image_id))
        box = tuple(float(getattr(row, f"box_{k}")) for k in "xywh")
        name = str(row.file_name)
        if size is None or not np.isfinite(box).all():
            continue
        if name != last[0]:
            last = (name, _photo(photos, name, size))
        mask = _mask(known.get(int(row.annotation_id)), size)
        pixels = draw(last[1], mask, box, size, int(row.grid))
        yield Patch(int(row.annotation_id), pixels, last[1] is not None, mask is not None)


def truths(run: Queryable, ids: list[int]) -> dict[int, Any]:
    """Compressed RLE of the true masks by annotation id; {} where the run stores none."""
    have = run.query("SELECT table_name FROM information_schema.tables WHERE table_name = 'truths'")
    if not len(have):
        return {}
    found = run.query(
        "SELECT annotation_id, rle FROM truths WHERE annotation_id IN (SELECT unnest(?::BIGINT[]))",
        [ids],
    )
    return dict(zip((int(i) for i in found["annotation_id"]), found["rle"], strict=True))


def photo_sizes(run: Queryable, image_ids: list[int]) -> dict[int, tuple[int, int]]:
    """(width, height) in pixels by image id."""
    found = run.query(
        "SELECT image_id, any_value(image_width) AS w, any_value(image_height) AS h FROM objects "
        "WHERE image_id IN (SELECT unnest(?::BIGINT[])) GROUP BY 1",
        [image_ids],
    )
    return {
        int(i): (int(w), int(h))
        for i, w, h in found[["image_id", "w", "h"]].itertuples(index=False)
    }


def draw(
    photo: np.ndarray | None,
    mask: np.ndarray | None,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    grid: int,
) -> np.ndarray:
    """Draw one object.

    Args:
        photo: (H, W, 3) uint8 RGB, or None.
        mask: (H, W) bool, or None.
        box: x, y, width, height in photo pixels.
        size: (W, H) of the photo.
        grid: the chosen one, whose colour the outline has.

    Returns:
        (SIDE, SIDE, 3) uint8 RGB.
    """
    x0, y0, side = _square(box, size)
    scale = SIDE / side
    # a crop that leaves the photo is filled with paper
    matrix = np.array([[scale, 0, -x0 * scale], [0, scale, -y0 * scale]], dtype=np.float64)
    colour = GRID_COLOURS.get(grid, UNKNOWN_CLASS)
    if photo is not None:
        out = _warp(photo, matrix, cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA, PAPER)
    else:
        out = np.full((SIDE, SIDE, 3), PAPER, dtype=np.uint8)
    if mask is not None:
        shape = _warp(mask.astype(np.uint8) * 255, matrix, cv2.INTER_LINEAR, 0) > 127
        if photo is None:
            out[shape] = SHAPE
        lines = cv2.findContours(shape.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
    else:
        corners = np.array([[0, 0], [box[2], 0], [box[2], box[3]], [0, box[3]]])
        place = (corners + np.array([box[0] - x0, box[1] - y0])) * scale
        lines = [np.rint(place).astype(np.int32).reshape(-1, 1, 2)]
    cv2.drawContours(out, lines, -1, rgb(halo(colour)), 4, cv2.LINE_AA)
    cv2.drawContours(out, lines, -1, rgb(colour), 2, cv2.LINE_AA)
    return out


def _warp(source: np.ndarray, matrix: np.ndarray, how: int, fill: Any) -> np.ndarray:
    if how == cv2.INTER_AREA:  # warpAffine does not average: shrink the photo itself first
        scale = matrix[0, 0]
        shape = (max(1, round(source.shape[1] * scale)), max(1, round(source.shape[0] * scale)))
        factor = np.array([shape[0] / source.shape[1], shape[1] / source.shape[0]])
        source = cv2.resize(source, shape, interpolation=cv2.INTER_AREA)
        matrix = matrix.copy()
        matrix[:, :2] = matrix[:, :2] / factor
        how = cv2.INTER_LINEAR
    return cv2.warpAffine(
        source, matrix, (SIDE, SIDE), flags=how, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )


def _square(box: tuple[float, ...], size: tuple[int, int]) -> tuple[float, float, float]:
    x, y, w, h = box
    side = max(w, h) * (1 + 2 * MARGIN)
    side = min(max(side, MIN_CROP), float(max(size)))
    return x + w / 2 - side / 2, y + h / 2 - side / 2, max(side, 1.0)


def _photo(folder: Path | None, name: str, size: tuple[int, int]) -> np.ndarray | None:
    """The photo as the run saw it; None where it is missing, damaged or another one."""
    if folder is None or "\0" in name:
        return None
    try:
        return read_photo(folder, CocoImage(0, name, *size))
    except (DataError, InputError, OSError):
        return None


def _mask(rle: Any, size: tuple[int, int]) -> np.ndarray | None:
    if not isinstance(rle, str | bytes) or size[0] * size[1] > MAX_PIXELS:
        return None
    from pycocotools import mask as mask_api

    counts = rle.encode() if isinstance(rle, str) else rle
    return mask_api.decode({"size": [size[1], size[0]], "counts": counts}).astype(bool)
