"""Listeners that answer several times, once, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr
import pytest

from app.guard import streaming
from dynamask.errors import InputError


def test_a_listener_without_an_answer_changes_nothing() -> None:
    @streaming
    def nothing() -> Iterator[int]:
        yield from ()

    assert list(nothing()) == [gr.skip()]


def test_answers_pass_and_errors_become_sentences() -> None:
    @streaming
    def some() -> Iterator[int]:
        yield 1
        raise InputError("Expected <b>, got nothing.")

    answers = some()
    assert next(answers) == 1
    with pytest.raises(gr.Error, match="&lt;b&gt;"):
        next(answers)


def test_a_closed_listener_closes_what_it_runs() -> None:
    closed = []

    @streaming
    def forever() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    answers = forever()
    next(answers)
    answers.close()
    assert closed
