"""Batches on a tiny model: bad photos are listed, stopping keeps what is done, zips complete."""

from __future__ import annotations

import csv
import io
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories import draw_shapes
from PIL import Image

from app import batch_job
from app.batch_job import BatchJob, Feed, Picture, describe, open_feed, time_left
from app.session import Ask, Session
from dynamask.detectors import Found
from dynamask.errors import InputError

ASK = Ask(policy="msm", min_score=0.0)


@pytest.fixture(scope="module")
def session(tiny_predictor) -> Session:
    return Session(load=lambda: tiny_predictor, detector=lambda: TwoBoxes())


class TwoBoxes:
    """Stands in for a detector: finding boxes is the slow part, and not what is tested here."""

    name = "two boxes"

    def __call__(self, image: np.ndarray, file_name: str = "") -> Found:
        height, width = image.shape[:2]
        boxes = np.array([[0, 0, width / 2, height / 2], [width / 4, 0, width, height]])
        return Found(boxes.astype(np.float32), ("person", "dog"), np.full(2, 0.9, np.float32))


def photo_bytes(seed: int = 0, size: tuple[int, int] = (96, 128)) -> bytes:
    image, _ = draw_shapes(np.random.default_rng(seed), *size, 3)
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def photos(folder: Path, count: int) -> list[tuple[Path, str]]:
    out = []
    for k in range(count):
        path = folder / f"upload{k}.png"
        path.write_bytes(photo_bytes(k))
        out.append((path, f"photo {k}.png"))
    return out


def make_job(
    session: Session, feed: Feed, folder: Path, cancel: threading.Event | None = None
) -> BatchJob:
    ticks = iter(range(10_000))
    return BatchJob(
        session, feed, ASK, folder, cancel or threading.Event(), clock=lambda: float(next(ticks))
    )


def test_photos_become_a_zip(session: Session, tmp_path: Path) -> None:
    feed = open_feed(photos(tmp_path, 3), tmp_path / "work")
    job = make_job(session, feed, tmp_path)
    steps = list(job.run())
    assert [s.done for s in steps] == [0, 1, 2, 3, 3]
    assert [s.state for s in steps] == ["running"] * 4 + ["finished"]
    assert steps[0].left is None and steps[1].left == pytest.approx(2 / steps[1].speed)
    assert len(job.thumbnails) == 3 and job.objects == 6 and not job.problems
    with zipfile.ZipFile(job.zip_path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        coco = json.loads(archive.read("coco.json"))
        rows = list(csv.DictReader(io.StringIO(archive.read("objects.csv").decode())))
        with Image.open(io.BytesIO(archive.read("idmaps/002-photo-1.png"))) as image:
            ids = np.asarray(image)
    assert "overlays/001-photo-0.png" in names and "problems.txt" not in names
    assert [i["file_name"] for i in coco["images"]] == ["photo 0.png", "photo 1.png", "photo 2.png"]
    assert len(rows) == len(coco["annotations"]) == 6
    assert ids.shape == (96, 128) and set(np.unique(ids)) <= {0, 1, 2}


def test_bad_photos_are_listed_and_the_rest_goes_on(session: Session, tmp_path: Path) -> None:
    files = photos(tmp_path, 2)
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo_bytes()[:200])
    tiny = tmp_path / "tiny.png"
    tiny.write_bytes(photo_bytes(size=(8, 8)))
    feed = open_feed([files[0], (broken, "broken.png"), (tiny, "tiny.png"), files[1]], tmp_path)
    job = make_job(session, feed, tmp_path)
    last = list(job.run())[-1]
    assert (last.done, last.failed, last.state) == (2, 2, "finished")
    assert [name for name, _ in job.problems] == ["broken.png", "tiny.png"]
    assert all(why.startswith("Expected ") for _, why in job.problems)
    assert str(tmp_path) not in repr(job.problems)
    with zipfile.ZipFile(job.zip_path) as archive:
        assert archive.read("problems.txt").decode().count("\n") == 2


def test_unexpected_errors_are_one_sentence(session: Session, tmp_path: Path) -> None:
    def fail() -> Picture:
        raise ZeroDivisionError("inner secret")

    job = make_job(session, Feed(1, iter([("a.png", fail)])), tmp_path)
    list(job.run())
    assert len(job.problems) == 1 and "secret" not in job.problems[0][1]


def test_stopping_keeps_what_is_done(session: Session, tmp_path: Path) -> None:
    cancel, closed = threading.Event(), []
    feed = open_feed(photos(tmp_path, 5), tmp_path)
    feed.close = lambda: closed.append(True)
    job = make_job(session, feed, tmp_path, cancel)
    steps = []
    for step in job.run():
        steps.append(step)
        if step.done == 2:
            cancel.set()
    assert steps[-1].state == "stopped" and steps[-1].done == 2
    assert closed == [True]
    with zipfile.ZipFile(job.zip_path) as archive:
        assert archive.testzip() is None
        assert len(json.loads(archive.read("coco.json"))["images"]) == 2
    assert "What is done can be downloaded" in describe(steps[-1], job.objects, job.problems)


