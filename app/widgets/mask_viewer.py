"""MaskViewer: a photo with masks that can be hovered, clicked, cycled and added to.

Hovering, filtering and colours happen in the browser, without a request; an answer whose ``seq`` is
lower than that of one already shown is dropped. Python hears of:

- ``select`` ``{"id": int | None}``: an object was chosen, or none.
- ``draw`` ``{"box": [x1, y1, x2, y2]}``: a box was drawn, in photo pixels.
- ``move`` ``{"id": int, "box": [x1, y1, x2, y2]}``: a drawn box has another place or size.
- ``remove`` ``{"id": int}``: a drawn box is not wanted any more.
- ``renew`` ``{}``: another photo is wanted.
- ``export`` ``{"kind": str}``: a file is wanted, one of ``text_export.EXPORTS``.
- ``prefer`` ``{"colour": str, "fill": int}``: how the user likes the masks.

Plots of the same objects hear of it by events of the document, see ``plotly_view_link.js``. Read
what Python hears with :mod:`app.events`, since any value can arrive.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gradio.data_classes import FileData

from app.widgets.show_only import ShowOnly
from app.widgets.stubless import no_stub_files

_HERE = Path(__file__).resolve().parent
CSS_FILE = _HERE / "mask_viewer.css"
_SCRIPTS = (
    "mask_viewer_draw.js",
    "mask_viewer_filter.js",
    "mask_viewer_words.js",
    "mask_viewer_link.js",
    "mask_viewer_page.js",
    "mask_viewer.js",
)


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


with no_stub_files():

    class MaskViewer(ShowOnly):
        """Shows what :func:`app.picture.viewer_value` returns.

        Its value is that dict with one more key, ``photo``: the path of a JPEG in Gradio's cache.
        All texts reach the page as text nodes, so that a class called ``<img onerror=...>`` is
        only a name.
        """

        def __init__(self, value: dict[str, Any] | None = None, **kwargs: Any) -> None:
            super().__init__(
                value,
                html_template=_read("mask_viewer.html"),
                js_on_load="\n".join(map(_read, _SCRIPTS)),
                apply_default_css=False,
                **kwargs,
            )

        def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
            """What the front end can fetch, and the rest as one string of JSON.

            Gradio's front end clones a value and wraps every list in it, again and again: seconds
            for the outlines of a hundred objects. It leaves a string alone.
            """
            if not value or not isinstance(value.get("photo"), str):
                return value
            rest = {name: part for name, part in value.items() if name != "photo"}
            photo = FileData(path=value["photo"]).model_dump()
            return {"packed": json.dumps(rest, allow_nan=False), "photo": photo}

        def api_info(self) -> dict[str, Any]:
            """The value's type in API documents."""
            return {"type": "object"}
