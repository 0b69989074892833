"""Answers of listeners that run side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from gradio.context import LocalContext

from app.ordering import Latest, Sequence, newest_only

SKIP = gr.skip()


class Asking:
    """What Gradio knows of a request."""

    def __init__(self, page: str) -> None:
        self.session_hash = page


class Listeners:
    def __init__(self) -> None:
        self.sequence = Sequence()
        self.ended: list[str] = []

    @newest_only("filters")
    def change(self, name: str) -> Iterator[str]:
        try:
            for k in range(3):
                yield f"{name}{k}"
        finally:
            self.ended.append(name)

    @newest_only("run", overtakes=("filters",))
    def choose(self, name: str) -> Iterator[str]:
        yield from (f"{name}{k}" for k in range(3))

    @newest_only("group", heeds=("filters",))
    def group(self, name: str) -> Iterator[str]:
        yield from (f"{name}{k}" for k in range(3))


@pytest.fixture
def asks() -> Iterator[Any]:
    before = LocalContext.request.get(None)

    def page(name: str) -> None:
        LocalContext.request.set(Asking(name))

    yield page
    LocalContext.request.set(before)


def test_a_later_click_ends_an_earlier_one(asks: Any) -> None:
    asks("mine")
    listeners = Listeners()
    first, second = listeners.change("a"), listeners.change("b")
    assert next(first) == "a0"
    assert next(second) == "b0"
    assert list(first) == [SKIP]  # also what Gradio sends again at the end of a job
    assert listeners.ended == ["a"]
    assert list(second) == ["b1", "b2"]


def test_pages_do_not_overtake_each_other(asks: Any) -> None:
    listeners = Listeners()
    asks("mine")
    first = listeners.change("a")
    assert next(first) == "a0"
    asks("yours")
    assert list(listeners.change("b")) == ["b0", "b1", "b2"]
    assert list(first) == ["a1", "a2"]


def test_a_run_overtakes_filters_and_not_the_reverse(asks: Any) -> None:
    asks("mine")
    listeners = Listeners()
    change, choose = listeners.change("filter"), listeners.choose("run")
    assert (next(change), next(choose)) == ("filter0", "run0")
    assert list(change) == [SKIP]
    assert list(listeners.change("later")) == ["later0", "later1", "later2"]
    assert list(choose) == ["run1", "run2"]


def test_filters_end_a_group_and_not_the_reverse(asks: Any) -> None:
    asks("mine")
    listeners = Listeners()
    group, change = listeners.group("group"), listeners.change("filter")
    assert (next(group), next(change)) == ("group0", "filter0")
    assert list(group) == [SKIP]
    assert list(listeners.group("later")) == ["later0", "later1", "later2"]
    assert list(change) == ["filter1", "filter2"]


def test_the_latest_value_of_a_page(asks: Any) -> None:
    latest = Latest()
    asks("mine")
    assert latest.get("its own") == "its own"
    latest.put("newer")
    assert latest.get("its own") == "newer"
    asks("yours")
    assert latest.get("its own") == "its own"
    asks("")
    latest.put("of nobody")
    assert latest.get("its own") == "its own"
