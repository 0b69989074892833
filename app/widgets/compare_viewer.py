"""CompareViewer: two results on one photo, with a line to drag between them, crops and a table.

Dragging, zooming and the table happen in the browser, without a request; an answer whose ``seq`` is
lower than that of one already shown is dropped. Python hears of two things:

- ``select`` ``{"id": int | None}``: an object was chosen, or none.
- ``renew`` ``{}``: another photo is wanted.

Read them with :mod:`app.events`, since any value can arrive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradio.data_classes import FileData

from app.widgets.show_only import ShowOnly
from app.widgets.stubless import no_stub_files

_HERE = Path(__file__).resolve().parent
CSS_FILE = _HERE / "compare_viewer.css"


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


with no_stub_files():

    class CompareViewer(ShowOnly):
        """Shows what :func:`app.compare_view.viewer_value` returns.

        Its value is that dict with one more key, ``photo``: the path of a JPEG in Gradio's cache.
        Names reach the page as text nodes and attributes, never as markup.
        """

        def __init__(self, value: dict[str, Any] | None = None, **kwargs: Any) -> None:
            super().__init__(
                value,
                html_template=_read("compare_viewer.html"),
                js_on_load=_read("compare_viewer.js"),
                apply_default_css=False,
                **kwargs,
            )

        def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
            """Turn the photo's path into something that the front end can fetch."""
            if not value or not isinstance(value.get("photo"), str):
                return value
            return {**value, "photo": FileData(path=value["photo"]).model_dump()}

        def api_info(self) -> dict[str, Any]:
            """The value's type in API documents."""
            return {"type": "object"}
