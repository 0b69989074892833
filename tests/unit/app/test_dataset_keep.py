"""What strangers may keep on a public server, with a clock of our own and real folders."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from analysis import store
from analysis.synthetic import write_run
from app.dataset_job import Board, Report
from app.dataset_keep import Keeper, Limits
from app.dataset_runs import Shelf, Shelved
from dynamask.errors import InputError

MINE, YOURS = "m" * 32, "y" * 32
HOUR = 3600.0


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """A shelf with its keeper."""

    def __init__(self, folder: Path, *, public: bool = True, **limits: float) -> None:
        self.clock, self.board = Clock(), Board()
        self.shelf = Shelf(
            folder / "runs", public=public, shipped=folder / "shipped", clock=self.clock
        )
        limits = {"runs": 3, "visitor_bytes": 10**9, "all_bytes": 10**10, "hours": 24} | limits
        self.keeper = Keeper(self.shelf, self.board, Limits(**limits), self.clock)  # type: ignore[arg-type]

    def make(self, name: str, owner: str, photo_bytes: int = 1000) -> Path:
        path, home = self.shelf.new(name, "a.json")
        (home / "photos").mkdir()
        (home / "photos" / "a.jpg").write_bytes(b"x" * photo_bytes)
        self.shelf.remember(name, owner, home / "a.json", home / "photos")
        return write_run(path, 30, 5)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    write_run(tmp_path / "shipped" / "sample", 20, 4)
    return Server(tmp_path)


def test_a_run_goes_a_day_after_its_last_look(server: Server) -> None:
    path = server.make("old", MINE)
    server.clock.now += 23 * HOUR
    server.make("new", YOURS)
    assert server.keeper.sweep() == []
    server.shelf.open(server.shelf.find("own/old", MINE))  # looked at: another day
    server.clock.now += 23 * HOUR
    assert server.keeper.sweep() == []
    server.clock.now += 2 * HOUR
    assert sorted(server.keeper.sweep()) == ["new", "old"]
    assert not path.exists() and not server.shelf.home("old").exists()
    assert [i.key for i in server.shelf.runs(MINE)] == ["shipped/sample"]
    with pytest.raises(InputError, match="still there"):
        server.shelf.find("own/old", MINE)


def test_others_do_not_keep_a_run_alive(server: Server) -> None:
    server.make("mine", MINE)
    server.clock.now += 25 * HOUR
    with pytest.raises(InputError):
        server.shelf.find("own/mine", YOURS)
    assert server.keeper.sweep() == ["mine"]


def test_runs_of_the_operator_stay(server: Server) -> None:
    write_run(server.shelf.folder / "operators", 10, 2)
    server.make("from-the-page-without-public", "")
    server.clock.now += 1000 * HOUR
    assert server.keeper.sweep() == []


def of_the_operator(path: Path, images: Path) -> Path:
    """A run as the command line makes it: its manifest says what it is made from."""
    manifest = write_run(path, 10, 2) / "manifest.json"
    asked = {"coco": str(images.parent / "a.json"), "images": str(images)}
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "asked": asked}))
    return path


def test_a_later_run_of_the_operator_is_not_the_visitors(server: Server, tmp_path: Path) -> None:
    """A visitor's run is deleted by hand, and the command line makes another of its name."""
    shutil.rmtree(server.make("val", MINE))
    path = of_the_operator(server.shelf.folder / "val", tmp_path / "photos")
    assert [i.key for i in server.shelf.runs(MINE)] == ["shipped/sample"]
    with pytest.raises(InputError, match="still there"):
        server.shelf.find("own/val", MINE)
    server.clock.now += 1000 * HOUR
    assert server.keeper.sweep() == ["val"]
    assert (path / "manifest.json").is_file() and not server.shelf.home("val").exists()
    assert server.keeper.sweep() == []


def test_photos_stay_for_a_run_that_was_renamed(tmp_path: Path) -> None:
    for public in (True, False):
        server = Server(tmp_path / str(public), public=public)
        photos = server.shelf.home("mine") / "photos"
        shutil.rmtree(server.make("mine", MINE if public else ""))
        path = of_the_operator(server.shelf.folder / "renamed", photos)
        server.clock.now += 1000 * HOUR
        assert server.keeper.sweep() == [] and (photos / "a.jpg").is_file()
    assert server.shelf.photos(Shelved("own/renamed", store.run_info(path))) == photos


def test_photos_stay_at_home_where_their_run_was_moved_away(tmp_path: Path) -> None:
    server = Server(tmp_path, public=False)
    server.make("mine", "").rename(tmp_path / "archive")
    server.clock.now += 1000 * HOUR
    assert server.keeper.sweep() == []
    assert (server.shelf.home("mine") / "photos" / "a.jpg").is_file()


