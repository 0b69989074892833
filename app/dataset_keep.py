"""How long visitors' runs and photos stay on a public server, and how much they may take.

What a visitor made is kept until nobody has looked at it for some hours, and never removed while it
is being written to. Runs of the operator have no owner and stay, and a server that is not public
removes nothing by itself. Knows nothing of Gradio.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from app import settings
from app import text_dataset as words
from app.dataset_job import Board
from app.dataset_runs import Shelf
from dynamask.errors import DynaMaskError, InputError

SWEEP_SECONDS = 600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What strangers may keep on a server.

    Attributes:
        runs: of one visitor.
        visitor_bytes: of one visitor's runs, with the photos and COCO files uploaded for them.
        all_bytes: of all visitors.
        hours: after the last look at a run.
    """

    runs: int = settings.VISITOR_RUNS
    visitor_bytes: int = settings.VISITOR_RUN_BYTES
    all_bytes: int = settings.ALL_RUN_BYTES
    hours: float = settings.RUN_HOURS

    def words(self) -> str:
        """A sentence for the page."""
        return words.KEEP_LIMITS.format(
            runs=self.runs, gigabytes=self.visitor_bytes / 1e9, hours=self.hours
        )


class Keeper:
    """Holds visitors to the limits; thread-safe.

    Args:
        shelf: the runs.
        board: the run that is being made.
        limits: for visitors of a public shelf; nobody else has any.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        shelf: Shelf,
        board: Board,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._shelf, self._board, self._clock = shelf, board, clock
        self.limits = limits or Limits()

    def room(self, owner: str) -> int | None:
        """Bytes that a visitor's next run may take; None where there is no limit.

        Raises:
            InputError: no further run fits.
        """
        if not self._shelf.public:
            return None
        self.sweep()
        mine = [k for k in self._shelf.kept() if k.owned and self._shelf.is_owner(k.name, owner)]
        if len(mine) >= self.limits.runs:
            raise InputError(words.KEEP_RUNS.format(most=self.limits.runs))
        return self.left(owner)

    def left(self, owner: str) -> int | None:
        """Bytes by which what a visitor has may grow; None where there is no limit.

        Raises:
            InputError: by none.
        """
        if not self._shelf.public:
            return None
        kept, limits = [k for k in self._shelf.kept() if k.owned], self.limits
        mine = [k for k in kept if self._shelf.is_owner(k.name, owner)]
        sizes = {k.name: k.size_bytes for k in kept}
        left = limits.visitor_bytes - sum(sizes[k.name] for k in mine)
        if left <= 0:
            raise InputError(words.KEEP_BYTES.format(most=limits.visitor_bytes / 1e9))
        everybody = limits.all_bytes - sum(sizes.values())
        if everybody <= 0:
            raise InputError(words.KEEP_FULL)
        return min(left, everybody)

    def sweep(self) -> list[str]:
        """Remove what nobody has looked at for long enough; the names of it."""
        if not self._shelf.public:
            return []
        gone = []
        for kept in self._shelf.kept():
            old = self._clock() - kept.used > self.limits.hours * 3600
            if not old or not (kept.orphan or kept.owned) or self._board.is_making(kept.name):
                continue
            try:
                self._shelf.remove(kept.name, run=not kept.orphan)
            except (DynaMaskError, OSError) as error:  # somebody works on it
                logger.info("%s stays for now: %s", kept.name, error)
                continue
            gone.append(kept.name)
        if gone:
            logger.info("removed %d runs that nobody looked at: %s", len(gone), ", ".join(gone))
        return gone

    def watch(self, pause: float = SWEEP_SECONDS) -> threading.Event:
        """Sweep now and then until the event that is returned is set, or the process ends."""
        stop = threading.Event()

        def work() -> None:
            while True:
                try:
                    self.sweep()
                except Exception:
                    logger.exception("unexpected error on removing old runs")
                if stop.wait(pause):
                    return

        threading.Thread(target=work, name="dataset-keep", daemon=True).start()
        return stop
