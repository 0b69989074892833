"""One self-contained HTML file about a run, or about two runs and their differences.

The file works offline: plotly.js of the installed package is written into it once, figures stay
interactive, nothing is fetched. It holds numbers only, no photos.
"""

from __future__ import annotations

import html
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import dashboards, detections
from analysis.compare import compare, verdict
from analysis.figure_text import neutral
from analysis.filters import PHOTO_BUCKETS, Filters, Folder, Queryable, counts
from analysis.policy_words import policy_words
from analysis.summary import state_sentences, summarise, summarise_difference
from dynamask.errors import DataError, InputError

METHOD = (
    "Every photo was encoded once and decoded under every policy; each row of the run is one "
    "object under one policy, with its mask IoU and boundary IoU (bands of 2 % of the photo's "
    "diagonal) against the annotation at all four grids.",
    "An object costs the stages up to the grid it leaves at, and the switch where the policy asks "
    "it (GMAC, multiply-adds); cost per object adds the image branches that some object of a "
    "photo needed.",
    "The oracle takes the grid with the best mask IoU, the cheapest on ties; regret is the IoU "
    "lost against it.",
    "Under a budget every object takes the grid with the largest log p minus price times cost, "
    "with one price for the whole set.",
    f"Intervals are 95 % bootstrap intervals over photos (over {PHOTO_BUCKETS} equal groups of "
    "photos in larger runs); the price of a budget is kept fixed in them.",
    "AP follows COCO (IoU 0.50 to 0.95, 101 recalls, 100 detections a photo and class); boundary "
    "AP uses min(mask IoU, boundary IoU). A calibrated probability is right as often as it says; "
    "right means that the likeliest grid is the oracle grid.",
)
EMPTY = "This run has no finished photo yet; resume it with python -m analysis run --resume."

