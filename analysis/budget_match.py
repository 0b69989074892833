"""COCO's matching and average precision of millions of detections at once, for any grids.

The numbers are those of analysis.metrics, and so pycocotools' own. There one photo and class is
matched after the other; here everything lies in flat arrays and is matched together. A detection
and an object that overlap nobody else need no matching at all; the others are matched in rounds:
first the best-scored detection of every photo and class, then the second, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from analysis.intervals import bounds, draws
from analysis.metrics import EVERYTHING, MAX_DETECTIONS, RECALLS, THRESHOLDS

EXACT_DETECTIONS = 20_000
"""Up to so many detections every resample is scored as it is; above, by ranks in STEPS steps."""
STEPS, GROUPS, STEPPED_DRAWS = 16, 100, 60
_FLOORS = np.minimum(THRESHOLDS, 1 - 1e-10)


@dataclass(frozen=True)
class Pool:
    """The detections of a run, its objects, and how much they overlap at every grid.

    Attributes:
        ids: (N,) detections by photo and id.
        photo: (N,) rows of ``images``.
        kind: (N,) rows of ``classes``.
        score: (N,).
        boxes: (N, 4) x, y, width, height in px.
        areas: (4, N) float32 mask area at each grid in px².
        truth: (G,) annotated objects by photo and id, crowds included.
        truth_photo: (G,) rows of ``images``.
        truth_kind: (G,) rows of ``classes``.
        truth_area: (G,) px².
        truth_boxes: (G, 4).
        crowd: (G,) bool.
        pair_found: (M,) rows of detections, never falling.
        pair_truth: (M,) rows of objects, rising for one detection.
        iou: (4, M) mask IoU at each grid.
        rim: (4, M) the smaller of mask and boundary IoU; of one class only.
        images: (P,) ids of the photos, rising.
        classes: (C,) ids of the classes, rising.
    """

    ids: np.ndarray
    photo: np.ndarray
    kind: np.ndarray
    score: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    truth: np.ndarray
    truth_photo: np.ndarray
    truth_kind: np.ndarray
    truth_area: np.ndarray
    truth_boxes: np.ndarray
    crowd: np.ndarray
    pair_found: np.ndarray
    pair_truth: np.ndarray
    iou: np.ndarray
    rim: np.ndarray
    images: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def order(self) -> np.ndarray:
        """(K,) detections that count, by class and falling score, equals by photo and id.

        COCO's limit of 100 detections of a photo and class leaves the others out.
        """
        order = np.lexsort((np.arange(len(self)), -self.score, self.kind))
        place = np.arange(len(self))
        counts = np.bincount(self.cell, minlength=1)
        if counts.max(initial=0) > MAX_DETECTIONS:
            by_cell = order[np.argsort(self.cell[order], kind="stable")]
            starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
            place[by_cell] = np.arange(len(self)) - starts[self.cell[by_cell]]
            order = order[place[order] < MAX_DETECTIONS]
        return order

    @cached_property
    def cell(self) -> np.ndarray:
        """(N,) one number for each photo and class."""
        return self.photo.astype(np.int64) * len(self.classes) + self.kind

    @cached_property
    def rank(self) -> np.ndarray:
        """(N,) place in ``order``, -1 for what does not count."""
        rank = np.full(len(self), -1)
        rank[self.order] = np.arange(len(self.order))
        return rank

    @cached_property
    def own(self) -> np.ndarray:
        """(M,) bool: the pair is of one class, and its detection counts."""
        same = self.kind[self.pair_found] == self.truth_kind[self.pair_truth]
        return same & (self.rank[self.pair_found] >= 0)

    @cached_property
    def weights(self) -> np.ndarray:
        """(P,) group of photos that a resample of many detections draws together."""
        return np.random.default_rng(0).permutation(len(self.images)) % GROUPS

    def at(self, index: np.ndarray, stack: np.ndarray) -> np.ndarray:
        """(M,) overlaps, ``iou`` or ``rim``, where every detection has the grid chosen for it."""
        return np.choose(index[self.pair_found], stack)

    def mixture(self, index: np.ndarray, boundary: bool = False) -> Mixture:
        """The detections with a grid chosen for each; for boundary AP instead of mask AP."""
        return Mixture(self, index, self.at(index, self.rim if boundary else self.iou))


class Mixture:
    """The detections with a grid chosen for each, matched at IoU 0.50 to 0.95.

    Args:
        pool: the detections.
        index: (N,) positions in GRIDS.
        overlap: (M,) of every pair; that of AP is ``pool.at(index, pool.iou)``.
    """

    def __init__(self, pool: Pool, index: np.ndarray, overlap: np.ndarray) -> None:
        self.pool = pool
        self.area = np.choose(index, pool.areas)[pool.order]
        near = np.flatnonzero(pool.own & (overlap >= _FLOORS[0]))
        found, truth = pool.rank[pool.pair_found[near]], pool.pair_truth[near]
        value = overlap[near]
        level = np.searchsorted(_FLOORS, value, side="right")
        crowd = pool.crowd[truth]
        of_found = np.bincount(found, minlength=len(pool.order))
        of_truth = np.bincount(truth, minlength=len(pool.truth))
        alone = (of_found[found] == 1) & (crowd | (of_truth[truth] == 1))
        self.found, self.truth, self.level = found[alone], truth[alone], level[alone]
        self._rest(found[~alone], truth[~alone], value[~alone], level[~alone])

    def _rest(
        self, found: np.ndarray, truth: np.ndarray, value: np.ndarray, level: np.ndarray
    ) -> None:
        """Pairs that depend on one another, in rounds: round after round, by detection."""
        pool = self.pool
        names, line = np.unique(found, return_inverse=True)
        cell = pool.cell[pool.order[names]]
        # ranks within a class fall with the score, so by cell and rank is the order of matching
        by_cell = np.lexsort((names, cell))
        first = np.flatnonzero(np.diff(cell[by_cell], prepend=-1))
        turn = np.empty(len(names), np.int64)
        lengths = np.diff(np.append(first, len(names)))
        turn[by_cell] = np.arange(len(names)) - np.repeat(first, lengths)
        order = np.lexsort((truth, line, turn[line]))
        self.rest_found, self.rest_truth = found[order], truth[order]
        self.rest_level, self.rest_turn = level[order], turn[line][order]
        self.rest_cell = cell[line][order]
        # of equal overlaps pycocotools keeps the last
        by_value = np.lexsort((self.rest_truth, value[order]))
        self.rest_rank = np.empty(len(order), np.int64)
        self.rest_rank[by_value] = np.arange(len(order))
        self.by_rank = by_value

    def matches(
        self, area: tuple[float, float] = EVERYTHING, steps: int = len(THRESHOLDS)
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Match, objects outside a range of areas ignored as COCO does.

        Args:
            area: smallest and largest in px².
            steps: how many of THRESHOLDS, from the lowest.

        Returns:
            (K,) places in ``pool.order`` of the detections that count at some threshold; those
            left out are ignored at all. (T, K) rows of objects that they have, -1 for none.
            (T, K) ignored.
        """
        pool = self.pool
        everything = area == EVERYTHING
        skip = pool.crowd | (pool.truth_area < area[0]) | (pool.truth_area > area[1])
        far = (self.area < area[0]) | (self.area > area[1])
        counts = ~far
        single = ~skip[self.truth] | ~far[self.found]
        counts[self.found[~skip[self.truth]]] = True
        kept = np.ones(len(self.rest_found), bool)
        if not everything:
            # a photo and class matters where an object, or a detection, of that area is in it
            alive = np.zeros(len(pool.images) * len(pool.classes), bool)
            alive[self.rest_cell[~skip[self.rest_truth] | ~far[self.rest_found]]] = True
            kept = alive[self.rest_cell]
        counts[self.rest_found[kept]] = True
        rows = np.flatnonzero(counts)
        place = np.full(len(counts), -1)
        place[rows] = np.arange(len(rows))
        got = np.full((steps, len(rows)), -1, np.int32)
        right = self.level[single] > np.arange(steps)[:, None]
        got[:, place[self.found[single]]] = np.where(right, self.truth[single], -1)
        self._rounds(kept, skip, place, got)
        ignored = np.where(got >= 0, np.append(skip, False)[got], far[rows])
        return rows, got, ignored

    def _rounds(
        self, kept: np.ndarray, skip: np.ndarray, place: np.ndarray, got: np.ndarray
    ) -> None:
        pairs = np.flatnonzero(kept)
        if not len(pairs):
            return
        found, turn = self.rest_found[pairs], self.rest_turn[pairs]
        names, truth = np.unique(self.rest_truth[pairs], return_inverse=True)
        away, crowd = skip[names][truth], self.pool.crowd[names][truth]
        # objects that count come first
        rank = self.rest_rank[pairs] + np.where(away, 0, len(self.rest_rank))
        back = np.full(2 * len(self.rest_rank), -1)
        back[rank] = np.arange(len(pairs))
        fits = self.rest_level[pairs] > np.arange(len(got))[:, None]
        taken = np.zeros((len(got), len(names)), bool)
        ends = np.append(np.flatnonzero(np.diff(turn, prepend=-1)), len(pairs))
        for low, high in pairwise(ends):
            part = slice(low, high)
            free = fits[:, part] & (~taken[:, truth[part]] | crowd[part])
            starts = np.flatnonzero(np.diff(found[part], prepend=-1))
            best = np.maximum.reduceat(np.where(free, rank[part], -1), starts, axis=1)
            line, column = np.nonzero(best >= 0)
            pair = back[best[line, column]]
            got[line, place[found[part][starts[column]]]] = names[truth[pair]]
            taken[line, truth[pair]] = True

    def scores(self, area: tuple[float, float] = EVERYTHING) -> Scores:
        """Matched detections of a range of areas, ready for average precision."""
        pool = self.pool
        rows, got, ignored = self.matches(area)
        counted = ~pool.crowd & (pool.truth_area >= area[0]) & (pool.truth_area <= area[1])
        truths = np.flatnonzero(counted)
        order = pool.order[rows]
        return Scores(
            (got >= 0) & ~ignored,
            ~ignored,
            pool.kind[order],
            pool.photo[order],
            pool.truth_kind[truths],
            pool.truth_photo[truths],
            pool,
        )


