"""The picture for people: a photo with its masks coloured by grid, and what they cost.

Numpy and OpenCV only. Masks are pasted box by box, never as full-size planes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from dynamask.errors import InputError
from dynamask.palette import FILL_ALPHA, GRID_COLOURS, GRID_DASHES, HALO_DARK, HALO_LIGHT, halo, rgb
from dynamask.paste import crop_mask
from dynamask.types import Instances

FONT = cv2.FONT_HERSHEY_SIMPLEX
OUTLINE_PX = 2  # in proportion on photos above LARGE_PX on the short side, 1 on thumbnails
LARGE_PX = 900
THUMBNAIL_PX = 240
LEGEND_TEXT_PX = 12  # height of a capital letter, in proportion on large photos
SMALLEST_TEXT_PX = 6  # below it nobody reads


def draw_overlay(image: np.ndarray, instances: Instances, *, legend: bool = True) -> np.ndarray:
    """Draw masks over their photo.

    The fill says which grid an object left at; so does the dash pattern of its outline. Large
    objects are drawn first, so that small ones stay visible on top of them.

    Args:
        image: (H, W, 3) uint8 RGB, the photo that the instances belong to.
        instances: the decoded objects.
        legend: add a strip at the bottom with the number of objects at each grid and the cost.

    Returns:
        (H', W, 3) uint8 RGB; H' is H, plus the strip's height where there is a legend.

    Raises:
        InputError: the image is of another size or type than the instances' photo.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(
            f"Expected a photo (H, W, 3) of uint8, got {image.dtype} {image.shape}; "
            "read files with dynamask.read_image."
        )
    if tuple(image.shape[:2]) != tuple(instances.image_size):
        raise InputError(
            f"Expected the photo of these objects, {instances.image_size} (height, width), got "
            f"{image.shape[:2]}; give the same photo that was analysed."
        )
    out = image.copy()
    width = _outline_px(image.shape)
    crops = [
        crop_mask(logits, box, instances.image_size, instances.threshold)
        for logits, box in zip(instances.mask_logits, instances.boxes_xyxy_px, strict=True)
    ]
    largest_first = sorted(range(len(crops)), key=lambda i: -int(crops[i][0].sum()))
    for i in largest_first:
        mask, corner = crops[i]
        _draw_object(out, mask, corner, int(instances.selection.grids[i]), width)
    if not legend:
        return out
    return np.concatenate((out, legend_strip(instances, image.shape[1], image.shape[0])))


def cost_line(instances: Instances) -> str:
    """One sentence: what the masks of this photo cost, and as a share of all objects at 112."""
    if not len(instances):
        return "no objects found"
    selection = instances.selection
    return f"{selection.total_gmac:.3g} GMAC in masks, {selection.share_of_full:.0%} of all-112"


