"""One self-contained page of a run's curves: ``python -m dynamask curves RUN --out F.html``.

plotly.js is written into the page, from the installed package, so the page needs no network.
"""

from __future__ import annotations

import argparse
import csv
import html
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dynamask.config import GRIDS
from dynamask.errors import DataError, InputError

MAX_POINTS = 1_500  # per drawn curve; a screen has no more columns
SMOOTH_SHARE = 40  # the smoothed curve averages over about n / 40 steps

LOSSES = {
    "loss": "Total loss",
    "loss_mask": "Mask loss (weighted BCE over four grids)",
    "loss_edge": "Edge loss (BCE at the chosen grid)",
    "loss_budget": "Budget loss (hinge above C_t, weighted)",
    "loss_gain": "Gain loss of the switch",
    "loss_balance": "Balance loss of the switch",
    "loss_objectness": "RPN objectness loss",
    "loss_rpn_box_reg": "RPN box loss",
    "loss_classifier": "Classification loss",
    "loss_box_reg": "Box loss",
}


@dataclass(frozen=True)
class Panel:
    """One plot: its columns of the log (name, legend), title, unit, and a line to hold against."""

    title: str
    unit: str
    columns: tuple[tuple[str, str], ...]
    reference: float | None = None
    reference_name: str = ""
    log_scale: bool = False


PANELS: tuple[Panel, ...] = (
    *(Panel(title, "loss", ((name, "loss"),)) for name, title in LOSSES.items()),
    Panel(
        "Share of each grid chosen by the switch",
        "share of RoIs",
        tuple((f"share_{g}", f"{g} x {g}") for g in GRIDS),
    ),
    Panel(
        "Realised mean cost against the target",
        "mean cost / C_t",
        (("cost_ratio", "E[C] / C_t"),),
        reference=1.0,
        reference_name="C_t",
    ),
    Panel("Temperature of the switch's draw", "temperature", (("temperature", "temperature"),)),
    Panel("Learning rate (heads)", "learning rate", (("lr", "rate"),), log_scale=True),
    Panel("Gradient norm before clipping", "norm", (("grad_norm", "norm"),), log_scale=True),
    Panel("Time per step", "seconds", (("seconds", "seconds per step"),)),
)

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # Okabe and Ito, told apart by all eyes


def read_log(path: Path) -> dict[str, np.ndarray]:
    """``log.csv`` of a run as float64 columns, NaN where a step did not have the number.

    Raises:
        DataError: no such file, no row, or not a number where one must be.
    """
    if not path.is_file():
        raise DataError(
            f"Expected the log of a run at {path}, found none; give the --run folder of a "
            "training run."
        )
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = list(rows[0]) if rows else []
        table = {n: np.array([_number(r[n]) for r in rows]) for n in names}
        whole = bool(rows) and "step" in table and bool(np.isfinite(table["step"]).all())
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise DataError(
            f"Expected numbers in {path.name}, got a damaged log ({error}); "
            "resume the run, or give another folder."
        ) from error
    if not whole:
        raise DataError(
            f"Expected steps in {path.name}, got none; let the run make one step first."
        )
    return table


