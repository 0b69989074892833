"""What the CompareViewer draws: both masks of every object, their difference, and the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from analysis.compare_photo import (
    MaskPair,
    Totals,
    as_table,
    mask_pair,
    mask_pairs,
    measure,
    most_changed,
    totals,
)
from app import settings, text
from app import text_compare as words
from app.filmstrip import Window, mask_path, window_of
from app.picture import data_url, display_size, encode, object_name, to_display
from app.session import Decoded, Opened
from dynamask.config import GRIDS
from dynamask.palette import GRID_COLOURS, GRID_DASHES, ONLY_FIRST, ONLY_SECOND, halo, rgb

if TYPE_CHECKING:
    import pandas as pd

MOST_SHOWN = 6  # crops of the most changed objects
CROP_SIDE = 360  # px of such a crop's longer side
DIFFERENCE_ALPHA = 235
SMALL_CROP = 200  # px; a smaller crop is enlarged pixel by pixel instead of blurred


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two: its objects, and what the page calls it."""

    decoded: Decoded
    name: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """Both sides of a photo.

    Attributes:
        opened: the photo.
        a: the first side; ids and names of objects are its.
        b: the second, of the same boxes in the same order.
        truths: for each object its (H, W) bool true mask, or None.
    """

    opened: Opened
    a: Side
    b: Side
    truths: Sequence[np.ndarray | None] = field(default=())

    def truth(self, row: int) -> np.ndarray | None:
        """True mask of an object, where it is known."""
        return self.truths[row] if row < len(self.truths) else None


def viewer_value(made: Comparison, *, name: str, min_score: float) -> dict[str, Any]:
    """Everything that the CompareViewer needs, except the photo itself.

    Args:
        made: both sides.
        name: the photo's file name, for its label.
        min_score: for the sentence shown where nothing is found.
    """
    a, b = made.a.decoded.instances, made.b.decoded.instances
    height, width = display_size(a.image_size)
    difference = np.zeros((height, width, 4), dtype=np.uint8)
    rows, paths = [], []
    for pair in mask_pairs(a, b):
        rows.append(measure(a, b, pair, made.truth(pair.row)))
        paths.append([_path(mask, pair, a.image_size) for mask in (pair.a, pair.b)])
        _mark(difference, pair, a.image_size)
    table = as_table(rows)
    sums = totals(a, b, table)
    order = most_changed(table)["row"].tolist()
    scale = width / a.image_size[1]
    return {
        "key": made.opened.scene.key,
        "name": name,
        "width": width,
        "height": height,
        "objects": [_object(made, row, paths[row["row"]], scale) for row in rows],
        "order": [int(made.a.decoded.ids[row]) for row in order],
        "crops": [_crop(made, rows[row]) for row in order[:MOST_SHOWN]],
        "difference": data_url(encode(difference, ".png"), "image/png"),
        "colours": [ONLY_FIRST, ONLY_SECOND],
        "grids": {
            str(g): {"colour": GRID_COLOURS[g], "halo": halo(GRID_COLOURS[g]), "dash": _dash(g)}
            for g in GRIDS
        },
        "totals": _totals_table(made, sums),
        "totals_caption": words.TOTALS_CAPTION,
        "head": [*words.TABLE_HEAD, *(words.TABLE_TRUTH if sums.known else ())],
        "summary": _summary(sums),
        "hint": "" if len(a) else nothing_found(made.a.decoded.hidden, min_score),
        "notices": [*made.opened.notices, *made.a.decoded.notices],
    }


def nothing_found(hidden: int, min_score: float) -> str:
    """Why no object is compared; ``hidden`` as in :class:`app.session.Decoded`."""
    said = words.NOTHING_VOUCHED if hidden else words.NOTHING_FOUND
    return said.format(score=min_score)


