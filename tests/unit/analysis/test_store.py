"""Run folders as a whole: listed, deleted, refused; files that appear whole or not at all."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import threading
import time
from pathlib import Path

import pytest

from analysis import store
from analysis.run import shard_size
from analysis.synthetic import write_run
from dynamask.errors import DataError, InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "one", 300, 20, seed=3)


def test_runs_are_listed_and_deleted(folder: Path, tmp_path: Path) -> None:
    base = tmp_path / "runs"
    assert store.list_runs(base) == []
    base.mkdir()
    shutil.copytree(folder, base / "one")
    (base / "other").mkdir()
    (base / "broken").mkdir()
    (base / "broken" / "manifest.json").write_text("{")
    listed = {r.name: r for r in store.list_runs(base)}
    assert {n: r.state for n, r in listed.items()} == {
        "synthetic-300": "done",
        "broken": "unreadable",
    }
    assert "readable manifest.json" in listed["broken"].problem
    assert listed["synthetic-300"].photos == 20 and listed["synthetic-300"].size_bytes > 10_000
    (base / "one" / "mine.txt").write_text("kept")
    store.delete_run(base / "one")
    assert [p.name for p in (base / "one").iterdir()] == ["mine.txt"]
    with pytest.raises(DataError, match=r"no manifest\.json"):
        store.delete_run(base / "other")
    assert (base / "other").is_dir()


def test_other_schema_versions_are_refused(folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(DataError, match="schema version 1 .* got 99"):
        store.open_run(tmp_path)
    assert store.run_info(tmp_path).state == "unreadable"


def test_writes_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x.json"
    store.write_whole(target, b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(InputError, match="No space left"):
        store.write_whole(target, b"new")
    assert target.read_bytes() == b"old"


def test_shards_follow_from_the_number_of_photos() -> None:
    assert [shard_size(n) for n in (1, 60, 126, 5000, 118_287)] == [8, 8, 16, 500, 500]


def test_who_asks_whether_a_run_is_busy_does_not_stop_it(tmp_path: Path) -> None:
    """A list of runs looks at the lock in the very moment in which a run begins."""
    (tmp_path / store.LOCK).touch()
    holds, let_go = threading.Event(), threading.Event()

    def probe() -> None:
        with store.locked(tmp_path, seconds=0):
            holds.set()
            let_go.wait(10)

    thread = threading.Thread(target=probe)
    thread.start()
    holds.wait(10)
    assert store.is_busy(tmp_path)
    threading.Timer(0.2, let_go.set).start()
    with store.locked(tmp_path):
        assert store.is_busy(tmp_path)
    thread.join()
    assert not store.is_busy(tmp_path) and not (tmp_path / store.LOCK).exists()


def test_a_held_run_is_refused_in_time(tmp_path: Path) -> None:
    with store.locked(tmp_path):
        started = time.monotonic()
        with (
            pytest.raises(InputError, match="another process is working on"),
            store.locked(tmp_path, seconds=0.1),
        ):
            pass
        assert time.monotonic() - started < 2
        assert store.is_busy(tmp_path)
    with pytest.raises(InputError, match="choose another"), store.locked(tmp_path / "none"):
        pass


def hold(path: Path, begun: object) -> None:
    with store.locked(path):
        begun.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=hold, args=(tmp_path, begun))
    process.start()
    assert begun.wait(60) and store.is_busy(tmp_path)
    process.kill()
    process.join()
    assert (tmp_path / store.LOCK).exists() and not store.is_busy(tmp_path)
    with store.locked(tmp_path):
        pass
