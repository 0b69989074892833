"""Figures of quality against cost, of the switch against the oracle, and of the calibration."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.figure_text import plain_text
from analysis.figures import AREA_TITLE, THEMES, Figure, band, empty, frame, log_ticks
from analysis.policy_words import policy_words
from analysis.selection import AREA_BINS_PER_DECADE, calibration_error
from dynamask.config import GRIDS
from dynamask.palette import GRID_COLOURS

_NAMES = {
    "iou": "mean mask IoU",
    "biou": "mean boundary IoU",
    "ap": "AP",
    "boundary_ap": "boundary AP",
}
NO_PAIRS = (
    "This run does not compare its detections at all grids; make it again with "
    "python -m analysis run --detector-grids to see AP against cost."
)
_SYMBOLS = {"rule": "x", "switch": "star", "bound": "triangle-up-open", "random": "circle-open"}
_RANDOM = "random, with the switch's shares of the grids"


def pareto(
    table: pd.DataFrame,
    quality: str = "iou",
    theme: str = "light",
    note: str = "",
    here: dict | None = None,
) -> Figure:
    """Quality against cost for every way to choose; see budget.pareto and budget_ap.ap_pareto.

    Args:
        table: of budget.pareto, or of budget_ap.ap_pareto for the last two qualities.
        quality: ``iou``, ``biou``, ``ap`` or ``boundary_ap``.
        theme: ``light`` or ``dark``.
        note: one line below the title.
        here: the budget explorer's present point: ``budget``, ``gmac_per_roi`` and the quality.
    """
    title = pareto_title(quality)
    one = _thing(quality)
    if not len(table):
        return empty(title, f"No {one} with a measured IoU passes the filters.", theme)
    ink = THEMES[theme]["ink"]
    sweep = table[table["kind"] == "sweep"]
    accent = THEMES[theme]["accent"]
    data = [
        band(sweep["gmac_per_roi"], sweep[f"{quality}_low"], sweep[f"{quality}_high"], accent),
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "switch, by budget",
            "x": sweep["gmac_per_roi"],
            "y": sweep[quality],
            "line": {"color": accent, "width": 2},
            "marker": {"size": 5},
            "customdata": [{"policy": p} for p in sweep["name"]],
            "hovertext": [_hover(r, quality) for r in sweep.to_dict("records")],
            "hoverinfo": "text",
        },
    ]
    for row in table[table["kind"] != "sweep"].to_dict("records"):
        grid = int(row["name"].partition(":")[2]) if row["kind"] == "fixed" else None
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": policy_words(row["name"]),
                "x": [row["gmac_per_roi"]],
                "y": [row[quality]],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [row[f"{quality}_high"] - row[quality]],
                    "arrayminus": [row[quality] - row[f"{quality}_low"]],
                    "thickness": 1,
                    "color": ink,
                },
                "marker": {
                    "size": 13,
                    "symbol": "square" if grid else _SYMBOLS[row["kind"]],
                    "color": GRID_COLOURS[grid] if grid else ink,
                    "line": {"width": 1.5, "color": ink},
                },
                "customdata": [{"policy": row["name"]}],
                "hovertext": [_hover(row, quality)],
                "hoverinfo": "text",
            }
        )
    if here:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "your budget",
                "x": [here["gmac_per_roi"]],
                "y": [here[quality]],
                "marker": {
                    "size": 20,
                    "symbol": "circle-cross-open",
                    "color": ink,
                    "line": {"width": 2},
                },
                "customdata": [{"policy": f"budget:{here['budget']:.4f}"}],
                "hovertext": [
                    f"your budget of {here['budget']:.4f} GMAC<br>{_NAMES[quality]} "
                    f"{here[quality]:.4f}<br>{here['gmac_per_roi']:.4f} GMAC per {one}"
                ],
                "hoverinfo": "text",
            }
        )
    x = f"cost per {one} (GMAC, image branches included)"
    y = f"{_NAMES[quality]} (0 to 1, whiskers and band: 95 %)"
    return frame(data, title, int(table["n"].iloc[0]), x, y, theme=theme, note=note)


def pareto_title(quality: str) -> str:
    """The figure's title without its n."""
    name = _NAMES[quality]
    return f"{name[0].upper()}{name[1:]} against cost"


def _thing(quality: str) -> str:
    return "detection" if quality.endswith("ap") else "object"


def _hover(row: dict, quality: str) -> str:
    name = _RANDOM if row["kind"] == "random" else policy_words(row["name"])
    return (
        f"{name}<br>{_NAMES[quality]} {row[quality]:.4f} "
        f"({row[f'{quality}_low']:.4f} to {row[f'{quality}_high']:.4f})<br>"
        f"{row['gmac_per_roi']:.4f} GMAC per {_thing(quality)}, {row['gmac']:.4f} without image "
        "branches"
    )