def object_card(made: Comparison, object_id: int | None) -> str:
    """HTML: one object under A, under B, and the pixels that only one of them has."""
    row = made.a.decoded.row(object_id)
    if row is None:
        return empty_card()
    a, b = made.a.decoded.instances, made.b.decoded.instances
    pair = mask_pair(a, b, row)
    facts = measure(a, b, pair, made.truth(row))
    name = object_name(made.a.decoded, row)
    window = window_of(a.boxes_xyxy_px[row].numpy(), a.image_size)
    photo = _photo_image(made.opened.pixels, window, settings.CROP_SIDE)
    sides = "".join(
        _side_figure(letter, name, mask, pair, facts, window, photo, object_id in by_hand)
        for letter, mask, by_hand in (
            ("A", pair.a, made.a.decoded.by_hand),
            ("B", pair.b, made.b.decoded.by_hand),
        )
    )
    label = words.CARD_DIFFERENCE_LABEL.format(name=name)
    difference = _difference_svg(pair, window, photo, label, settings.CROP_SIDE)
    equal = not facts["only_a"] + facts["only_b"]
    only = words.CARD_EQUAL if equal else words.CARD_ONLY.format(**_some(facts, "only"))
    iou = words.CARD_IOU.format(iou=facts["iou"], biou=facts["boundary_iou"])
    truth = ""
    if not math.isnan(facts["truth_iou_a"]):
        said = words.CARD_TRUTH.format(a=facts["truth_iou_a"], b=facts["truth_iou_b"])
        truth = f"<p data-testid='compare-truth'>{escape(said)}</p>"
    return (
        '<section class="dm-card cv-card" data-testid="compare-detail" '
        f'data-selected="{int(made.a.decoded.ids[row])}"><h3>{escape(name)}</h3>'
        f"<div class='cv-figures'>{sides}<figure class='dm-frame'>{difference}<figcaption><strong>"
        f"{escape(words.CARD_DIFFERENCE)}</strong><span>{escape(only)}</span>"
        f"<span>{escape(iou)}</span></figcaption></figure></div>{truth}</section>"
    )


def empty_card(sentence: str = words.CARD_EMPTY) -> str:
    """The card while nothing is selected."""
    return (
        '<section class="dm-card cv-card" data-testid="compare-detail" data-selected="">'
        f"<h3>{escape(words.CARD_TITLE)}</h3><p class='dm-muted'>{escape(sentence)}</p></section>"
    )


# -- parts -----------------------------------------------------------------------------------


def _object(
    made: Comparison, facts: dict[str, Any], paths: list[str], scale: float
) -> dict[str, Any]:
    row, decoded = facts["row"], made.a.decoded
    return {
        "id": int(decoded.ids[row]),
        "name": object_name(decoded, row),
        "box": [round(float(v) * scale, 1) for v in decoded.instances.boxes_xyxy_px[row]],
        "area": max(facts["area_a"], facts["area_b"]),
        "grids": [facts["grid_a"], facts["grid_b"]],
        "paths": paths,
        "changed": bool(facts["changed"]),
        "cells": [
            f"{facts['iou']:.3f}",
            f"{facts['boundary_iou']:.3f}",
            _grid_cell(made.a.decoded, row, facts["grid_a"]),
            _grid_cell(made.b.decoded, row, facts["grid_b"]),
            f"{facts['area_a']:,}",
            f"{facts['area_b']:,}",
            text.gmac(facts["gmac_a"]),
            text.gmac(facts["gmac_b"]),
            *_truth_cells(facts, made),
        ],
    }


def _grid_cell(decoded: Decoded, row: int, grid: int) -> str:
    by_hand = int(decoded.ids[row]) in decoded.by_hand
    return words.BY_HAND_CELL.format(grid=grid) if by_hand else str(grid)


def _truth_cells(facts: dict[str, Any], made: Comparison) -> list[str]:
    if all(truth is None for truth in made.truths):
        return []
    values = (facts["truth_iou_a"], facts["truth_iou_b"])
    return ["\u2013" if math.isnan(v) else f"{v:.3f}" for v in values]


