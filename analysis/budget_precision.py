"""Average precision, and its intervals, of matched detections of all classes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.intervals import bounds, draws
from analysis.metrics import RECALLS

if TYPE_CHECKING:
    from analysis.budget_match import Pool

EXACT_DETECTIONS = 20_000
"""Up to so many detections every resample is scored as it is; above, at a few ranks of a class."""
STEPS, GROUPS, STEPPED_DRAWS = 16, 100, 60
STEPPED = [1, 3, 6, 8]
"""Thresholds of these resamples, as far apart as all ten and of the same mean."""


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
        every = bool(self.counts.all())
        values = [
            class_precision(r, None if every else c, self.kind, objects, needed)
            for r, c in zip(self.right, self.counts, strict=True)
        ]
        return np.mean(values, axis=1, where=objects > 0)

    def interval(
        self,
        count: int = 100,
        seed: int = 0,
        value: float | None = None,
        exact: int = EXACT_DETECTIONS,
    ) -> tuple[float, float, float]:
        """AP with its 95 % bootstrap interval over photos; NaN bounds with fewer than two.

        Args:
            count: resamples.
            seed: of them.
            value: AP where it is known already.
            exact: most detections, and photos, whose resamples are scored as they are.
        """
        value = float(self.precision().mean()) if value is None else value
        if len(self.pool.images) < 2 or not np.isfinite(value):
            return value, float("nan"), float("nan")
        if max(len(self.kind), len(self.pool.images)) <= exact:
            again = self._resampled(self.pool.resamples(seed, count))
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
        weights = draws(GROUPS, seed, count).astype(np.float32)
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
        for right, counts in zip(self.right[STEPPED], self.counts[STEPPED], strict=True):
            good, seen = (
                (
                    weights
                    @ np.bincount(place[m], minlength=size).astype(np.float32).reshape(GROUPS, -1)
                )
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
        return total / len(STEPPED)


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
    counts: np.ndarray | None,
    kind: np.ndarray,
    objects: np.ndarray,
    needed: np.ndarray,
) -> np.ndarray:
    """(C,) average precision of all classes at one threshold; 0 where nothing is right.

    Args:
        right: (K,) bool.
        counts: (K,) bool, right or wrong; None where all are.
        kind: (K,) class, never falling, within one by falling score.
        objects: (C,) objects to be found.
        needed: of :func:`recall_places`.
    """
    width = len(objects)
    starts = np.searchsorted(kind, np.arange(width))
    at = np.flatnonzero(right)
    if counts is None:
        seen = np.arange(len(right) + 1)
    else:
        seen = np.zeros(len(counts) + 1, np.int32)
        np.cumsum(counts, out=seen[1:])
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
