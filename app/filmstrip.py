"""The crop of one object and its film strip: the same crop at every grid, as sharp SVG.

Masks are vector outlines in photo pixels, so that they are crisp at any zoom; the photo's own
pixels lie under them once, and every frame refers to that one picture.
"""

from __future__ import annotations

from html import escape

import cv2
import numpy as np

from app import settings, text
from app import text_page as words
from app.picture import data_url, encode
from dynamask.config import GRIDS
from dynamask.palette import GRID_COLOURS, GRID_DASHES, halo
from dynamask.strip import Frame, Strip

CROP_ID = "dm-crop"
SMALL_CROP = 400  # px; a smaller one is enlarged without smoothing, so that it is not blurred
Window = tuple[int, int, int, int]


def window_of(box: np.ndarray, image_size: tuple[int, int]) -> Window:
    """(x, y, width, height) in photo pixels: the box and a small margin, inside the photo."""
    height, width = image_size
    margin = settings.CROP_MARGIN * max(box[2] - box[0], box[3] - box[1]) + 2
    x1, y1 = max(0, int(box[0] - margin)), max(0, int(box[1] - margin))
    x2, y2 = min(width, int(np.ceil(box[2] + margin))), min(height, int(np.ceil(box[3] + margin)))
    return x1, y1, max(1, x2 - x1), max(1, y2 - y1)


def source_svg(pixels: np.ndarray, window: Window) -> str:
    """An SVG of no size that holds the crop's pixels, for ``<use>`` in the frames.

    Args:
        pixels: (H, W, 3) uint8 RGB photo.
        window: from :func:`window_of`.
    """
    x, y, w, h = window
    crop = pixels[y : y + h, x : x + w]
    factor = min(1.0, settings.CROP_SIDE / max(w, h))
    if factor < 1:
        size = (max(1, round(w * factor)), max(1, round(h * factor)))
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    url = data_url(encode(crop[..., ::-1], ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 92]), "image/jpeg")
    sharp = " style='image-rendering:pixelated'" if max(w, h) < SMALL_CROP else ""
    return (
        f'<svg width="0" height="0" class="dm-source" aria-hidden="true"><defs>'
        f'<image id="{CROP_ID}" href="{url}" x="{x}" y="{y}" width="{w}" height="{h}" '
        f'preserveAspectRatio="none"{sharp}/></defs></svg>'
    )


def frame_svg(
    strip: Strip, frame: Frame, window: Window, box: np.ndarray, label: str, *, edges: bool = True
) -> str:
    """The crop with one frame's mask; the edge map lies in it, shown on demand by the page."""
    x, y, w, h = window
    colour, other = GRID_COLOURS[frame.grid], halo(GRID_COLOURS[frame.grid])
    dash = " ".join(map(str, GRID_DASHES[frame.grid]))
    path = mask_path(frame.mask, strip.corner)
    line = (
        f'<path d="{path}" fill="none" stroke="{other}" stroke-width="3.5" class="line"/>'
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" class="line" '
        f'stroke-dasharray="{dash}"/>'
    )
    return (
        f'<svg viewBox="{x} {y} {w} {h}" role="img" aria-label="{escape(label)}">'
        f'<use href="#{CROP_ID}"/>'
        f'<path d="{path}" fill="{colour}" fill-opacity=".38" fill-rule="evenodd"/>{line}'
        f"{_truth_path(strip, window)}{_edge_image(frame, box) if edges else ''}</svg>"
    )


