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

from analysis.budget_precision import GROUPS, Scores
from analysis.intervals import draws
from analysis.metrics import EVERYTHING, MAX_DETECTIONS, THRESHOLDS

_FLOORS = np.minimum(THRESHOLDS, 1 - 1e-10)


@dataclass(frozen=True)
class Pool:
    """The detections of a run, its objects, and how much they overlap at every grid.

    Attributes:
        ids: (N,) detections by photo and id.
        photo: (N,) rows of ``images``.
        kind: (N,) rows of ``classes``.
        score: (N,).
        areas: (4, N) float32 mask area at each grid in px².
        truth: (G,) annotated objects by photo and id, crowds included.
        truth_photo: (G,) rows of ``images``.
        truth_kind: (G,) rows of ``classes``.
        truth_area: (G,) px².
        crowd: (G,) bool.
        pair_found: (M,) rows of detections, never falling.
        pair_truth: (M,) rows of objects, rising for one detection.
        fits: (M,) bool: the two boxes overlap by half.
        iou: (4, M) mask IoU at each grid.
        rim: (4, M) the smaller of mask and boundary IoU; of one class only.
        images: (P,) ids of the photos, rising.
        classes: (C,) ids of the classes, rising.
    """

    ids: np.ndarray
    photo: np.ndarray
    kind: np.ndarray
    score: np.ndarray
    areas: np.ndarray
    truth: np.ndarray
    truth_photo: np.ndarray
    truth_kind: np.ndarray
    truth_area: np.ndarray
    crowd: np.ndarray
    pair_found: np.ndarray
    pair_truth: np.ndarray
    fits: np.ndarray
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
        order = np.argsort(-self.score, kind="stable")
        # classes as 16 bits, which numpy sorts without comparing
        few = len(self.classes) < 2**15
        kind = self.kind[order].astype(np.int16 if few else np.int64)
        order = order[np.argsort(kind, kind="stable")]
        if np.bincount(self.photo, minlength=1).max() > MAX_DETECTIONS:
            cell = self.cells(order)
            by_cell = np.argsort(cell, kind="stable")
            first = np.flatnonzero(np.diff(cell[by_cell], prepend=-1))
            lengths = np.diff(np.append(first, len(order)))
            place = np.empty(len(order), np.int64)
            place[by_cell] = np.arange(len(order)) - np.repeat(first, lengths)
            order = order[place < MAX_DETECTIONS]
        return order.astype(np.int32)

    def cells(self, rows: np.ndarray) -> np.ndarray:
        """(K,) one number for the photo and class of each of these detections."""
        return self.photo[rows].astype(np.int64) * len(self.classes) + self.kind[rows]

    @cached_property
    def rank(self) -> np.ndarray:
        """(N,) place in ``order``, -1 for what does not count."""
        rank = np.full(len(self), -1, np.int32)
        rank[self.order] = np.arange(len(self.order), dtype=np.int32)
        return rank

    @cached_property
    def ordered(self) -> tuple[np.ndarray, np.ndarray]:
        """(K,) class and (K,) photo of the detections in ``order``."""
        return self.kind[self.order], self.photo[self.order]

    @cached_property
    def own(self) -> np.ndarray:
        """(M,) bool: the pair is of one class, and its detection counts."""
        same = self.kind[self.pair_found] == self.truth_kind[self.pair_truth]
        return same & (self.rank[self.pair_found] >= 0)

    @cached_property
    def weights(self) -> np.ndarray:
        """(P,) group of photos that a resample of many detections draws together."""
        return np.random.default_rng(0).permutation(len(self.images)) % GROUPS

    @cached_property
    def _drawn(self) -> dict[tuple[int, int], np.ndarray]:
        return {}

    def resamples(self, seed: int, count: int) -> np.ndarray:
        """(count, P) how often each photo is drawn, of intervals.draws, shared by all ranges."""
        if (seed, count) not in self._drawn:
            self._drawn[seed, count] = draws(len(self.images), seed, count)
        return self._drawn[seed, count]

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
        self._index = index
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

    @cached_property
    def area(self) -> np.ndarray:
        """(K,) mask area in px² at the chosen grid, in ``pool.order``."""
        return np.choose(self._index, self.pool.areas)[self.pool.order]

    def _rest(
        self, found: np.ndarray, truth: np.ndarray, value: np.ndarray, level: np.ndarray
    ) -> None:
        """Pairs that depend on one another, in rounds: round after round, by detection."""
        pool = self.pool
        names, line = np.unique(found, return_inverse=True)
        cell = pool.cells(pool.order[names])
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
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Match, objects outside a range of areas ignored as COCO does.

        Args:
            area: smallest and largest in px².
            steps: how many of THRESHOLDS, from the lowest.

        Returns:
            (K,) places in ``pool.order`` of the detections that count at some threshold; those
            left out are ignored at all. (T, K) hit. (T, K) ignored. (K,) rows of the objects
            that they have at the lowest threshold, -1 for none.
        """
        pool = self.pool
        everything = area == EVERYTHING
        skip = pool.crowd | (pool.truth_area < area[0]) | (pool.truth_area > area[1])
        if everything:
            far = np.zeros(len(pool.order), bool)
        else:
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
        place = np.cumsum(counts, dtype=np.int32) - 1
        hit = np.zeros((steps, len(rows)), bool)
        ignored = np.zeros_like(hit)
        got = np.full(len(rows), -1, np.int32)
        at, truth, level = place[self.found[single]], self.truth[single], self.level[single]
        away = skip[truth]
        got[at] = truth
        for step in range(steps):
            right = level > step
            at, level, away = at[right], level[right], away[right]
            hit[step, at] = True
            ignored[step, at[away]] = True
        self._rounds(kept, skip, place, hit, ignored, got)
        if far.any():
            ignored |= ~hit & far[rows]
        return rows, hit, ignored, got

    def _rounds(
        self,
        kept: np.ndarray,
        skip: np.ndarray,
        place: np.ndarray,
        hit: np.ndarray,
        ignored: np.ndarray,
        got: np.ndarray,
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
        fits = self.rest_level[pairs] > np.arange(len(hit))[:, None]
        taken = np.zeros((len(hit), len(names)), bool)
        ends = np.append(np.flatnonzero(np.diff(turn, prepend=-1)), len(pairs))
        for low, high in pairwise(ends):
            part = slice(low, high)
            free = fits[:, part] & (~taken[:, truth[part]] | crowd[part])
            starts = np.flatnonzero(np.diff(found[part], prepend=-1))
            best = np.maximum.reduceat(np.where(free, rank[part], -1), starts, axis=1)
            line, column = np.nonzero(best >= 0)
            pair = back[best[line, column]]
            at = place[found[part][starts[column]]]
            hit[line, at] = taken[line, truth[pair]] = True
            ignored[line, at] = away[pair]
            got[at[line == 0]] = names[truth[pair[line == 0]]]

    def scores(self, area: tuple[float, float] = EVERYTHING) -> Scores:
        """Matched detections of a range of areas, ready for average precision."""
        pool = self.pool
        rows, hit, ignored, _ = self.matches(area)
        counted = ~pool.crowd & (pool.truth_area >= area[0]) & (pool.truth_area <= area[1])
        truths = np.flatnonzero(counted)
        kind, photo = pool.ordered
        counts = np.logical_not(ignored, out=ignored)  # large: not copied
        hit &= counts
        return Scores(
            hit,
            counts,
            kind[rows],
            photo[rows],
            pool.truth_kind[truths],
            pool.truth_photo[truths],
            pool,
        )
