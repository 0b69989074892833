"""What a plot may send, and what it may not."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import plot_events
from app.dataset_behind import to_mark
from app.plot_events import Picked, read_picked
from dynamask.errors import InputError

NAN, INFINITE, HUGE = float("nan"), float("inf"), 10**400

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


def test_a_click_and_a_brush() -> None:
    mark = {"grid": 14, "area": [1, 10.5], "category": "zebra", "bin": None}
    sent = {"kind": "click", "ids": [7], "more": False, "mark": mark, "range": None}
    assert read_picked(sent) == Picked("click", ids=(7,), mark=mark)
    sent = {"kind": "box", "ids": [2, 1], "range": {"x": [5, -1], "y": None}, "more": True}
    assert read_picked(sent) == Picked("box", ids=(2, 1), more=True, x=(-1.0, 5.0))
    assert read_picked({"kind": "clear"}) == Picked("clear")


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"kind": "hover"},
        {"kind": ["click"]},
        *({"kind": "box", "ids": v} for v in ("12", {"0": 1}, [-1], [True], [1.0], ["1"], [HUGE])),
        {"kind": "box", "ids": list(range(plot_events.MAX_IDS + 1))},
        *({"kind": "box", "range": v} for v in ([1], {"x": [1]}, {"x": "12"}, {"y": [0, NAN]})),
        {"kind": "box", "range": {"x": [0, INFINITE]}},
        {"kind": "box", "range": {"x": [0, HUGE]}},
        *({"kind": "click", "mark": v} for v in (3, ["a"], {"a": {"b": 1}}, {"a": [[1]]})),
        {"kind": "click", "mark": {"a": "x" * 400}},
        {"kind": "click", "mark": {str(i): i for i in range(50)}},
        {"kind": "click", "mark": {"a": list(range(50))}},
        {"kind": "click", "mark": {"a": NAN}},
    ],
)
def test_odd_events_are_refused(data: Any) -> None:
    with pytest.raises(InputError, match="reload the page"):
        read_picked(data)


@given(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(plot_events.KINDS)},
        optional={"ids": anything, "mark": anything, "range": anything, "more": anything},
    )
    | anything
)
def test_anything_else_is_a_sentence_or_a_value(data: Any) -> None:
    with suppress(InputError):
        picked = read_picked(data)
        assert picked.kind in plot_events.KINDS
        assert all(isinstance(i, int) and i >= 0 for i in picked.ids)


def test_a_brush_over_hexagons_asks_for_its_rectangle() -> None:
    """They have no ids: the plot says that there are more than it can name."""
    sent = {"kind": "box", "ids": [], "more": True, "range": {"x": [3, 2], "y": [0.4, 0.6]}}
    assert to_mark(read_picked(sent)) == {"hex": [2.0, 3.0, 0.4, 0.6]}
    assert to_mark(read_picked({**sent, "more": False})) is None
