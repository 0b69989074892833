"""What the Dataset tab shows of a run: groups of figures, tables, and the line of totals."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import pandas as pd

from analysis import dashboards
from analysis import filters as rows
from analysis.filters import Filters, Queryable
from analysis.policy_words import policy_words
from app import text_dataset as words
from dynamask.config import GRIDS
from dynamask.errors import DataError, PolicyError
from dynamask.palette import GRID_COLOURS

GROUPS = dashboards.GROUPS
POLICY_COLUMNS = {
    "name": "policy",
    "gmac": "GMAC per object",
    "gmac_per_roi": "with image branches",
    "iou": "mean mask IoU",
    "biou": "mean boundary IoU",
}
AP_COLUMNS = ("AP", "AP50", "AP75", "APS", "APM", "APL", "boundary_AP")


def draw(
    run: Queryable, filters: Filters, budget: float | None, names: tuple[str, ...]
) -> dict[str, dict]:
    """Figures by name.

    Raises:
        PolicyError: the budget cannot be met.
    """
    return dashboards.figures(run, filters, budget, names=names)


def prepare(run: Queryable, filters: Filters) -> None:
    """Score a large run's detections in the background, before their plots are looked at."""
    dashboards.prepare(run, filters)


def present(run: Queryable) -> dict[str, list[str]]:
    """Policies of the run by boxes, ``gt`` first; {} for a run without rows."""
    try:
        found = rows.policies(run)
    except DataError:  # no finished shard
        return {}
    out: dict[str, list[str]] = {}
    for boxes in rows.BOXES:
        names = [str(p) for p in found.loc[found["boxes"] == boxes, "policy"]]
        if names:  # the switch first, as it is what the run is about
            out[boxes] = sorted(names, key=_rank)
    return out


def policy_choices(policies: list[str]) -> list[tuple[str, str]]:
    """(what people read, name in the run) of policies, for a control."""
    return [(policy_words(p), p) for p in policies]


def _rank(policy: str) -> tuple[bool, str, int]:
    kind, _, number = policy.partition(":")
    return (policy != "msm", kind, int(number) if number.isdecimal() else 0)


def classes(run: Queryable, filters: Filters) -> list[tuple[str, str]]:
    """(label with count, name) of the classes among a policy's rows, by name."""
    found = run.query(
        "SELECT category::VARCHAR AS name, count(*) AS n FROM objects "
        "WHERE policy = ? AND boxes = ? AND category IS NOT NULL GROUP BY 1 ORDER BY 1",
        [filters.policy, filters.boxes],
    )
    return [(f"{row.name} ({row.n:,})", str(row.name)) for row in found.itertuples(index=False)]


def budget_bounds(run: Queryable, filters: Filters) -> tuple[float, float] | None:
    """Smallest and largest useful budget of a policy's rows, rounded inwards to 0.0001 GMAC.

    All rows count, so that the slider's range stays as filters change. None where the rows have
    no probabilities.
    """
    every = Filters(filters.policy, filters.boxes, crowd=None)
    if not len(dashboards.objects(run, every)):
        return None
    low, high = dashboards.budget_range(run, every)
    low, high = math.ceil(low * 1e4) / 1e4, math.floor(high * 1e4) / 1e4
    return (low, high) if low < high else (low, low + 1e-4)


def totals_html(run: Queryable, filters: Filters, budget: float | None) -> str:
    """The line above the plots, and a bar of the grids' shares."""
    found = dashboards.totals(run, filters, budget)
    if not found["n"]:
        return f'<p role="status" data-testid="totals">{escape(words.TOTALS_NONE)}</p>'
    line = words.TOTALS.format(
        n=found["n"],
        photos=found["photos"],
        gmac=found["gmac"],
        **{name: _number(found[name]) for name in ("iou", "biou", "regret")},
    )
    parts = "".join(
        f'<span style="flex-grow:{found["share"][g]:.4f}"><i style="background:{GRID_COLOURS[g]}">'
        f"</i>{g}: {found['share'][g]:.0%}</span>"
        for g in GRIDS
        if found["share"][g] > 0
    )
    return (
        f'<p role="status" data-testid="totals">{escape(line)}</p>'
        f'<div class="dm-shares" aria-label="{escape(words.SHARES)}" role="group">{parts}</div>'
    )


def policy_table(run: Queryable, filters: Filters) -> str:
    """Every way to choose on the same objects, the budget sweep left out."""
    found = dashboards.pareto_table(run, filters)
    found = found[found["kind"] != "sweep"]
    body = [
        [
            policy_words(row["name"]),
            f"{row['gmac']:.4f}",
            f"{row['gmac_per_roi']:.4f}",
            *(
                f"{row[q]:.4f} ({row[f'{q}_low']:.4f} to {row[f'{q}_high']:.4f})"
                for q in ("iou", "biou")
            ),
        ]
        for row in found.to_dict("records")
    ]
    return table_html(
        words.POLICY_TABLE, words.POLICY_TABLE_HINT, list(POLICY_COLUMNS.values()), body
    )


def ap_table(run: Queryable, filters: Filters, budget: float | None = None) -> str:
    """COCO's numbers of every policy that has detections, a budget's before them."""
    found = dashboards.ap_table(run, filters, budget=budget)
    if not len(found):
        score = dashboards.scored(run, filters, budget=budget)
        why = score if isinstance(score, str) else words.UNKNOWN
        return f'<p class="dm-muted" data-testid="ap-table">{escape(why)}</p>'
    body = []
    for row in found.to_dict("records"):
        cells = [_number(row[name], 3) for name in AP_COLUMNS]
        cells[0] += f" ({_number(row['AP_low'], 3)} to {_number(row['AP_high'], 3)})"
        body.append([policy_words(row["policy"]), *cells])
    heads = ["policy", *(name.replace("_", " ") for name in AP_COLUMNS)]
    return table_html(words.AP_TABLE, words.AP_TABLE_HINT, heads, body, test="ap-table")


def table_html(
    title: str, hint: str, heads: list[str], body: list[list[Any]], test: str = "table"
) -> str:
    """A table with a title; every cell is text."""
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in heads)
    lines = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{escape(str(c))}</th>' if k == 0 else f"<td>{escape(str(c))}</td>"
            for k, c in enumerate(line)
        )
        + "</tr>"
        for line in body
    )
    said = f"<p>{escape(hint)}</p>" if hint else ""
    return (
        f'<section class="dm-table" data-testid="{test}"><h3>{escape(title)}</h3>{said}'
        f'<div class="dm-scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></section>"
    )


def hint_html(name: str) -> str:
    """The sentence above a plot."""
    return f'<p class="dm-look"><b aria-hidden="true">?</b>{escape(words.HINTS[name])}</p>'


def check_budget(on: Any, value: Any) -> float | None:
    """The budget of the explorer's two controls; None while it is switched off.

    Raises:
        PolicyError: no number.
    """
    if on is not True:
        return None
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 < value < 1e6:
        raise PolicyError(
            f"Expected a mean cost above 0 GMAC per object, got {str(value)[:40]}; move the slider."
        )
    return float(value)


def _number(value: Any, digits: int = 4) -> str:
    known = value is not None and not pd.isna(value)
    return f"{value:.{digits}f}" if known else words.UNKNOWN
