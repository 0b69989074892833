"""A short text about a run, every sentence computed: the words follow from intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import selection
from analysis.budget import ObjectTable
from analysis.compare import compare, verdict
from analysis.dashboards import narrow, objects, pareto_table, photos_drawn, scored
from analysis.filters import Filters, Queryable, counts
from analysis.intervals import bounds, draws
from dynamask.config import GRIDS


def state_sentences(run: Queryable) -> list[str]:
    """What the manifest says about the run: name, state, photos done."""
    manifest = run.manifest
    done, photos = manifest.get("photos_done"), manifest.get("photos")
    state = str(manifest.get("state", "unknown"))
    if isinstance(done, int) and isinstance(photos, int) and done < photos:
        return [
            f"The run is not finished: {done:,} of {photos:,} photos are done, so all numbers "
            "are about these photos only."
        ]
    return [f"The state of the run is: {state}."]


def summarise(run: Queryable, filters: Filters) -> list[str]:
    """Sentences about one run; one sentence where no object passes the filters."""
    rows = narrow(run, filters)
    n, photos = counts(rows, filters)
    if not n:
        return [f"No object of this run passes the filters ({filters.words()})."]
    now = selection.totals(rows, filters)
    shares = ", ".join(f"{now['share'][g]:.0%} grid {g}" for g in GRIDS)
    out = [
        f"The numbers are about {n:,} objects on {photos:,} photos ({filters.words()}).",
        f"Of these objects the policy gives {shares}.",
    ]
    return (
        out + _cost(run, filters) + _size(rows, filters) + _sure(rows, filters) + _ap(run, filters)
    )


def _cost(run: Queryable, filters: Filters) -> list[str]:
    table = pareto_table(run, filters)
    if not len(table):
        return ["No object has a measured IoU, so quality against cost cannot be shown."]
    by = table.set_index("name")
    msm, finest, best = by.loc["msm"], by.loc[f"fixed:{GRIDS[-1]}"], by.loc["oracle"]
    arrays = objects(run, filters)
    chosen = arrays.log_p.argmax(axis=1)
    out = [
        f"The switch reaches a mean mask IoU of {msm['iou']:.4f} ({msm['iou_low']:.4f} to "
        f"{msm['iou_high']:.4f}) at {msm['gmac_per_roi']:.4f} GMAC per object, which is "
        f"{msm['gmac_per_roi'] / finest['gmac_per_roi']:.0%} of the cost of all {GRIDS[-1]} "
        f"({finest['iou']:.4f} at {finest['gmac_per_roi']:.4f} GMAC).",
        _gap(arrays, chosen, np.full(len(arrays), len(GRIDS) - 1), f"all {GRIDS[-1]}"),
        f"Always taking the best grid would reach {best['iou']:.4f}, "
        f"{best['iou'] - msm['iou']:.4f} more than the switch.",
    ]
    shuffled = np.random.default_rng(0).permutation(chosen)
    out.append(_gap(arrays, chosen, shuffled, "giving the same grids to objects at random"))
    return out


def _gap(table: ObjectTable, first: np.ndarray, second: np.ndarray, words: str) -> str:
    gap, low, high = paired_gap(table, first, second)
    if not np.isfinite(low):
        return f"With one photo no interval can be given for the difference to {words}."
    if low <= 0 <= high:
        side = "is not clearly different from"
    else:
        side = "is higher than" if gap > 0 else "is lower than"
    return (
        f"Its mean mask IoU {side} that of {words}: the difference is {gap:+.4f} "
        f"({low:+.4f} to {high:+.4f})."
    )


def paired_gap(
    table: ObjectTable, first: np.ndarray, second: np.ndarray
) -> tuple[float, float, float]:
    """Mean IoU of one choice minus another's on the same objects, with a paired 95 % interval.

    Args:
        table: M objects.
        first: (M,) positions in GRIDS.
        second: (M,) positions in GRIDS.
    """
    rows = np.arange(len(table))
    gap = (table.iou[rows, first] - table.iou[rows, second]).astype(np.float64)
    known = np.isfinite(gap)
    codes = np.unique(table.bucket, return_inverse=True)[1].reshape(-1)[table.photo][known]
    above = np.bincount(codes, gap[known])
    below = np.bincount(codes).astype(float)
    value = float(above.sum() / below.sum())
    if len(above) < 2:
        return value, float("nan"), float("nan")
    weights = draws(len(above))
    low, high = bounds(((weights @ above) / (weights @ below))[:, None])
    return value, float(low[0]), float(high[0])


def _size(rows: Queryable, filters: Filters) -> list[str]:
    table = selection.by_area(rows, filters)
    fine = table[table["grid"] >= GRIDS[2]].groupby("bin")[["count"]].sum()
    fine["n"] = table.drop_duplicates("bin").set_index("bin")["n"]
    if len(fine) < 2:
        return []
    total = fine["n"].cumsum()
    half = total <= max(total.iloc[-1] / 2, total.iloc[0])
    if half.all():
        return []
    small, large = (
        float(part["count"].sum() / part["n"].sum()) for part in (fine[half], fine[~half])
    )
    edge = 10 ** ((fine.index[half].max() + 1) / selection.AREA_BINS_PER_DECADE)
    word = "finer" if large > small else "coarser" if large < small else "the same"
    return [
        f"Larger objects get {word} grids: {small:.0%} of the objects below {edge:,.0f} px² "
        f"and {large:.0%} of those above get grid {GRIDS[2]} or finer."
    ]


def _sure(rows: Queryable, filters: Filters) -> list[str]:
    table = selection.calibration(rows, filters)
    if not len(table):
        return []
    right = (table["mean"] * table["n"]).sum() / table["n"].sum()
    sure = (table["confidence"] * table["n"]).sum() / table["n"].sum()
    word = "surer than right" if sure > right else "righter than sure"
    return [
        f"The switch's likeliest grid is the best one for {right:.0%} of the objects, with a mean "
        f"probability of {sure:.0%}: on average it is {word} by {abs(sure - right):.0%}."
    ]


def _ap(run: Queryable, filters: Filters) -> list[str]:
    score = scored(run, filters, limit=None)
    if isinstance(score, str):
        return [score]
    ap, low, high = score.interval
    worst = score.errors.sort_values("cost", ascending=False).iloc[0]
    row = score.row
    some = photos_drawn(score.photos, score.all_photos)
    drawn = f"Of {some}: " if some else ""
    if not np.isfinite(ap):
        return ["There are detections but no annotated object, so AP is not defined."]
    return [
        f"At detector boxes AP is {ap:.3f} ({low:.3f} to {high:.3f}) and boundary AP "
        f"{row['boundary_AP']:.3f}.",
        f"{drawn}The costliest kind of error is {worst['kind']} ({worst['meaning']}): "
        f"{worst['n']:,} cases, and AP at overlap 0.5 would rise by {worst['cost']:.3f} if "
        "they alone were repaired.",
    ]


def summarise_difference(first: Queryable, second: Queryable, filters: Filters) -> list[str]:
    """Sentences about two runs; one sentence where they share no photo."""
    table: pd.DataFrame = compare(first, second, filters)
    if not len(table):
        return [
            "The two runs share no photo with objects that pass the filters, so they cannot be "
            "compared."
        ]
    out = [f"Both runs are compared on the {table['photos'].iloc[0]:,} photos they share."]
    for _, row in table.iterrows():
        if row["metric"].startswith("share"):
            continue
        said = verdict(row)
        words = f"{said} in the second run" if said in ("higher", "lower") else said
        interval = f"95 % interval {row['low']:+.4f} to {row['high']:+.4f}"
        if said == "not known":
            words, interval = "whether it differs is not known", "no interval from one photo"
        out.append(
            f"{row['metric'][0].upper()}{row['metric'][1:]}: {words} ({row['first']:.4f} to "
            f"{row['second']:.4f}, difference {row['difference']:+.4f}, {interval})."
        )
    return out
