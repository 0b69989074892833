"""What a browser sends, checked: any value can arrive, whatever the page's own script does."""

from __future__ import annotations

from typing import Any

from app import settings, text
from app.text_export import EXPORT_ODD, EXPORTS
from dynamask.config import GRIDS
from dynamask.errors import InputError

Box = tuple[float, float, float, float]


def read_id(data: Any) -> int | None:
    """The ``id`` of an event: a positive whole number, or None for "nothing".

    Raises:
        InputError: it is something else.
    """
    if not isinstance(data, dict) or "id" not in data:
        raise InputError(text.EVENT_ODD.format(what="an object's number"))
    value = data["id"]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 16:
        raise InputError(text.EVENT_ODD.format(what="an object's number"))
    return value


def read_box(data: Any, image_size: tuple[int, int]) -> Box:
    """The ``box`` of an event, clipped to the photo; corners may come in any order.

    Args:
        data: the event, ``{"box": [x1, y1, x2, y2]}`` in photo pixels.
        image_size: (height, width) of the photo.

    Raises:
        InputError: not four finite numbers, or nothing of the box is left inside the photo.
    """
    corners = data.get("box") if isinstance(data, dict) else None
    if (
        not isinstance(corners, (list, tuple))
        or len(corners) != 4
        or not all(map(_usable, corners))
    ):
        raise InputError(text.EVENT_ODD.format(what="four corners of a box"))
    height, width = image_size
    xs = sorted(min(max(float(x), 0.0), float(width)) for x in corners[0::2])
    ys = sorted(min(max(float(y), 0.0), float(height)) for y in corners[1::2])
    side = settings.MIN_DRAWN_SIDE
    if xs[1] - xs[0] < side or ys[1] - ys[0] < side:
        raise InputError(text.BOX_OUTSIDE.format(side=side))
    return (round(xs[0], 1), round(ys[0], 1), round(xs[1], 1), round(ys[1], 1))


def add_box(drawn: tuple[Box, ...], box: Box) -> tuple[Box, ...]:
    """Append a box.

    Raises:
        InputError: there are as many as are allowed.
    """
    if len(drawn) >= settings.MAX_DRAWN:
        raise InputError(text.BOX_MANY.format(most=settings.MAX_DRAWN))
    return (*drawn, box)


def read_grid(value: Any) -> int | None:
    """A grid set by hand, ``"14"`` to ``"112"``; None for ``"auto"``.

    Raises:
        InputError: it is something else.
    """
    if value == "auto":
        return None
    for grid in GRIDS:
        if value == str(grid):
            return grid
    raise InputError(text.EVENT_ODD.format(what="a grid or auto"))


def read_number(value: Any, bounds: tuple[float, float], name: str) -> float:
    """A slider's value within its bounds.

    Raises:
        InputError: no number, or outside.
    """
    if not _usable(value) or not bounds[0] <= value <= bounds[1]:
        raise InputError(
            f"Expected {name} from {bounds[0]:g} to {bounds[1]:g}, got {_shown(value)}; "
            "choose a value in this range."
        )
    return float(value)


def _usable(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= settings.MAX_COORDINATE  # false for NaN, infinity and huge integers


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"


def read_kind(data: Any) -> str:
    """The ``kind`` of a download.

    Raises:
        InputError: there is no such file to take away.
    """
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in EXPORTS:
        raise InputError(EXPORT_ODD.format(known=", ".join(EXPORTS)))
    return kind


def read_look(data: Any) -> dict[str, Any]:
    """``colour`` and ``fill`` of an event as they came, for :mod:`app.preferences` to check.

    Raises:
        InputError: it is no record of these.
    """
    if not isinstance(data, dict):
        raise InputError(text.EVENT_ODD.format(what="what the colours follow"))
    return {name: data[name] for name in ("colour", "fill") if name in data}
