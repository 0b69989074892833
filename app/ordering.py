"""Answers in the order in which they were asked for: one that was overtaken is not shown.

The queue runs one model job at a time, so that answers come in order; this holds also where
several run at once. The picture has a second guard of its own, see ``seq`` in the MaskViewer.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import wraps
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from app import settings

Handler = Callable[..., tuple[Any, ...]]
Stream = Callable[..., Generator[Any, None, None]]


class Sequence:
    """Rising numbers for answers, and for each page the newest one that was given."""

    def __init__(self) -> None:
        self._last = 0
        self._given: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def next(self) -> int:
        """A number larger than all before: microseconds, below 2^53 as JavaScript needs.

        Clocks go on while a server restarts, so numbers of the old one stay smaller.
        """
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return self._last

    def give(self, page: str, number: int) -> bool:
        """Whether a page may be given this answer; False where it has a newer one already."""
        with self._lock:
            if number < self._given.get(page, 0):
                return False
            self._given[page] = number
            self._given.move_to_end(page)
            while len(self._given) > 2 * settings.STATE_SESSIONS:
                self._given.popitem(last=False)
            return True

    def overtaken(self, page: str, number: int) -> bool:
        """Whether a page has a newer answer than this, or will have."""
        with self._lock:
            return number < self._given.get(page, 0)


class Latest:
    """The newest value of something for each page, known before the answer has reached it."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, value: Any) -> None:
        """Remember a value for the page that asks."""
        if page := page_of_request():
            with self._lock:
                self._values[page] = value
                self._values.move_to_end(page)
                while len(self._values) > settings.STATE_SESSIONS:
                    self._values.popitem(last=False)

    def get(self, default: Any) -> Any:
        """Value of the page that asks, or what the page itself says."""
        with self._lock:
            return self._values.get(page_of_request(), default)


def page_of_request() -> str:
    """Name of the page that asked; "" outside of a request."""
    request = LocalContext.request.get(None)
    return str(getattr(request, "session_hash", None) or "")


def in_order(lane: str) -> Callable[[Handler], Handler]:
    """Leave the page as it is where a later question was answered in the meantime.

    Args:
        lane: questions of one lane overtake each other only: a new policy does not undo a click.
    """

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def wrapped(self: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
            number = self.sequence.next()
            answer = handler(self, *args, **kwargs)
            if self.sequence.give(f"{page_of_request()} {lane}", number):
                return answer
            return (gr.skip(),) * len(answer)

        return wrapped

    return decorate


def newest_only(
    lane: str, *, overtakes: tuple[str, ...] = (), heeds: tuple[str, ...] = ()
) -> Callable[[Stream], Callable[..., Iterator[Any]]]:
    """As :func:`in_order`, for a listener that yields: it ends where a later one began.

    Two clicks in quick succession run side by side, since the page does not yet know of the first
    one's job as it sends the second; whichever ended last would stay on the page.

    Args:
        lane: listeners of one lane overtake each other only.
        overtakes: further lanes that it ends, without being ended by them.
        heeds: further lanes that end it, without being ended by it.
    """

    def decorate(handler: Stream) -> Callable[..., Iterator[Any]]:
        @wraps(handler)
        def wrapped(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
            page, number = page_of_request(), self.sequence.next()
            for ended in (lane, *overtakes):
                self.sequence.give(f"{page} {ended}", number)
            with closing(handler(self, *args, **kwargs)) as answers:
                for answer in answers:
                    if any(self.sequence.overtaken(f"{page} {n}", number) for n in (lane, *heeds)):
                        yield gr.skip()
                        return
                    yield answer

        return wrapped

    return decorate
