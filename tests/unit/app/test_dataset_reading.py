"""The desk: one large COCO file at a time, small ones at once, and a word to those who wait."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from app import dataset_reading as reading
from app import truth
from app.dataset_reading import Desk
from dynamask.errors import DataError, InputError


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAUSE_SECONDS", 0.02)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(reading.SMALL_BYTES + 1)
    return path


class Slow:
    """Takes its time, and counts how many do so at once."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.now = self.most = self.count = 0
        self._seconds, self._lock = seconds, threading.Lock()

    def __call__(self, file: Path, folder: Path | None) -> Any:
        with self._lock:
            self.now += 1
            self.count += 1
            self.most = max(self.most, self.now)
        time.sleep(self._seconds)
        with self._lock:
            self.now -= 1
        return file


def together(work: Any, count: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_large_files_come_one_after_the_other(large: Path) -> None:
    slow = Slow()
    desk = Desk(slow)
    for thread in together(lambda: desk.read(large), 6):
        thread.join(20)
    assert (slow.most, slow.count) == (1, 6)


def test_who_waits_is_told_and_small_files_pass(large: Path, tmp_path: Path) -> None:
    held, go = threading.Event(), threading.Event()

    def read(file: Path, folder: Path | None) -> Any:
        if file == large:
            held.set()
            go.wait(20)
        return file

    desk = Desk(read)
    thread = threading.Thread(target=desk.read, args=(large,))
    thread.start()
    held.wait(10)
    small = tmp_path / "small.json"
    small.write_text("{}")
    assert desk.read(small) == small
    waiting = desk.reading(large)
    assert next(waiting) is None and next(waiting) is None
    go.set()
    assert list(waiting)[-1] == large
    thread.join(10)


def test_waiting_has_an_end_and_a_limit(large: Path) -> None:
    held, go = threading.Event(), threading.Event()
    times = iter([0.0, 0.0, 1.0, 99.0])  # the reader's, then the one's that waits

    def read(file: Path, folder: Path | None) -> Any:
        held.set()
        go.wait(20)
        return file

    desk = Desk(read, seconds=10, clock=lambda: next(times, 0.0))
    first = threading.Thread(target=desk.read, args=(large,))
    first.start()
    held.wait(10)
    waiting = desk.reading(large)
    assert next(waiting) is None
    with pytest.raises(InputError, match="in a minute"):
        next(waiting)
    crowd = [desk.reading(large) for _ in range(reading.MOST_WAITING - 1)]
    assert all(next(one) is None for one in crowd)
    with pytest.raises(InputError, match="in a minute"):
        next(desk.reading(large))
    crowd.pop().close()  # somebody left
    assert next(desk.reading(large)) is None
    go.set()
    first.join(10)


def test_a_file_that_fails_lets_the_next_one_in(large: Path) -> None:
    def bad(file: Path, folder: Path | None) -> Any:
        raise DataError("Expected JSON, got none; export it again.")

    desk = Desk(bad)
    for _ in range(3):
        with pytest.raises(DataError, match="export it again"):
            desk.read(large)


@pytest.mark.parametrize("results", [False, True])
def test_inspect_reads_large_files_at_the_same_desk(
    results: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, path = Desk(seconds=0.1), tmp_path / "a.json"
    path.write_text("[]" if results else "{}", encoding="utf-8")
    monkeypatch.setattr(truth, "DESK", desk, raising=False)
    monkeypatch.setattr(reading, "SMALL_BYTES", 1)
    read = truth.read_boxes if results else truth.read_truth
    with desk._lock, pytest.raises(InputError, match="busy server"):  # somebody else is at it
        read(path, (4, 4), "a.png")
    with pytest.raises(DataError):  # then it is its turn: the file is no use
        read(path, (4, 4), "a.png")
    assert not desk._lock.locked()
