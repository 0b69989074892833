"""Error types of any choice of grids, and their cost in AP; analysis.errors says what they are.

The verdicts are those of ``errors.classify`` on the masks of these grids, and the costs those of
``errors.error_costs``, for millions of detections: from stored overlaps, in flat arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.budget_match import Mixture, Pool
from analysis.budget_precision import class_precision, recall_places
from analysis.errors import KINDS, MEANING, NEAR, RIGHT, Verdicts

_RIGHT, _IGNORED = "", "ignored"
CODES = (_RIGHT, *KINDS, _IGNORED)
"""Verdicts by number."""
_CODE = {name: code for code, name in enumerate(CODES)}
_REPAIRED = ("rough boundary", "wrong class", "badly placed box", "wrong region")


@dataclass(frozen=True)
class Judged:
    """Every detection and object with its verdict.

    Attributes:
        pool: what was judged.
        error: (N,) int8 rows of CODES; -1 beyond COCO's 100 of a photo and class.
        about: (N,) rows of objects, -1 for none.
        iou: (N,) mask IoU with that object.
        missed: (G,) int8 rows of CODES: why nobody is right about an object; -1 for crowds.
    """

    pool: Pool
    error: np.ndarray
    about: np.ndarray
    iou: np.ndarray
    missed: np.ndarray

    def verdicts(self) -> Verdicts:
        """As frames."""
        pool = self.pool
        rows = np.flatnonzero(self.error >= 0)
        about = self.about[rows]
        ids = np.append(pool.truth, -1)
        found = pd.DataFrame(
            {
                "id": pool.ids[rows],
                "image_id": pool.images[pool.photo[rows]],
                "category_id": pool.classes[pool.kind[rows]],
                "score": pool.score[rows],
                "error": pd.Categorical.from_codes(self.error[rows], CODES),
                "annotation_id": ids[about],
                "iou": self.iou[rows],
            }
        )
        lines = np.flatnonzero(self.missed >= 0)
        objects = pd.DataFrame(
            {
                "annotation_id": pool.truth[lines],
                "image_id": pool.images[pool.truth_photo[lines]],
                "category_id": pool.classes[pool.truth_kind[lines]],
                "error": pd.Categorical.from_codes(self.missed[lines], CODES),
            }
        )
        return Verdicts(found, objects)


def judge(pool: Pool, index: np.ndarray) -> Judged:
    """Give every detection its error and every object the reason why it is not found.

    Args:
        pool: the detections.
        index: (N,) positions in GRIDS.
    """
    iou = pool.at(index, pool.iou)
    crowd = pool.crowd[pool.pair_truth]
    # a crowd takes detections by their region: its outline is that of no object
    thin = np.where(crowd, iou, pool.at(index, pool.rim))
    rows, _, _, got = Mixture(pool, index, thin).matches(steps=1)
    taken_by = np.full(len(pool), -1, np.int32)
    taken_by[pool.order[rows]] = got
    hits = taken_by >= 0
    error = np.full(len(pool), -1, np.int8)
    error[pool.order] = _CODE["background"]
    about = np.full(len(pool), -1, np.int32)
    used = np.zeros(len(pool.truth), bool)
    used[taken_by[hits]] = True
    used &= ~pool.crowd
    own, known = pool.own & ~crowd, pool.rank[pool.pair_found] >= 0
    other = (pool.kind[pool.pair_found] != pool.truth_kind[pool.pair_truth]) & ~crowd & known
    best, which, fits = _best(pool, iou, own)
    value = np.where(which >= 0, best, 0.0).astype(np.float32)
    # the last that holds is the first in the order of KINDS, as each overrules those before it
    near = best >= NEAR
    _say(error, about, value, near & ~fits, "badly placed box", which, best)
    _say(error, about, value, near & fits, "wrong region", which, best)
    cross, where, _ = _best(pool, iou, other)
    _say(error, about, value, cross >= RIGHT, "wrong class", where, cross)
    _say(error, about, value, best >= RIGHT, "duplicate", which, best)
    free, where, _ = _best(pool, iou, own & ~used[pool.pair_truth])
    _say(error, about, value, free >= RIGHT, "rough boundary", where, free)
    of_crowd = hits & np.append(pool.crowd, False)[taken_by]
    right = hits & ~of_crowd
    exact = _overlap_with(pool, iou, taken_by)
    _say(error, about, value, right, _RIGHT, taken_by, exact)
    error[of_crowd], about[of_crowd], value[of_crowd] = _CODE[_IGNORED], -1, 0.0
    error[pool.rank < 0] = -1
    return Judged(pool, error, about, value, _objects(pool, error, about, used))


def _say(
    error: np.ndarray,
    about: np.ndarray,
    value: np.ndarray,
    where: np.ndarray,
    kind: str,
    truth: np.ndarray,
    overlap: np.ndarray,
) -> None:
    error[where], about[where], value[where] = _CODE[kind], truth[where], overlap[where]


def _best(
    pool: Pool, iou: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) largest overlap among the pairs of a mask, -1 without any, its first object, its fit."""
    best, which = np.full(len(pool), -1.0), np.full(len(pool), -1, np.int32)
    fits = np.zeros(len(pool), bool)
    pairs = np.flatnonzero(mask)
    if not len(pairs):
        return best, which, fits
    found = pool.pair_found[pairs]
    starts = np.flatnonzero(np.diff(found, prepend=-1))
    best[found[starts]] = np.maximum.reduceat(iou[pairs], starts)
    top = pairs[iou[pairs] == best[found]][::-1]  # the first is written last
    which[pool.pair_found[top]] = pool.pair_truth[top]
    fits[pool.pair_found[top]] = pool.fits[top]
    return best, which, fits


