"""COCO files are read one at a time: 25 MB take 0.2 GB and half a minute of a slow core.

Who has to wait is told so. Small files pass, since they cost nothing. Knows nothing of Gradio.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from analysis.coco_io import Dataset, read_dataset
from app import text_dataset as words
from dynamask.errors import InputError

SMALL_BYTES = 2_000_000  # read in a second, with 50 MB of memory
WAIT_SECONDS = 240.0  # several files of the largest size that may be uploaded
PAUSE_SECONDS = 0.4
MOST_WAITING = 8  # each keeps one of the server's threads

T = TypeVar("T")


class Desk:
    """Where COCO files are read; thread-safe.

    Args:
        read: reads a file, as :func:`analysis.coco_io.read_dataset`.
        seconds: longest time to wait for others.
        clock: seconds.
    """

    def __init__(
        self,
        read: Callable[..., Dataset] = read_dataset,
        *,
        seconds: float = WAIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._seconds, self._clock = read, seconds, clock
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)

    def reading(self, file: Path, folder: Path | None = None) -> Iterator[Dataset | None]:
        """Read a file when it is its turn.

        Args:
            file: annotations.
            folder: of the photos, where they lie somewhere already.

        Yields:
            None whenever others are still at it, then the dataset.

        Raises:
            DataError: the file cannot be used.
            InputError: too many wait, or the wait took too long.
        """
        return self._taking(file, lambda: self._read(file, folder))

    def take(self, file: Path, read: Callable[[], T]) -> T:
        """Read a file in another way when it is its turn, in a thread that has nobody to tell.

        Args:
            file: what is read; its size says whether it has to wait.
            read: reads it.

        Raises:
            DataError: as ``read`` does.
            InputError: too many wait, or the wait took too long.
        """
        for result in self._taking(file, read):
            if result is not None:
                return result
        raise InputError(words.READ_BUSY)

    def _taking(self, file: Path, read: Callable[[], T]) -> Iterator[T | None]:
        if _size(file) <= SMALL_BYTES:
            yield read()
            return
        if not self._waiting.acquire(blocking=False):
            raise InputError(words.READ_BUSY)
        try:
            end = self._clock() + self._seconds
            while not self._lock.acquire(timeout=PAUSE_SECONDS):
                if self._clock() > end:
                    raise InputError(words.READ_BUSY)
                yield None
            # never held across a yield: whoever listens may be gone
            try:
                result = read()
            finally:
                self._lock.release()
        finally:
            self._waiting.release()
        yield result

    def read(self, file: Path, folder: Path | None = None) -> Dataset:
        """As :meth:`reading`, for a thread that has nobody to tell."""
        return self.take(file, lambda: self._read(file, folder))


DESK = Desk()
"""Of this process, whose memory is what is short."""


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # read_dataset says what is wrong
        return 0