def _crop(made: Comparison, facts: dict[str, Any]) -> dict[str, Any]:
    """A small picture of a changed object; its markup has nothing of the user's in it."""
    row = facts["row"]
    a, b = made.a.decoded.instances, made.b.decoded.instances
    pair = mask_pair(a, b, row)
    window = window_of(a.boxes_xyxy_px[row].numpy(), a.image_size)
    photo = _photo_image(made.opened.pixels, window, CROP_SIDE)
    name = object_name(made.a.decoded, row)
    label = words.CROP_LABEL.format(name=name, iou=facts["iou"])
    return {
        "id": int(made.a.decoded.ids[row]),
        "name": name,
        "caption": words.CROP_CAPTION.format(**facts),
        "svg": data_url(
            _difference_svg(pair, window, photo, "", CROP_SIDE).encode(),
            "image/svg+xml",
        ),
        "label": label,
    }


def _side_figure(
    letter: str,
    name: str,
    mask: np.ndarray,
    pair: MaskPair,
    facts: dict[str, Any],
    window: Window,
    photo: str,
    by_hand: bool,
) -> str:
    low = letter.lower()
    grid = facts[f"grid_{low}"]
    colour, other = GRID_COLOURS[grid], halo(GRID_COLOURS[grid])
    path = mask_path(mask, pair.corner)
    label = words.CARD_FIGURE.format(name=name, side=letter, grid=grid)
    cost = words.CARD_COST.format(area=facts[f"area_{low}"], gmac=text.gmac(facts[f"gmac_{low}"]))
    title = words.CARD_SIDE_HAND if by_hand else words.CARD_SIDE
    title = title.format(side=letter, grid=grid)
    return (
        f'<figure class="dm-frame" data-testid="compare-{low}" data-grid="{grid}">'
        f'<svg viewBox="{_box(window)}" role="img" aria-label="{escape(label)}">{photo}'
        f'<path d="{path}" fill="{colour}" fill-opacity=".38" fill-rule="evenodd"/>'
        f'<path d="{path}" fill="none" stroke="{other}" stroke-width="3.5" class="line"/>'
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" class="line" '
        f'stroke-dasharray="{_dash(grid)}"/></svg>'
        f"<figcaption><strong><i style='background:{colour}'></i>{escape(title)}</strong>"
        f"<span>{escape(cost)}</span></figcaption></figure>"
    )


def _difference_svg(pair: MaskPair, window: Window, photo: str, label: str, most: int) -> str:
    """The crop in grey, what both have as an outline, and the pixels that only one has.

    Without a label it is a file of its own, with nothing of the user's in it.
    """
    x, y, w, h = window
    factor = min(1.0, most / max(w, h))
    size = (max(1, round(w * factor)), max(1, round(h * factor)))
    marks = np.zeros((size[1], size[0], 4), dtype=np.uint8)
    for part, colour in ((pair.only_a, ONLY_FIRST), (pair.only_b, ONLY_SECOND)):
        whole = np.zeros((h, w), dtype=np.float32)
        left, top = pair.corner[0] - x, pair.corner[1] - y
        whole[top : top + part.shape[0], left : left + part.shape[1]] = part
        # where a picture pixel covers several of the photo, one of them is enough to mark it
        shown = cv2.resize(whole, size, interpolation=cv2.INTER_AREA) if factor < 1 else whole
        marks[shown > 0] = _bgra(colour)
    url = data_url(encode_alpha(marks), "image/png")
    both = mask_path(pair.a & pair.b, pair.corner)
    alone = f'xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}"'
    about = f'role="img" aria-label="{escape(label)}"' if label else alone
    return (
        f'<svg {about} viewBox="{_box(window)}">'
        f'<g style="filter:grayscale(1) brightness(.8)">{photo}</g>'
        f'<path d="{both}" fill="#fff" fill-opacity=".28" fill-rule="evenodd" stroke="#fff" '
        'stroke-width="1" vector-effect="non-scaling-stroke"/>'
        f'<image href="{url}" x="{x}" y="{y}" width="{w}" height="{h}" preserveAspectRatio="none" '
        'style="image-rendering:pixelated"/></svg>'
    )