def _overlap_with(pool: Pool, iou: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(N,) mask IoU of each detection with the object named, 0 for none."""
    out = np.zeros(len(pool))
    pairs = np.flatnonzero(truth[pool.pair_found] == pool.pair_truth)
    out[pool.pair_found[pairs]] = iou[pairs]
    return out


def _objects(pool: Pool, error: np.ndarray, about: np.ndarray, used: np.ndarray) -> np.ndarray:
    missed = np.full(len(pool.truth), _CODE["missed"], np.int8)
    # the best-scored error about an object explains it; the first of equals
    blamed = np.flatnonzero(np.isin(error, [_CODE[k] for k in _REPAIRED]))
    worst_first = blamed[_by_score(pool, blamed)][::-1]
    missed[about[worst_first]] = error[worst_first]
    missed[used] = _CODE[_RIGHT]
    missed[pool.crowd] = -1
    return missed


def _by_score(pool: Pool, rows: np.ndarray) -> np.ndarray:
    """Order of detections by falling score; equals by photo, class and id."""
    return np.lexsort((rows, pool.cells(rows), -pool.score[rows]))


def error_costs(judged: Judged) -> tuple[pd.DataFrame, float]:
    """What repairing each kind alone would bring, as errors.error_costs, and AP before."""
    base = _ap(judged, None)
    rows = []
    for kind in KINDS:
        values = judged.missed if kind == "missed" else judged.error
        n = int(np.count_nonzero(values == _CODE[kind]))
        ap = _ap(judged, kind)
        rows.append({"kind": kind, "meaning": MEANING[kind], "n": n, "ap": ap, "cost": ap - base})
    return pd.DataFrame(rows), base


def _ap(judged: Judged, kind: str | None) -> float:
    """AP at overlap 0.5 with the errors of one kind repaired."""
    pool = judged.pool
    truths = judged.missed >= 0
    if kind == "missed":
        truths &= judged.missed != _CODE["missed"]
    objects = np.bincount(pool.truth_kind[truths], minlength=len(pool.classes))
    error = judged.error[pool.order]
    kept = error != _CODE[_IGNORED]
    if kind is not None and kind != "missed":
        kept &= error != _CODE[kind]
    order = pool.order[kept]
    right, kinds = error[kept] == _CODE[_RIGHT], pool.kind[order]
    if kind in _REPAIRED:
        right, kinds = _repaired(judged, kind, right, kinds, pool.score[order])
    if not objects.any():
        return float("nan")
    values = class_precision(right, None, kinds, objects, recall_places(objects))
    return float(values.mean(where=objects > 0))


def _repaired(
    judged: Judged, kind: str, right: np.ndarray, kinds: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Add the best-scored detection of each object that nobody is right about, as right."""
    pool = judged.pool
    faulty = np.flatnonzero(judged.error == _CODE[kind])
    faulty = faulty[_by_score(pool, faulty)]
    first = np.unique(judged.about[faulty], return_index=True)[1]
    best = faulty[np.sort(first)]
    best = best[judged.missed[judged.about[best]] != _CODE[_RIGHT]]
    new_kind, new_score = pool.truth_kind[judged.about[best]], pool.score[best]
    edges = np.searchsorted(kinds, np.arange(len(pool.classes) + 1))
    place = np.empty(len(best), np.int64)
    for c in np.unique(new_kind):
        mine = new_kind == c
        part = slice(edges[c], edges[c + 1])
        place[mine] = edges[c] + np.searchsorted(-scores[part], -new_score[mine], side="right")
    return np.insert(right, place, True), np.insert(kinds, place, new_kind)
