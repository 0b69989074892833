"""The shelf of runs: who sees what, what may be deleted, and names that cannot lead out of it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from analysis.synthetic import write_run
from app.dataset_handlers import why_empty
from app.dataset_runs import PAGE, Shelf, clean
from dynamask.errors import DataError, InputError

MINE, YOURS = "m" * 32, "y" * 32


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    write_run(tmp_path / "shipped" / "sample", 20, 4)
    return Shelf(tmp_path / "runs", shipped=tmp_path / "shipped")


@pytest.fixture
def public(tmp_path: Path) -> Shelf:
    write_run(tmp_path / "shipped" / "sample", 20, 4)
    return Shelf(tmp_path / "runs", public=True, shipped=tmp_path / "shipped")


def made(shelf: Shelf, name: str, owner: str = "") -> None:
    path, home = shelf.new(name, "instances.json")
    (home / "photos").mkdir()
    write_run(path, 30, 5)
    shelf.remember(name, owner, home / "a.json", home / "photos")


def keys(shelf: Shelf, owner: str = "") -> list[str]:
    return [info.key for info in shelf.runs(owner)]


def test_own_runs_come_before_the_shipped_one(shelf: Shelf) -> None:
    assert keys(shelf) == ["shipped/sample"]
    made(shelf, "first")
    assert keys(shelf) == ["own/first", "shipped/sample"]
    assert shelf.find("own/first").facts.photos_done == 5


def test_strangers_see_their_own_runs_only(public: Shelf) -> None:
    made(public, "mine", MINE)
    write_run(public.folder / "operators", 10, 2)
    assert keys(public, MINE) == ["own/mine", "shipped/sample"]
    assert keys(public, YOURS) == keys(public, "") == ["shipped/sample"]
    for key in ("own/mine", "own/operators"):
        with pytest.raises(InputError, match="still there"):
            public.find(key, YOURS)
    with pytest.raises(InputError, match="your own"):
        public.delete(public.find("own/mine", MINE), YOURS)
    assert (public.folder / "mine").is_dir()


def test_the_token_itself_is_not_on_the_disk(public: Shelf) -> None:
    made(public, "mine", MINE)
    assert MINE not in (public.home("mine") / "page.json").read_text()


def test_nobody_waits_for_a_removal_that_waits_for_scores(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(shelf, "gone")
    made(shelf, "stays")
    gone, waiting, scored = shelf.find("own/gone"), threading.Event(), threading.Event()
    shelf.open(gone)

    def forget() -> None:  # until AP is scored in the background
        waiting.set()
        scored.wait(20)

    monkeypatch.setattr("app.dataset_runs.forget", forget)
    removing = threading.Thread(target=shelf.remove, args=("gone",))
    removing.start()
    assert waiting.wait(20)
    opened = threading.Event()
    other = threading.Thread(
        target=lambda: (shelf.open(shelf.find("own/stays")), opened.set()), daemon=True
    )
    other.start()
    try:
        assert opened.wait(5)
        with pytest.raises(DataError):  # whoever found it before cannot open it any more
            shelf.open(gone)
        assert keys(shelf) == ["own/stays", "shipped/sample"]
    finally:
        scored.set()
        removing.join()
        other.join()


def test_deleting_removes_the_uploads_too(shelf: Shelf) -> None:
    made(shelf, "gone")
    shelf.open(shelf.find("own/gone"))
    shelf.delete(shelf.find("own/gone"))
    assert keys(shelf) == ["shipped/sample"]
    assert not (shelf.folder / "gone").exists() and not shelf.home("gone").exists()


def test_shipped_runs_stay(shelf: Shelf) -> None:
    with pytest.raises(InputError, match="shipped and stays"):
        shelf.delete(shelf.find("shipped/sample"))
    assert keys(shelf) == ["shipped/sample"]


@pytest.mark.parametrize(
    "key", [None, 3, "", "own", "own/", "own/..", "own/../x", "own/.page", "etc/passwd", "own/a/b"]
)
def test_forged_keys_find_nothing(shelf: Shelf, key: object) -> None:
    (shelf.folder / PAGE).mkdir(parents=True)
    with pytest.raises(InputError, match="still there"):
        shelf.find(key)


@pytest.mark.parametrize("name", ["..", ".page", "a/b", "a b", "x" * 81, "<b>", "\0", "-x"])
def test_names_are_plain(shelf: Shelf, name: str) -> None:
    with pytest.raises(InputError, match="letters, digits"):
        shelf.new(name, "a.json")


def test_a_name_is_taken_once(shelf: Shelf) -> None:
    made(shelf, "one")
    with pytest.raises(InputError, match="exists"):
        shelf.new("one", "a.json")


def test_a_name_from_the_file() -> None:
    assert clean("../inst ances<b>.json") == "inst-ances-b"
    assert clean("§.json") == "run"


def test_photos_of_this_machine_are_hidden_from_strangers(public: Shelf, tmp_path: Path) -> None:
    made(public, "mine", MINE)
    info = public.find("own/mine", MINE)
    assert public.photos(info) == public.home("mine") / "photos"
    place = public.home("mine") / "page.json"
    facts = json.loads(place.read_text())
    place.write_text(json.dumps({**facts, "images": str(tmp_path)}))
    assert public.photos(public.find("own/mine", MINE)) is None


def test_an_open_run_is_kept_until_it_changes(shelf: Shelf) -> None:
    made(shelf, "one")
    info = shelf.find("own/one")
    first = shelf.open(info)
    assert shelf.open(info) is first
    write_run(info.path, 60, 6)
    again = shelf.open(shelf.find("own/one"))
    assert again is not first
    assert int(again.query("SELECT count(DISTINCT image_id) n FROM objects")["n"].iloc[0]) == 6


def test_finding_a_run_counts_none_of_its_files(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It happens on every event, and a large run has thousands."""
    made(shelf, "one")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the folder was walked")

    with monkeypatch.context() as patch:
        patch.setattr("os.walk", never)
        patch.setattr(Path, "rglob", never)
        info = shelf.find("own/one")
        assert len(shelf.runs()) == 2
    assert info.facts.size_bytes > 1000, "counted when it is shown"


def test_a_run_of_boxes_alone_says_what_it_lacks(shelf: Shelf) -> None:
    """As Label Studio exports rectangles: nothing of it has a mask."""
    made(shelf, "one")
    place = shelf.folder / "one" / "manifest.json"
    facts = json.loads(place.read_text())
    place.write_text(json.dumps({**facts, "objects": 0, "skipped_entries": 7}))
    said = why_empty(shelf.find("own/one"))
    assert "no object on its 5 photos; 7 entries" in said and "need a mask" in said
    place.write_text(json.dumps({**facts, "objects": 0, "photos_done": 0}))
    assert "no finished photo yet" in why_empty(shelf.find("own/one"))
