"""A stranger's run stops after its last page, however it came to be shown; others go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app import dataset_make, run_handlers
from app.dataset_job import Board
from app.dataset_pages import Pages
from app.dataset_runs import Shelf
from app.run_handlers import RunHandlers
from app.tabs.dataset_make import MakePanel

MINE = "m" * 32
WAYS = ("started", "resumed", "found at work")


def work(report: Any, cancel: threading.Event) -> bool:
    return not cancel.wait(20)


class Server:
    """The two tabs on one board; a page is the hash of its session."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, public: bool) -> None:
        self.board, shelf = Board(), Shelf(folder, public=public)
        self.panel = MakePanel(None, shelf, self.board)  # type: ignore[arg-type]
        self.panel.pages = Pages(self.board, public=public, patience=0.2)
        self.owner = MINE if public else ""
        for name in ("coco", "coco_path", "zip", "folder", "progress", "report", "start", "stop"):
            setattr(self.panel, name, name)
        self.runs = RunHandlers(None, shelf, self.board)  # type: ignore[arg-type]
        self.runs.dataset = SimpleNamespace(make=self.panel)  # type: ignore[assignment]
        for name in ("resume", "stop", "delete", "progress"):
            setattr(self.runs, name, name)
        info = SimpleNamespace(name="going", facts=SimpleNamespace(state="stopped"), shipped=False)
        monkeypatch.setattr(shelf, "find", lambda key, visitor: info)
        monkeypatch.setattr(shelf, "may_change", lambda info, visitor: True)
        self.rooms: list[int | None] = []
        resumed = lambda *given: (self.rooms.append(given[3]), work)[1]  # noqa: E731
        monkeypatch.setattr(run_handlers, "resume_work", resumed)
        monkeypatch.setattr(dataset_make, "coco_source", lambda *_, **__: (folder, "a", False))
        monkeypatch.setattr(dataset_make, "photo_source", lambda *_, **__: (folder, False))
        monkeypatch.setattr(self.panel, "_beginning", self._beginning)

    def _beginning(self, *_: Any) -> Iterator[Any]:
        self.board.start("going", self.owner, work)
        yield {}
        return "going"

    def open(self, page: str, way: str) -> Iterator[Any]:
        """Show the run on a page; what still tells of it."""
        request: Any = SimpleNamespace(session_hash=page)
        if way == "started":
            asked = (None, "", None, "", "", ["msm"])
            answers = self.panel.on_start(MINE, "choice", *asked, request)
        elif way == "resumed":
            answers = self.runs.on_resume(MINE, "own/going", request)
        else:
            if self.board.look(self.owner) is None:
                self.board.start("going", self.owner, work)
            answers = self.panel.on_look(MINE, request)
        for answer in answers:
            if any(getattr(a, "get", lambda _: None)("interactive") for a in answer.values()):
                break  # Stop can be pressed
        return answers

    def close(self, page: str) -> None:
        self.panel.on_unload(SimpleNamespace(session_hash=page))  # type: ignore[arg-type]

    def stops(self, seconds: float = 1.0) -> bool:
        """Whether the run is told to stop within this time."""
        return self.board._cancel.wait(seconds)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server(tmp_path, monkeypatch, public=True)
    yield made
    made.board.stop(made.owner)
    made.board.wait(10)


@pytest.mark.parametrize("way", WAYS)
def test_a_strangers_run_stops_after_its_only_page(server: Server, way: str) -> None:
    kept = server.open("page", way)
    assert not server.stops(0.4)  # while it is seen
    server.close("page")
    assert server.stops()
    kept.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_at_home_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    server = Server(tmp_path, monkeypatch, public=False)
    kept = server.open("page", way)
    server.close("page")
    assert not server.stops(0.6)
    server.board.stop("")
    server.board.wait(10)
    kept.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("way", WAYS)
def test_a_page_that_is_reloaded_keeps_its_run(server: Server, way: str) -> None:
    first = server.open("before", way)
    server.close("before")
    second = server.open("after", "found at work")
    assert not server.stops(0.6)
    server.close("after")
    assert server.stops()
    first.close()  # type: ignore[attr-defined]
    second.close()  # type: ignore[attr-defined]


def test_a_page_of_another_run_stops_nothing(server: Server) -> None:
    """A stranger has two: the first one's run has ended, the other one's is being made."""
    server.panel.pages.show("first", MINE, "ended")
    server.board.start("going", MINE, work)
    server.panel.pages.show("other", MINE, "going")
    for page in ("first", "unknown"):
        server.close(page)
    assert not server.stops(0.6)
    server.close("other")
    assert server.stops()


def test_a_resumed_run_has_limits_too(server: Server) -> None:
    server.open("page", "resumed")
    assert server.rooms == [server.panel.keeper.limits.visitor_bytes]


def test_a_page_that_closes_is_not_waited_for(server: Server) -> None:
    server.board.start("going", MINE, work)
    server.panel.pages = Pages(server.board, public=True, patience=60)
    server.panel.pages.show("page", MINE, "going")
    began = time.monotonic()
    server.close("page")
    assert time.monotonic() - began < 5
