"""The objects behind a mark: a gallery of patches, the facts of one, and its way into Inspect."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import pandas as pd

from analysis import dashboards
from analysis.filters import Filters, Queryable
from analysis.patches import patches, photo_sizes
from app import dataset_views as views
from app import text_dataset as words
from app.dataset_filters import FIRST, read_filters
from app.dataset_runs import Shelf, Shelved
from app.guard import sentences
from app.inspect_handlers import Handlers
from app.picture import encode
from app.plot_events import Picked, read_picked
from app.widgets.patch_grid import PatchGrid, grid_html, read_index
from dynamask.coco_read import CocoImage, photo_path
from dynamask.config import GRIDS
from dynamask.errors import DataError, InputError
from dynamask.palette import GRID_COLOURS

PAGE = 24  # patches that are drawn at once
N_FILTERS = len(FIRST)
FACTS = ("annotation_id", "image_id", "file_name", "category", "grid", "oracle_grid", "iou")
PLACE = ("box_x", "box_y", "box_w", "box_h")

Answer = dict[Any, Any]


class Behind:
    """The handlers of the gallery; a part of the Dataset tab's."""

    shelf: Shelf
    gallery: PatchGrid
    inspector: Handlers

    @sentences
    def on_mark(
        self, event: gr.EventData, visitor: Any, state: Any, _: Any, *controls: Any
    ) -> Answer:
        """Show the objects behind what was clicked or brushed."""
        picked = read_picked(event._data)
        mark = to_mark(picked)
        if mark is None:
            return self._idle()
        info = self.shelf.find(state["run"], visitor)
        run = self.shelf.open(info)
        filters = read_filters(*controls[:N_FILTERS])
        budget = views.check_budget(*controls[N_FILTERS:])
        found = dashboards.objects_behind(run, filters, mark, budget)
        kept = {
            "run": info.key,
            "rows": found[[*FACTS, *PLACE]].to_dict("records"),
            "photos": state["photos"],
            "filters": filters,
            "shown": [],
            "start": 0,
            "none": words.NONE_BEHIND.get(str(mark.get("error")), words.BEHIND_NONE),
        }
        return self._page(kept, info, run)

    @sentences
    def on_more(self, visitor: Any, kept: Any) -> Answer:
        """Draw the next patches."""
        if not kept:
            return self._idle()
        info = self.shelf.find(kept["run"], visitor)
        start = kept["start"] + PAGE
        kept = {**kept, "start": start if start < len(kept["rows"]) else 0}
        return self._page(kept, info, self.shelf.open(info))

    @sentences
    def on_patch(self, event: gr.EventData, visitor: Any, kept: Any) -> Answer:
        """Tell the facts of the patch that was clicked."""
        if not kept:
            raise InputError(words.PATCH_GONE)
        row = kept["shown"][read_index(event._data, len(kept["shown"]))]
        info = self.shelf.find(kept["run"], visitor)
        run = self.shelf.open(info)
        photo = self._photo_of(info, kept, row)
        return {
            self.facts: facts_html(run, kept["filters"], row),
            self.inspect: gr.update(
                visible=True,
                interactive=photo is not None,
                value=words.OPEN_IN_INSPECTOR if photo else words.OPEN_NEEDS_PHOTO,
            ),
            self.chosen: row,
        }

    @sentences
    def on_inspect(self, visitor: Any, kept: Any, row: Any, *controls: Any) -> Any:
        """Load the photo of the chosen object into the Inspect tab."""
        if not kept or not row:
            raise InputError(words.PATCH_GONE)
        info = self.shelf.find(kept["run"], visitor)
        path = self._photo_of(info, kept, row)
        if path is None:
            raise InputError(words.OPEN_NEEDS_PHOTO)
        image = int(row["image_id"])
        width, height = photo_sizes(self.shelf.open(info), [image])[image]
        return self.inspector.show_photo(path, (height, width), controls)

    @sentences
    def on_inspected(self, row: Any, state: Any, *controls: Any) -> Any:
        """Add the object's ground-truth box to the photo that Inspect has loaded, and select it."""
        if not row:
            raise InputError(words.PATCH_GONE)
        x, y, w, h = (float(row[name]) for name in PLACE)
        box = (x, y, x + w, y + h)
        shown = self.inspector.show_box(state, box, str(row["category"]), controls)
        return (*shown, gr.update(selected="inspect"))

    # -- parts -----------------------------------------------------------------------------

    def _page(self, kept: dict, info: Shelved, run: Queryable) -> Answer:
        """Draw the patches from ``kept["start"]`` on; one page at a time keeps answers small."""
        start, total = kept["start"], len(kept["rows"])
        rows = kept["rows"][start : start + PAGE]
        shown, seen, masked = [], False, True
        if rows:
            by_id = {int(r["annotation_id"]): r for r in rows}
            photos = self._folder(info, kept["photos"])
            for patch in patches(run, pd.DataFrame(rows), photos):
                jpeg = encode(patch.pixels[..., ::-1], ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 85])
                shown.append((jpeg, by_id[patch.annotation_id]))
                seen, masked = seen or patch.photo, masked and patch.masked
        notes = []
        if rows and not seen:
            public = self.shelf.public
            notes.append(words.PHOTOS_ABSENT_PUBLIC if public else words.PHOTOS_ABSENT)
        if rows and not masked:
            notes.append(words.MASKS_ABSENT)
        pictures = [(jpeg, caption(row)) for jpeg, row in shown]
        return {
            self.behind: {**kept, "shown": [row for _, row in shown]},
            self.gallery: grid_html(words.PATCHES, pictures),
            self.behind_line: line_html(total, start, len(shown), notes, kept["none"]),
            self.more: gr.update(visible=total > PAGE),
            **self._no_patch(),
        }

    def _idle(self) -> Answer:
        """Nothing is chosen."""
        return {
            self.behind: None,
            self.gallery: "",
            self.behind_line: f'<p class="dm-muted">{escape(words.BEHIND_IDLE)}</p>',
            self.more: gr.update(visible=False),
            **self._no_patch(),
        }

    def _no_patch(self) -> Answer:
        return {self.facts: "", self.chosen: None, self.inspect: gr.update(visible=False)}

    def _folder(self, info: Shelved, named: str) -> Path | None:
        return Path(named) if named and not self.shelf.public else self.shelf.photos(info)

    def _photo_of(self, info: Shelved, kept: dict, row: dict) -> Path | None:
        folder = self._folder(info, kept["photos"])
        name = str(row["file_name"])
        if folder is None or "\0" in name:
            return None
        try:
            path = photo_path(folder, CocoImage(0, name, 1, 1))
        except DataError:  # a name that leads out of the folder
            return None
        return path if os.path.isfile(path) else None