def _photo_image(pixels: np.ndarray, window: Window, most: int) -> str:
    """The crop of the photo as an SVG image that carries its own pixels."""
    x, y, w, h = window
    crop = pixels[y : y + h, x : x + w]
    factor = min(1.0, most / max(w, h))
    if factor < 1:
        size = (max(1, round(w * factor)), max(1, round(h * factor)))
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    url = data_url(encode(crop[..., ::-1], ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 88]), "image/jpeg")
    sharp = ' style="image-rendering:pixelated"' if max(w, h) < SMALL_CROP else ""
    return (
        f'<image href="{url}" x="{x}" y="{y}" width="{w}" height="{h}" '
        f'preserveAspectRatio="none"{sharp}/>'
    )


def encode_alpha(bgra: np.ndarray) -> bytes:
    """(H, W, 4) uint8 BGRA -> a PNG with transparency."""
    return encode(bgra, ".png", [cv2.IMWRITE_PNG_COMPRESSION, 6])


def _path(mask: np.ndarray, pair: MaskPair, image_size: tuple[int, int]) -> str:
    return mask_path(*to_display(mask, pair.corner, image_size, display_size(image_size)))


def _mark(picture: np.ndarray, pair: MaskPair, image_size: tuple[int, int]) -> None:
    """Colour the pixels that only one of the two has, in a (h, w, 4) display-sized picture."""
    size = display_size(image_size)
    for part, colour in ((pair.only_a, ONLY_FIRST), (pair.only_b, ONLY_SECOND)):
        shown, (x, y) = to_display(part, pair.corner, image_size, size)
        picture[y : y + shown.shape[0], x : x + shown.shape[1]][shown] = _bgra(colour)


def _bgra(colour: str) -> tuple[int, int, int, int]:
    red, green, blue = rgb(colour)
    return blue, green, red, DIFFERENCE_ALPHA


def _totals_table(made: Comparison, sums: Totals) -> dict[str, list[Any]]:
    """Head and one row for each side."""
    rows = []
    for letter, side, truth in (
        ("A", made.a, sums.truth_iou_a),
        ("B", made.b, sums.truth_iou_b),
    ):
        selection = side.decoded.instances.selection
        row = [
            letter,
            side.name,
            ", ".join(str(count) for count in selection.counts().values()),
            text.gmac(selection.total_gmac),
            f"{selection.share_of_full:.0%}",
        ]
        rows.append([*row, f"{truth:.3f}"] if sums.known else row)
    known = [words.TRUTH_HEAD.format(known=text.objects(sums.known))] if sums.known else []
    return {"head": [*words.TOTALS_HEAD, *known], "rows": rows}


def _summary(sums: Totals) -> str:
    if not sums.objects:
        return words.SUMMARY_NONE
    ratio = words.SUMMARY_RATIO.format(ratio=sums.ratio)
    if math.isnan(sums.ratio) or abs(sums.ratio - 1) < 0.005:
        ratio = words.SUMMARY_EVEN
    objects = text.objects(sums.objects)
    if not sums.changed:
        return f"{words.SUMMARY_SAME.format(objects=objects)} {ratio}"
    said = words.SUMMARY.format(
        changed=sums.changed, objects=objects, iou=sums.iou, biou=sums.boundary_iou
    )
    return f"{said} {ratio}"


def _some(facts: dict[str, Any], start: str) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key.startswith(start)}


def _box(window: Window) -> str:
    return " ".join(map(str, window))


def _dash(grid: int) -> str:
    return " ".join(map(str, GRID_DASHES[grid]))


def changed_table(made: Comparison) -> pd.DataFrame:
    """The numbers of all objects, for a file; with id and class in front."""
    a, b = made.a.decoded.instances, made.b.decoded.instances
    rows = [measure(a, b, pair, made.truth(pair.row)) for pair in mask_pairs(a, b)]
    table = as_table(rows)
    decoded = made.a.decoded
    table.insert(0, "object_id", [int(i) for i in decoded.ids])
    table.insert(1, "category", [object_name(decoded, row) for row in range(len(a))])
    for letter, side in (("a", made.a), ("b", made.b)):
        by_hand = [int(i) in side.decoded.by_hand for i in decoded.ids]
        table.insert(table.columns.get_loc(f"grid_{letter}") + 1, f"by_hand_{letter}", by_hand)
    return table.drop(columns="row")
