"""What a plot sends when it is clicked or brushed, checked: any value can arrive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from app import text
from dynamask.errors import InputError

MAX_IDS = 5000  # more are told by their range; as plotly_view.js has it
MAX_ID = 1 << 53  # the largest whole number that JavaScript keeps exactly
MAX_MARK_KEYS = 12
MAX_MARK_VALUES = 16
MAX_MARK_TEXT = 300  # of a class name
KINDS = ("click", "box", "lasso", "clear")

Mark = dict[str, Any]


@dataclass(frozen=True)
class Picked:
    """What a user did in a plot.

    Attributes:
        kind: ``click``, ``box``, ``lasso`` or ``clear``.
        ids: of the points, at most 5,000.
        more: there were too many points to name; ``x`` and ``y`` still tell them.
        mark: what a clicked mark stands for, as its figure gave it; for ``analysis.marks``.
        x: (low, high) of a brush in the units of the x axis; None where the axis has no numbers.
        y: the same of the y axis.
    """

    kind: str
    ids: tuple[int, ...] = ()
    more: bool = False
    mark: Mark | None = None
    x: tuple[float, float] | None = None
    y: tuple[float, float] | None = None


def read_picked(data: Any) -> Picked:
    """Read a plot's ``select`` event.

    Args:
        data: the event; see :class:`app.widgets.plotly_view.PlotlyView`.

    Raises:
        InputError: it is no such event.
    """
    if not isinstance(data, dict) or data.get("kind") not in KINDS:
        raise _odd("what was done in a plot")
    ids = data.get("ids") or []
    if not isinstance(ids, list) or len(ids) > MAX_IDS or not all(map(_is_id, ids)):
        raise _odd("up to 5,000 numbers of points")
    mark = data.get("mark")
    if mark is not None and not _is_mark(mark):
        raise _odd("a mark of one of our figures")
    spans = data.get("range") or {}
    if not isinstance(spans, dict):
        raise _odd("two ranges")
    return Picked(
        kind=data["kind"],
        ids=tuple(ids),
        more=data.get("more") is True,
        mark=mark,
        x=_span(spans.get("x")),
        y=_span(spans.get("y")),
    )


def _span(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        raise _odd("two ends of a range")
    low, high = sorted(float(v) for v in value)
    return low, high


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_ID


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and math.isfinite(value)


def _is_plain(value: Any) -> bool:
    if value is None or isinstance(value, bool) or _is_number(value):
        return True
    return isinstance(value, str) and len(value) <= MAX_MARK_TEXT


def _is_mark(mark: Any) -> bool:
    if not isinstance(mark, dict) or len(mark) > MAX_MARK_KEYS:
        return False
    for key, value in mark.items():
        if not isinstance(key, str) or len(key) > MAX_MARK_TEXT:
            return False
        values = value if isinstance(value, list) else [value]
        if len(values) > MAX_MARK_VALUES or not all(map(_is_plain, values)):
            return False
    return True


def _odd(what: str) -> InputError:
    return InputError(text.EVENT_ODD.format(what=what))
