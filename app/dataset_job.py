"""Making a dataset run in the background: one at a time, seen and stopped from any page.

A run may take hours, a page may be closed meanwhile: the work happens in a thread of its own and
pages only look at it. Knows nothing of Gradio.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from app import text_dataset as words
from app.discretion import sentence_of
from dynamask.errors import InputError

POLL_SECONDS = 0.3  # how often a page looks
CLAIM_SECONDS = 600.0  # a claim that is not renewed lapses; the largest COCO file takes minutes

Report = Callable[[int, int], None]
Work = Callable[[Report, threading.Event], bool]


@dataclass(frozen=True)
class Look:
    """Where the job is.

    Attributes:
        name: of the run.
        state: ``running``, ``stopping``, ``stopped``, ``done`` or ``failed``.
        done: finished photos, those of earlier attempts included.
        total: photos of the set; 0 while that is unknown.
        speed: photos per second, 0.0 before the first.
        problem: why it failed, as a sentence.
    """

    name: str
    state: str = "running"
    done: int = 0
    total: int = 0
    speed: float = 0.0
    problem: str = ""

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take; None where that cannot be said yet."""
        return (self.total - self.done) / self.speed if self.speed > 0 else None

    @property
    def at_work(self) -> bool:
        """Whether the model is in use."""
        return self.state in ("running", "stopping")


class Board:
    """The one job of this server; thread-safe.

    Args:
        clock: seconds, for the speed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._look: Look | None = None
        self._owner = ""
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        self._claim: object | None = None
        self._claimed = 0.0

    def claim(self, claim: object | None = None) -> object:
        """Keep the model for a run whose photos are still being read; again to renew it.

        Raises:
            InputError: another run is at work, or has claimed it.
        """
        with self._lock:
            self._check_free(claim)
            self._claim, self._claimed = claim or object(), time.monotonic()
            return self._claim

    def release(self, claim: object) -> None:
        """Give a claim up, whether it was used or not."""
        with self._lock:
            if self._claim is claim:
                self._claim = None

    def _check_free(self, claim: object | None) -> None:
        if self._look is not None and self._look.at_work:
            raise InputError(words.MAKE_BUSY.format(name=self._look.name))
        lapsed = time.monotonic() - self._claimed > CLAIM_SECONDS
        if self._claim is not None and self._claim is not claim and not lapsed:
            raise InputError(words.MAKE_CLAIMED)

    def start(self, name: str, owner: str, work: Work, claim: object | None = None) -> None:
        """Begin.

        Args:
            name: of the run.
            owner: who may see and stop it.
            work: called with (report, cancel) in a thread of its own; ``report(done, total)`` after
                each photo; True where the whole set is done, False where it was stopped.
            claim: what :meth:`claim` gave; used up.

        Raises:
            InputError: another one is at work, or has claimed the model.
        """
        with self._lock:
            self._check_free(claim)
            self._claim = None
            self._look, self._owner = Look(name), owner
            self._cancel = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(work, self._cancel), name="dataset-run", daemon=True
            )
            self._thread.start()

    def stop(self, owner: str) -> bool:
        """Ask one's own job to stop after the photo that is worked on; False without one."""
        with self._lock:
            if self._look is None or not self._look.at_work or owner != self._owner:
                return False
            self._look = replace(self._look, state="stopping")
            self._cancel.set()
            return True

    def look(self, owner: str) -> Look | None:
        """Where one's own job is; None without one."""
        with self._lock:
            return self._look if owner == self._owner else None

    def is_making(self, name: str) -> bool:
        """Whether a run is being written to."""
        with self._lock:
            return self._look is not None and self._look.at_work and self._look.name == name

    def forget(self, name: str) -> None:
        """A run was deleted: nobody is told of it any more."""
        with self._lock:
            if self._look is not None and not self._look.at_work and self._look.name == name:
                self._look = None

    def follow(self, owner: str, pause: float = POLL_SECONDS) -> Iterator[Look]:
        """One's own job, each time that something changed, up to and with its end."""
        last = None
        while True:
            now = self.look(owner)
            if now is None:
                return
            if now != last:
                yield now
                last = now
            if not now.at_work:
                return
            time.sleep(pause)

    def wait(self, seconds: float) -> None:
        """Wait for the thread to end, for example before the process does."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _run(self, work: Work, cancel: threading.Event) -> None:
        began: list[tuple[float, int]] = []

        def report(done: int, total: int) -> None:
            now = self._clock()
            with self._lock:
                look = self._look
                if look is None:
                    return
                speed = look.speed
                if began and now > began[0][0] and done > began[0][1]:
                    # photos of an earlier attempt took no time in this one
                    speed = (done - began[0][1]) / (now - began[0][0])
                if not began:
                    began.append((now, done))
                self._look = replace(look, done=done, total=total, speed=speed)

        try:
            whole = work(report, cancel)
            self._end("done" if whole else "stopped")
        except Exception as error:
            self._end("failed", sentence_of(error, "in a dataset run", words.MAKE_FAILED))

    def _end(self, state: str, problem: str = "") -> None:
        with self._lock:
            if self._look is not None:
                self._look = replace(self._look, state=state, problem=problem)