def legend_strip(instances: Instances, width: int, height: int) -> np.ndarray:
    """Counts by grid and the cost line on a dark strip.

    Args:
        instances: whose counts and cost.
        width: of the strip in pixels; entries wrap onto more lines where it is narrow.
        height: of the photo, from which the text's size follows.

    Returns:
        (h, width, 3) uint8 RGB.
    """
    unit = max(LEGEND_TEXT_PX, round(LEGEND_TEXT_PX * min(width, height) / LARGE_PX))
    unit = max(SMALLEST_TEXT_PX, min(unit, width // 9))
    entries = [(g, f"{g}: {n}") for g, n in instances.selection.counts().items()]
    cell = max(_text_width(text, unit) for _, text in entries) + 3 * unit
    per_line = max(1, min(len(entries), (width - unit) // cell))
    if per_line == 3:
        per_line = 2  # two and two read better than three and one
    rows = [entries[i : i + per_line] for i in range(0, len(entries), per_line)]
    lines = _wrap(cost_line(instances), width - 2 * unit, unit)
    step = 2 * unit
    strip = np.empty((step * (len(rows) + len(lines)) + unit, width, 3), np.uint8)
    strip[:] = rgb(HALO_DARK)
    y = unit + unit // 2
    for row in rows:
        for k, (grid, text) in enumerate(row):
            x = unit + k * cell
            _swatch(strip, x, y - unit // 4, unit, grid)
            _text(strip, text, x + unit + unit // 2, y + unit // 2, unit)
        y += step
    for line, size in lines:
        _text(strip, line, unit, y + unit // 2, size)
        y += step
    return strip


def dashed_contour(
    canvas: np.ndarray, points: np.ndarray, dash: Sequence[int], colour: Sequence[int], width: int
) -> None:
    """Draw one closed contour with a dash pattern, in place.

    Args:
        canvas: (H, W, 3) uint8.
        points: (K, 2) integer x, y.
        dash: (on, off) in px; empty for a full line.
        colour: RGB 0..255.
        width: of the line in px.
    """
    if not dash:
        cv2.polylines(canvas, [points.reshape(-1, 1, 2)], True, colour, width, cv2.LINE_8)
        return
    for piece in _dashes(points, *dash):
        cv2.polylines(canvas, [piece.reshape(-1, 1, 2)], False, colour, width, cv2.LINE_8)


def _draw_object(
    canvas: np.ndarray, mask: np.ndarray, corner: tuple[int, int], grid: int, width: int
) -> None:
    if not mask.any():
        return
    x, y = corner
    colour = rgb(GRID_COLOURS[grid])
    region = canvas[y : y + mask.shape[0], x : x + mask.shape[1]]
    blended = (1 - FILL_ALPHA) * region[mask] + FILL_ALPHA * np.array(colour)
    region[mask] = np.rint(blended).astype(np.uint8)
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=corner
    )
    under = rgb(halo(GRID_COLOURS[grid]))
    dash = [max(2, length * width // OUTLINE_PX) for length in GRID_DASHES[grid]]
    for contour in contours:
        dashed_contour(canvas, contour[:, 0], dash, under, width + 2)
        dashed_contour(canvas, contour[:, 0], dash, colour, width)


def _dashes(points: np.ndarray, on: int, off: int) -> Iterator[np.ndarray]:
    """Pieces of a closed contour whose points are one pixel apart."""
    for start in range(0, len(points), on + off):
        piece = points[start : start + on]
        # OpenCV draws nothing for a line of one point
        yield piece if len(piece) > 1 else np.repeat(piece, 2, axis=0)


def _outline_px(shape: tuple[int, ...]) -> int:
    short = min(shape[:2])
    return 1 if short < THUMBNAIL_PX else max(OUTLINE_PX, round(OUTLINE_PX * short / LARGE_PX))


def _swatch(canvas: np.ndarray, x: int, y: int, size: int, grid: int) -> None:
    top = max(0, y - size // 2)
    cv2.rectangle(canvas, (x, top), (x + size, top + size), rgb(GRID_COLOURS[grid]), -1)
    cv2.rectangle(canvas, (x, top), (x + size, top + size), rgb(HALO_LIGHT), 1)


def _scale(size: float) -> tuple[float, int]:
    """OpenCV's font scale and stroke for capitals of ``size`` px."""
    return size / 21.0, max(1, round(size / 11))


def _text_width(text: str, size: float) -> int:
    scale, stroke = _scale(size)
    return cv2.getTextSize(text, FONT, scale, stroke)[0][0]


def _text(canvas: np.ndarray, text: str, x: int, baseline: int, size: float) -> None:
    scale, stroke = _scale(size)
    cv2.putText(canvas, text, (x, baseline), FONT, scale, rgb(HALO_LIGHT), stroke, cv2.LINE_AA)


def _wrap(text: str, room: int, size: int) -> list[tuple[str, float]]:
    """Break a sentence into (line, text size) that fit ``room`` px; smaller where a word is not."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _text_width(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return [(line, _fitting(line, room, size)) for line in lines]


def _fitting(line: str, room: int, size: int) -> float:
    wide = _text_width(line, size)
    return size if wide <= room else max(SMALLEST_TEXT_PX, size * room / wide)
