"""From the controls of the filter bar to Filters; every value may have been forged."""

from __future__ import annotations

from typing import Any

from analysis.filters import BOXES, NO_LIMIT_PX2, Filters
from app import events, text
from app import text_dataset as words
from dynamask.config import GRIDS
from dynamask.errors import InputError

SMALL, LARGE = 32.0**2, 96.0**2  # COCO's bins, edges in both of them as COCO has it
MAX_AREA = NO_LIMIT_PX2
SIZES = {
    "any": (0.0, MAX_AREA),
    "small": (0.0, SMALL),
    "medium": (SMALL, LARGE),
    "large": (LARGE, MAX_AREA),
}
CROWDS = {"without": False, "only": True, "both": None}
TRUNCATEDS = {"any": None, "whole": False, "cut": True}
MAX_CLASSES = 2000
MAX_NAME = 1000

FIRST = {
    "boxes": "gt",
    "policy": "msm",
    "classes": [],
    "size": "any",
    "low": None,
    "high": None,
    "grids": [str(g) for g in GRIDS],
    "score": 0.0,
    "crowd": "without",
    "truncated": "any",
}
"""The controls in the order in which handlers get them, with their first values."""


def read_filters(*values: Any) -> Filters:
    """Filters of the controls' values, in the order of FIRST.

    Raises:
        InputError: a value that no control of ours sends.
    """
    if len(values) != len(FIRST):
        raise InputError(text.EVENT_ODD.format(what="the filter bar"))
    given = dict(zip(FIRST, values, strict=True))
    policy = given["policy"]
    if not isinstance(policy, str) or not 0 < len(policy) <= 40:
        raise InputError(text.EVENT_ODD.format(what="a policy"))
    score = events.read_number(given["score"], (0.0, 1.0), "a smallest score")
    return Filters(
        policy=policy,
        boxes=_one(given["boxes"], dict.fromkeys(BOXES), "ground truth or detector"),
        categories=_classes(given["classes"]),
        area_px2=_area(given["size"], given["low"], given["high"]),
        grids=_grids(given["grids"]),
        score=(score, 1.0) if score > 0 else None,
        crowd=CROWDS[_one(given["crowd"], CROWDS, "with or without crowd regions")],
        truncated=TRUNCATEDS[_one(given["truncated"], TRUNCATEDS, "whole or cut objects")],
    )


def _one(value: Any, known: dict, what: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise InputError(text.EVENT_ODD.format(what=what))
    return value


def _classes(value: Any) -> tuple[str, ...] | None:
    good = isinstance(value, list | tuple) and len(value) <= MAX_CLASSES
    if value is None or (good and not value):
        return None
    if not good or not all(isinstance(v, str) and len(v) <= MAX_NAME for v in value):
        raise InputError(text.EVENT_ODD.format(what="class names"))
    return tuple(dict.fromkeys(value))


def _area(size: Any, low: Any, high: Any) -> tuple[float, float] | None:
    bounds = SIZES[_one(size, SIZES, "a size")]
    # an empty field arrives as 0 or as nothing
    first = bounds[0] if not low else _px2(low)
    last = bounds[1] if not high else _px2(high)
    if low and high and first > last:
        raise InputError(words.AREA_ORDER.format(low=first, high=last))
    first, last = max(bounds[0], first), min(bounds[1], last)
    if (first, last) == SIZES["any"]:
        return None
    # a size and an area that exclude each other leave nothing: areas below zero do not exist
    return (first, last) if first <= last else (-2.0, -1.0)


def _grids(value: Any) -> tuple[int, ...] | None:
    names = {str(g): g for g in GRIDS}
    good = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
    if not good or not set(value) <= set(names):
        raise InputError(text.EVENT_ODD.format(what="grids"))
    kept = tuple(g for g in GRIDS if str(g) in value)
    return None if len(kept) in (0, len(GRIDS)) else kept


def _px2(value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 <= value <= MAX_AREA:  # refuses NaN as well
        raise InputError(text.EVENT_ODD.format(what="a mask area in px²"))
    return float(value)
