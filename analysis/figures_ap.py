"""Figures of average precision: against object size, and what each kind of error costs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.figures import AREA_TITLE, THEMES, Figure, band, empty, frame, log_ticks

NO_DETECTIONS = "This run has no detections; run it with detector boxes to see AP."
NO_BUDGET = (
    "This run does not hold its detections at all grids, so AP cannot follow a budget; switch the "
    "budget off, or make the run again with python -m analysis run --detector-grids."
)
LOWEST_TOP = 0.05
"""The AP axis reaches at least this far, so that differences of nothing look like nothing."""
NOTHING = "No annotated object passes the filters; widen them."


def ap_by_area(table: pd.DataFrame, theme: str = "light", note: str = "") -> Figure:
    """AP and boundary AP over log-area bins with 95 % bands; see metrics.ap_by_area."""
    title = "AP against object size"
    if not len(table):
        return empty(title, NO_DETECTIONS, theme)
    x = np.log10(np.sqrt(table["low_px2"] * table["high_px2"]))
    marks = [{"area": [a, b]} for a, b in zip(table["low_px2"], table["high_px2"], strict=True)]
    data = []
    for column, name, dash, symbol in (
        ("ap", "mask AP", "solid", "circle"),
        ("bap", "boundary AP", "dash", "diamond"),
    ):
        colour = THEMES[theme]["accent" if column == "ap" else "ink"]
        data.append(band(x, table[f"{column}_low"], table[f"{column}_high"], colour))
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": x,
                "y": table[column],
                "line": {"color": colour, "dash": dash},
                "marker": {"symbol": symbol, "size": 8},
                "customdata": marks,
                "hovertext": [
                    f"{name} {v:.3f} ({a:.3f} to {b:.3f})<br>{n:,} objects"
                    for v, a, b, n in table[
                        [column, f"{column}_low", f"{column}_high", "n"]
                    ].itertuples(index=False)
                ],
                "hoverinfo": "text",
            }
        )
    n, y = int(table["n"].sum()), "AP at IoU 0.50 to 0.95 (0 to 1, bands: 95 %)"
    # from 0, and as high as the bands: AP of masks is far below 1, of small objects the more so
    high = float(np.nanmax([*table["ap_high"], *table["bap_high"], *table["ap"], LOWEST_TOP]))
    axes = {
        "xaxis": log_ticks(x.min(), x.max()),
        "yaxis": {"range": [0, min(1.0, 1.08 * high)]},
    }
    return frame(data, title, n, AREA_TITLE, y, theme=theme, note=note, **axes)


def error_costs(
    table: pd.DataFrame, base: float, detections: int, theme: str = "light", note: str = ""
) -> Figure:
    """What repairing each kind of error alone would bring; see errors.error_costs."""
    title = "What the errors cost"
    if not len(table):
        return empty(title, NO_DETECTIONS, theme)
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": table["kind"],
        "x": table["cost"],
        "text": [f"{n:,}" for n in table["n"]],
        "textposition": "auto",
        "textangle": 0,  # beside a short bar, not upright in it
        "marker": {"color": THEMES[theme]["accent"]},
        "customdata": [{"error": k} for k in table["kind"]],
        "hovertext": [
            f"<b>{k}</b>: {m}<br>{n:,} cases; repaired alone: AP {a:.3f} ({c:+.3f})"
            for k, m, n, a, c in table[["kind", "meaning", "n", "ap", "cost"]].itertuples(
                index=False
            )
        ],
        "hoverinfo": "text",
    }
    said = f"n counts detections; AP {base:.3f} where min(mask IoU, boundary IoU) ≥ 0.5"
    note = said + (f" · {note}" if note else "")
    x = "AP gained if this kind alone were repaired (0 to 1)"
    axes = {"yaxis": {"autorange": "reversed"}}
    return frame([trace], title, detections, x, "", theme=theme, note=note, **axes)
