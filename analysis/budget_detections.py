"""The detections of a run with their overlaps at every grid, read once into flat arrays.

The table ``pairs`` of a run holds how much each detection overlaps each object at all four grids,
and ``areas`` the size of its mask there: all that average precision of any choice of grids needs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from analysis.budget import ObjectTable, branch_macs, run_config
from analysis.budget_match import Pool
from analysis.detections import detection_policies, has_detections
from analysis.errors import RIGHT
from analysis.filters import PHOTO_BUCKETS, Filters, Queryable
from dynamask.config import GRIDS
from dynamask.cost import cost_table

SAMPLE = 60_000
"""Above so many detections the Pareto plot, which scores them some forty times, takes photos drawn
at random that have about as many."""
CURVES = 200_000
"""Above so many, curves over size and errors are those of such photos too."""
_TINY = 1e-12


@dataclass(frozen=True)
class Detections:
    """The detections of a run with their overlaps at every grid.

    Attributes:
        pool: detections by photo and id, objects, overlaps.
        grids: policy to (N,) positions in GRIDS of the grids that it chose.
        log_p: (N, 4) float32 log probabilities over GRIDS.
        size_grids: (N,) positions in GRIDS of the size rule.
        sizes: (P, 2) width and height of ``pool.images`` in px, 0 for photos without detections.
        photos: photos of the run under the same filters, ``pool`` may be a sample of them.
        sized: whether areas are known, without which ranges of area and errors cannot be asked.
        config: the model's configuration.
    """

    pool: Pool
    grids: dict[str, np.ndarray]
    log_p: np.ndarray
    size_grids: np.ndarray
    sizes: np.ndarray
    photos: int
    sized: bool
    config: Any

    @cached_property
    def table(self) -> ObjectTable:
        """What re-selecting needs; a detection in an object's place.

        ``iou`` (mask IoU) and ``biou`` (the smaller of mask and boundary IoU) are with the object
        of its class that it overlaps most at its best grid, 0 where there is none.
        """
        pool = self.pool
        pairs = np.flatnonzero(pool.own & ~pool.crowd[pool.pair_truth])
        best = np.zeros(len(pool))
        top = pool.iou[:, pairs].max(axis=0)
        np.maximum.at(best, pool.pair_found[pairs], top)
        first = pairs[top == best[pool.pair_found[pairs]]][::-1]  # the first is written last
        iou, rim = np.zeros((2, len(pool), len(GRIDS)), np.float32)
        iou[pool.pair_found[first]] = pool.iou[:, first].T
        rim[pool.pair_found[first]] = pool.rim[:, first].T
        seen, photo = np.unique(pool.photo, return_inverse=True)
        buckets = np.arange(len(seen)) % PHOTO_BUCKETS
        sizes = self.sizes[seen]
        return ObjectTable(pool.ids, self.log_p, iou, rim, photo, sizes, buckets, self.config)

    @cached_property
    def _prices(self) -> ObjectTable:
        """What choosing by price needs of ``table``, which large runs need not hold in whole."""
        nothing = np.zeros((0, len(GRIDS)), np.float32)
        return ObjectTable(
            *(self.pool.ids, self.log_p, nothing, nothing),
            *(self.pool.photo, self.sizes, np.zeros(0, np.int64), self.config),
        )

    def reselect(self, budget: float) -> np.ndarray:
        """(N,) positions in GRIDS at a mean budget in GMAC per detection, switch included.

        Raises:
            PolicyError: the budget is below the cost of grid 14 with the switch.
        """
        return self._prices.reselect(self._prices.multiplier(budget)).astype(np.int8)

    def costs(self, index: np.ndarray, switch: bool) -> tuple[float, float]:
        """Mean GMAC per detection, and the same with the image branches.

        Args:
            index: (N,) positions in GRIDS.
            switch: whether the choice asks the switch.
        """
        table, cost = self.table, cost_table(self.config)
        mac = np.asarray(cost.exits, np.float64)[index].sum()
        mac += float(cost.switch_mac) * len(index) * switch
        finest = np.zeros(len(table.sizes), np.int64)
        np.maximum.at(finest, table.photo, index)
        branch = branch_macs(self.config, *table.sizes.T, np.asarray(GRIDS)[finest]).sum()
        return mac / len(index) / 1e9, (mac + branch) / len(index) / 1e9

    def take(self, found: np.ndarray, truth: np.ndarray, images: np.ndarray | None = None) -> Any:
        """Some of it: ``found`` (N,) and ``truth`` (G,) bool; ``images`` (P,) bool, None for all.

        Detections and objects of photos that are left out must be left out as well.
        """
        pool = self.pool
        images = np.ones(len(pool.images), bool) if images is None else images
        row, column, place = (np.cumsum(m, dtype=np.int32) - 1 for m in (found, truth, images))
        pairs = np.flatnonzero(found[pool.pair_found] & truth[pool.pair_truth])
        kept: dict[str, Any] = {"images": pool.images[images], "classes": pool.classes}
        kept |= {"pair_found": row[pool.pair_found[pairs]]}
        kept |= {"pair_truth": column[pool.pair_truth[pairs]]}
        # rows by number: much faster than a mask where there are several columns
        rows, lines = np.flatnonzero(found), np.flatnonzero(truth)
        kept |= {name: np.take(getattr(pool, name), pairs, axis=1) for name in ("iou", "rim")}
        kept |= {"fits": pool.fits[pairs], "areas": np.take(pool.areas, rows, axis=1)}
        kept |= {"photo": place[pool.photo[rows]], "truth_photo": place[pool.truth_photo[lines]]}
        for name in ("ids", "kind", "score"):
            kept[name] = getattr(pool, name)[rows]
        for name in ("truth", "truth_kind", "truth_area", "crowd"):
            kept[name] = getattr(pool, name)[lines]
        some = Pool(**kept)
        if len(pool.order) == len(pool):  # nothing beyond COCO's 100: the order stays
            vars(some)["order"] = row[pool.order[found[pool.order]]]
        return replace(
            self,
            pool=some,
            grids={policy: index[rows] for policy, index in self.grids.items()},
            log_p=np.take(self.log_p, rows, axis=0),
            size_grids=self.size_grids[rows],
            sizes=self.sizes[images],
        )

    def filtered(self, filters: Filters, names: dict[int, str]) -> Any:
        """Only classes and the score count, as for detections.load; ``names`` by class id."""
        if filters.categories is None and filters.score is None:
            return self
        pool = self.pool
        kept = np.ones(len(pool.classes), bool)
        if filters.categories is not None:
            kept = np.array([names.get(int(c)) in filters.categories for c in pool.classes], bool)
        found = kept[pool.kind]
        if filters.score is not None:
            low, high = filters.score
            found &= (pool.score >= low) & (pool.score <= high)
        return self.take(found, kept[pool.truth_kind])

    def sample(self, most: int = SAMPLE) -> Any:
        """Photos drawn at random that have about ``most`` detections; itself where it has less."""
        if len(self.pool) <= most:
            return self
        drawn = self._drawn(most)
        return self.take(drawn[self.pool.photo], drawn[self.pool.truth_photo], drawn)

    def _drawn(self, most: int) -> np.ndarray:
        """(P,) bool: photos drawn at random."""
        count = max(2, round(len(self.pool.images) * most / len(self.pool)))
        drawn = np.zeros(len(self.pool.images), bool)
        drawn[np.random.default_rng(0).permutation(len(drawn))[:count]] = True
        return drawn

    @cached_property
    def few(self) -> tuple[Any, np.ndarray | slice]:
        """The sample that curves and errors are of, and its rows here."""
        if len(self.pool) <= CURVES:
            return self, slice(None)
        return self.sample(CURVES), self._drawn(CURVES)[self.pool.photo]


def has_pairs(run: Queryable) -> bool:
    """Whether the run holds overlaps at every grid."""
    return "pairs" in _tables(run) and has_detections(run)


def follows_budget(run: Queryable) -> bool:
    """Whether AP by size, errors and COCO's table can be had for any choice of grids.

    Runs from before the table ``areas`` cannot, nor can those that were begun then and resumed.
    """
    if not has_pairs(run) or "areas" not in _tables(run):
        return False
    found = run.query(
        "SELECT (SELECT count(*) FROM areas) AS areas, (SELECT max(n) FROM "
        "(SELECT count(*) AS n FROM detections GROUP BY policy)) AS detections"
    )
    return int(found["areas"].iloc[0]) == int(found["detections"].fillna(-1).iloc[0])


def _tables(run: Queryable) -> set[str]:
    return set(run.query("SELECT table_name FROM information_schema.tables")["table_name"])


def load(run: Queryable, filters: Filters | None = None) -> Detections | None:
    """Read the detections and their overlaps; None where the run has none.

    Args:
        run: a run.
        filters: only classes and the score count, as for detections.load.
    """
    policies = detection_policies(run)
    if not has_pairs(run) or not policies:
        return None
    data = _read(run, policies)
    return data if filters is None else data.filtered(filters, class_names(run))


def class_names(run: Queryable) -> dict[int, str]:
    """Class id to its name."""
    found = run.query("SELECT DISTINCT category_id, category::VARCHAR AS name FROM objects")
    return dict(zip(found["category_id"].astype(int), found["name"], strict=True))


def _read(run: Queryable, policies: list[str]) -> Detections:
    # nothing that is read depends on the policy
    where = "FROM detections WHERE policy = ?"
    found = _columns(
        run, f"SELECT detection_id, image_id, category_id, score::DOUBLE {where}", policies[:1]
    )
    truths = _columns(
        run, "SELECT annotation_id, image_id, category_id, area_px2::DOUBLE, crowd FROM truths"
    )
    order, lines = (np.lexsort((rows[0], rows[1])) for rows in (found, truths))
    ids, image, category, score = (values[order] for values in found)
    names, on, kind, area, crowd = (values[lines] for values in truths)
    photos, kinds = np.union1d(image, on), np.union1d(category, kind)
    photo = np.searchsorted(photos, image).astype(np.int32)
    sizes = np.zeros((len(photos), 2), np.int64)
    for k, side in enumerate(("image_width", "image_height")):
        sizes[photo, k] = _columns(run, f"SELECT {side} {where}", policies[:1])[0][order]
    box = "box_x::DOUBLE, box_y::DOUBLE, box_w::DOUBLE, box_h::DOUBLE"
    boxes = np.stack(_columns(run, f"SELECT {box} {where}", policies[:1]), axis=1)[order]
    sized = follows_budget(run)
    areas = np.zeros((len(GRIDS), len(ids)), np.float32)
    if sized:
        sql = ", ".join(f"area{g}::FLOAT" for g in GRIDS)
        of, *columns = _columns(run, f"SELECT detection_id, {sql} FROM areas")  # noqa: S608
        at = _places(of, ids)
        areas = np.stack([c[at] for c in columns])
    config = run_config(run)
    true = np.stack(_columns(run, f"SELECT {box} FROM truths"), axis=1)[lines]  # noqa: S608
    sides = np.sqrt(boxes[:, 2] * boxes[:, 3])
    pairs = _pairs(run, ids, names)
    fits = _box_iou(boxes[pairs["pair_found"]], true[pairs["pair_truth"]]) >= RIGHT
    size_grids = np.searchsorted(config.size_thresholds_px, sides, side="right").astype(np.int8)
    del boxes, true, sides
    pool = Pool(
        ids=ids,
        photo=photo,
        kind=np.searchsorted(kinds, category).astype(np.int32),
        score=score,
        areas=areas,
        truth=names,
        truth_photo=np.searchsorted(photos, on).astype(np.int32),
        truth_kind=np.searchsorted(kinds, kind).astype(np.int32),
        truth_area=area,
        crowd=crowd.astype(bool),
        images=photos,
        classes=kinds,
        fits=fits,
        **pairs,
    )
    sql = ", ".join(f"p{g}::FLOAT" for g in GRIDS)
    p = np.stack(_columns(run, f"SELECT {sql} {where}", policies[:1]), axis=1)[order]
    return Detections(
        pool=pool,
        grids={p: _chosen(run, p, ids) for p in policies} if sized else {},
        log_p=np.log(np.clip(p, _TINY, None)),
        size_grids=size_grids,
        sizes=sizes,
        photos=len(photos),
        sized=sized,
        config=config,
    )


def _columns(run: Queryable, sql: str, params: list | None = None) -> list[np.ndarray]:
    """Columns of one SELECT, in the order of the files: a few at a time, to save memory."""
    frame = run.query(sql, params)
    return [frame.iloc[:, k].to_numpy() for k in range(frame.shape[1])]


def _chosen(run: Queryable, policy: str, ids: np.ndarray) -> np.ndarray:
    """(N,) int8 positions in GRIDS of the grids that a policy chose."""
    sql = "SELECT detection_id, grid FROM detections WHERE policy = ?"
    of, grids = _columns(run, sql, [policy])
    return np.searchsorted(GRIDS, grids[_places(of, ids)]).astype(np.int8)


def _pairs(run: Queryable, ids: np.ndarray, names: np.ndarray) -> dict[str, np.ndarray]:
    found, truth = _columns(run, "SELECT detection_id, annotation_id FROM pairs")
    row, column = _places(ids, found), _places(names, truth)
    order = np.lexsort((column, row))
    out = {"pair_found": row[order].astype(np.int32), "pair_truth": column[order].astype(np.int32)}
    for name in ("iou", "rim"):
        sql = ", ".join(f"coalesce({name}{g}, 0)::DOUBLE" for g in GRIDS)
        columns = _columns(run, f"SELECT {sql} FROM pairs")  # noqa: S608 - our own names
        out[name] = np.stack([c[order] for c in columns])
    return out


def _places(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """For every number asked for its place among the known ones, all of which differ."""
    order = np.argsort(known)
    return order[np.searchsorted(known, asked, sorter=order)]


def _box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(K,) IoU of xywh boxes (K, 4), row by row; 0 where both are empty."""
    low = np.maximum(a[:, :2], b[:, :2])
    high = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(a[:, 2:], axis=1) + np.prod(b[:, 2:], axis=1) - both
    return np.divide(both, union, out=np.zeros(len(a)), where=union > 0)
