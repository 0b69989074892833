"""The figures of docs/evidence.md: Plotly, drawn to PNG by Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dynamask.config import GRIDS
from dynamask.training import tradeoff as t

HERE = Path(__file__).resolve().parent
NAMES = {"mean_iou": "mask IoU", "mean_boundary_iou": "boundary IoU"}


def cost_figure(facts: dict[str, Any]) -> Any:
    """Two panels: quality against cost."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    n = facts["objects"]
    figure = make_subplots(
        1, 2, subplot_titles=[NAMES[m] for m in t.METRICS], horizontal_spacing=0.09
    )
    curves = (
        ("curve", "switch, budget sweep", "#0072B2", "solid"),
        ("size_curve", "size rule", "#E69F00", "dash"),
        ("random_curve", "random", "#888888", "dot"),
        ("oracle_curve", "oracle", "#009E73", "dashdot"),
    )
    for k, metric in enumerate(t.METRICS, start=1):
        for key, name, colour, dash in curves:
            rows = sorted(facts[key], key=lambda r: r["gmac_per_roi"])
            figure.add_trace(
                go.Scatter(
                    x=[r["gmac_per_roi"] for r in rows],
                    y=[r[metric] for r in rows],
                    name=name,
                    mode="lines",
                    line={"color": colour, "dash": dash},
                    showlegend=k == 1,
                ),
                1,
                k,
            )
        marks = [r for r in facts["rows"] if r["policy"] != "oracle"]
        figure.add_trace(
            go.Scatter(
                x=[r["gmac_per_roi"] for r in marks],
                y=[r[metric] for r in marks],
                text=[r["policy"] for r in marks],
                mode="markers+text",
                textposition="bottom center",
                marker={"size": 9, "color": "#222"},
                name="policy as shipped",
                showlegend=k == 1,
            ),
            1,
            k,
        )
        figure.update_xaxes(title_text="GMAC per object", row=1, col=k)
        figure.update_yaxes(title_text=f"mean {NAMES[metric]}", row=1, col=k)
    figure.update_layout(
        title=f"Quality against cost, ground-truth boxes, n = {n} objects",
        template="plotly_white",
        width=1100,
        height=480,
        legend={"orientation": "h", "y": -0.2},
    )
    return figure


def size_figure(table: t.ObjectTable, facts: dict[str, Any]) -> Any:
    """Stacked shares of the switch's grids by object size."""
    import plotly.graph_objects as go

    from dynamask.palette import GRID_COLOURS

    edges = 2.0 ** np.arange(2, 10.5, 0.75)
    which = np.digitize(table.sqrt_area_px, edges)
    grids = t.switch_alone(table).grids
    kept = [b for b in range(1, len(edges)) if (which == b).sum() >= 5]
    figure = go.Figure()
    for grid in GRIDS:
        figure.add_trace(
            go.Bar(
                x=[f"{edges[b - 1]:.0f}-{edges[b]:.0f}<br>n={(which == b).sum()}" for b in kept],
                y=[float((grids[which == b] == grid).mean()) for b in kept],
                name=f"grid {grid}",
                marker_color=GRID_COLOURS[grid],
            )
        )
    figure.update_layout(
        title=f"What the switch chooses by object size, n = {facts['objects']} objects",
        xaxis_title="square root of the box's area, px (bins with at least 5 objects)",
        yaxis_title="share of objects",
        barmode="stack",
        template="plotly_white",
        width=1000,
        height=440,
    )
    return figure


def draw(figures: dict[str, Any]) -> None:
    """Plotly figures to PNG through Chromium; nothing is fetched."""
    import plotly.offline
    from playwright.sync_api import sync_playwright

    (HERE / "figures").mkdir(exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1140, "height": 560})
        for name, figure in figures.items():
            body = figure.to_html(
                include_plotlyjs=False, full_html=False, config={"staticPlot": True}
            )
            tab.set_content(f"<script>{plotly.offline.get_plotlyjs()}</script>{body}")
            tab.locator(".main-svg").first.wait_for()
            tab.locator(".js-plotly-plot").screenshot(path=HERE / "figures" / f"{name}.png")
        browser.close()
