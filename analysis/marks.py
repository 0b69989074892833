"""Reads the ``customdata`` of a clicked mark: it comes from a browser, so nothing is trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from analysis.errors import KINDS
from analysis.filters import Filters
from analysis.selection import AREA_BINS_PER_DECADE
from dynamask.config import GRIDS
from dynamask.errors import InputError

MAX_IDS = 5000
"""Points of a brush that are named one by one."""


@dataclass(frozen=True)
class Changed:
    """What a mark changes in how rows are read.

    Attributes:
        filters: the filters, with another policy where the mark is about one.
        grid: every object at this grid, as fixed policies have it.
        quality: column of the mask IoU to show instead of the chosen grid's.
        budget: mean GMAC per object of the mark.
        error: kind of error whose objects are asked for.
    """

    filters: Filters
    grid: int | str | None = None
    quality: str | None = None
    budget: float | None = None
    error: str | None = None


def read_mark(mark: Any, filters: Filters) -> tuple[str, list[Any], str, Changed]:
    """Return (SQL condition on ``chosen``, its parameters, ORDER BY or "", what changes).

    Raises:
        InputError: a mark that none of our figures draws.
    """
    if isinstance(mark, int | float) and not isinstance(mark, bool):
        mark = {"id": mark}
    if not isinstance(mark, dict) or not mark:
        raise _unknown(mark)
    parts: list[str] = []
    params: list[Any] = []
    changed = Changed(filters)
    for name, value in mark.items():
        if name == "area":
            parts.append("area_px2 >= ? AND area_px2 < ?")
            params += _numbers(mark, value, 2)
            if params[-2] <= 1:  # areas below 1 px² are drawn as 1
                params[-2] = 0.0
        elif name == "bin":
            parts.append(f"floor(area10 * {AREA_BINS_PER_DECADE})::INTEGER = ?")
            params.append(int(_numbers(mark, [value], 1)[0]))
        elif name == "top":
            parts.append("greatest(p14, p28, p56, p112) >= ?")
            low, high = _numbers(mark, value, 2)
            params.append(low)
            if high < 1:
                parts.append("greatest(p14, p28, p56, p112) < ?")
                params.append(high)
        elif name == "hex":
            parts.append("area10 BETWEEN ? AND ? AND compactness BETWEEN ? AND ?")
            params += _numbers(mark, value, 4)
        elif name in ("grid", "oracle_grid"):
            if value not in GRIDS:
                raise _unknown(mark)
            parts.append(f"{'g' if name == 'grid' else name} = ?")
            params.append(int(value))
        elif name == "level":
            parts.append("level = ?")
            params.append(int(_numbers(mark, [value], 1)[0]))
        elif name == "category" and isinstance(value, str):
            parts.append("category::VARCHAR = ?")
            params.append(value)
        elif name == "ids":
            if not isinstance(value, list) or not 0 < len(value) <= MAX_IDS:
                raise _unknown(mark)
            parts.append("annotation_id IN (SELECT unnest(?::BIGINT[]))")
            params.append([int(v) for v in _numbers(mark, value, len(value))])
        elif name == "id":
            parts.append("annotation_id = ?")
            params.append(int(_numbers(mark, [value], 1)[0]))
        elif name == "error" and value in KINDS:
            changed = replace(changed, error=value)
        elif name == "policy" and isinstance(value, str):
            changed = _policy(mark, value, filters)
        else:
            raise _unknown(mark)
    return " AND ".join(parts) or "true", params, "", changed


def _policy(mark: dict, value: str, filters: Filters) -> Changed:
    name, _, number = value.partition(":")
    if name == "fixed" and number.isdecimal() and int(number) in GRIDS:
        return Changed(filters, grid=int(number), quality=f"iou{int(number)}")
    if name == "budget":
        try:
            # the label is rounded; a hair more than the smallest budget is still that budget
            return Changed(filters, budget=_numbers(mark, [float(number)], 1)[0] + 5e-5)
        except ValueError as error:
            raise _unknown(mark) from error
    if value == "oracle":
        return Changed(filters, grid="oracle_grid", quality="best")
    if value in ("msm", "size"):
        return Changed(replace(filters, policy=value))
    if value == "random":  # a blind choice has no objects of its own: those drawn are shown
        return Changed(filters)
    raise _unknown(mark)


def _numbers(mark: Any, values: Any, count: int) -> list[float]:
    good = isinstance(values, list | tuple) and len(values) == count
    if not good or not all(
        isinstance(v, int | float)
        and not isinstance(v, bool)
        and math.isfinite(v)
        and abs(v) < 2**62
        for v in values
    ):
        raise _unknown(mark)
    return [float(v) for v in values]


def _unknown(mark: Any) -> InputError:
    return InputError(
        f"Expected a mark of one of our figures; got {str(mark)[:80]!r}. Click a mark again."
    )
