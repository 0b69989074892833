"""SIGKILL at random moments, SIGTERM, and several processes: the tables are always the same."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import TinyCoco, tiny_coco
from run_compare import assert_same_run, tables

from analysis import cli, store

KILLS, PHOTOS = 20, 24

pytestmark = pytest.mark.slow


def work(argv: list[str], seen: str) -> None:
    """One ``python -m analysis`` in a process of its own, quiet; notes every photo it begins."""
    from analysis import measure

    os.setsid()
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    whole = measure.Meter.__call__

    def noted(self: measure.Meter, item: measure.Item) -> object:
        with open(seen, "a") as file:
            file.write(f"{item.position}\n")
        return whole(self, item)

    measure.Meter.__call__ = noted
    raise SystemExit(cli.main(argv))


@pytest.fixture(scope="module")
def context() -> Iterator[multiprocessing.context.BaseContext]:
    """Processes that begin with torch loaded, so that kills hit the run and not the imports."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["torch", "torchvision", "analysis.run", "dynamask.predictor"])
    yield server
    from multiprocessing import forkserver

    forkserver._forkserver._stop()


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> TinyCoco:
    folder = tmp_path_factory.mktemp("set")
    return tiny_coco(folder, PHOTOS, objects=2, size=(48, 64), crowd=True)


def arguments(coco: TinyCoco, weights: Path, out: Path, *more: str) -> list[str]:
    return [
        *("run", "--coco", str(coco.annotations), "--images", str(coco.images)),
        *("--out", str(out), "--weights", str(weights), "--device", "cpu"),
        *("--processes", "1", "--policy", "msm", "fixed:28", "oracle"),
        *("--photos-per-shard", "5", *more),
    ]


@pytest.fixture(scope="module")
def whole(coco: TinyCoco, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert cli.main(arguments(coco, tiny_weights, out)) == 0
    return out


@pytest.mark.timeout(900)
def test_twenty_kills(
    coco: TinyCoco,
    tiny_weights: Path,
    whole: Path,
    tmp_path: Path,
    context: multiprocessing.context.BaseContext,
) -> None:
    out, seen = tmp_path / "run", tmp_path / "seen.txt"
    argv = arguments(coco, tiny_weights, out, "--resume")
    rng = random.Random(7)
    kills = 0
    lost = 0
    while kills < KILLS:
        before = set(stored(out))
        process = context.Process(target=work, args=(argv, str(seen)))
        process.start()
        # from the very start (no folder yet) to the middle of a photo, a write or a shard
        wait_for(seen, seen_lines(seen) + rng.choice([0, 0, 1, 1, 1, 2]), process)
        time.sleep(rng.uniform(0, 0.35))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        if process.exitcode == 0:
            break  # it was done before the kill
        kills += 1
        if (out / "manifest.json").is_file():
            assert store.run_info(out).state in ("stopped", "done")
        lost += before > set(stored(out))
    assert not lost, "a finished photo was lost"
    assert kills >= 10
    process = context.Process(target=work, args=(argv, str(seen)))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert_same_run(whole, out)
    begun = [int(line) for line in seen.read_text().split()]
    assert set(begun) == set(range(PHOTOS))
    # a photo begins again only where a kill hit it in work: at most one for each kill
    assert len(begun) - PHOTOS <= kills


def stored(out: Path) -> list[int]:
    """Positions of the photos that are on disk, in the journal or in shards."""
    found = []
    if (out / store.JOURNAL).is_dir():
        found = [int(p.stem) for p in (out / store.JOURNAL).glob("[0-9]*.json")]
    for file in out.glob("photos-0*.parquet"):
        start = int(file.stem.split("-")[1]) * 5
        found += range(start, min(start + 5, PHOTOS))
    return found


def seen_lines(seen: Path) -> int:
    return len(seen.read_text().split()) if seen.is_file() else 0


def wait_for(seen: Path, lines: int, process: multiprocessing.Process) -> None:
    end = time.monotonic() + 120
    while seen_lines(seen) < lines and process.is_alive() and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.timeout(300)
def test_sigterm_finishes_the_photo_in_work(
    coco: TinyCoco,
    tiny_weights: Path,
    whole: Path,
    tmp_path: Path,
    context: multiprocessing.context.BaseContext,
) -> None:
    out, seen = tmp_path / "run", tmp_path / "seen.txt"
    process = context.Process(target=work, args=(arguments(coco, tiny_weights, out), str(seen)))
    process.start()
    wait_for(seen, 7, process)
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 128 + signal.SIGTERM
    info = store.run_info(out)
    assert info.state == "stopped" and not (out / store.LOCK).exists()
    assert info.photos_done == seen_lines(seen), "what was begun was finished"
    assert len(tables(out)["photos"]) == info.photos_done
    assert cli.main([*arguments(coco, tiny_weights, out), "--resume"]) == 0
    assert_same_run(whole, out)


@pytest.mark.timeout(600)
def test_several_processes_write_the_same_tables(
    coco: TinyCoco, tiny_weights: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    argv = arguments(coco, tiny_weights, out)
    argv[argv.index("--processes") + 1] = "2"
    assert cli.main(argv) == 0
    assert_same_run(whole, out)


@pytest.mark.timeout(600)
def test_a_killed_parent_leaves_no_process_behind(
    coco: TinyCoco,
    tiny_weights: Path,
    tmp_path: Path,
    context: multiprocessing.context.BaseContext,
) -> None:
    out, seen = tmp_path / "run", tmp_path / "seen.txt"
    argv = arguments(coco, tiny_weights, out)
    argv[argv.index("--processes") + 1] = "2"
    process = context.Process(target=work, args=(argv, str(seen)))
    process.start()
    end = time.monotonic() + 200
    while not stored(out) and process.is_alive() and time.monotonic() < end:
        time.sleep(0.05)
    assert stored(out) and process.is_alive()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    deadline = time.monotonic() + 20
    while members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not members(process.pid)
    assert json.loads((out / "manifest.json").read_text())["state"] == "running"
    assert store.run_info(out).state == "stopped", "nobody works on it, whatever the file says"


def members(session: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
                if int(fields[3]) == session and fields[0] != "Z":
                    found.append(int(entry.name))
    return found