def confusion(table: pd.DataFrame, theme: str = "light", note: str = "") -> Figure:
    """Chosen grid against the oracle's; see selection.confusion."""
    share = table.pivot(index="oracle_grid", columns="grid", values="share")
    count = table.pivot(index="oracle_grid", columns="grid", values="n")
    lost = table.pivot(index="oracle_grid", columns="grid", values="regret")
    text = [[f"{share.loc[o, g]:.0%}<br>{count.loc[o, g]:,}" for g in GRIDS] for o in GRIDS]
    hover = [
        [
            f"best at {o}, got {g}: {count.loc[o, g]:,} objects, {share.loc[o, g]:.1%} of the row"
            + (f"<br>mean IoU lost {lost.loc[o, g]:.4f}" if count.loc[o, g] else "")
            for g in GRIDS
        ]
        for o in GRIDS
    ]
    names = [str(g) for g in GRIDS]
    trace = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": share.to_numpy(),
        "zmin": 0,
        "zmax": 1,
        "text": text,
        "texttemplate": "%{text}",
        "hovertext": hover,
        "hoverinfo": "text",
        "customdata": [[{"grid": g, "oracle_grid": o} for g in GRIDS] for o in GRIDS],
        "colorscale": "Cividis",
        "colorbar": {"title": {"text": "share of row"}, "tickformat": ".0%"},
    }
    n = int(table["n"].sum())
    axes = {"xaxis": {"type": "category"}, "yaxis": {"type": "category"}}
    title = "Chosen grid against the best grid"
    x, y = "chosen grid (cells a side)", "oracle grid (best mask IoU, cheapest on ties)"
    return frame([trace], title, n, x, y, theme=theme, note=note, **axes)


def regret(
    table: pd.DataFrame, by: str = "area", theme: str = "light", note: str = "", most: int = 40
) -> Figure:
    """Mean IoU lost against the best grid; see selection.regret."""
    n = int(table["n"].sum())
    if by == "area":
        low = 10.0 ** (table["bin"].astype(float) / AREA_BINS_PER_DECADE)
        high = 10.0 ** ((table["bin"].astype(float) + 1) / AREA_BINS_PER_DECADE)
        x = np.log10(np.sqrt(low * high))
        marks = [{"bin": int(b)} for b in table["bin"]]
        axis, words = (log_ticks(x.min(), x.max()) if len(table) else {}), AREA_TITLE
    else:
        table = table.head(most)
        x = [plain_text(name) for name in table["bin"]]
        marks = [{"category": c} for c in table["bin"]]
        axis, words = {"type": "category", "tickangle": -45}, "class"
    trace = {
        "type": "bar" if by == "class" else "scatter",
        "x": x,
        "y": table["mean"],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": table["high"] - table["mean"],
            "arrayminus": table["mean"] - table["low"],
            "thickness": 1,
            "color": THEMES[theme]["ink"],
        },
        "marker": {"color": THEMES[theme]["accent"]},
        "customdata": marks,
        "hovertext": [
            f"{m:.4f} ({a:.4f} to {b:.4f})<br>{c:,} objects"
            for m, a, b, c in table[["mean", "low", "high", "n"]].itertuples(index=False)
        ],
        "hoverinfo": "text",
    }
    if by == "area":
        trace["mode"] = "lines+markers"
    title = f"IoU lost against the best grid, by {'size' if by == 'area' else 'class'}"
    y = "mean regret (mask IoU, whiskers: 95 %)"
    axes = {"xaxis": axis, "yaxis": {"rangemode": "tozero"}}
    return frame([trace], title, n, words, y, theme=theme, note=note, **axes)


def calibration(table: pd.DataFrame, theme: str = "light", note: str = "") -> Figure:
    """Reliability diagram of the switch's likeliest grid; see selection.calibration."""
    error = calibration_error(table)
    ink = THEMES[theme]["ink"]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "perfectly calibrated",
            "x": [0, 1],
            "y": [0, 1],
            "line": {"dash": "dot", "color": THEMES[theme]["ink"], "width": 1},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "switch",
            "x": table["confidence"],
            "y": table["mean"],
            "line": {"color": THEMES[theme]["accent"]},
            "marker": {"size": 8},
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": table["high"] - table["mean"],
                "arrayminus": table["mean"] - table["low"],
                "thickness": 1,
                "color": ink,
            },
            "customdata": [
                {"top": [a, b]} for a, b in zip(table["low_p"], table["high_p"], strict=True)
            ],
            "hovertext": [
                f"probability {c:.3f}, correct {m:.1%}<br>{k:,} objects"
                for c, m, k in zip(table["confidence"], table["mean"], table["n"], strict=True)
            ],
            "hoverinfo": "text",
        },
    ]
    if len(table):
        note = f"expected calibration error {error:.3f}" + (f" · {note}" if note else "")
    span = {"range": [0, 1.02]}
    x = "probability of the likeliest grid"
    y = "share where it is the oracle grid (whiskers: 95 %)"
    title = "Is the switch as sure as it is right?"
    n = int(table["n"].sum())
    return frame(data, title, n, x, y, theme=theme, note=note, xaxis=span, yaxis=span)
