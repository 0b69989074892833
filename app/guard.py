"""Errors on their way to the user: a sentence each, never a trace."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import wraps
from html import escape
from typing import Any

import gradio as gr

from app.discretion import sentence_of


def sentences(
    handler: Callable[..., Any], clean: Callable[[str], str] = escape
) -> Callable[..., Any]:
    """Turn errors into toasts: their sentence where we wrote it, a general one elsewhere.

    Args:
        handler: a listener.
        clean: applied to the sentence; a toast shows HTML, so names in it must be escaped.
    """

    @wraps(handler)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            raise _toast(clean(sentence_of(error, f"in {handler.__name__}"))) from None

    return wrapped


def streaming(handler: Callable[..., Generator[Any, None, None]]) -> Callable[..., Iterator[Any]]:
    """As :func:`sentences`, for a listener that yields several answers, or none."""

    @wraps(handler)
    def wrapped(*args: Any, **kwargs: Any) -> Iterator[Any]:
        silent = True
        try:
            with closing(handler(*args, **kwargs)) as answers:
                for answer in answers:
                    silent = False
                    yield answer
            if silent:  # Gradio would send null to every output, states among them
                yield gr.skip()
        except Exception as error:
            raise _toast(escape(sentence_of(error, f"in {handler.__name__}"))) from None

    return wrapped


def _toast(sentence: str) -> gr.Error:
    return gr.Error(sentence, title="", print_exception=False)
