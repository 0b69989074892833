"""One inspected photo as one HTML file that needs nothing else: picture, masks, table, costs.

The masks are vector outlines over a JPEG, so the file stays small and is sharp at any zoom. The
page forbids itself everything but its own style and script, whose hashes are in its policy.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from app import text
from app import text_export as words
from app.picture import build_masks, data_url, display_jpeg, display_size, object_name
from app.session import Decoded, Opened
from dynamask.palette import FILL_ALPHA, GRID_COLOURS, GRID_DASHES, halo

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class StripFrame:
    """One picture of an object's film strip.

    Attributes:
        grid: 14, 28, 56 or 112.
        png: the crop with this grid's mask, as the bytes of a PNG file.
        gmac: what leaving at this grid costs.
        iou: mask IoU to the 112 mask, or None.
        boundary_iou: boundary IoU to the 112 mask, or None.
        chosen: whether the object left here.
    """

    grid: int
    png: bytes
    gmac: float
    iou: float | None = None
    boundary_iou: float | None = None
    chosen: bool = False


def page_html(
    opened: Opened,
    decoded: Decoded,
    *,
    name: str,
    strips: Mapping[int, Sequence[StripFrame]] | None = None,
) -> bytes:
    """Build the page.

    Args:
        opened: the photo.
        decoded: its objects.
        name: the photo's file name, shown as text.
        strips: object id to its film strip, for the objects that have one.

    Returns:
        UTF-8 HTML.
    """
    style, script = _asset("export_page.css"), _asset("export_page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    title = escape(words.PAGE_TITLE.format(name=name))
    body = (
        f"<h1>{title}</h1>{_figure(opened, decoded, name)}{_objects(decoded)}"
        f"{_costs(decoded)}{_strips(decoded, strips or {})}{_notes(opened, decoded)}"
        f"<footer>{escape(words.PAGE_MADE)}</footer>"
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head>"
        f"<body><main>{body}</main><script>{script}</script></body></html>"
    )
    return page.encode("utf-8")


@cache
def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _figure(opened: Opened, decoded: Decoded, name: str) -> str:
    height, width = display_size(opened.pixels.shape[:2])
    photo = data_url(display_jpeg(opened.pixels), "image/jpeg")
    masks = build_masks(decoded.instances, decoded.ids)
    largest_first = sorted(range(len(decoded.ids)), key=lambda row: -int(masks.areas[row]))
    groups = "".join(
        _mask(decoded, row, masks.outlines[row]) for row in largest_first if masks.outlines[row]
    )
    about = escape(words.PAGE_PICTURE.format(name=name))
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{about}">'
        f'<image href="{photo}" width="{width}" height="{height}"/>{groups}</svg></figure>'
    )


def _mask(decoded: Decoded, row: int, polygons: list[list[int]]) -> str:
    """One object: its outlines and holes as a path, twice, since a halo lies under the line."""
    grid = int(decoded.instances.selection.grids[row])
    colour = GRID_COLOURS[grid]
    # +0.5: outlines run through pixel centres
    path = "".join(
        "M"
        + "L".join(f"{x + 0.5:g} {y + 0.5:g}" for x, y in zip(p[::2], p[1::2], strict=True))
        + "Z"
        for p in polygons
    )
    dash = " ".join(map(str, GRID_DASHES[grid]))
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    label = escape(f"{object_name(decoded, row)}, grid {grid}")
    return (
        f'<g data-object="{int(decoded.ids[row])}" fill="{colour}" fill-rule="evenodd" '
        f'fill-opacity="{FILL_ALPHA}"><title>{label}</title>'
        f'<path d="{path}" stroke="{halo(colour)}" stroke-width="4"{dashed}/>'
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/></g>'
    )


def _objects(decoded: Decoded) -> str:
    heading = f"<h2>{escape(words.PAGE_OBJECTS)}</h2>"
    if not len(decoded.ids):
        return f"{heading}<p>{escape(words.PAGE_EMPTY)}</p>"
    head = "".join(f"<th scope='col'>{escape(c)}</th>" for c in words.PAGE_COLUMNS)
    rows = "".join(_row(decoded, row, area) for row, area in enumerate(_areas(decoded)))
    buttons = (
        f'<p><button type="button" id="all">{escape(words.PAGE_SHOW_ALL)}</button> '
        f'<button type="button" id="none">{escape(words.PAGE_HIDE_ALL)}</button> '
        f'<label><input type="checkbox" id="fill" checked> {escape(words.PAGE_FILL)}</label></p>'
    )
    return (
        f"{heading}{buttons}<div class='wide' tabindex='0'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _areas(decoded: Decoded) -> list[int]:
    return [int(found["area_px2"]) for found in decoded.instances.to_coco()]


def _row(decoded: Decoded, row: int, area: int) -> str:
    instances = decoded.instances
    object_id = int(decoded.ids[row])
    drawn = object_id >= decoded.first_drawn
    name = object_name(decoded, row)
    grid = int(instances.selection.grids[row])
    cells = (
        name,
        "\u2013" if drawn else f"{float(instances.scores[row]):.2f}",
        str(grid),
        f"{area:,}",
        text.gmac(float(instances.selection.gmac[row])),
    )
    toggle = (
        f'<input type="checkbox" checked data-toggle="{object_id}" '
        f'aria-label="{escape(words.PAGE_COLUMNS[0])} {escape(name)} {object_id}">'
    )
    swatch = (
        f'<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true">'
        f'<rect width="10" height="10" fill="{GRID_COLOURS[grid]}"/></svg>'
    )
    shown = "".join(
        f"<td>{swatch if i == 2 else ''}{escape(cell)}</td>" for i, cell in enumerate(cells)
    )
    return f'<tr data-row="{object_id}"><td>{toggle}</td><td>{object_id}</td>{shown}</tr>'


def _costs(decoded: Decoded) -> str:
    selection = decoded.instances.selection
    values = {
        "policy": selection.policy,
        "total": text.gmac(selection.total_gmac),
        "per_roi": text.gmac(selection.gmac_per_roi),
        "share": f"{selection.share_of_full:.0%}",
        "branch": text.gmac(selection.image_mac / 1e9),
    }
    rows = "".join(
        f"<tr><th scope='row'>{escape(label)}</th><td>{escape(values[key])}</td></tr>"
        for key, label in words.PAGE_COST_ROWS.items()
    )
    return f"<h2>{escape(words.PAGE_COSTS)}</h2><table id='costs'><tbody>{rows}</tbody></table>"


def _strips(decoded: Decoded, strips: Mapping[int, Sequence[StripFrame]]) -> str:
    parts = []
    for object_id, frames in strips.items():
        row = decoded.row(object_id)
        if row is None or not frames:
            continue
        title = words.PAGE_STRIP.format(name=object_name(decoded, row), id=object_id)
        parts.append(
            f"<h3>{escape(title)}</h3><div class='strip'>{''.join(map(_frame, frames))}</div>"
        )
    if not parts:
        return ""
    return f"<section><h2>{escape(words.PAGE_STRIPS)}</h2>{''.join(parts)}</section>"


def _frame(frame: StripFrame) -> str:
    facts = [f"{text.gmac(frame.gmac)} GMAC"]
    if frame.iou is not None:
        facts.append(words.PAGE_STRIP_IOU.format(iou=frame.iou))
    if frame.boundary_iou is not None:
        facts.append(words.PAGE_STRIP_BOUNDARY.format(iou=frame.boundary_iou))
    chosen = f" <b>{escape(words.PAGE_STRIP_CHOSEN)}</b>" if frame.chosen else ""
    return (
        f"<figure{' class=chosen' if frame.chosen else ''}>"
        f'<img src="{data_url(frame.png, "image/png")}" alt="grid {frame.grid}">'
        f"<figcaption>{frame.grid}{chosen}<br>{escape(', '.join(facts))}</figcaption></figure>"
    )


def _notes(opened: Opened, decoded: Decoded) -> str:
    notices = (*opened.notices, *decoded.notices)
    if not notices:
        return ""
    lines = "".join(f"<li>{escape(notice)}</li>" for notice in notices)
    return f"<h2>{escape(words.PAGE_NOTES)}</h2><ul>{lines}</ul>"
