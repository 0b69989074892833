"""What the model sees of one object, as small pictures in ``data:`` URLs, with their words.

Cells stay cells: pictures have one pixel for each, and the page enlarges them without smoothing.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from app import text_plots as words
from app.picture import data_url, encode
from dynamask.config import GRIDS

if TYPE_CHECKING:
    from dynamask.inside import Inside

SIDE = 420  # units of the longer side of a picture with arrows
INK, ARROW = "#14161a", "#f3ff00"  # the arrow's halo, and its colour: seen on any photo

Part = dict[str, Any]


def inside_value(inside: Inside, pixels: np.ndarray, name: str) -> dict[str, Any]:
    """What :class:`app.widgets.inside_view.InsideView` shows of an object.

    Args:
        inside: from ``dynamask.inside.look_inside``.
        pixels: (H, W, 3) uint8 RGB photo.
        name: of the object.
    """
    crop = box_pixels(pixels, inside.box)
    parts = (_switch(inside, crop), _features(inside), _offsets(inside, crop), _edges(inside))
    return {
        "title": words.INSIDE_TITLE.format(name=name),
        "aspect": round(crop.shape[1] / crop.shape[0], 4),
        "parts": list(parts),
    }


def box_pixels(pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The photo's pixels under a box, (h, w, 3) uint8, at least one."""
    height, width = pixels.shape[:2]
    x1 = min(max(round(float(box[0])), 0), width - 1)
    y1 = min(max(round(float(box[1])), 0), height - 1)
    x2 = min(max(round(float(box[2])), x1 + 1), width)
    y2 = min(max(round(float(box[3])), y1 + 1), height)
    return pixels[y1:y2, x1:x2]


def _switch(inside: Inside, crop: np.ndarray) -> Part:
    side = inside.switch_crop.shape[0]
    odds = ", ".join(
        f"{p:.0%} to {grid}" for grid, p in zip(GRIDS, inside.probabilities.tolist(), strict=True)
    )
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    return {
        "kind": "switch",
        "title": words.INSIDE_SWITCH,
        "about": words.INSIDE_SWITCH_ABOUT.format(side=side, odds=odds),
        "pictures": [
            _picture(small, words.INSIDE_PHOTO.format(side=side)),
            _picture(inside.switch_crop, words.INSIDE_CELLS.format(share=inside.switch_share)),
        ],
    }


def _features(inside: Inside) -> Part:
    pictures = [
        _picture(
            picture,
            words.INSIDE_STAGE.format(
                grid=grid, channels=inside.channels[grid], share=inside.shares[grid]
            ),
        )
        for grid, picture in inside.features.items()
    ]
    return {
        "kind": "features",
        "title": words.INSIDE_FEATURES,
        "about": words.INSIDE_FEATURES_ABOUT,
        "pictures": pictures,
    }


def _offsets(inside: Inside, crop: np.ndarray) -> Part:
    from dynamask.inside import arrows, mean_length, stretch

    pictures = []
    for grid, offsets in inside.offsets.items():
        lattice = arrows(offsets)
        k = stretch(lattice)
        drawn = words.INSIDE_ARROWS_LONGER.format(k=k) if k > 1 else words.INSIDE_ARROWS_TRUE
        caption = words.INSIDE_ARROWS.format(grid=grid, mean=mean_length(offsets), drawn=drawn)
        svg = arrows_svg(lattice, k, crop)
        pictures.append({"url": data_url(svg.encode(), "image/svg+xml"), "caption": caption})
    return {
        "kind": "offsets",
        "title": words.INSIDE_OFFSETS,
        "about": words.INSIDE_OFFSETS_ABOUT,
        "pictures": pictures,
    }


def _edges(inside: Inside) -> Part:
    pictures = []
    for grid, edge in inside.edges.items():
        grey = np.rint(255 * np.clip(edge, 0, 1)).astype(np.uint8)
        coloured = cv2.applyColorMap(grey, cv2.COLORMAP_CIVIDIS)[..., ::-1]
        caption = words.INSIDE_EDGE.format(grid=grid, most=float(edge.max()))
        pictures.append(_picture(coloured, caption))
    return {
        "kind": "edges",
        "title": words.INSIDE_EDGES,
        "about": words.INSIDE_EDGES_ABOUT,
        "pictures": pictures,
    }


def _picture(rgb: np.ndarray, caption: str) -> dict[str, str]:
    return {"url": data_url(encode(rgb[..., ::-1], ".png"), "image/png"), "caption": caption}


def arrows_svg(lattice: np.ndarray, longer: int, crop: np.ndarray) -> str:
    """The object's pixels, darkened, with an arrow for each place.

    Args:
        lattice: (K, 4) starts and displacements as parts of the box, see ``inside.arrows``.
        longer: how many times longer than they are arrows are drawn.
        crop: (h, w, 3) uint8 RGB pixels under the box.
    """
    height, width = crop.shape[:2]
    unit = SIDE / max(height, width)
    w, h = width * unit, height * unit
    shrink = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    photo = data_url(encode(small[..., ::-1], ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 80]), "image/jpeg")
    scale = np.array([w, h])
    starts, moves = lattice[:, :2] * scale, lattice[:, 2:] * scale * longer
    shafts, dots = [], []
    for (x, y), (dx, dy) in zip(starts.tolist(), moves.tolist(), strict=True):
        dots.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6"/>')
        length = float(np.hypot(dx, dy))
        if length < 1.5:  # only its dot would be seen
            continue
        head = min(5.0, 0.5 * length) / length
        ux, uy = dx * head, dy * head
        tip = f"{x + dx:.1f},{y + dy:.1f}"
        left = f"{x + dx - ux - 0.6 * uy:.1f},{y + dy - uy + 0.6 * ux:.1f}"
        right = f"{x + dx - ux + 0.6 * uy:.1f},{y + dy - uy - 0.6 * ux:.1f}"
        shafts.append(f"M{x:.1f},{y:.1f}L{tip}M{left}L{tip}L{right}")
    path = "".join(shafts)
    line = f'fill="none" stroke-linecap="round" stroke-linejoin="round" d="{path}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:.1f} {h:.1f}" width="{w:.0f}" '
        f'height="{h:.0f}" preserveAspectRatio="none"><image href="{escape(photo)}" '
        f'width="{w:.1f}" height="{h:.1f}" preserveAspectRatio="none"/>'
        f'<rect width="{w:.1f}" height="{h:.1f}" fill="#0c0e14" fill-opacity=".45"/>'
        f'<path {line} stroke="{INK}" stroke-width="4"/><path {line} stroke="{ARROW}" '
        f'stroke-width="1.8"/><g fill="{ARROW}">{"".join(dots)}</g></svg>'
    )
