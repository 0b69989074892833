"""Two identical rounds of work leave the server as large as one did."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import compare_job
from app.batch_job import BatchJob, Feed, Picture, open_feed
from app.compare_job import Choice
from app.session import Ask, Session
from dynamask.predictor import Predictor

LOOSE = Ask(min_score=0.0)


@pytest.fixture(scope="module")
def session(tiny_predictor: Predictor) -> Session:
    return Session(load=lambda: tiny_predictor)


@pytest.fixture
def photos(tmp_path: Path) -> list[tuple[Path, str]]:
    folder = tmp_path / "photos"
    folder.mkdir()
    found = []
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(0, 255, (64, 96, 3), dtype=np.uint8)
        path = folder / f"{seed}.png"
        Image.fromarray(pixels).save(path)
        found.append((path, path.name))
    return found


def census(session: Session, folder: Path) -> dict[str, int]:
    """Everything that could grow."""
    gc.collect()
    caches = {
        f"{name} {what}": value
        for name in ("scenes", "decoded", "strips", "truths")
        for what, value in (
            ("count", len(getattr(session, name))),
            ("bytes", getattr(session, name).nbytes),
        )
    }
    return {
        **caches,
        "stores": len(session._stores),
        "masks": sum(len(store) for store in session._stores.values()),
        "threads": sum(t.name != "load-model" for t in threading.enumerate()),
        "files": sum(1 for _ in folder.rglob("*")),
    }


def batch(session: Session, photos: list[tuple[Path, str]], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    job = BatchJob(session, open_feed(photos, folder), LOOSE, folder, threading.Event())
    assert [s.state for s in job.run()][-1] == "finished" and job.objects > 0


def page(session: Session, photos: list[tuple[Path, str]], _: Path) -> None:
    for path, name in photos:
        opened = session.open(path)
        decoded = session.decode(opened, LOOSE)
        session.strip(opened, LOOSE, int(decoded.ids[0]))
        sides = (Choice("first", "msm", "a"), Choice("first", "fixed:14", "b"))
        compare_job.compare({"first": session}, opened, *sides, LOOSE, name)


@pytest.mark.parametrize("work", [batch, page])
def test_a_second_round_leaves_nothing_more(
    session: Session,
    photos: list[tuple[Path, str]],
    tmp_path: Path,
    work: Callable[[Session, list[tuple[Path, str]], Path], None],
) -> None:
    work(session, photos, tmp_path / "work")
    first = census(session, tmp_path)
    work(session, photos, tmp_path / "work")
    deadline = time.monotonic() + 5
    while census(session, tmp_path) != first and time.monotonic() < deadline:
        time.sleep(0.1)  # a decoder's thread may be about to end
    assert census(session, tmp_path) == first


def test_a_batch_keeps_no_photo_in_the_caches(
    session: Session, photos: list[tuple[Path, str]], tmp_path: Path
) -> None:
    """A long list would push out what everybody else has open."""
    before = census(session, tmp_path)
    batch(session, photos, tmp_path / "other")
    after = census(session, tmp_path)
    kept = {name for name in before if name != "files" and before[name] != after[name]}
    assert not kept


def test_stop_takes_one_photo_at_most(session: Session, tmp_path: Path) -> None:
    """The one that is being worked on is finished, no other is read."""
    cancel, read = threading.Event(), []

    def picture(number: int) -> Picture:
        read.append(number)
        if number == 1:
            cancel.set()  # as if somebody pressed Stop while it is being read
        return Picture(np.full((64, 96, 3), 40 * number, np.uint8))

    feed = Feed(9, ((str(n), lambda n=n: picture(n)) for n in range(9)))
    steps = list(BatchJob(session, feed, LOOSE, tmp_path, cancel).run())
    assert read == [0, 1]
    assert (steps[-1].state, steps[-1].done) == ("stopped", 2)
