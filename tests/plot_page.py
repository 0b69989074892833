"""A page of plots for tests/browser/test_plotly_view.py: ``python tests/plot_page.py PORT``.

The widget, the routes and the headers are the app's; only the figures are made up.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gradio as gr

from analysis.figure_text import plain_text
from analysis.figures import THEMES, frame
from app import headers, plot_events
from app.theme import CSS_FILE, make_theme
from app.widgets import plotly_view
from app.widgets.plotly_view import PlotlyView
from dynamask.palette import GRID_COLOURS

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '<a href="javascript:alert(1)">click</a>',
    "<b>zebra</b>",
)


def dots(count: int, title: str) -> dict[str, Any]:
    """Points (i, i²) with ids 1 to ``count``."""
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "dots",
        "x": list(range(count)),
        "y": [i * i for i in range(count)],
        "ids": [str(i + 1) for i in range(count)],
        "marker": {
            "size": 12,
            "color": GRID_COLOURS[28],
            "line": {"color": THEMES["light"]["ink"]},
        },
    }
    return frame([trace], title, count, "x (no unit)", "y (no unit)")


def bars() -> dict[str, Any]:
    """Three classes whose names look like markup; two of them are for the widget to escape."""
    trace = {
        "type": "bar",
        "name": HOSTILE[0],
        "x": [*HOSTILE[:2], plain_text(HOSTILE[2])],
        "y": [1, 2, 3],
        "hovertext": [*HOSTILE[:2], plain_text(HOSTILE[2])],
        "hoverinfo": "text",
        "customdata": [{"category": name} for name in HOSTILE],
    }
    layout = {"xaxis": {"type": "category"}, "showlegend": True}
    return frame([trace], f"Title {HOSTILE[0]}", 3, HOSTILE[1], "count", **layout)


def heard(event: gr.EventData) -> str:
    """What Python made of a plot's event."""
    return str(plot_events.read_picked(event._data))


def build() -> gr.Blocks:
    """Two tabs, buttons that replace figures, one text that says what Python heard."""
    with gr.Blocks(analytics_enabled=False) as demo:
        said = gr.Textbox(label="Heard", elem_id="said")
        with gr.Row():
            new = gr.Button("New figure", elem_id="new")
            old = gr.Button("Old figure", elem_id="old")
            none = gr.Button("No figure", elem_id="none")
            other = gr.Button("Other bars", elem_id="other")
        with gr.Tabs():
            with gr.Tab("One"):
                first = PlotlyView(dots(8, "Eight dots"), elem_id="first")
                linked = [
                    PlotlyView(dots(8, f"Linked {name}"), link=True, elem_id=f"linked-{name}")
                    for name in "ab"
                ]
                empty = PlotlyView(None, empty="Nothing yet: press a button.", elem_id="empty")
            with gr.Tab("Two"):
                hidden = PlotlyView({"figure": bars(), "alt": "Three bars"}, elem_id="hidden")
        for view in (first, hidden, *linked):
            view.select(heard, None, said, show_progress="hidden")
        new.click(lambda: {"figure": dots(4, "Four dots"), "seq": 9, "selected": 2}, None, first)
        old.click(lambda: {"figure": dots(6, "Six dots"), "seq": 5}, None, first)
        other.click(lambda: dots(3, "Three dots"), None, hidden)
        none.click(lambda: (None, dots(5, "Five dots")), None, [first, empty])
    return demo


if __name__ == "__main__":
    build().launch(
        server_port=int(sys.argv[1]),
        theme=make_theme(),
        css="".join(Path(p).read_text(encoding="utf-8") for p in (CSS_FILE, plotly_view.CSS_FILE)),
        app_kwargs=headers.app_settings(),
        ssr_mode=False,
        prevent_thread_lock=True,
    )
    threading.Event().wait()
