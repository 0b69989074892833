"""The Published tab: the method's published comparison table, and which rows are ours to repeat."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from analysis.published import epochs, published_figure, published_table
from app import text_published as words
from app.widgets.plotly_view import PlotlyView
from app.widgets.sort_table import SortTable, sort_table_html
from dynamask.errors import DataError


class PublishedTab:
    """Builds the tab; nothing in it depends on a visitor."""

    def build(self) -> None:
        """Lay the tab out inside the current context."""
        gr.HTML(_paragraphs(words.INTRO), elem_id="dm-published-intro")
        self.plot = PlotlyView(
            figure(),
            empty=words.EMPTY,
            height=520,
            elem_id="dm-published-plot",
        )
        gr.HTML(f'<p class="dm-look"><b aria-hidden="true">?</b>{escape(words.CHART_HINT)}</p>')
        heads = list(words.HEADS)
        table = sort_table_html(
            words.TABLE, list(words.HEADS.values()), table_rows(), by=heads.index("AP")
        )
        self.table = SortTable(table, elem_id="dm-published-table")
        gr.HTML(_paragraphs(words.OURS, words.SOURCE), elem_id="dm-published-source")


def figure() -> dict[str, Any] | None:
    """The chart; None where the table is missing."""
    try:
        return published_figure("light")
    except DataError:
        return None


def table_rows() -> list[list[Any]]:
    """Rows of the table under ``text_published.HEADS``, the highest AP first.

    Unpublished numbers are None; a schedule comes with its epochs, by which it is sorted.
    """
    try:
        table = published_table("AP")
    except DataError:
        return []
    table["method"] += table["dagger"].map({True: words.DAGGER, False: ""})
    rows = []
    for row in table.to_dict("records"):
        cells = [row[name] for name in words.HEADS]
        cells[cells.index(row["schedule"])] = (row["schedule"], epochs(row["schedule"]))
        rows.append([None if c != c else c for c in cells])
    return rows


def _paragraphs(*sentences: str) -> str:
    return "".join(f"<p>{escape(s)}</p>" for s in sentences)
