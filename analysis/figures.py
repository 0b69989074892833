"""Plotly figures as plain dictionaries, of the numbers in selection: shares, probabilities, maps.

Every figure has a title with n, units on both axes, 95 % intervals where it shows a mean, and on
every mark a ``customdata`` dictionary that :func:`analysis.dashboards.objects_behind` reads.
Nothing here needs plotly: the page and the report bring plotly.js.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd

from analysis.figure_text import plain_text
from dynamask.config import GRIDS
from dynamask.palette import GRID_COLOURS, GRID_DASHES, halo

Figure = dict[str, Any]

NOTHING_CHARACTERS = 32  # of a line in an empty plot; 300 px wide at 15 px
AREA_TITLE = "mask area (px², log scale)"
THEMES = {
    "light": {"ink": "#27272a", "soft": "#d4d4d8", "paper": "#ffffff", "accent": "#4f46e5"},
    "dark": {"ink": "#e4e4e7", "soft": "#3f3f46", "paper": "#18181b", "accent": "#a5b4fc"},
}
SYMBOLS = {14: "circle", 28: "square", 56: "diamond", 112: "triangle-up"}
LEVELS = [[i / 3, GRID_COLOURS[g]] for i, g in enumerate(GRIDS)]
"""Colour scale from grid 14 (0) to 112 (1)."""


def frame(
    data: list[dict],
    title: str,
    n: int,
    x: str,
    y: str,
    *,
    theme: str = "light",
    note: str = "",
    **layout: Any,
) -> Figure:
    """Put traces into a figure with the house's title, axes and colours.

    Args:
        data: traces.
        title: one line.
        n: number of objects shown.
        x: title of the x axis with its unit.
        y: title of the y axis with its unit.
        theme: ``light`` or ``dark``.
        note: one line below the title, for example the filters.
        **layout: more of plotly's layout; ``xaxis`` and ``yaxis`` are merged into ours.

    Returns:
        ``{"data": [...], "layout": {...}}``, ready for JSON.
    """
    colours = THEMES[theme]
    subtitle = f"n = {n:,}" + (f" · {plain_text(note)}" if note else "")
    axis = {
        "gridcolor": colours["soft"],
        "linecolor": colours["soft"],
        "zerolinecolor": colours["soft"],
        "automargin": True,
    }
    base = {
        "title": {
            "text": f"{title}<br><span style='font-size:0.75em'>{subtitle}</span>",
            "x": 0.01,
            "xanchor": "left",
        },
        "paper_bgcolor": colours["paper"],
        "plot_bgcolor": colours["paper"],
        "font": {"color": colours["ink"], "family": "system-ui, sans-serif", "size": 13},
        "margin": {"l": 60, "r": 20, "t": 70, "b": 55},
        "legend": {"orientation": "h", "y": -0.22},
        "hoverlabel": {"align": "left"},
        "clickmode": "event",
        "meta": {"title": title, "n": int(n)},
    }
    for name, words in (("xaxis", x), ("yaxis", y)):
        base[name] = {**axis, "title": {"text": words}, **layout.pop(name, {})}
    if not n and not layout.get("annotations"):
        layout["annotations"] = [nothing("No object passes the filters; widen them.")]
        for name in ("xaxis", "yaxis"):  # numbers along an empty plot would mean nothing
            base[name] |= {"showticklabels": False, "showgrid": False, "zeroline": False}
    return {"data": [plain(t) for t in data], "layout": plain({**base, **layout})}


def nothing(words: str) -> dict:
    """An annotation in the middle of an empty plot, in lines that a narrow plot has room for."""
    place = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
    lines = "<br>".join(textwrap.wrap(words, NOTHING_CHARACTERS, break_long_words=False))
    return {"text": lines, "showarrow": False, "font": {"size": 15}, **place}


def empty(title: str, words: str, theme: str = "light") -> Figure:
    """A figure that says why there is nothing to see."""
    hidden = {"visible": False}
    return frame(
        [], title, 0, "", "", theme=theme, annotations=[nothing(words)], xaxis=hidden, yaxis=hidden
    )


def plain(value: Any) -> Any:
    """Numbers and arrays of numpy and pandas as JSON's own; NaN and infinities as None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | pd.Series | pd.Index):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return None if value is pd.NA else value


def dash(grid: int) -> str:
    """Plotly's dash of a grid's line."""
    return "solid" if not GRID_DASHES[grid] else ",".join(f"{v}px" for v in GRID_DASHES[grid])


