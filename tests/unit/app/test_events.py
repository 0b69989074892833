"""What a browser may send, and what it may not."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import events, settings
from dynamask.errors import InputError

SIZE = (100, 200)  # height, width
NAN, HUGE = float("nan"), 10**400

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


@pytest.mark.parametrize("value", [None, 1, 100, 65535])
def test_ids(value: int | None) -> None:
    assert events.read_id({"id": value}) == value


@pytest.mark.parametrize(
    "data",
    [None, 3, [], {}, *({"id": v} for v in (0, -1, 1 << 16, True, 1.0, "1", [1], NAN, HUGE))],
)
def test_odd_ids_are_refused(data: Any) -> None:
    with pytest.raises(InputError, match="object's number"):
        events.read_id(data)


def test_boxes_are_clipped_and_put_in_order() -> None:
    assert events.read_box({"box": [150, 90, 10.04, -20]}, SIZE) == (10.0, 0.0, 150.0, 90.0)
    assert events.read_box({"box": [-5, -5, 900, 900]}, SIZE) == (0.0, 0.0, 200.0, 100.0)


@pytest.mark.parametrize(
    "box",
    [
        None,
        "1234",
        {"0": 1},
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        *([0, 0, odd, 9] for odd in ("4", None, True, NAN, float("inf"), 1e300, HUGE)),
    ],
)
def test_odd_boxes_are_refused(box: Any) -> None:
    with pytest.raises(InputError, match="four corners"):
        events.read_box({"box": box}, SIZE)


@pytest.mark.parametrize("box", [[10, 10, 12, 50], [300, 10, 400, 50], [5, 5, 5, 5]])
def test_boxes_without_a_size_inside_the_photo_are_refused(box: list[float]) -> None:
    with pytest.raises(InputError, match="drag across"):
        events.read_box({"box": box}, SIZE)


@given(anything)
def test_any_event_is_read_or_refused(data: Any) -> None:
    for read in (events.read_id, lambda d: events.read_box(d, SIZE)):
        with suppress(InputError):
            read(data)


@given(st.lists(st.floats(-1e5, 1e5), min_size=4, max_size=4))
def test_boxes_that_pass_lie_inside(corners: list[float]) -> None:
    try:
        x1, y1, x2, y2 = events.read_box({"box": corners}, SIZE)
    except InputError:
        return
    assert 0 <= x1 < x2 <= SIZE[1] and 0 <= y1 < y2 <= SIZE[0]


def test_there_is_an_end_to_drawing() -> None:
    drawn: tuple[events.Box, ...] = ()
    for _ in range(settings.MAX_DRAWN):
        drawn = events.add_box(drawn, (0.0, 0.0, 9.0, 9.0))
    with pytest.raises(InputError, match="remove one"):
        events.add_box(drawn, (0.0, 0.0, 9.0, 9.0))


@pytest.mark.parametrize("value", [None, "0.5", True, float("nan"), 0.0, 1.1, [0.5], 10**400])
def test_odd_numbers_are_refused(value: Any) -> None:
    with pytest.raises(InputError, match="a threshold from 0.1 to 0.9"):
        events.read_number(value, (0.1, 0.9), "a threshold")


def test_numbers_pass() -> None:
    assert events.read_number(0.5, (0.1, 0.9), "a threshold") == 0.5
    assert events.read_number(1, (0.0, 1.0), "a score") == 1.0
