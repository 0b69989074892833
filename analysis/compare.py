"""Two runs side by side: differences with 95 % intervals, paired over the photos both looked at."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import detections
from analysis.filters import Filters, Queryable, chosen_sql
from analysis.intervals import bounds, draws, ratio_interval
from analysis.metrics import THRESHOLDS, Overlaps, average_precision, match
from dynamask.config import GRIDS

AP_DRAWS = 100
COLUMNS = ["metric", "unit", "first", "second", "difference", "low", "high", "n", "photos"]
_MEANS = {
    "iou": ("mean mask IoU", "0 to 1"),
    "biou": ("mean boundary IoU", "0 to 1"),
    "lost": ("mean regret", "mask IoU"),
    "gmac": ("mean cost of an object", "GMAC"),
    **{f"s{g}": (f"share of grid {g}", "0 to 1") for g in GRIDS},
}


def compare(first: Queryable, second: Queryable, filters: Filters) -> pd.DataFrame:
    """Compare two runs on the photos both of them finished.

    Args:
        first: a run.
        second: another run, of the same photos (image ids).
        filters: applied to both.

    Returns:
        One row per metric: metric, unit, first, second, difference (second minus first), low and
        high (its paired 95 % bootstrap interval over photos), n (objects of the second run),
        photos; empty where no photo is common.
    """
    a, b = _sums(first, filters), _sums(second, filters)
    common = np.intersect1d(a.index, b.index)
    if not len(common):
        return pd.DataFrame(columns=COLUMNS)
    a, b = a.loc[common], b.loc[common]
    if len(common) > 20_000:  # groups of photos, so that resampling stays small
        group = np.arange(len(common)) % 1000
        a, b = (t.groupby(group).sum() for t in (a, b))
    weights = draws(len(a))
    rows = []
    for name, (words, unit) in _MEANS.items():
        count = "known" if name in ("iou", "biou", "lost") else "n"
        values = _paired(a[name], a[count], b[name], b[count], weights)
        rows.append((words, unit, *values, int(b[count].sum()), len(common)))
    return pd.DataFrame(rows + _ap_rows(first, second, filters), columns=COLUMNS)


def verdict(row: pd.Series) -> str:
    """``higher``, ``lower``, ``no clear difference`` or ``not known``, from the interval."""
    if np.isnan(row["low"]) or np.isnan(row["high"]):  # of one photo
        return "not known"
    if row["low"] > 0:
        return "higher"
    return "lower" if row["high"] < 0 else "no clear difference"


def _sums(run: Queryable, filters: Filters) -> pd.DataFrame:
    """Sums per photo, by image_id."""
    text, params = chosen_sql(filters, None, run)
    shares = ", ".join(f"sum((g = {g})::INTEGER)::DOUBLE AS s{g}" for g in GRIDS)
    found = run.query(
        f"""{text} SELECT image_id, count(*)::DOUBLE AS n, count(q)::DOUBLE AS known,
        coalesce(sum(q::DOUBLE), 0) AS iou, coalesce(sum(bq::DOUBLE), 0) AS biou,
        coalesce(sum(lost::DOUBLE), 0) AS lost, sum(cost::DOUBLE) AS gmac, {shares}
        FROM chosen GROUP BY 1 ORDER BY 1""",  # noqa: S608
        params,
    )
    return found.set_index("image_id").astype(float)


def _paired(
    above_a: pd.Series, below_a: pd.Series, above_b: pd.Series, below_b: pd.Series, w: np.ndarray
) -> tuple[float, float, float, float, float]:
    first = ratio_interval(above_a.to_numpy()[:, None], below_a.to_numpy()[:, None], weights=w)[0]
    second = ratio_interval(above_b.to_numpy()[:, None], below_b.to_numpy()[:, None], weights=w)[0]
    gap = float(second[0] - first[0])
    if len(above_a) < 2:
        return float(first[0]), float(second[0]), gap, float("nan"), float("nan")
    with np.errstate(invalid="ignore", divide="ignore"):
        again = (w @ above_b) / (w @ below_b) - (w @ above_a) / (w @ below_a)
    low, high = bounds(np.asarray(again)[:, None])
    return float(first[0]), float(second[0]), gap, float(low[0]), float(high[0])


def _ap_rows(first: Queryable, second: Queryable, filters: Filters) -> list[tuple]:
    loaded = [detections.load(run, filters.policy, filters) for run in (first, second)]
    if any(x is None for x in loaded):
        return []
    images = np.intersect1d(loaded[0].images, loaded[1].images)
    if not len(images):
        return []
    data = [_only(x, images) for x in loaded]
    rows = []
    for name, kind in (("AP", "masks"), ("boundary AP", "boundaries")):
        matches = [match(getattr(x, kind), images) for x in data]
        value = [float(average_precision(m).mean()) for m in matches]
        low = high = float("nan")
        if len(images) > 1:
            again = [
                average_precision(matches[1], w).mean() - average_precision(matches[0], w).mean()
                for w in draws(len(images), count=AP_DRAWS)
            ]
            low, high = (float(v[0]) for v in bounds(np.array(again)[:, None]))
        n = sum(not t.crowd for t in data[1].truths)
        unit = f"mean over {len(THRESHOLDS)} IoU thresholds"
        rows.append((name, unit, *value, value[1] - value[0], low, high, n, len(images)))
    return rows


def _only(data: Overlaps, images: np.ndarray) -> Overlaps:
    kept = set(images.tolist())
    return Overlaps(
        [c for c in data.masks if c.image_id in kept],
        [c for c in data.boundaries if c.image_id in kept],
        images,
        [t for t in data.truths if t.image_id in kept],
        [f for f in data.founds if f.image_id in kept],
    )
