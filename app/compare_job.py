"""From two choices to two results for the same boxes; knows nothing of Gradio.

The boxes are A's: what its model's detector finds, with the boxes that a user drew. A second
weights file gets these very boxes, so that what differs is the masks and the switch alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from app import overrides, text
from app import text_compare as words
from app.compare_view import Comparison, Side
from app.session import Ask, Decoded, Opened, Session
from dynamask.errors import InputError

FIRST, SECOND = "first", "second"


@dataclass(frozen=True)
class Choice:
    """What one side is made with.

    Attributes:
        weights: ``first`` or ``second``.
        policy: text such as ``msm`` or ``budget:0.1``.
        label: what the page calls the policy.
        by_hand: (object id, grid) pairs that overrule it; ids among the first weights' objects.
    """

    weights: str
    policy: str
    label: str
    by_hand: tuple[tuple[int, int], ...] = ()


def compare(
    sessions: dict[str, Session], opened: Opened, a: Choice, b: Choice, ask: Ask, name: str
) -> Comparison:
    """Decode a photo twice.

    Args:
        sessions: by ``first`` and, where there is one, ``second``.
        opened: the photo, as the first session has it.
        a: the side whose model finds the boxes.
        b: the other side.
        ask: all but the policy: threshold, smallest score, drawn boxes, ground truth.
        name: the photo's file name, which some detectors look up.

    Raises:
        InputError: no such weights, or grids by hand for objects that other weights found;
            PolicyError: no such policy.
    """
    base = opened
    if a.weights != FIRST and (a.by_hand or b.by_hand):
        name = _of(sessions, FIRST).weights_name
        raise InputError(words.AS_INSPECTED_BOXES.format(weights=name))
    if a.weights != FIRST:
        base = _seen_by(_of(sessions, a.weights), opened, name)
    session = _of(sessions, a.weights)
    first = session.decode(base, replace(ask, policy=a.policy, by_hand=a.by_hand))
    if b.weights == a.weights:
        second = session.decode(base, replace(ask, policy=b.policy, by_hand=b.by_hand))
    else:
        second = _same_boxes(_of(sessions, b.weights), session, base, first, b, ask)
    truth = session.truth(ask.truth)
    boxes = first.instances.boxes_xyxy_px.numpy()
    truths = truth.masks_of(boxes) if truth is not None else ()
    named = len(sessions) > 1
    return Comparison(
        replace(base, notices=opened.notices),
        Side(first, _called(session, a, named)),
        Side(second, _called(_of(sessions, b.weights), b, named)),
        truths,
    )


def _of(sessions: dict[str, Session], name: str) -> Session:
    if name not in sessions:
        raise InputError(words.SIDE_ODD)
    return sessions[name]


def _called(session: Session, choice: Choice, named: bool) -> str:
    if not named:
        return choice.label
    return words.WITH_WEIGHTS.format(policy=choice.label, weights=session.weights_name)


def _seen_by(session: Session, opened: Opened, name: str) -> Opened:
    """The photo with the boxes that this session's own model finds."""
    key = session.predictor().scene_key(opened.pixels)
    kept = session.scenes.get(key)
    if kept is None:
        kept = session.encode_pixels(opened.pixels, name, opened.notices)
        session.scenes.put(kept.scene.key, kept)
    return kept


def _same_boxes(
    session: Session, other: Session, opened: Opened, first: Decoded, choice: Choice, ask: Ask
) -> Decoded:
    """What a session's model makes of the boxes of another one's result."""
    whole = other.full_scene(opened, ask)
    names = session.predictor().categories
    theirs = other.predictor().categories
    labels = np.array(
        [names.index(theirs[i]) if i >= 0 and theirs[i] in names else -1 for i in whole.labels]
    )
    boxes, scores = whole.boxes_xyxy_px.numpy(), whole.scores.numpy()
    key = _hash(opened.scene.key, boxes.tobytes(), labels.tobytes(), scores.tobytes())
    kept = session.scenes.get(key)
    if kept is None:
        scene = session.predictor().encode(opened.pixels, boxes, labels, scores)
        kept = Opened(replace(scene, key=key), opened.pixels)
        session.scenes.put(key, kept)
    rows = first.ids - 1
    some = overrides.keep(kept.scene, rows)
    some = replace(some, key=_hash(key, rows.tobytes()))
    here = ((first.row(object_id), grid) for object_id, grid in choice.by_hand)
    plain = replace(
        ask,
        policy=choice.policy,
        min_score=0.0,
        drawn=(),
        drawn_labels=(),
        by_hand=tuple((row + 1, grid) for row, grid in here if row is not None),
        everything=True,
    )
    decoded = session.decode(replace(kept, scene=some), plain)
    by_hand = frozenset(int(first.ids[i - 1]) for i in decoded.by_hand)
    return replace(decoded, ids=first.ids, first_drawn=first.first_drawn, by_hand=by_hand)


def _hash(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()


def label_of(policy: str, budget: float | None = None) -> str:
    """What the page calls a policy, with the budget where there is one."""
    label = text.POLICIES[policy]
    return label if budget is None else f"{label} {budget:.3f}"