def _number(text: str | None) -> float:
    return float(text) if text else math.nan


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Centred moving average that leaves NaN out; at the ends over what there is.

    Args:
        values: (n,) float64.
        window: number of steps, at least 1.

    Returns:
        (n,) float64, NaN where the window holds no number.
    """
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    index = np.arange(len(values))
    low = np.maximum(index - window // 2, 0)
    high = np.minimum(index + (window + 1) // 2, len(values))
    count = counts[high] - counts[low]
    return np.where(count > 0, (sums[high] - sums[low]) / np.maximum(count, 1), np.nan)


def smoothing_window(n: int) -> int:
    """Steps that the smoothed curve averages over, for a run of n steps."""
    return max(1, n // SMOOTH_SHARE)


def figures(table: dict[str, np.ndarray]) -> list[tuple[str, dict[str, Any]]]:
    """Plotly figures of a log, as (id, JSON-able figure); panels without a number are left out."""
    steps = table["step"]
    window = smoothing_window(len(steps))
    thin = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MAX_POINTS)).astype(int))
    made = []
    for panel in PANELS:
        there = [(c, t) for c, t in panel.columns if c in table and np.isfinite(table[c]).any()]
        if not there:
            continue
        traces: list[dict[str, Any]] = []
        n = max(int(np.isfinite(table[c]).sum()) for c, _ in there)
        for (column, name), colour in zip(there, COLOURS, strict=False):
            raw = table[column]
            common = {"type": "scatter", "mode": "lines", "legendgroup": column}
            traces.append(
                {
                    **common,
                    "name": f"{name}, each step",
                    "x": _list(steps[thin]),
                    "y": _list(raw[thin]),
                    "line": {"color": colour, "width": 1},
                    "opacity": 0.3,
                    "connectgaps": True,
                }
            )
            traces.append(
                {
                    **common,
                    "name": f"{name}, smoothed",
                    "x": _list(steps[thin]),
                    "y": _list(smoothed(raw, window)[thin]),
                    "line": {"color": colour, "width": 2.5},
                }
            )
        made.append((there[0][0], _figure(panel, traces, n, window)))
    return made


def _figure(panel: Panel, traces: list[dict[str, Any]], n: int, window: int) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "title": {"text": f"{panel.title}<br><sub>n = {n} steps, mean of {window}</sub>"},
        "xaxis": {"title": {"text": "step"}},
        "yaxis": {"title": {"text": panel.unit}, "type": "log" if panel.log_scale else "linear"},
        "template": "plotly_white",
        "height": 360,
        "margin": {"l": 70, "r": 20, "t": 70, "b": 50},
        "legend": {"orientation": "h", "y": -0.25},
    }
    if panel.reference is not None:
        line = {"dash": "dash", "color": "#444"}
        layout["shapes"] = [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": panel.reference,
                "y1": panel.reference,
                "line": line,
            }
        ]
        layout["annotations"] = [
            {
                "xref": "paper",
                "x": 1,
                "y": panel.reference,
                "text": panel.reference_name,
                "showarrow": False,
                "yanchor": "bottom",
            }
        ]
    return {"data": traces, "layout": layout}


def _list(values: np.ndarray) -> list[float | None]:
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in values]


def write_curves(run: Path, out: Path) -> int:
    """Draw a run's log; the page appears whole or not at all.

    Args:
        run: run folder with ``log.csv``.
        out: ``*.html`` to write.

    Returns:
        Number of plots.

    Raises:
        DataError: no log, or a damaged one.
    """
    import plotly.graph_objects as go
    from plotly.offline import get_plotlyjs

    run, out = Path(run), Path(out)
    table = read_log(run / "log.csv")
    made = figures(table)
    steps = len(table["step"])
    name = html.escape(run.resolve().name)
    plots = []
    for identity, figure in made:
        # through go.Figure: an attribute that plotly does not know is an error here, not silence
        plots.append(
            go.Figure(figure).to_html(full_html=False, include_plotlyjs=False, div_id=identity)
        )
    page = PAGE.format(
        name=name,
        steps=steps,
        first=int(table["step"][0]),
        last=int(table["step"][-1]),
        plotly=get_plotlyjs(),
        plots="\n".join(f"<section>{plot}</section>" for plot in plots),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, out)
    return len(made)


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Training curves: {name}</title>
<style>
body {{ font-family: system-ui, sans-serif; margin: 1.5rem auto; max-width: 1500px; }}
main {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 1rem; }}
p {{ max-width: 45rem; }}
</style>
<script>{plotly}</script>
</head>
<body>
<h1>Training curves: {name}</h1>
<p>n = {steps} logged steps, {first} to {last}. Thin lines are single steps, thick ones moving
averages; drag to zoom, double-click to go back.</p>
<main>
{plots}
</main>
</body>
</html>
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the curves command."""
    parser.add_argument("run_folder", metavar="RUN", help="run folder with log.csv")
    parser.add_argument("--out", metavar="F.html", help="page to write (default RUN/curves.html)")


def run(args: argparse.Namespace) -> int:
    """Draw; returns the exit status."""
    folder = Path(args.run_folder)
    out = Path(args.out) if args.out else folder / "curves.html"
    if out.suffix.lower() not in (".html", ".htm") or out.is_dir():
        raise InputError(f"Expected --out F.html, got {out}; name an HTML file.")
    try:
        count = write_curves(folder, out)
    except OSError as error:
        raise InputError(
            f"Expected a place to write {out.name} to, got {error.strerror}; give another --out."
        ) from error
    sys.stdout.write(f"{count} plots in {out}\n")
    return 0


__all__: Sequence[str] = ("add_arguments", "figures", "read_log", "run", "smoothed", "write_curves")