@dataclass(frozen=True)
class Scores:
    """Detections of all classes with what is right and what counts.

    Attributes:
        right: (T, K) bool.
        counts: (T, K) bool: right or wrong, not ignored.
        kind: (K,) class, never falling; within one by falling score.
        photo: (K,) photo.
        truth_kind: (G,) class of every object to be found.
        truth_photo: (G,) its photo.
        pool: where they are from.
    """

    right: np.ndarray
    counts: np.ndarray
    kind: np.ndarray
    photo: np.ndarray
    truth_kind: np.ndarray
    truth_photo: np.ndarray
    pool: Pool

    @property
    def objects(self) -> np.ndarray:
        """(C,) objects to be found by class."""
        return np.bincount(self.truth_kind, minlength=len(self.pool.classes))

    def precision(self) -> np.ndarray:
        """(T,) AP at each threshold, the mean over classes with objects; NaN without any."""
        objects = self.objects
        if not objects.any():
            return np.full(len(self.right), np.nan)
        needed = recall_places(objects)
        values = [
            class_precision(r, c, self.kind, objects, needed)
            for r, c in zip(self.right, self.counts, strict=True)
        ]
        return np.mean(values, axis=1, where=objects > 0)

    def interval(
        self, count: int = 100, seed: int = 0, value: float | None = None
    ) -> tuple[float, float, float]:
        """AP with its 95 % bootstrap interval over photos; NaN bounds with fewer than two.

        Args:
            count: resamples.
            seed: of them.
            value: AP where it is known already.
        """
        value = float(self.precision().mean()) if value is None else value
        if len(self.pool.images) < 2 or not np.isfinite(value):
            return value, float("nan"), float("nan")
        if len(self.kind) <= EXACT_DETECTIONS and len(self.pool.images) <= EXACT_DETECTIONS:
            again = self._resampled(draws(len(self.pool.images), seed, count))
        else:
            again = self._stepped(min(count, STEPPED_DRAWS), seed)
            again += value - np.median(again)
        low, high = bounds(again[:, None])
        return value, float(low[0]), float(high[0])

    def _resampled(self, weights: np.ndarray) -> np.ndarray:
        """(B,) AP of resamples; ``weights`` (B, P) how often each photo counts."""
        total, classes = np.zeros(len(weights)), np.zeros(len(weights))
        edges = np.searchsorted(self.kind, np.arange(len(self.pool.classes) + 1))
        for c in np.flatnonzero(self.objects):
            photos = np.bincount(
                self.truth_photo[self.truth_kind == c], minlength=len(self.pool.images)
            )
            objects = weights @ photos
            there = objects > 0
            classes += there
            part = slice(edges[c], edges[c + 1])
            right = self.right[:, part]
            if right.any():
                each = weights[:, self.photo[part]]
                value = _weighted(right, self.counts[:, part], each, np.where(there, objects, 1))
                total += np.where(there, value, 0)
        return np.divide(total, classes, out=np.full(len(weights), np.nan), where=classes > 0)

    def _stepped(self, count: int, seed: int) -> np.ndarray:
        """(B,) AP of resamples, with precision read at STEPS ranks of a class only.

        Photos are drawn in GROUPS equal groups. Only the spread of these numbers is used.
        """
        width = len(self.pool.classes)
        group = self.pool.weights
        weights = draws(GROUPS, seed, count)
        truths = group[self.truth_photo] * width + self.truth_kind
        objects = weights @ np.bincount(truths, minlength=GROUPS * width).reshape(GROUPS, width)
        starts = np.searchsorted(self.kind, np.arange(width + 1))
        # equal numbers of right detections to a step, so that recall rises evenly
        rises = np.cumsum(self.right[0])
        before = np.concatenate([[0], rises])[starts]
        whole = np.maximum(np.diff(before), 1)
        step = (rises - self.right[0] - before[self.kind]) * STEPS // whole[self.kind]
        step = self.kind * STEPS + np.minimum(step, STEPS - 1)
        place = group[self.photo[: len(step)]] * (width * STEPS) + step
        size = GROUPS * width * STEPS
        there, total = objects > 0, np.zeros(len(weights))
        for right, counts in zip(self.right, self.counts, strict=True):
            good, seen = (
                (weights @ np.bincount(place[m], minlength=size).reshape(GROUPS, -1))
                .reshape(len(weights), width, STEPS)
                .cumsum(axis=2)
                for m in (right, counts)
            )
            precision = good / np.maximum(seen, 1)
            precision = np.maximum.accumulate(precision[:, :, ::-1], axis=2)[:, :, ::-1]
            recall = good / np.where(there, objects, 1)[:, :, None]
            gained = np.diff(recall, axis=2, prepend=0)
            value = np.where(there, (precision * gained).sum(axis=2), 0)
            total += value.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        return total / len(self.right)