def log_ticks(low: float, high: float) -> dict:
    """Axis ticks at whole decades for values that are already log10."""
    decades = list(range(int(np.floor(low)), int(np.ceil(high)) + 1))
    text = [f"{10**d:,}" if d < 7 else f"1e{d}" for d in decades]
    return {"tickvals": decades, "ticktext": text}


def share_by_area(table: pd.DataFrame, theme: str = "light", note: str = "") -> Figure:
    """Stacked shares of the grids against mask area; see selection.by_area."""
    middle = np.sqrt(table["low_px2"] * table["high_px2"]) if len(table) else pd.Series(dtype=float)
    table = table.assign(x=np.log10(middle.astype(float)), key=None)
    marks = [
        {"bin": int(b), "grid": int(g)} for b, g in zip(table["bin"], table["grid"], strict=True)
    ]
    ticks = log_ticks(table["x"].min(), table["x"].max()) if len(table) else {}
    return _stacked(
        table.assign(mark=marks),
        "Which grid objects of a size get",
        AREA_TITLE,
        theme,
        note,
        {"xaxis": ticks},
    )


def share_by_class(
    table: pd.DataFrame, theme: str = "light", note: str = "", most: int = 40
) -> Figure:
    """Stacked shares of the grids for the commonest classes; see selection.by_class."""
    names = list(dict.fromkeys(table["bin"]))
    kept = names[:most]
    if len(names) > most:
        note = f"the {most} commonest of {len(names)} classes" + (f" · {note}" if note else "")
    n = int(table.drop_duplicates("bin")["n"].sum())
    table = table[table["bin"].isin(kept)]
    marks = [
        {"category": c, "grid": int(g)} for c, g in zip(table["bin"], table["grid"], strict=True)
    ]
    layout = {"xaxis": {"type": "category", "tickangle": -45}}
    table = table.assign(x=[plain_text(name) for name in table["bin"]], mark=marks)
    return _stacked(table, "Which grid objects of a class get", "class", theme, note, layout, n)


def share_by_complexity(table: pd.DataFrame, theme: str = "light", note: str = "") -> Figure:
    """Stacked shares against the outline at equal size; see selection.by_complexity."""
    marks = [
        {"level": int(b), "grid": int(g)} for b, g in zip(table["bin"], table["grid"], strict=True)
    ]
    each = table.drop_duplicates("bin")
    ticks = {
        "tickvals": each["bin"],
        "ticktext": [f"{c:.2f}" for c in each["compactness"]],
        "title": {"text": "mean compactness 4πA/P² of five groups, round to ragged (no unit)"},
    }
    table = table.assign(x=table["bin"], mark=marks)
    return _stacked(
        table, "Ragged outlines at equal size", "compactness", theme, note, {"xaxis": ticks}
    )


def _stacked(
    table: pd.DataFrame,
    title: str,
    x: str,
    theme: str,
    note: str,
    layout: dict,
    n: int | None = None,
) -> Figure:
    data = []
    for grid in GRIDS:
        rows = table[table["grid"] == grid]
        hover = [
            f"grid {grid}: {s:.1%} ({a:.1%} to {b:.1%})<br>{c:,} of {m:,} objects"
            for s, a, b, c, m in zip(
                rows["share"],
                rows["share_low"],
                rows["share_high"],
                rows["count"],
                rows["n"],
                strict=True,
            )
        ]
        data.append(
            {
                "type": "bar",
                "name": f"grid {grid}",
                "x": rows["x"],
                "y": rows["share"],
                "marker": {
                    "color": GRID_COLOURS[grid],
                    "line": {"color": THEMES[theme]["ink"], "width": 0.5},
                },
                "customdata": rows["mark"],
                "hovertext": hover,
                "hoverinfo": "text",
            }
        )
    for grid in GRIDS[:-1]:
        rows = table[table["grid"] == grid]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": rows["x"],
                "y": rows["upto"],
                "marker": {"size": 1, "color": THEMES[theme]["ink"]},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": rows["upto_high"] - rows["upto"],
                    "arrayminus": rows["upto"] - rows["upto_low"],
                    "color": THEMES[theme]["ink"],
                    "thickness": 1,
                    "width": 2,
                },
                "showlegend": False,
                "hoverinfo": "skip",
            }
        )
    n = int(table.drop_duplicates("bin")["n"].sum()) if n is None else n
    y = "share of objects (whiskers: 95 %)"
    yaxis = {"range": [0, 1.02], "tickformat": ".0%"}
    return frame(
        data, title, n, x, y, theme=theme, note=note, barmode="stack", bargap=0.08, yaxis=yaxis,
        **layout,
    )  # fmt: skip


