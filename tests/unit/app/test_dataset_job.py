"""The board: one run at a time, stopped by its owner, its end told whatever it is."""

from __future__ import annotations

import threading

import pytest

from app.dataset_job import Board, Report
from dynamask.errors import DataError, InputError


def ended(board: Board, owner: str = "") -> object:
    looks = list(board.follow(owner, pause=0.01))
    board.wait(5)
    return looks[-1]


def test_progress_and_end() -> None:
    ticks = iter([0.0, 2.0, 4.0, 6.0])
    board = Board(clock=lambda: next(ticks))

    def work(report: Report, cancel: threading.Event) -> bool:
        for done in range(4):
            report(done, 3)
        return True

    board.start("run", "", work)
    last = ended(board)
    assert (last.state, last.done, last.total, last.speed) == ("done", 3, 3, 0.5)
    assert not board.is_making("run")


def test_photos_of_an_earlier_attempt_do_not_count_as_speed() -> None:
    ticks = iter([0.0, 10.0])
    board = Board(clock=lambda: next(ticks))

    def work(report: Report, cancel: threading.Event) -> bool:
        report(50, 100)
        report(51, 100)
        return False

    board.start("run", "", work)
    last = ended(board)
    assert last.speed == 0.1 and last.left == 490.0


def test_only_the_owner_sees_and_stops() -> None:
    board, go = Board(), threading.Event()

    def work(report: Report, cancel: threading.Event) -> bool:
        go.set()
        return not cancel.wait(10)

    board.start("run", "mine", work)
    go.wait(5)
    assert board.look("yours") is None and not board.stop("yours")
    assert board.is_making("run") and board.look("mine").state == "running"
    with pytest.raises(InputError, match="run that is being made"):
        board.start("other", "yours", work)
    assert board.stop("mine")
    assert ended(board, "mine").state == "stopped"


def test_a_deleted_run_is_told_no_more() -> None:
    board = Board()
    board.start("run", "mine", lambda report, cancel: True)
    assert ended(board, "mine").state == "done"
    board.forget("other")
    assert board.look("mine").name == "run"
    board.forget("run")
    assert board.look("mine") is None


def test_errors_are_told() -> None:
    board = Board()

    def bad(report: Report, cancel: threading.Event) -> bool:
        raise DataError("Expected photos, got none; add some.")

    board.start("run", "", bad)
    assert ended(board).problem == "Expected photos, got none; add some."

    def odd(report: Report, cancel: threading.Event) -> bool:
        raise ZeroDivisionError("secret")

    board.start("run", "", odd)
    last = ended(board)
    assert last.state == "failed" and "secret" not in last.problem


def test_a_claim_keeps_the_model_while_photos_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from app import dataset_job

    def work(report: Report, cancel: threading.Event) -> bool:
        return True

    board = Board()
    claim = board.claim()
    assert board.claim(claim) is claim
    for other in (board.claim, lambda: board.start("other", "", work)):
        with pytest.raises(InputError, match="photos are being read"):
            other()
    board.start("run", "", work, claim)
    ended(board)
    board.release(claim)
    # given up, or forgotten by somebody who went away
    board.release(board.claim())
    board.claim()
    monkeypatch.setattr(dataset_job, "CLAIM_SECONDS", -1.0)
    board.start("next", "", work)
    assert ended(board).state == "done"