def test_a_closed_generator_leaves_a_whole_zip(session: Session, tmp_path: Path) -> None:
    closed = []
    feed = open_feed(photos(tmp_path, 3), tmp_path)
    feed.close = lambda: closed.append(True)
    job = make_job(session, feed, tmp_path)
    running = job.run()
    next(running)
    next(running)
    running.close()
    assert closed == [True]
    with zipfile.ZipFile(job.zip_path) as archive:
        assert archive.testzip() is None and "coco.json" in archive.namelist()


def test_the_model_is_free_between_photos(session: Session, tmp_path: Path) -> None:
    job = make_job(session, open_feed(photos(tmp_path, 2), tmp_path), tmp_path)
    for _ in job.run():
        lock = session.predictor()._lock
        assert lock.acquire(blocking=False)
        lock.release()


def test_memory_and_caches_do_not_grow(session: Session, tmp_path: Path) -> None:
    before = (len(session.scenes), len(session.decoded))
    list(make_job(session, open_feed(photos(tmp_path, 4), tmp_path), tmp_path).run())
    assert (len(session.scenes), len(session.decoded)) == before


def zip_of(path: Path, members: dict[str, bytes]) -> tuple[Path, str]:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path, "photos.zip"


def test_a_zip_is_a_list_of_photos(session: Session, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    members = {"in/a.png": photo_bytes(1), "in/b.txt": b"hello", "c.png": photo_bytes(2)}
    members |= {"__MACOSX/in/._a.png": b"x", ".DS_Store": b"x"}
    job = make_job(session, open_feed([zip_of(tmp_path / "z", members)], work), tmp_path)
    last = list(job.run())[-1]
    assert (last.done, last.failed) == (2, 1)
    assert job.problems[0][0] == "b.txt"
    assert not list(work.iterdir())  # nothing unpacked stays


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (lambda folder: [], "got nothing"),
        (lambda folder: photos(folder, 51), "at most 50 photos, got 51"),
        (
            lambda folder: [zip_of(folder / "z", {"a.png": b"x"}), *photos(folder, 1)],
            "one zip or one video by itself",
        ),
        (
            lambda folder: [zip_of(folder / "z", {f"{k}.png": b"x" for k in range(51)})],
            "at most 50 photos, got 51",
        ),
    ],
)
def test_what_is_refused(files: Callable, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        open_feed(files(tmp_path), tmp_path)


def test_a_large_zip_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_job, "MAX_ZIP_BYTES", 100)
    with pytest.raises(InputError, match="at most 0 MB"):
        open_feed([zip_of(tmp_path / "z", {"a.png": photo_bytes()})], tmp_path)


def test_time_left() -> None:
    assert [time_left(s) for s in (0.2, 40, 200)] == ["1 s", "40 s", "3 min"]


def video_file(path: Path, frames: int = 20) -> tuple[Path, str]:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (128, 96))
    for k in range(frames):
        image, _ = draw_shapes(np.random.default_rng(k), 96, 128, 3)
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()
    return path, "holiday.avi"


def test_a_video_has_tracks(session: Session, tmp_path: Path) -> None:
    job = make_job(session, open_feed([video_file(tmp_path / "v.avi")], tmp_path, 5), tmp_path)
    steps = list(job.run())
    assert (steps[0].total, steps[-1].done, steps[-1].state) == (4, 4, "finished")
    assert steps[2].name == "frame 5 (0.50 s)"
    # the two boxes never move: two tracks, each seen in every frame
    assert [t.frames for t in job.tracks] == [[0, 1, 2, 3]] * 2
    assert [t.seconds for t in job.tracks] == [pytest.approx([0, 0.5, 1.0, 1.5])] * 2
    frame = job.frame()
    assert frame["track"].tolist() == [1, 2] * 4
    assert frame["grid"].tolist()[::2] == job.tracks[0].grids
    with zipfile.ZipFile(job.zip_path) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("objects.csv").decode())))
    assert [r["track"] for r in rows] == ["1", "2"] * 4 and rows[2]["seconds"] == "0.5"


def test_stopping_a_video_ends_its_decoder(session: Session, tmp_path: Path) -> None:
    cancel = threading.Event()
    ended = []
    feed = open_feed([video_file(tmp_path / "v.avi", 200)], tmp_path, 1)
    close = feed.close
    feed.close = lambda: (close(), ended.append(True))
    job = make_job(session, feed, tmp_path, cancel)
    for step in job.run():
        if step.done == 3:
            cancel.set()
    assert step.state == "stopped" and len(job.tracks) == 2 and ended == [True]
    assert len(job.tracks[0].frames) == 3


def test_a_truncated_video_is_a_notice(session: Session, tmp_path: Path) -> None:
    path, name = video_file(tmp_path / "v.avi", 60)
    path.write_bytes(path.read_bytes()[:60_000])
    job = make_job(session, open_feed([(path, name)], tmp_path, 10), tmp_path)
    last = list(job.run())[-1]
    assert last.state == "finished" and 1 <= last.done < 6
    assert any("ended after" in notice for _, notice in job.notices) or job.problems


def test_a_broken_video_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + b"\xff" * 3000)
    with pytest.raises(InputError, match="damaged one"):
        open_feed([(path, "v.mp4")], tmp_path)