_INTERVAL = "{:.4f} ({:.4f} to {:.4f})"
_COSTS = {
    "name": "policy",
    "gmac": "GMAC per {thing}",
    "gmac_per_roi": "with image branches, GMAC",
}
_POLICIES = _COSTS | {"iou": "mean mask IoU (95 %)", "biou": "mean boundary IoU (95 %)"}
_AP_COSTS = _COSTS | {"ap": "AP (95 %)", "boundary_ap": "boundary AP (95 %)"}
_AP = {
    "policy": "policy",
    "AP": "AP (95 %)",
    "AP50": "AP50",
    "AP75": "AP75",
    "APS": "AP small",
    "APM": "AP medium",
    "APL": "AP large",
    "boundary_AP": "boundary AP",
}
_CONFUSION = {
    "oracle_grid": "oracle grid (cells a side)",
    "grid": "chosen grid (cells a side)",
    "n": "objects",
    "share": "share of the oracle grid's objects",
    "regret": "mean mask IoU lost",
}
_ERRORS = {
    "kind": "kind",
    "meaning": "meaning",
    "n": "cases",
    "ap": "AP if repaired alone",
    "cost": "AP gained",
}
_CLASSES = {
    "bin": "class",
    "n": "objects",
    "grid": "grid (cells a side)",
    "count": "objects at it",
    "share": "share of the class (95 %)",
}
_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.55 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;
color:#27272a;background:#fff}
h1{font-size:1.7rem;margin-bottom:.2rem}h2{margin-top:2.4rem;font-size:1.25rem}
table{border-collapse:collapse;font-size:.86rem;display:block;overflow-x:auto}
th,td{padding:.25rem .6rem;border-bottom:1px solid #d4d4d8;text-align:right;white-space:nowrap}
th:first-child,td:first-child,.words{text-align:left}
.plot{height:560px;margin:1rem 0}.soft{color:#52525b}
@media(prefers-color-scheme:dark){body{color:#e4e4e7;background:#18181b}
th,td{border-color:#3f3f46}.soft{color:#a1a1aa}}
"""

_SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const figures = JSON.parse(document.getElementById("figures").textContent);
const inks = {paper: "#18181b", ink: "#e4e4e7", soft: "#3f3f46"};
for (const [name, figure] of Object.entries(figures)) {
  if (dark) {
    const l = figure.layout;
    l.paper_bgcolor = l.plot_bgcolor = inks.paper;
    l.font.color = inks.ink;
    for (const a of ["xaxis", "yaxis"])
      Object.assign(l[a], {gridcolor: inks.soft, linecolor: inks.soft, zerolinecolor: inks.soft});
  }
  for (const a of [figure.layout.xaxis, figure.layout.yaxis])
    a.title = {font: {size: 12}, ...a.title};
  Plotly.newPlot(document.getElementById("plot-" + name), figure.data, figure.layout,
    {responsive: true, displaylogo: false});
}
"""


def write_report(
    run: Queryable,
    out: str | Path,
    second: Queryable | None = None,
    filters: Filters | None = None,
) -> Path:
    """Write the report.

    Args:
        run: the run.
        out: the HTML file; written whole or not at all.
        second: another run of the same photos; its differences are added.
        filters: applied to everything.

    Returns:
        The file.

    Raises:
        InputError: the folder of ``out`` does not exist.
    """
    out = Path(out)
    if not out.parent.is_dir():
        raise InputError(
            f"Expected an existing folder for the report, got {out.parent}; make it first."
        )
    text = render(run, second, filters or Filters())
    part = out.with_name(f".{out.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, out)
    return out


def render(run: Queryable, second: Queryable | None, filters: Filters) -> str:
    """The report's HTML text."""
    blocks = [_head("What this says", "h2")]
    plots: dict[str, Any] = {}
    if _is_empty(run):
        blocks.append(_paragraphs([EMPTY]))
    else:
        blocks.append(_paragraphs(state_sentences(run) + summarise(run, filters)))
        if second is not None and not _is_empty(second):
            blocks += _differences(run, second, filters)
        elif second is not None:
            blocks.append(_paragraphs([f"The second run: {EMPTY}"]))
        blocks += _tables(run, filters)
        if counts(run, filters)[0]:
            plots = dashboards.figures(run, filters)
            blocks.append(_head("Figures", "h2"))
            blocks += [f'<div class="plot" id="plot-{_text(name)}"></div>' for name in plots]
    blocks.append(_head("Method", "h2"))
    blocks.append("<ul>" + "".join(f"<li>{_text(m)}</li>" for m in METHOD) + "</ul>")
    blocks += [_head("Data", "h2"), _data(run)]
    if second is not None:
        blocks += [_head("Data of the second run", "h2"), _data(second)]
    title = f"Selection report: {_name(run)}" + (f" and {_name(second)}" if second else "")
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    top = f"<h1>{_text(title)}</h1><p class='soft'>Made {made} by DynaMask Studio.</p>"
    scripts = ""
    if plots:
        # "</" must not end the script element early
        data = json.dumps(neutral(plots), allow_nan=False).replace("<", "\\u003c")
        scripts = (
            f"<script>{_plotly()}</script>"
            f'<script type="application/json" id="figures">{data}</script>'
            f"<script>{_SCRIPT}</script>"
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>{top}"
        f"{''.join(blocks)}{scripts}</body></html>\n"
    )


def main(paths: list[str], out: str) -> Path:
    """``python -m analysis report RUN [RUN2] --out F.html``.

    Raises:
        InputError: neither one nor two runs.
        DataError: a folder that is no run.
    """
    if len(paths) not in (1, 2):
        raise InputError(f"Expected one run folder or two; got {len(paths)}. Name one or two.")
    runs = [open_run(p) for p in paths]
    return write_report(runs[0], out, runs[1] if len(runs) == 2 else None)


def open_run(path: str | Path) -> Queryable:
    """Open a run folder; raises DataError where it is none."""
    return Folder(path)


def _is_empty(run: Queryable) -> bool:
    try:
        return not int(run.query("SELECT count(*) AS n FROM objects")["n"].iloc[0])
    except DataError:  # no finished shard
        return True


def _differences(run: Queryable, second: Queryable, filters: Filters) -> list[str]:
    table = compare(run, second, filters)
    blocks = [_head("Second run against the first", "h2")]
    blocks.append(_paragraphs(summarise_difference(run, second, filters)))
    if len(table):
        table = table.assign(verdict=[verdict(r) for _, r in table.iterrows()])
        blocks.append(_table(table))
    return blocks


def _tables(run: Queryable, filters: Filters) -> list[str]:
    blocks = [_head("Policies on the same objects", "h2")]
    blocks.append(_policies(dashboards.pareto_table(run, filters), _POLICIES, "object"))
    blocks.append(_head("Chosen grid against the oracle", "h2"))
    chosen = dashboards.table(run, filters, "confusion")
    blocks.append(_table(chosen.sort_values(["oracle_grid", "grid"]), _CONFUSION))
    if detections.detection_policies(run):
        blocks.append(_head("COCO average precision", "h2"))
        blocks.append(_table(dashboards.ap_table(run, filters, limit=None), _AP))
        costs = dashboards.ap_pareto(run, filters)
        if not isinstance(costs, str):
            blocks.append(_head("AP against cost", "h2"))
            blocks.append(_policies(costs, _AP_COSTS, "detection"))
        score = dashboards.scored(run, filters, limit=None)
        if not isinstance(score, str):
            drawn = dashboards.photos_drawn(score.photos, score.all_photos)
            head = "Errors and their cost in AP" + (f" ({drawn})" if drawn else "")
            blocks += [_head(head, "h2"), _table(score.errors, _ERRORS)]
    blocks.append(_head("Classes", "h2"))
    blocks.append(_table(dashboards.table(run, filters, "classes").head(160), _CLASSES))
    return blocks


def _data(run: Queryable) -> str:
    rows = [
        (key, value)
        for key, value in sorted(run.manifest.items())
        if isinstance(value, str | int | float | bool) or key == "policies"
    ]
    text = [
        f"<tr><td>{_text(k)}</td><td>{_text(', '.join(v) if isinstance(v, list) else str(v))}</td>"
        for k, v in rows
    ]
    return "<table>" + "".join(f"{t}</tr>" for t in text) + "</table>"


def _policies(table: pd.DataFrame, heads: dict[str, str], thing: str) -> str:
    """Every way to choose that has a name; the sweep of budgets is in the plot."""
    named = table[table["kind"] != "sweep"] if len(table) else table
    said = f"{int(named['n'].iloc[0]):,} {thing}s under each policy." if len(named) else ""
    heads = {column: words.format(thing=thing) for column, words in heads.items()}
    return (_paragraphs([said]) if said else "") + _table(named, heads)


def _table(table: pd.DataFrame, heads: dict[str, str] | None = None) -> str:
    """A table.

    Args:
        table: its rows.
        heads: which columns are shown, in order, and what readers call them; a column with an
            interval, as ``iou`` with ``iou_low`` and ``iou_high``, is shown with it.
    """
    if not len(table):
        return "<p>Nothing to show.</p>"
    if "policy" in table or "kind" in table:  # of errors, a kind has no name beside it
        names = [c for c in ("policy", "name") if c in table]
        table = table.assign(**{c: table[c].map(policy_words) for c in names})
    heads = heads or {str(c): str(c) for c in table.columns}
    columns = [_column(table, name) for name in heads]
    # numbers end at the right, words begin at the left, as all first columns do
    worded = [k and all(isinstance(v, str) for v in table[c]) for k, c in enumerate(heads)]
    marks = [' class="words"' if words else "" for words in worded]
    titles = zip(marks, heads.values(), strict=True)
    head = "".join(f"<th{mark}>{_text(words)}</th>" for mark, words in titles)
    body = "".join(
        "<tr>"
        + "".join(f"<td{m}>{_text(cell)}</td>" for m, cell in zip(marks, row, strict=True))
        + "</tr>"
        for row in zip(*columns, strict=True)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _column(table: pd.DataFrame, name: str) -> list[str]:
    ends = [f"{name}_low", f"{name}_high"]
    if not set(ends) <= set(table.columns):
        return [_cell(value) for value in table[name]]
    known = table[[name, *ends]].itertuples(index=False)
    return [_cell(row[0]) if row[0] != row[0] else _INTERVAL.format(*row) for row in known]


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN
        return "not defined"
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value)


def _paragraphs(sentences: list[str]) -> str:
    return "".join(f"<p>{_text(s)}</p>" for s in sentences)


def _head(words: str, tag: str) -> str:
    return f"<{tag}>{_text(words)}</{tag}>"


def _text(words: str) -> str:
    return html.escape(words, quote=True)


def _name(run: Queryable) -> str:
    path = getattr(run, "path", None)
    return str(run.manifest.get("name") or (Path(path).name if path else "run"))


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().replace("</script", "<\\/script")
