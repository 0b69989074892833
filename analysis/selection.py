"""Which objects get which grid: the numbers behind the selection plots.

Everything is counted in DuckDB; what comes back is a few hundred rows. A grid's share is the part
of the objects of one bin that count with this grid; bands are 95 % bootstrap intervals over photos.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.filters import Filters, Multiplier, Queryable, chosen_sql, counts, photo_bucket
from analysis.intervals import Sums, draws, ratio_interval
from dynamask.config import GRIDS

AREA_BINS_PER_DECADE = 4
COMPLEXITY_LEVELS = 5
MAX_POINTS = 50_000
HEX_COLUMNS = 36


def by_area(run: Queryable, filters: Filters, multiplier: Multiplier | None = None) -> pd.DataFrame:
    """Selection share and mean probability of each grid against mask area.

    Returns:
        One row per log-area bin and grid: ``bin`` (floor of 4 log10 area), ``low_px2`` and
        ``high_px2`` (its edges), ``grid``, ``n`` (objects of the bin), ``count``, ``share``,
        ``share_low``, ``share_high``, ``upto`` (share of this grid and the coarser ones) with
        ``upto_low`` and ``upto_high``, ``probability``, ``probability_low``,
        ``probability_high``; bins without objects are absent.
    """
    probabilities = ", ".join(f"sum(p{g}::DOUBLE) AS p{g}" for g in GRIDS)
    cells = _cells(run, filters, multiplier, _area_bin(), probabilities)
    out = _shares(cells, "p")
    out["low_px2"] = 10.0 ** (out["bin"] / AREA_BINS_PER_DECADE)
    out["high_px2"] = 10.0 ** ((out["bin"] + 1) / AREA_BINS_PER_DECADE)
    return out


def by_class(
    run: Queryable, filters: Filters, multiplier: Multiplier | None = None
) -> pd.DataFrame:
    """Selection share of each grid by class, the commonest class first.

    Returns:
        The columns of :func:`by_area` without the probability and the edges, with the class name
        as ``bin``.
    """
    out = _shares(_cells(run, filters, multiplier, "category::VARCHAR"))
    return out.sort_values(["n", "bin", "grid"], ascending=[False, True, True], ignore_index=True)


def by_complexity(
    run: Queryable, filters: Filters, multiplier: Multiplier | None = None
) -> pd.DataFrame:
    """Selection share against boundary complexity at equal size.

    Inside every log-area bin the objects are cut into five equal groups by compactness
    (4 pi area / perimeter squared: 1 for a disc, near 0 for a ragged outline). Each group so has
    the same mix of sizes; what differs between groups is the outline.

    Returns:
        One row per group (``bin`` 1, the most compact, to 5, the most ragged) and grid: the share
        columns of :func:`by_area` and ``compactness`` and ``log10_area``, the group's means.
    """
    text, params = chosen_sql(filters, multiplier, run)
    level = (
        f"ntile({COMPLEXITY_LEVELS}) OVER (PARTITION BY {_area_bin()} "
        "ORDER BY compactness DESC, annotation_id)"
    )
    # bins with fewer objects than groups cannot be cut into equal parts
    text += f""", cut AS (SELECT *, {level} AS level, count(*) OVER (PARTITION BY {_area_bin()})
        AS peers FROM (SELECT * FROM chosen
        WHERE compactness IS NOT NULL)),
        level_cut AS (SELECT * FROM cut WHERE peers >= {COMPLEXITY_LEVELS})"""  # noqa: S608
    bucket = photo_bucket(run, filters, multiplier)
    cells = run.query(
        f"""{text} SELECT {bucket} AS bucket, level AS bin, g AS grid,
        count(*) AS count, sum(compactness) AS c, sum(area10) AS a
        FROM level_cut GROUP BY 1, 2, 3""",  # noqa: S608
        params,
    )
    out = _shares(cells)
    means = cells.groupby("bin")[["count", "c", "a"]].sum()
    out["compactness"] = out["bin"].map(means["c"] / means["count"]).astype(float)
    out["log10_area"] = out["bin"].map(means["a"] / means["count"]).astype(float)
    return out


def points(
    run: Queryable, filters: Filters, multiplier: Multiplier | None = None
) -> tuple[pd.DataFrame, bool]:
    """Area and compactness of every object, or of hexagons where there are too many.

    Returns:
        (frame, aggregated). Up to MAX_POINTS objects: ``annotation_id``, ``log10_area``,
        ``compactness``, ``grid``. Above: one row per hexagon with ``log10_area`` and
        ``compactness`` of its centre, ``n`` and ``level`` (mean of 0 for grid 14 to 3 for 112),
        and the box ``low10``, ``high10``, ``low_c``, ``high_c`` around the hexagon.
    """
    text, params = chosen_sql(filters, multiplier, run)
    total = counts(run, filters, multiplier)[0]
    if total <= MAX_POINTS:
        frame = run.query(
            f"{text} SELECT annotation_id, area10::FLOAT AS log10_area, "  # noqa: S608
            "compactness, g AS grid FROM chosen WHERE compactness IS NOT NULL "
            "ORDER BY annotation_id",
            params,
        )
        return frame, False
    # two interleaved rectangular lattices; each object goes to the nearer centre (Carr, 1987)
    dx, dy = 6.0 / HEX_COLUMNS, 1.0 / HEX_COLUMNS * np.sqrt(3)
    frame = run.query(
        f"""{text}, near AS (SELECT g, round(area10 / {dx}) AS ax,
            round(compactness / {dy}) AS ay, floor(area10 / {dx}) AS bx,
            floor(compactness / {dy}) AS by_, area10 / {dx} AS x, compactness / {dy} AS y
            FROM chosen WHERE compactness IS NOT NULL),
        hexes AS (SELECT g, (x-ax)*(x-ax) + 3*(y-ay)*(y-ay)
            <= (x-bx-0.5)*(x-bx-0.5) + 3*(y-by_-0.5)*(y-by_-0.5) AS first,
            ax, ay, bx, by_ FROM near)
        SELECT (CASE WHEN first THEN ax ELSE bx + 0.5 END) * {dx} AS log10_area,
            (CASE WHEN first THEN ay ELSE by_ + 0.5 END) * {dy} AS compactness,
            count(*) AS n, avg(log2(g / 14)) AS level
        FROM hexes GROUP BY 1, 2 ORDER BY 1, 2""",  # noqa: S608
        params,
    )
    frame["low10"], frame["high10"] = frame["log10_area"] - dx / 2, frame["log10_area"] + dx / 2
    frame["low_c"], frame["high_c"] = frame["compactness"] - dy / 2, frame["compactness"] + dy / 2
    return frame, True


def totals(run: Queryable, filters: Filters, multiplier: Multiplier | None = None) -> dict:
    """Numbers over all objects that pass.

    Returns:
        ``n``, ``photos``, ``gmac`` (mean cost of an object, switch included where the policy
        asks it), ``iou``, ``biou``, ``oracle_iou``, ``regret`` (means; NaN without objects) and
        ``share`` (grid to share).
    """
    text, params = chosen_sql(filters, multiplier, run)
    shares = ", ".join(f"avg((g = {g})::INTEGER) AS s{g}" for g in GRIDS)
    row = run.query(
        f"""{text} SELECT count(*) AS n, count(DISTINCT image_id) AS photos, avg(cost) AS gmac,
        avg(q) AS iou, avg(bq) AS biou, avg(best) AS oracle_iou, avg(lost) AS regret, {shares}
        FROM chosen""",  # noqa: S608
        params,
    ).iloc[0]
    out: dict[str, Any] = {"n": int(row["n"]), "photos": int(row["photos"])}
    for name in ("gmac", "iou", "biou", "oracle_iou", "regret"):
        out[name] = float(row[name]) if row[name] is not None else float("nan")
    out["share"] = {g: float(row[f"s{g}"]) if out["n"] else float("nan") for g in GRIDS}
    return out


def confusion(
    run: Queryable, filters: Filters, multiplier: Multiplier | None = None
) -> pd.DataFrame:
    """Chosen grid against the oracle's: all 16 cells.

    Returns:
        Columns grid, oracle_grid, n, share (of the oracle's row: how often objects whose best
        grid this is got that grid), regret (mean IoU lost in the cell, NaN where empty).
    """
    text, params = chosen_sql(filters, multiplier, run)
    found = run.query(
        f"{text} SELECT g AS grid, oracle_grid, count(*) AS n, avg(lost) AS regret FROM chosen "  # noqa: S608
        "WHERE oracle_grid IS NOT NULL GROUP BY 1, 2",
        params,
    )
    cells = pd.MultiIndex.from_product([GRIDS, GRIDS], names=["oracle_grid", "grid"])
    out = found.set_index(["oracle_grid", "grid"]).reindex(cells).reset_index()
    out["n"] = out["n"].fillna(0).astype(int)
    row_total = out.groupby("oracle_grid")["n"].transform("sum")
    out["share"] = (out["n"] / row_total.where(row_total > 0)).fillna(0.0)
    return out[["grid", "oracle_grid", "n", "share", "regret"]]


def regret(
    run: Queryable, filters: Filters, multiplier: Multiplier | None = None, by: str = "area"
) -> pd.DataFrame:
    """Mean IoU lost against the best grid, by ``area`` (log-area bins) or ``class``.

    Returns:
        bin, n, mean, low, high; by class the commonest class first.
    """
    group = _area_bin() if by == "area" else "category::VARCHAR"
    text, params = chosen_sql(filters, multiplier, run)
    bucket = photo_bucket(run, filters, multiplier)
    cells = run.query(
        f"{text} SELECT {bucket} AS bucket, {group} AS bin, count(lost) AS n, "  # noqa: S608
        "sum(lost) AS lost FROM chosen WHERE lost IS NOT NULL GROUP BY 1, 2",
        params,
    )
    out = mean_by_bin(cells, "lost")
    if by == "class":
        out = out.sort_values(["n", "bin"], ascending=[False, True], ignore_index=True)
    return out


def calibration(run: Queryable, filters: Filters, bins: int = 10) -> pd.DataFrame:
    """Reliability of the switch: how often its likeliest grid is the oracle's.

    Objects are binned by the probability of the likeliest grid; "correct" means that this grid is
    the oracle grid (best mask IoU against the ground truth, the cheapest on ties). A budget does
    not change it: the probabilities stay as they are.

    Returns:
        bin (0..bins-1), low_p, high_p, n, confidence (mean probability), mean (share correct),
        low, high.
    """
    text, params = chosen_sql(filters, None, run)
    bucket = photo_bucket(run, filters)
    top = "greatest(p14, p28, p56, p112)"
    likeliest = (
        f"CASE WHEN p14 >= {top} THEN 14 WHEN p28 >= {top} THEN 28 "
        f"WHEN p56 >= {top} THEN 56 ELSE 112 END"
    )
    cells = run.query(
        f"""{text} SELECT {bucket} AS bucket,
        least(floor({top} * {bins}), {bins - 1})::INTEGER AS bin, count(*) AS n,
        sum({top}::DOUBLE) AS p, sum(({likeliest} = oracle_grid)::INTEGER) AS good
        FROM chosen WHERE p14 IS NOT NULL AND oracle_grid IS NOT NULL GROUP BY 1, 2""",  # noqa: S608
        params,
    )
    out = mean_by_bin(cells, "good")
    sums = cells.groupby("bin")[["p", "n"]].sum()
    out["confidence"] = out["bin"].map(sums["p"] / sums["n"]).astype(float)
    out["low_p"], out["high_p"] = out["bin"] / bins, (out["bin"] + 1) / bins
    return out


def calibration_error(table: pd.DataFrame) -> float:
    """Expected calibration error (Guo et al., 2017) of :func:`calibration`; NaN without rows."""
    if not len(table):
        return float("nan")
    gap = (table["mean"] - table["confidence"]).abs()
    return float((gap * table["n"]).sum() / table["n"].sum())


def mean_by_bin(cells: pd.DataFrame, value: str) -> pd.DataFrame:
    """Means with intervals from sums per photo: columns bucket, bin, n and ``value``.

    Returns:
        bin, n, mean, low, high, sorted by bin.
    """
    place, names = pd.factorize(cells["bin"], sort=True)
    names = np.asarray(names)
    sums = Sums.of(cells["bucket"].to_numpy())
    below = sums.table(place, len(names), cells["n"].to_numpy())
    above = sums.table(place, len(names), cells[value].to_numpy(dtype=np.float64))
    mean, low, high = ratio_interval(above, below)
    return pd.DataFrame(
        {"bin": names, "n": below.sum(0).astype(int), "mean": mean, "low": low, "high": high}
    )


def _area_bin() -> str:
    return f"floor(area10 * {AREA_BINS_PER_DECADE})::INTEGER"


def _cells(
    run: Queryable,
    filters: Filters,
    multiplier: Multiplier | None,
    group: str,
    more: str = "",
) -> pd.DataFrame:
    text, params = chosen_sql(filters, multiplier, run)
    bucket = photo_bucket(run, filters, multiplier)
    return run.query(
        f"{text} SELECT {bucket} AS bucket, {group} AS bin, g AS grid, "  # noqa: S608
        f"count(*) AS count{', ' + more if more else ''} FROM chosen GROUP BY 1, 2, 3",
        params,
    )


def _shares(cells: pd.DataFrame, probability: str | None = None) -> pd.DataFrame:
    """Shares of the grids in each bin, with intervals; one row per bin and grid."""
    place, names = pd.factorize(cells["bin"], sort=True)
    names = np.asarray(names)
    sums, width = Sums.of(cells["bucket"].to_numpy()), len(names)
    weights = draws(sums.photos)
    total = sums.table(place, width, cells["count"].to_numpy())
    parts, so_far = [], np.zeros_like(total)
    for grid in GRIDS:
        here = (cells["grid"] == grid).to_numpy()
        above = sums.table(place, width, np.where(here, cells["count"], 0))
        share, low, high = ratio_interval(above, total, weights=weights)
        part = {"bin": names, "grid": grid, "n": total.sum(0).astype(int)}
        part |= {"count": above.sum(0).astype(int), "share": share}
        part |= {"share_low": low, "share_high": high}
        so_far = so_far + above
        upto, low, high = ratio_interval(so_far, total, weights=weights)
        part |= {"upto": upto, "upto_low": low, "upto_high": high}
        if probability:
            mass = sums.table(place, width, cells[f"{probability}{grid}"].fillna(0).to_numpy())
            mean, low, high = ratio_interval(mass, total, weights=weights)
            part |= {"probability": mean, "probability_low": low, "probability_high": high}
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True).sort_values(["bin", "grid"], ignore_index=True)
