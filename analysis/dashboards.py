"""Everything the page draws of one run, through three functions: figures, table, objects_behind.

One scan reads the rows of the chosen policy into memory (about 150 bytes an object); filters,
budgets and all plots are then answered from there. Runs above MEMORY_OBJECTS are asked anew for
each plot instead, so that memory stays bounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis import dashboards_ap, selection
from analysis import figures as draw
from analysis import figures_cost as draw_cost
from analysis.budget import ObjectTable, object_table, pareto, size_rule_grids, size_rule_rows
from analysis.dashboards_ap import ap_pareto, ap_table, photos_drawn, prepare, scored
from analysis.filters import Filters, Multiplier, Queryable, chosen_sql
from analysis.working import Narrow, Recent
from analysis.working import run_key as _key
from dynamask.errors import InputError

MEMORY_OBJECTS = 3_000_000
MAX_BEHIND = 200
TABLES = ("policies", "ap", "errors", "classes", "confusion", "regret", "calibration")
FIGURES = (
    *("pareto_iou", "pareto_biou", "share_by_area", "share_by_class", "probability_by_area"),
    *("share_by_complexity", "map", "confusion", "regret_by_area", "regret_by_class"),
    *("calibration", "pareto_ap", "pareto_boundary_ap", "ap_by_area", "error_costs"),
)
AP_FIGURES = FIGURES[-4:]
GROUPS = {
    "choice": (
        *("share_by_area", "probability_by_area", "share_by_class"),
        *("share_by_complexity", "map"),
    ),
    "cost": ("pareto_iou", "pareto_biou", "pareto_ap", "pareto_boundary_ap"),
    "oracle": ("confusion", "calibration", "regret_by_area", "regret_by_class"),
    "ap": ("ap_by_area", "error_costs"),
}
"""Figures that the page shows together; only the group that is seen is drawn."""

_rows, _tables, _paretos, _sizes = Recent(2), Recent(2), Recent(8), Recent(1)
__all__ = ["ap_pareto", "ap_table", "photos_drawn", "prepare", "scored"]


def forget() -> None:
    """Drop everything kept in memory, for example after a run was resumed or deleted."""
    for kept in (_rows, _tables, _paretos, _sizes):
        kept.clear()
    dashboards_ap.forget()


def narrow(run: Queryable, filters: Filters) -> Queryable:
    """The run's rows of the filters' policy and boxes, in memory where they fit."""

    def make() -> Queryable:
        sql = "SELECT count(*) AS n FROM objects WHERE policy = ? AND boxes = ?"
        n = run.query(sql, [filters.policy, filters.boxes])["n"].iloc[0]
        return Narrow(run, filters) if n <= MEMORY_OBJECTS else run

    return _rows.get((*_key(run), filters.policy, filters.boxes), make)


def totals(run: Queryable, filters: Filters, budget: float | None = None) -> dict:
    """Numbers over all objects that pass; see selection.totals.

    Raises:
        PolicyError: the budget cannot be met.
    """
    price = multiplier(run, filters, budget)
    return selection.totals(narrow(run, filters), filters, price)


def objects(run: Queryable, filters: Filters) -> ObjectTable:
    """The arrays that re-selecting needs, kept for the last filters."""
    key = (*_key(run), filters)
    return _tables.get(key, lambda: object_table(narrow(run, filters), filters))


def multiplier(run: Queryable, filters: Filters, budget: float | None) -> Multiplier | None:
    """The price for a mean budget in GMAC per object; None for no budget.

    Raises:
        PolicyError: the budget is below the cost of grid 14 with the switch.
    """
    if budget is None:
        return None
    table = objects(run, filters)
    return table.multiplier(budget) if len(table) else None


def budget_range(run: Queryable, filters: Filters) -> tuple[float, float]:
    """Smallest and largest useful mean budget in GMAC per object, switch included."""
    return objects(run, filters).range_gmac()


def figures(
    run: Queryable,
    filters: Filters,
    budget: float | None = None,
    theme: str = "light",
    names: tuple[str, ...] = FIGURES,
) -> dict[str, draw.Figure]:
    """Draw the dashboards.

    Args:
        run: a run: query(sql, params) and manifest.
        filters: one filter bar over all plots.
        budget: mean GMAC per object, switch included, that re-selects every object; None keeps
            the policy's own grids.
        theme: ``light`` or ``dark``.
        names: which of FIGURES.

    Returns:
        Name to plotly figure, ready for JSON.

    Raises:
        PolicyError: the budget cannot be met.
        InputError: an unknown figure or theme.
    """
    unknown = set(names) - set(FIGURES)
    if unknown or theme not in draw.THEMES:
        raise InputError(
            f"Expected figures of {', '.join(FIGURES)} in theme light or dark; got "
            f"{', '.join(sorted(unknown)) or theme!r}. Choose from these."
        )
    # AP is of other boxes than the filters', which need no rows of theirs
    price = None if set(names) <= set(AP_FIGURES) else multiplier(run, filters, budget)
    note = filters.words() + (f", budget {budget:.4f} GMAC" if budget is not None else "")
    return {
        name: dashboards_ap.figure(name, run, filters, budget, theme)
        if name in AP_FIGURES
        else _draw(name, run, filters, price, theme, note)
        for name in names
    }


def _draw(
    name: str,
    run: Queryable,
    filters: Filters,
    price: Multiplier | None,
    theme: str,
    note: str,
) -> draw.Figure:
    rows = narrow(run, filters)
    if name in ("pareto_iou", "pareto_biou"):
        table = pareto_table(run, filters)
        here = _here(run, filters, price, table)
        return draw_cost.pareto(table, name.removeprefix("pareto_"), theme, note, here)
    if name in ("share_by_area", "probability_by_area"):
        table = selection.by_area(rows, filters, price)
        return getattr(draw, name)(table, theme, note)
    if name == "share_by_class":
        return draw.share_by_class(selection.by_class(rows, filters, price), theme, note)
    if name == "share_by_complexity":
        return draw.share_by_complexity(selection.by_complexity(rows, filters, price), theme, note)
    if name == "map":
        return draw.map_of_objects(*selection.points(rows, filters, price), theme, note)
    if name == "confusion":
        return draw_cost.confusion(selection.confusion(rows, filters, price), theme, note)
    if name.startswith("regret_by_"):
        by = name.removeprefix("regret_by_")
        return draw_cost.regret(selection.regret(rows, filters, price, by), by, theme, note)
    return draw_cost.calibration(selection.calibration(rows, filters), theme, note)


def pareto_table(run: Queryable, filters: Filters) -> pd.DataFrame:
    """Quality against cost of every way to choose, on the filtered objects; see budget.pareto."""

    def make() -> pd.DataFrame:
        table = objects(run, filters)
        if not len(table):
            return pareto(table)
        key = (*_key(run), filters.boxes)
        rows = _sizes.get(key, lambda: size_rule_rows(run, filters))
        return pareto(table, size_rule_grids(rows, table))

    return _paretos.get((*_key(run), filters), make)


def _here(
    run: Queryable, filters: Filters, price: Multiplier | None, table: pd.DataFrame
) -> dict | None:
    if price is None or not len(table):
        return None
    now = selection.totals(narrow(run, filters), filters, price)
    sweep = table[table["kind"] == "sweep"].sort_values("gmac")
    # image branches between two points of the sweep, where both lie on the same photos
    branches = np.interp(now["gmac"], sweep["gmac"], sweep["gmac_per_roi"] - sweep["gmac"])
    return {**now, "budget": price.budget_gmac, "gmac_per_roi": now["gmac"] + float(branches)}


def table(
    run: Queryable, filters: Filters, name: str = "policies", budget: float | None = None
) -> pd.DataFrame:
    """One of TABLES as a frame with readable columns; empty where the run has nothing for it.

    Raises:
        InputError: an unknown table.
        PolicyError: the budget cannot be met.
    """
    rows = narrow(run, filters)
    price = multiplier(run, filters, budget)
    if name == "policies":
        return pareto_table(run, filters)
    if name == "ap":
        return ap_table(run, filters, budget=budget)
    if name == "errors":
        score = scored(run, filters, budget=budget)
        return pd.DataFrame() if isinstance(score, str) else score.errors
    if name == "classes":
        return selection.by_class(rows, filters, price)
    if name == "confusion":
        return selection.confusion(rows, filters, price)
    if name == "regret":
        return selection.regret(rows, filters, price)
    if name == "calibration":
        return selection.calibration(rows, filters)
    raise InputError(f"Expected a table, one of {', '.join(TABLES)}; got {name!r}. Choose one.")


def objects_behind(
    run: Queryable,
    filters: Filters,
    mark: Any,
    budget: float | None = None,
    limit: int = MAX_BEHIND,
) -> pd.DataFrame:
    """The objects behind a clicked mark, those that lose most against the best grid first.

    Args:
        run: the run that was drawn.
        filters: the filters it was drawn with.
        mark: the mark's ``customdata``: it comes from a browser and is checked here.
        budget: the budget it was drawn with.
        limit: most rows, up to MAX_BEHIND.

    Returns:
        annotation_id, image_id, file_name, category, area_px2, box_x, box_y, box_w, box_h, grid,
        oracle_grid, iou, biou, regret.

    Raises:
        InputError: a mark that none of our figures draws.
    """
    from analysis.marks import read_mark

    where, params, order, changed = read_mark(mark, filters)
    price = multiplier(run, filters, budget)
    if changed.budget is not None:
        price = multiplier(run, filters, changed.budget)
    if changed.error is not None:
        ids = dashboards_ap.behind_error(run, filters, changed.error, budget)
        where = "annotation_id IN (SELECT unnest(?::BIGINT[]))"
        params = [ids]
    rows = narrow(run, changed.filters)
    text, first = chosen_sql(changed.filters, price, rows)
    q, lost = changed.quality or "q", f"best - {changed.quality}" if changed.quality else "lost"
    bq = "bq"
    if changed.quality:
        bq = "NULL::FLOAT" if changed.quality == "best" else f"b{changed.quality}"
    g = changed.grid if changed.grid is not None else "g"
    found = rows.query(
        f"{text}{_level(where)} SELECT annotation_id, image_id, category::VARCHAR AS category, "  # noqa: S608
        f"area_px2, {g} AS grid, oracle_grid, {q} AS iou, {bq} AS biou, {lost} AS regret "
        f"FROM {'levels' if _level(where) else 'chosen'} WHERE {where} "
        f"ORDER BY {order or f'{lost} DESC NULLS LAST'}, annotation_id LIMIT {int(limit)}",
        [*first, *params],
    )
    places = run.query(
        "SELECT DISTINCT annotation_id, file_name, box_x, box_y, box_w, box_h FROM objects "
        "WHERE annotation_id IN (SELECT unnest(?::BIGINT[])) AND policy = ? AND boxes = ?",
        [[int(i) for i in found["annotation_id"]], changed.filters.policy, changed.filters.boxes],
    )
    return found.merge(places, on="annotation_id", how="left")


def _level(where: str) -> str:
    """The complexity groups, where a mark asks for one; the same cut as selection.by_complexity."""
    if "level" not in where:
        return ""
    bins = f"floor(area10 * {selection.AREA_BINS_PER_DECADE})::INTEGER"
    return f""", levels AS (SELECT * FROM (SELECT *, ntile({selection.COMPLEXITY_LEVELS}) OVER
        (PARTITION BY {bins} ORDER BY compactness DESC, annotation_id) AS level,
        count(*) OVER (PARTITION BY {bins}) AS peers FROM chosen WHERE compactness IS NOT NULL)
        WHERE peers >= {selection.COMPLEXITY_LEVELS})"""  # noqa: S608
