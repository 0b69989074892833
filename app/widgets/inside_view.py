"""InsideView: what the model sees of the selected object, asked for only while it is looked at.

It hears the picture's ``dm-select`` and, while its section is open, sends Python

- ``select`` ``{"id": int}``: the pictures of this object are wanted.

Read it with :func:`app.events.read_id`, since any value can arrive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app import text_plots as words
from app.widgets.show_only import ShowOnly
from app.widgets.stubless import no_stub_files

_HERE = Path(__file__).resolve().parent
CSS_FILE = _HERE / "inside_view.css"

with no_stub_files():

    class InsideView(ShowOnly):
        """Shows what :func:`app.inside_pictures.inside_value` returns, ``id`` and ``seq``.

        Instead of pictures the value may have a sentence, ``problem``.
        """

        def __init__(self, value: dict[str, Any] | None = None, **kwargs: Any) -> None:
            super().__init__(
                value,
                html_template=(_HERE / "inside_view.html").read_text(encoding="utf-8"),
                js_on_load=(_HERE / "inside_view.js").read_text(encoding="utf-8"),
                apply_default_css=False,
                nothing=words.INSIDE_EMPTY,
                busy=words.INSIDE_BUSY,
                **kwargs,
            )

        def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
            """The value as it is: texts and ``data:`` URLs."""
            return value

        def api_info(self) -> dict[str, Any]:
            """The value's type in API documents."""
            return {"type": "object"}
