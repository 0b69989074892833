"""The filter bar: from controls, which may be forged, to Filters."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.filters import Filters
from app.dataset_filters import FIRST, read_filters
from dynamask.errors import InputError


def read(**changes: Any) -> Filters:
    return read_filters(*{**FIRST, **changes}.values())


def test_first_values_let_everything_but_crowds_through() -> None:
    assert read() == Filters()


def test_every_control_arrives() -> None:
    found = read(
        boxes="detector",
        policy="size",
        classes=["cat", "dog", "cat"],
        size="medium",
        grids=["112", "14"],
        score=0.5,
        crowd="both",
        truncated="cut",
    )
    assert found == Filters(
        policy="size",
        boxes="detector",
        categories=("cat", "dog"),
        area_px2=(1024.0, 9216.0),
        grids=(14, 112),
        score=(0.5, 1.0),
        crowd=None,
        truncated=True,
    )


def test_area_narrows_the_size() -> None:
    assert read(size="small", low=100, high=0).area_px2 == (100.0, 1024.0)
    assert read(low=5).area_px2 == (5.0, 1e9)
    low, high = read(size="large", high=50).area_px2
    assert low <= high < 0  # nothing is below zero, so nothing passes


def test_all_or_no_grids_is_no_filter() -> None:
    assert read(grids=[]).grids is None
    assert read(grids=["14", "28", "56", "112"]).grids is None


@pytest.mark.parametrize(
    "changes",
    [
        {"boxes": "moon"},
        {"boxes": None},
        {"policy": ["msm"]},
        {"policy": "x" * 41},
        {"classes": "cat"},
        {"classes": [1]},
        {"classes": ["x"] * 2001},
        {"size": "huge"},
        {"low": -1},
        {"low": float("nan")},
        {"high": "12"},
        {"low": 9, "high": 3},
        {"grids": ["15"]},
        {"grids": [14]},
        {"grids": None},
        {"score": float("inf")},
        {"score": 1.5},
        {"score": True},
        {"crowd": 0},
        {"truncated": "no"},
    ],
)
def test_forged_values_are_one_sentence(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="^Expected "):
        read(**changes)


def test_missing_controls_are_refused() -> None:
    with pytest.raises(InputError, match="filter bar"):
        read_filters("gt")
