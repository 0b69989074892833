"""From what a user asked for to the objects and the policy that are decoded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from app import settings, text

if TYPE_CHECKING:
    from app.session import Ask
    from dynamask.config import DynaMaskConfig
    from dynamask.policies import Policy
    from dynamask.predictor import Predictor
    from dynamask.types import Scene

EQUAL = "random:equal"


def shown_classes(predictor: Predictor) -> frozenset[str] | None:
    """Names of the classes that the weights' metadata vouches for; None is all of them."""
    names = predictor.metadata.get("shown_classes")
    if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
        return None
    return frozenset(names) or None


def notices(hidden: int, unsure: int, doubles: int, predictor: Predictor) -> tuple[str, ...]:
    """Why objects are not shown, or are shown although their classes are not vouched for.

    Args:
        hidden: as in :class:`app.session.Decoded`, as are ``unsure`` and ``doubles``.
        unsure: see there.
        doubles: see there.
        predictor: its metadata has the limit.
    """
    limit = predictor.metadata.get("shown_min_ap50")
    shown = f"{limit:g}" if isinstance(limit, (int, float)) else "?"
    said = ((hidden, text.HIDDEN), (unsure, text.UNSURE), (doubles, text.DOUBLES))
    return tuple(
        words.format(
            objects=text.objects(count),
            limit=shown,
            overlap=settings.MAX_OVERLAP,
            every=text.EVERYTHING,
        )
        for count, words in said
        if count
    )


def kept_rows(
    scene: Scene, first_drawn: int, ask: Ask, predictor: Predictor
) -> tuple[np.ndarray, int, int, int]:
    """Rows of the scene to decode; how many were left out for their class alone; how many stay
    only since there is nothing else; how many were left out as doubles of a surer one.

    Only what the model's own detector found is left out: no measured AP speaks of other boxes.
    Whether a photo has something else is read at the first smallest score, not at the slider's:
    or objects would come and go against its direction.

    Args:
        scene: detector's objects, then drawn ones.
        first_drawn: id (row + 1) of the first drawn one; these are never left out.
        ask: the smallest score, and whether everything is shown.
        predictor: its metadata names the classes.
    """
    from dynamask.doubles import without_doubles

    scores = scene.scores.numpy()
    bright = scores >= np.float32(ask.min_score)
    names = shown_classes(predictor)
    if ask.everything or names is None or scene.box_source != "detector":
        return np.flatnonzero(bright).astype(np.int64), 0, 0, 0
    known = np.array([name in names for name in predictor.categories])
    labels = scene.labels.numpy()
    vouched = known[np.clip(labels, 0, len(known) - 1)] & (labels >= 0)
    vouched[first_drawn - 1 :] = True
    others = int((bright & ~vouched).sum())
    sure = (vouched & (scores >= np.float32(settings.MIN_SCORE)))[: first_drawn - 1]
    if ask.everything is None and not sure.any():
        return np.flatnonzero(bright).astype(np.int64), 0, others, 0
    chosen = np.flatnonzero(bright & vouched).astype(np.int64)
    ours = chosen < first_drawn - 1
    single = without_doubles(scene, chosen[ours], settings.MAX_OVERLAP)
    doubles = int(ours.sum()) - len(single)
    return np.concatenate([single, chosen[~ours]]), others, 0, doubles


def keep(scene: Scene, rows: np.ndarray) -> Scene:
    """The scene with only these objects."""
    from dynamask.predictor import keep_objects

    return keep_objects(scene, rows)


def with_labels(scene: Scene, first: int, labels: tuple[int, ...]) -> Scene:
    """The scene with the classes that a user gave to the drawn boxes, from row ``first`` on."""
    if not labels:
        return scene
    known = scene.labels.clone()
    for row, label in enumerate(labels[: len(scene) - first], start=first):
        known[row] = label
    return replace(scene, labels=known)


def policy_of(ask: Ask, ids: np.ndarray, config: DynaMaskConfig) -> Policy:
    """The policy that a user asked for, with the grids set by hand.

    Raises:
        PolicyError: there is no such policy.
    """
    from dynamask.override import ByHandPolicy, EqualRandomPolicy
    from dynamask.policies import parse_policy

    base = EqualRandomPolicy() if ask.policy == EQUAL else parse_policy(ask.policy, config=config)
    rows = {int(object_id): row for row, object_id in enumerate(ids)}
    by_row = {rows[i]: grid for i, grid in ask.by_hand if i in rows}
    return ByHandPolicy(base, by_row) if by_row else base
