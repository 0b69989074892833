"""What a browser remembers of its user between visits: four choices, never a photo."""

from __future__ import annotations

import math
from typing import Any

from app import settings, text
from app.query import NEEDS_TRUTH

COLOURS = ("grid", "class", "score", "size", "instance")
"""What the masks' colours can follow."""

FILL = 45  # per cent, as the MaskViewer begins

Preferences = dict[str, Any]


def defaults() -> Preferences:
    """What a first visitor gets."""
    return {
        "policy": settings.POLICY,
        "threshold": settings.THRESHOLD,
        "colour": "grid",
        "fill": FILL,
    }


def read_preferences(data: Any) -> Preferences:
    """Preferences as a browser sent them; whatever is odd becomes its default.

    They lie in the browser's storage, where anybody and any old version may have written.
    """
    kept = defaults()
    if not isinstance(data, dict):
        return kept
    policy, colour = data.get("policy"), data.get("colour")
    if isinstance(policy, str) and policy in text.POLICIES and policy != NEEDS_TRUTH:
        kept["policy"] = policy
    if isinstance(colour, str) and colour in COLOURS:
        kept["colour"] = colour
    low, high = settings.THRESHOLD_RANGE
    if _within(data.get("threshold"), low, high):
        kept["threshold"] = round(float(data["threshold"]), 4)
    if _within(data.get("fill"), 0, 100):
        kept["fill"] = round(data["fill"])
    return kept


def _within(value: Any, low: float, high: float) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and low <= value <= high