def probability_by_area(table: pd.DataFrame, theme: str = "light", note: str = "") -> Figure:
    """The switch's mean probability of each grid against mask area, with 95 % bands."""
    x = np.log10(np.sqrt(table["low_px2"] * table["high_px2"]).astype(float))
    table = table.assign(x=x)
    data = []
    for grid in GRIDS:
        rows = table[table["grid"] == grid]
        colour = GRID_COLOURS[grid]
        data.append(band(rows["x"], rows["probability_low"], rows["probability_high"], colour))
        under = {"color": halo(colour), "width": 4.5}
        line = {"type": "scatter", "mode": "lines", "x": rows["x"], "y": rows["probability"]}
        data.append({**line, "line": under, "showlegend": False, "hoverinfo": "skip"})
        marks = [{"bin": int(b)} for b in rows["bin"]]
        data.append(
            {
                **line,
                "mode": "lines+markers",
                "name": f"grid {grid}",
                "line": {"color": colour, "width": 2.5, "dash": dash(grid)},
                "marker": {
                    "symbol": SYMBOLS[grid],
                    "size": 7,
                    "line": {"color": THEMES[theme]["ink"], "width": 1},
                },
                "customdata": marks,
                "hovertext": [
                    f"grid {grid}: {p:.3f} ({a:.3f} to {b:.3f})<br>{m:,} objects"
                    for p, a, b, m in zip(
                        rows["probability"],
                        rows["probability_low"],
                        rows["probability_high"],
                        rows["n"],
                        strict=True,
                    )
                ],
                "hoverinfo": "text",
            }
        )
    n = int(table.drop_duplicates("bin")["n"].sum())
    ticks = log_ticks(table["x"].min(), table["x"].max()) if len(table) else {}
    y = "mean probability (bands: 95 %)"
    title = "What the switch thinks of each grid"
    return frame(data, title, n, AREA_TITLE, y, theme=theme, note=note, xaxis=ticks)


def band(x: pd.Series, low: pd.Series, high: pd.Series, colour: str) -> dict:
    """A shaded interval."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return {
        "type": "scatter",
        "x": [*x, *list(x)[::-1]],
        "y": [*high, *list(low)[::-1]],
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},0.25)",
        "line": {"width": 0},
        "mode": "lines",
        "showlegend": False,
        "hoverinfo": "skip",
    }


def map_of_objects(
    points: pd.DataFrame, aggregated: bool, theme: str = "light", note: str = ""
) -> Figure:
    """Objects by area and compactness, coloured by grid; hexagons where there are too many."""
    title, y = "Size, outline and grid of every object", "compactness 4πA/P² (no unit)"
    ticks = log_ticks(points["log10_area"].min(), points["log10_area"].max()) if len(points) else {}
    data: list[dict] = []
    if aggregated:
        bar = {"title": {"text": "mean grid"}, "tickvals": [0, 1, 2, 3], "ticktext": list(GRIDS)}
        size = 5 + 12 * np.sqrt(points["n"] / points["n"].max())
        marks = points[["low10", "high10", "low_c", "high_c"]].to_numpy().round(5).tolist()
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": points["log10_area"],
                "y": points["compactness"],
                "marker": {
                    "symbol": "hexagon2",
                    "size": size.round(1),
                    "color": points["level"],
                    "colorscale": LEVELS,
                    "cmin": 0,
                    "cmax": 3,
                    "colorbar": bar,
                    "line": {"width": 0.5, "color": THEMES[theme]["ink"]},
                },
                "customdata": [{"hex": m} for m in marks],
                "hovertext": [f"{m:,} objects" for m in points["n"]],
                "hoverinfo": "text",
            }
        )
        n = int(points["n"].sum())
        return frame(data, title, n, AREA_TITLE, y, theme=theme, note=note, xaxis=ticks)
    for grid in GRIDS:
        rows = points[points["grid"] == grid]
        data.append(
            {
                "type": "scattergl",
                "mode": "markers",
                "name": f"grid {grid}",
                "x": np.round(rows["log10_area"].to_numpy(np.float64), 3),
                "y": np.round(rows["compactness"].to_numpy(np.float64), 3),
                "marker": {"color": GRID_COLOURS[grid], "symbol": SYMBOLS[grid], "size": 6},
                "customdata": rows["annotation_id"],
                "hoverinfo": "x+y+name",
            }
        )
    return frame(data, title, len(points), AREA_TITLE, y, theme=theme, note=note, xaxis=ticks)
