"""AP and boundary AP against cost: every way to choose grids, scored on the same detections.

The table ``pairs`` of a run holds how much each detection overlaps each object of its class at
all four grids. A choice of grids then only picks one of four overlaps for each detection; what is
left is COCO's matching (analysis.metrics), so that no mask is decoded, read or compared again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.budget import PARETO_COLUMNS, ObjectTable, choices, pareto, run_config
from analysis.detections import detection_policies, has_detections
from analysis.filters import Filters, Queryable
from analysis.intervals import bounds, draws
from analysis.metrics import MAX_DETECTIONS, RECALLS, Cell, ClassMatches, match
from dynamask.config import GRIDS
from dynamask.policies import parse_policy

STEPS, DRAWS = 10, 100
COLUMNS = [
    *(PARETO_COLUMNS[:5]),
    *("ap", "ap_low", "ap_high", "boundary_ap", "boundary_ap_low", "boundary_ap_high"),
]
_TINY = 1e-12


@dataclass(frozen=True)
class Detections:
    """The detections of a run with their overlaps at every grid.

    Attributes:
        table: one row per detection, by photo and id; ``iou`` (mask IoU) and ``biou`` (the smaller
            of mask and boundary IoU) are with the object that it overlaps most at its best grid,
            0 where there is none.
        size_grids: (N,) positions in GRIDS of the size rule.
        cells: one per photo and class; ``iou`` is in no use.
        rows: for each cell (D,) rows of ``table``.
        masks: for each cell (4, D, G) mask IoU at each grid.
        rims: for each cell (4, D, G) the smaller of mask IoU and boundary IoU at each grid.
        images: (P,) ids of the photos, rising.
    """

    table: ObjectTable
    size_grids: np.ndarray
    cells: list[Cell]
    rows: list[np.ndarray]
    masks: list[np.ndarray]
    rims: list[np.ndarray]
    images: np.ndarray

    def mixed(self, index: np.ndarray, boundary: bool = False) -> list[Cell]:
        """The cells as they are where every detection has the grid chosen for it.

        Args:
            index: (N,) positions in GRIDS.
            boundary: the overlap of boundary AP instead of mask IoU.
        """
        return [
            replace(cell, iou=stack[index[rows], np.arange(len(rows))])
            for cell, rows, stack in zip(
                self.cells, self.rows, self.rims if boundary else self.masks, strict=True
            )
        ]


def has_pairs(run: Queryable) -> bool:
    """Whether the run holds overlaps at every grid."""
    names = run.query("SELECT table_name FROM information_schema.tables WHERE table_name = 'pairs'")
    return bool(len(names)) and has_detections(run)


def load(run: Queryable, filters: Filters | None = None) -> Detections | None:
    """Read the detections and their overlaps; None where the run has none.

    Args:
        run: a run.
        filters: only classes and the score count, as for detections.load.
    """
    if not has_pairs(run) or not detection_policies(run):
        return None
    filters = filters or Filters()
    names = ", ".join(f"p{g}" for g in GRIDS)
    founds = run.query(
        f"SELECT detection_id, image_id, category_id, score, box_w, box_h, image_width, "  # noqa: S608
        f"image_height, {names} FROM detections WHERE policy = ? ORDER BY image_id, detection_id",
        [detection_policies(run)[0]],  # nothing that is read depends on the policy
    )
    truths = run.query(
        "SELECT annotation_id, image_id, category_id, crowd, area_px2 FROM truths "
        "ORDER BY annotation_id"
    )
    pairs = run.query("SELECT * FROM pairs ORDER BY detection_id, annotation_id")
    images = np.union1d(truths["image_id"], founds["image_id"]).astype(np.int64)
    if filters.categories is not None:
        known = run.query("SELECT DISTINCT category_id, category FROM objects")
        kept = set(known.loc[known["category"].isin(filters.categories), "category_id"])
        truths = truths[truths["category_id"].isin(kept)]
        founds = founds[founds["category_id"].isin(kept)]
    if filters.score is not None:
        founds = founds[founds["score"].between(*filters.score)]
    truths, founds = truths.reset_index(drop=True), founds.reset_index(drop=True)
    cells, rows, columns = _cells(truths, founds)
    masks, rims = _stacks(cells, rows, columns, truths, founds, pairs)
    table = _table(run, truths, founds, pairs)
    rule = parse_policy("size", config=table.config)
    sides = np.sqrt(founds["box_w"].to_numpy(float) * founds["box_h"].to_numpy(float))
    size_grids = np.searchsorted(rule.thresholds_px, sides, side="right")
    return Detections(table, size_grids, cells, rows, masks, rims, images)


def _cells(
    truths: pd.DataFrame, founds: pd.DataFrame
) -> tuple[list[Cell], list[np.ndarray], list[np.ndarray]]:
    """Cells as metrics.overlaps makes them, and their rows of ``founds`` and ``truths``."""
    groups: dict[tuple[int, int], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, frame in enumerate((founds, truths)):
        keys = zip(frame["image_id"].tolist(), frame["category_id"].tolist(), strict=True)
        for row, key in enumerate(keys):
            groups[key][side].append(row)
    score = founds["score"].to_numpy(np.float64)
    ids = founds["detection_id"].to_numpy(np.int64)
    names = truths["annotation_id"].to_numpy(np.int64)
    area, crowd = truths["area_px2"].to_numpy(np.float64), truths["crowd"].to_numpy(bool)
    cells, rows, columns = [], [], []
    for (image_id, category_id), (dts, gts) in sorted(groups.items()):
        d, t = np.array(dts, np.int64), np.array(gts, np.int64)
        d = d[np.argsort(-score[d], kind="mergesort")[:MAX_DETECTIONS]]
        nothing = np.zeros((len(d), len(t)))
        # areas of detections matter only in ranges of area, which are not asked for here
        cell = Cell(
            image_id,
            category_id,
            ids[d],
            score[d],
            np.zeros(len(d)),
            names[t],
            area[t],
            crowd[t],
            nothing,
        )
        cells.append(cell)
        rows.append(d)
        columns.append(t)
    return cells, rows, columns


def _stacks(
    cells: Sequence[Cell],
    rows: Sequence[np.ndarray],
    columns: Sequence[np.ndarray],
    truths: pd.DataFrame,
    founds: pd.DataFrame,
    pairs: pd.DataFrame,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(4, D, G) mask overlaps and boundary overlaps of every cell."""
    cell_of = np.full(len(founds), -1)
    line_of, column_of = np.zeros(len(founds), np.int64), np.zeros(len(truths), np.int64)
    for k, (d, t) in enumerate(zip(rows, columns, strict=True)):
        cell_of[d], line_of[d], column_of[t] = k, np.arange(len(d)), np.arange(len(t))
    out = []
    where_d, where_t = _places(truths, founds, pairs)
    # left out: what a filter takes away, and detections beyond COCO's 100 of a photo and class
    good = np.flatnonzero((where_d >= 0) & (where_t >= 0))
    good = good[cell_of[where_d[good]] >= 0]
    for prefix in ("iou", "rim"):
        values = pairs[[f"{prefix}{g}" for g in GRIDS]].to_numpy(np.float64)
        stacks = [np.zeros((len(GRIDS), len(c.found), len(c.truth))) for c in cells]
        for k in good:
            d, t = where_d[k], where_t[k]
            stacks[cell_of[d]][:, line_of[d], column_of[t]] = values[k]
        out.append(stacks)
    return out[0], out[1]