def recall_places(objects: np.ndarray) -> np.ndarray:
    """(C, 101) how many right detections it takes to reach each recall; 1 at least."""
    n = objects[:, None].astype(np.float64)
    need = np.ceil(RECALLS * n)
    with np.errstate(invalid="ignore", divide="ignore"):
        # rounding must decide as where recalls are compared one by one
        need -= (need - 1) / n >= RECALLS
        need += need / n < RECALLS
    return np.maximum(need, 1).astype(np.int64)


def class_precision(
    right: np.ndarray,
    counts: np.ndarray,
    kind: np.ndarray,
    objects: np.ndarray,
    needed: np.ndarray,
) -> np.ndarray:
    """(C,) average precision of all classes at one threshold; 0 where nothing is right.

    Args:
        right: (K,) bool.
        counts: (K,) bool, right or wrong.
        kind: (K,) class, never falling, within one by falling score.
        objects: (C,) objects to be found.
        needed: of :func:`recall_places`.
    """
    width = len(objects)
    seen = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    starts = np.searchsorted(kind, np.arange(width))
    at = np.flatnonzero(right)
    mine = kind[at]
    first = np.searchsorted(mine, np.arange(width + 1))
    good = np.arange(1, len(at) + 1) - first[mine]
    precision = good / (seen[at + 1] - seen[starts[mine]])
    # from the right the largest so far; a class of its own begins above all later ones
    lift = 2.0 * (width - mine)
    precision = np.maximum.accumulate((precision + lift)[::-1])[::-1] - lift
    reached = needed <= np.diff(first)[:, None]
    place = np.where(reached, first[:-1, None] + needed - 1, 0)
    values = precision[place] if len(at) else np.zeros(place.shape)
    return np.where(reached & (objects > 0)[:, None], values, 0).sum(axis=1) / len(RECALLS)


def _weighted(
    right: np.ndarray, counts: np.ndarray, each: np.ndarray, objects: np.ndarray
) -> np.ndarray:
    """(B,) AP of one class, the mean over thresholds.

    Precision has its maxima where a detection is right, so that only these are looked at; each
    answers for the recalls between the one before and its own.
    """
    out = np.zeros(len(each))
    every = np.cumsum(each, axis=1)
    for hit, counted in zip(right, counts, strict=True):
        at = np.flatnonzero(hit)
        if not len(at):
            continue
        good = np.cumsum(each[:, at], axis=1)
        seen = every if counted.all() else np.cumsum(each * counted, axis=1)
        seen = seen[:, at]
        precision = good / np.maximum(seen, np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = np.searchsorted(RECALLS, good / objects[:, None], side="right")
        steps = np.diff(reached, axis=1, prepend=0)
        out += (precision * steps).sum(axis=1) / len(RECALLS)
    return out / len(right)
