"""PlotlyView: the one way a plot reaches the page.

plotly.js comes from this server (:mod:`app.plotly_js`), once per page and only when a plot is first
seen. Colours follow the page's theme in the browser. An answer whose ``seq`` is lower than that of
one already shown is dropped. Python hears of

- ``select`` ``{"kind": "click" | "box" | "lasso" | "clear", "ids": [int], "more": bool,
  "mark": dict | None, "range": {"x": [a, b] | None, "y": [a, b] | None} | None}``

where ids are the points' ``ids`` or whole-number ``customdata``, and ``mark`` is the ``customdata``
of a clicked mark where that is a dictionary. Read it with :mod:`app.plot_events`, since any value
can arrive.

A plot with ``link=True`` is about the objects of the Inspect tab's photo: without any request it
shares the selection (``dm-select``) and filters (``dm-visible``) of the picture, and a brush keeps
only its objects there (``dm-pick``); see ``plotly_view_link.js``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from analysis.figure_text import neutral
from analysis.figures import THEMES, plain
from app import text_plots as words
from app.plotly_js import SCRIPT
from app.widgets.show_only import ShowOnly
from app.widgets.stubless import no_stub_files

_HERE = Path(__file__).resolve().parent
CSS_FILE = _HERE / "plotly_view.css"
_SCRIPTS = ("plotly_view_theme.js", "plotly_view.js", "plotly_view_link.js")
HEIGHT = 380  # px of a plot that names none


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


with no_stub_files():

    class PlotlyView(ShowOnly):
        """Shows a Plotly figure.

        Its value is None (an empty plot), a figure ``{"data": [...], "layout": {...}}``, or
        ``{"figure": figure, "seq": int, "again": bool, "selected": [ids], "alt": text,
        "title": text}``, all but the first optional. Numpy arrays may be among the data. What is
        said ``again`` is drawn only where the figure of that ``seq`` has not come.

        Args:
            value: the first figure.
            empty: what to read where there is none; say what to do next.
            height: px, where the figure's layout has none.
            link: share selection and filters with the picture of the Inspect tab.
        """

        def __init__(
            self,
            value: Any = None,
            *,
            empty: str = words.PLOT_EMPTY,
            height: int = HEIGHT,
            link: bool = False,
            **kwargs: Any,
        ) -> None:
            fixed = {
                "nothing": empty,
                "tall": height,
                "linked": link,
                "script": SCRIPT,
                "themes": THEMES,
                "failed": words.PLOT_FAILED,
            }
            # in the script itself: a plot in a tab that is first seen after it got its value has
            # lost its props by then
            head = f"const fixed = {json.dumps(fixed)};"
            super().__init__(
                value,
                html_template=_read("plotly_view.html"),
                js_on_load="\n".join([head, *map(_read, _SCRIPTS)]),
                apply_default_css=False,
                linked=link,
                **kwargs,
            )

        def postprocess(self, value: Any) -> dict[str, Any] | None:
            """A figure as the front end takes it: in plain JSON, without foreign markup."""
            return plot_value(value)

        def api_info(self) -> dict[str, Any]:
            """The value's type in API documents."""
            return {"type": "object"}


def plot_value(value: Any) -> dict[str, Any] | None:
    """The component's value as it is sent; see :class:`PlotlyView`.

    Raises:
        ValueError: no figure.
    """
    if value is None:
        return None
    if hasattr(value, "to_plotly_json"):
        value = value.to_plotly_json()
    if isinstance(value, dict) and "figure" not in value:
        value = {"figure": value}
    if not isinstance(value, dict) or not isinstance(value["figure"], dict):
        raise ValueError(f"Expected a figure as a dict, got {type(value).__name__}.")
    figure = value["figure"]
    if not isinstance(figure.get("data"), list | tuple):
        raise ValueError("Expected a figure with a list of traces under 'data', got none.")
    selected = value.get("selected")
    if isinstance(selected, int | np.integer):
        selected = [selected]
    return {
        "figure": neutral(
            {"data": plain(list(figure["data"])), "layout": plain(figure.get("layout") or {})}
        ),
        "seq": int(value.get("seq") or 0),
        "again": bool(value.get("again")),
        "selected": None if selected is None else [int(i) for i in selected],
        "alt": str(value.get("alt") or ""),
        "title": str(value.get("title") or ""),
    }