def _places(
    truths: pd.DataFrame, founds: pd.DataFrame, pairs: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """For every pair its rows in ``founds`` and ``truths``, -1 where it is not there."""
    d = pd.Index(founds["detection_id"]).get_indexer(pairs["detection_id"])
    return d, pd.Index(truths["annotation_id"]).get_indexer(pairs["annotation_id"])


def _table(
    run: Queryable, truths: pd.DataFrame, founds: pd.DataFrame, pairs: pd.DataFrame
) -> ObjectTable:
    """What re-selecting needs of every detection."""
    where_d, where_t = _places(truths, founds, pairs)
    crowd = truths["crowd"].to_numpy(bool)
    iou = np.zeros((len(founds), len(GRIDS)), np.float32)
    rim = np.zeros_like(iou)
    ious = pairs[[f"iou{g}" for g in GRIDS]].to_numpy(np.float32)
    rims = pairs[[f"rim{g}" for g in GRIDS]].to_numpy(np.float32)
    for k in np.flatnonzero((where_d >= 0) & (where_t >= 0)):
        d = where_d[k]
        if not crowd[where_t[k]] and ious[k].max() > iou[d].max():
            iou[d], rim[d] = ious[k], rims[k]
    photo = pd.factorize(founds["image_id"])[0]
    first = np.flatnonzero(np.diff(photo, prepend=-1))
    p = founds[[f"p{g}" for g in GRIDS]].to_numpy(np.float32)
    return ObjectTable(
        ids=founds["detection_id"].to_numpy(np.int64),
        log_p=np.log(np.clip(p, _TINY, None)),
        iou=iou,
        biou=rim,
        photo=photo,
        sizes=founds[["image_width", "image_height"]].iloc[first].to_numpy(np.int64),
        bucket=np.arange(len(first)),
        config=run_config(run),
    )


def ap_pareto(data: Detections, steps: int = STEPS, seed: int = 0) -> pd.DataFrame:
    """AP and boundary AP against cost of every way to choose grids.

    Args:
        data: of :func:`load`.
        steps: points of the budget sweep.
        seed: of the random choice and of the bootstrap.

    Returns:
        name, kind, n (detections), gmac and gmac_per_roi as budget.pareto has them, a detection
        in an object's place; ap, ap_low, ap_high, boundary_ap, boundary_ap_low, boundary_ap_high
        in 0..1 with 95 % intervals over photos. The oracle takes each detection's grid of the
        best mask IoU with its object, the cheapest on ties.
    """
    table = data.table
    if not len(table):
        return pd.DataFrame(columns=COLUMNS)
    costs = pareto(table, data.size_grids, steps, seed)
    picks = {name: index for name, _, index in choices(table, data.size_grids, seed)}
    for name, budget in zip(
        costs.loc[costs["kind"] == "sweep", "name"],
        np.linspace(*table.range_gmac(), steps),
        strict=True,
    ):
        picks[name] = table.reselect(table.multiplier(budget))
    weights = np.concatenate([np.ones((1, len(data.images))), draws(len(data.images), seed, DRAWS)])
    rows = []
    for cost in costs[COLUMNS[:5]].itertuples(index=False):
        quality: list[float] = []
        for boundary in (False, True):
            cells = data.mixed(picks[cost.name], boundary)
            values = resampled_ap(match(cells, data.images), weights)
            low, high = bounds(values[1:, None])
            few = len(data.images) < 2
            quality += [values[0], np.nan if few else low[0], np.nan if few else high[0]]
        rows.append((*cost, *quality))
    return pd.DataFrame(rows, columns=COLUMNS)


def resampled_ap(matches: dict[int, ClassMatches], weights: np.ndarray) -> np.ndarray:
    """AP at IoU 0.50 to 0.95 of many resamples at once; metrics.average_precision's numbers.

    Args:
        matches: of metrics.match.
        weights: (B, P) how often each photo counts.

    Returns:
        (B,) the mean over classes with objects, NaN where there is none.
    """
    total, classes = np.zeros(len(weights)), np.zeros(len(weights))
    for group in matches.values():
        objects = weights @ group.objects
        there = objects > 0
        classes += there
        if group.hit.any():
            total += np.where(there, _class_ap(group, weights, np.where(there, objects, 1)), 0)
    return np.divide(total, classes, out=np.full(len(weights), np.nan), where=classes > 0)


def _class_ap(group: ClassMatches, weights: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """(B,) AP of one class, the mean over thresholds.

    Precision has its maxima where a detection is right, so that only these are looked at; each
    answers for the recalls between the one before and its own.
    """
    each = weights[:, group.photo]
    out = np.zeros(len(weights))
    for hit, ignored in zip(group.hit, group.ignored, strict=True):
        right = hit & ~ignored
        at = np.flatnonzero(right)
        if not len(at):
            continue
        good = np.cumsum(each[:, at], axis=1)
        seen = np.cumsum(each * ~ignored, axis=1)[:, at]
        precision = good / np.maximum(seen, np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = np.searchsorted(RECALLS, good / objects[:, None], side="right")
        steps = np.diff(reached, axis=1, prepend=0)
        out += (precision * steps).sum(axis=1) / len(RECALLS)
    return out / len(group.hit)