def test_a_run_of_the_command_line_has_its_photos_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for public, place in ((False, tmp_path / "photos"), (True, None)):
        shelf = Shelf(tmp_path / str(public), public=public)
        path = of_the_operator(shelf.folder / "val", tmp_path / "photos")
        assert shelf.photos(Shelved("own/val", store.run_info(path))) == place


def test_nothing_goes_while_it_is_made(server: Server) -> None:
    server.make("mine", MINE)
    go, begun = threading.Event(), threading.Event()

    def work(report: Report, cancel: threading.Event) -> bool:
        begun.set()
        return go.wait(20)

    server.board.start("mine", MINE, work)
    begun.wait(10)
    server.clock.now += 100 * HOUR
    assert server.keeper.sweep() == []
    go.set()
    server.board.wait(10)
    # another process may also be at it, such as the command line
    with store.locked(server.shelf.folder / "mine"):
        assert server.keeper.sweep() == []
        assert (server.shelf.home("mine") / "photos" / "a.jpg").is_file()
    assert server.keeper.sweep() == ["mine"]


def test_photos_of_a_run_that_never_began_go_too(server: Server) -> None:
    _, home = server.shelf.new("cut", "a.json")
    (home / "photos").mkdir()
    server.make("whole", MINE)
    server.clock.now += 23 * HOUR
    assert server.keeper.sweep() == []
    server.clock.now += 2 * HOUR
    assert set(server.keeper.sweep()) == {"cut", "whole"}


def test_a_visitor_has_so_many_runs(server: Server) -> None:
    for k in range(3):
        assert server.keeper.room(MINE)
        server.make(f"run-{k}", MINE)
    with pytest.raises(InputError, match=r"at most 3 runs .* delete one"):
        server.keeper.room(MINE)
    assert server.keeper.room(YOURS)
    server.shelf.delete(server.shelf.find("own/run-1", MINE), MINE)
    assert server.keeper.room(MINE)


def test_a_visitor_has_so_many_bytes(tmp_path: Path) -> None:
    server = Server(tmp_path, visitor_bytes=500_000, all_bytes=700_000)
    path = server.make("big", MINE, 300_000)
    size = store.folder_bytes(path) + store.folder_bytes(server.shelf.home("big"))
    assert server.keeper.room(MINE) == 500_000 - size
    assert server.keeper.room(YOURS) == min(500_000, 700_000 - size)
    server.make("more", MINE, 200_000)
    with pytest.raises(InputError, match=r"at most 0\.0005 GB"):
        server.keeper.room(MINE)
    server.make("the-operators", "", 600_000)  # is not counted
    assert server.keeper.room(YOURS)
    server.make("theirs", YOURS, 300_000)
    with pytest.raises(InputError, match="full one"):
        server.keeper.room("s" * 32)
    server.clock.now += 25 * HOUR  # what is old makes room
    assert server.keeper.room("s" * 32) == 500_000


def test_one_of_all_ones_runs_may_grow_by_what_is_left(tmp_path: Path) -> None:
    server = Server(tmp_path, runs=1, visitor_bytes=500_000)
    path = server.make("mine", MINE, 300_000)
    with pytest.raises(InputError, match="at most 1 runs"):
        server.keeper.room(MINE)  # no further one
    size = store.folder_bytes(path) + store.folder_bytes(server.shelf.home("mine"))
    assert server.keeper.left(MINE) == 500_000 - size
    (path / "part-9.parquet").write_bytes(b"x" * 200_000)  # tables count
    with pytest.raises(InputError, match="delete one"):
        server.keeper.left(MINE)


def test_at_home_nothing_is_limited(tmp_path: Path) -> None:
    server = Server(tmp_path, public=False, runs=1)
    for k in range(3):
        server.make(f"run-{k}", "")
    server.clock.now += 1000 * HOUR
    assert server.keeper.left("") is None
    assert server.keeper.room("") is None and server.keeper.sweep() == []


def test_looking_is_written_down_once_a_minute(server: Server) -> None:
    server.make("mine", MINE)
    used = server.shelf.home("mine") / "used"
    server.clock.now += 100
    server.shelf.find("own/mine", MINE)
    first = used.stat().st_mtime
    server.clock.now += 30
    server.shelf.find("own/mine", MINE)
    assert used.stat().st_mtime == first == server.clock.now - 30


def test_the_watch_sweeps_by_itself(server: Server) -> None:
    path = server.make("mine", MINE)
    server.clock.now += 25 * HOUR
    stop = server.keeper.watch(pause=0.01)
    try:
        for _ in range(500):
            if not path.exists():
                break
            threading.Event().wait(0.01)
        assert not path.exists()
    finally:
        stop.set()


def test_the_page_says_the_limits() -> None:
    assert Limits(3, 10**9, 10**10, 12).words() == (
        "You may keep 3 runs with 1 GB in all; "
        "each is removed 12 hours after you last looked at it."
    )