def mask_path(mask: np.ndarray, corner: tuple[int, int]) -> str:
    """SVG path around a (h, w) bool mask, in photo pixels, a quarter pixel inside its edge."""
    # twice the size: the contour through pixel centres then runs along the pixel edges
    big = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, _ = cv2.findContours(big, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts = []
    for contour in contours:
        smooth = cv2.approxPolyDP(contour, 2 * settings.CONTOUR_SLACK, True).reshape(-1, 2)
        if len(smooth) > 2:
            points = (
                f"{px / 2 + 0.25 + corner[0]:g},{py / 2 + 0.25 + corner[1]:g}"
                for px, py in smooth.tolist()
            )
            parts.append(f"M{' '.join(points)}Z")
    return "".join(parts)


def strip_html(strip: Strip, window: Window, box: np.ndarray, chosen: int) -> str:
    """The four frames with their numbers, the chosen one framed.

    Args:
        strip: the object at every grid.
        window: of the crop.
        box: (4,) xyxy of the object.
        chosen: the grid that it has.
    """
    frames = "".join(_figure(strip, frame, window, box, chosen) for frame in strip.frames)
    known = strip.frames[0].truth_iou is not None
    about = text.CARD_STRIP_ABOUT.format(truth=text.CARD_STRIP_TRUTH if known else "")
    return (
        f"<h4>{escape(text.CARD_STRIP)}</h4><div class='dm-strip' data-testid='strip'>{frames}"
        f"</div><p class='dm-muted dm-small'>{escape(about)}</p>"
    )


def _figure(strip: Strip, frame: Frame, window: Window, box: np.ndarray, chosen: int) -> str:
    label = text.CARD_FRAME.format(grid=frame.grid, iou=frame.iou, biou=frame.boundary_iou)
    here = frame.grid == chosen
    rows = [words.FRAME_FINEST]
    if frame.grid != GRIDS[-1]:
        rows = [_pair(words.FRAME_IOU, frame.iou, words.FRAME_BOUNDARY, frame.boundary_iou)]
    if frame.truth_iou is not None and frame.truth_boundary_iou is not None:
        names = (words.FRAME_TRUTH, words.FRAME_TRUTH_BOUNDARY)
        rows.append(_pair(names[0], frame.truth_iou, names[1], frame.truth_boundary_iou))
    rows.append(words.FRAME_COST.format(gmac=text.gmac(frame.mac / 1e9), ms=frame.ms))
    mark = f"<span class='dm-chosen'>{words.FRAME_CHOSEN}</span>" if here else ""
    lines = "".join(f"<span>{row}</span>" for row in rows)
    return (
        f"<figure class='dm-frame{' chosen' if here else ''}' data-testid='frame-{frame.grid}' "
        f"data-iou='{frame.iou:.4f}'>{frame_svg(strip, frame, window, box, label)}<figcaption>"
        f"<strong><i style='background:{GRID_COLOURS[frame.grid]}'></i>{frame.grid}{mark}</strong>"
        f"{lines}</figcaption></figure>"
    )


def _pair(name: str, iou: float, boundary: str, boundary_iou: float) -> str:
    return f"{name} <b>{iou:.2f}</b> · {boundary} <b>{boundary_iou:.2f}</b>"


def _truth_path(strip: Strip, window: Window) -> str:
    if strip.truth is None:
        return ""
    x, y, w, h = window
    path = mask_path(strip.truth[y : y + h, x : x + w], (x, y))
    return (
        f'<path d="{path}" class="line truth" fill="none" stroke="#14161a" stroke-width="3"/>'
        f'<path d="{path}" class="line truth" fill="none" stroke="#fff" stroke-width="1.5"/>'
    )


def _edge_image(frame: Frame, box: np.ndarray) -> str:
    """The edge map over its box: cells of the grid, black to white, without smoothing."""
    grey = np.rint(255 * np.clip(frame.edge, 0, 1)).astype(np.uint8)
    url = data_url(encode(np.repeat(grey[..., None], 3, axis=2), ".png"), "image/png")
    x1, y1, x2, y2 = (float(v) for v in box)
    return (
        f'<image class="edge" href="{url}" x="{x1:g}" y="{y1:g}" width="{x2 - x1:g}" '
        f'height="{y2 - y1:g}" preserveAspectRatio="none" style="image-rendering:pixelated"/>'
    )