def to_mark(picked: Picked) -> dict[str, Any] | None:
    """What dashboards.objects_behind is asked for; None for nothing."""
    if picked.kind == "clear":
        return None
    if picked.mark is not None:
        return dict(picked.mark)
    if picked.more and picked.x and picked.y:  # too many points to name: the brushed rectangle
        return {"hex": [*picked.x, *picked.y]}
    return {"ids": list(picked.ids)} if picked.ids else None


def caption(row: dict[str, Any]) -> str:
    """One line under a patch."""
    return words.PATCH_CAPTION.format(
        category=row["category"],
        grid=_whole(row["grid"]),
        oracle=_whole(row["oracle_grid"]),
        iou=_share(row["iou"]),
    )


def line_html(total: int, start: int, shown: int, notes: list[str], none: str) -> str:
    """How many objects there are, or why there is ``none``, and what to know of the patches."""
    if not total:
        said = none
    elif total <= PAGE:
        said = words.BEHIND_ALL.format(count=total)
    else:
        most = words.BEHIND_MOST if total >= dashboards.MAX_BEHIND else words.BEHIND_COUNT
        said = most.format(count=total, first=start + 1, last=start + shown)
    lines = "".join(f'<p class="dm-muted dm-small">{escape(note)}</p>' for note in notes)
    return f'<p role="status" data-testid="behind">{escape(said)}</p>{lines}'


def facts_html(run: Queryable, filters: Filters, row: dict[str, Any]) -> str:
    """Everything the run knows of an object under the policy that is shown."""
    found = run.query(
        "SELECT * FROM objects WHERE annotation_id = ? AND policy = ? AND boxes = ? LIMIT 1",
        [int(row["annotation_id"]), filters.policy, filters.boxes],
    )
    title = words.OBJECT.format(id=row["annotation_id"], file=row["file_name"])
    if not len(found):
        return f'<div class="dm-card" data-testid="facts"><h3>{escape(title)}</h3></div>'
    full = found.iloc[0]
    facts = {
        "class": row["category"],
        "mask area": f"{float(full['area_px2']):,.0f} px²",
        "grid here, best grid": f"{_whole(row['grid'])}, {_whole(row['oracle_grid'])}",
        "mask IoU at this grid": _share(row["iou"]),
    }
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items())
    lines = "".join(
        f'<tr{" class=chosen" if g == row["grid"] else ""}><th scope="row">'
        f'<i style="background:{GRID_COLOURS[g]}"></i>{g}</th>'
        + "".join(f"<td>{_share(full.get(f'{c}{g}'))}</td>" for c in ("p", "iou", "biou"))
        + "</tr>"
        for g in GRIDS
    )
    heads = "".join(f'<th scope="col">{escape(h)}</th>' for h in words.FACT_HEADS)
    return (
        f'<div class="dm-card" data-testid="facts"><h3>{escape(title)}</h3><dl>{listed}</dl>'
        f'<table class="dm-facts"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>'
        "</div>"
    )


def _whole(value: Any) -> str:
    return words.UNKNOWN if value is None or value != value else str(int(value))


def _share(value: Any) -> str:
    known = value is not None and not pd.isna(value)
    return f"{float(value):.3f}" if known else words.UNKNOWN
