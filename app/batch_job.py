"""Many photos, a zip or a video: one after the other, stoppable, what is done is kept.

Knows nothing of Gradio. A job writes its pictures straight into the zip that will be downloaded,
so that its memory does not grow with the number of photos; the model's lock is held for one photo
at a time, so that other users get their turn in between.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from analysis.exports import csv_bytes
from analysis.tracks import Frame, Track, assign_tracks, collect_tracks
from app import export, overrides, text
from app import text_batch as words
from app.archives import PhotoZip, is_zip, shown, too_large
from app.discretion import sentence_of
from app.picture import encode
from app.session import Ask, Decoded, Opened, Session
from app.uploads import read_upload
from app.video import Video, is_video
from dynamask.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MAX_PHOTOS = 50
MAX_ZIP_BYTES = 200_000_000
THUMBNAIL_SIDE = 640
MAX_EVERY = 120


@dataclass(frozen=True, eq=False)
class Picture:
    """A photo or frame that was read: (H, W, 3) uint8 RGB, notices, seconds in a video."""

    pixels: np.ndarray
    notices: tuple[str, ...] = ()
    seconds: float | None = None


Item = tuple[str, Callable[[], Picture]]


@dataclass(eq=False)
class Feed:
    """What a job works through.

    Attributes:
        total: number of items, as far as is known.
        items: names with what reads them; reading one may fail without harm to the others.
        video: whether the items are frames in the order of time.
        close: gives back what the items hold.
        notices: sentences about the whole, complete once all items have come.
    """

    total: int
    items: Iterator[Item]
    video: bool = False
    close: Callable[[], None] = lambda: None
    notices: list[str] = field(default_factory=list)


def open_feed(
    files: Sequence[tuple[Path, str]],
    folder: Path,
    every: int = 10,
    cancel: threading.Event | None = None,
) -> Feed:
    """Look at the uploads, and refuse what cannot be worked through.

    Args:
        files: path and the user's name for each upload.
        folder: an empty folder for members of a zip while they are read.
        every: every how many frames of a video one is taken.
        cancel: once it is set, a video's decoder is not waited for any more.

    Raises:
        InputError: one sentence.
    """
    if not files:
        raise InputError(words.NO_FILES)
    kinds = [is_zip(path) or is_video(path) for path, _ in files]
    if any(kinds) and len(files) > 1:
        raise InputError(words.ONE_ARCHIVE)
    path, name = files[0]
    if is_zip(path):
        return _zip_feed(path, name, folder)
    if is_video(path):
        return _video_feed(path, name, max(1, min(int(every), MAX_EVERY)), cancel)
    _check_count(len(files))
    items = ((name, lambda path=path: _read(path)) for path, name in files)
    return Feed(len(files), items)


def _check_count(count: int) -> None:
    if count > MAX_PHOTOS:
        raise InputError(words.TOO_MANY.format(most=MAX_PHOTOS, count=count))


def _read(path: Path) -> Picture:
    read = read_upload(path)
    return Picture(read.pixels, read.notices)


def _zip_feed(path: Path, name: str, folder: Path) -> Feed:
    size = path.stat().st_size
    if size > MAX_ZIP_BYTES:
        raise too_large(name, size, MAX_ZIP_BYTES)
    archive = PhotoZip(path, name)
    _check_count(len(archive.members))

    def read(member: zipfile.ZipInfo) -> Picture:
        # a folder of a random name, so that no two members meet; the name itself is for messages
        own = folder / uuid.uuid4().hex
        own.mkdir(parents=True)
        try:
            place = own / shown(member.filename)
            place.write_bytes(archive.read(member))
            return _read(place)
        finally:
            shutil.rmtree(own, ignore_errors=True)

    items = ((shown(m.filename), lambda m=m: read(m)) for m in archive.members)
    return Feed(len(archive.members), items)


def _video_feed(path: Path, name: str, every: int, cancel: threading.Event | None) -> Feed:
    video = Video(path, name, every, cancel=cancel)

    def items() -> Iterator[Item]:
        frames = video.frames()
        while True:
            try:
                frame = next(frames)
            except StopIteration:
                feed.notices[:] = video.notices
                return
            except InputError as error:
                yield shown(name), _raiser(error)
                return
            label = words.BATCH_FRAME.format(index=frame.index, seconds=frame.seconds)
            yield label, lambda frame=frame: Picture(frame.pixels, (), frame.seconds)

    feed = Feed(video.total, items(), True, video.close, video.notices)
    return feed


def _raiser(error: InputError) -> Callable[[], Picture]:
    def fail() -> Picture:
        raise error

    return fail


@dataclass(frozen=True)
class Step:
    """Where a job is after an item.

    Attributes:
        done: items that gave objects (or none, but were read).
        failed: items that could not be used.
        total: all items.
        name: the item that is worked on, or the last one.
        speed: items per second, 0.0 before the first.
        left: seconds that the rest will take, or None.
        state: running, stopped or finished.
    """

    done: int
    failed: int
    total: int
    name: str
    speed: float
    left: float | None
    state: str


class BatchJob:
    """One run over a feed; iterate over :meth:`run`.

    Args:
        session: the model.
        feed: what to work through.
        ask: policy, threshold and smallest score.
        folder: for the zip and what else the job writes; exists.
        cancel: set it from anywhere to stop after the item that is worked on.
        clock: seconds, for the speed.

    Attributes:
        thumbnails: JPEG bytes and caption of each picture.
        problems: name and reason of what could not be used.
        notices: name and sentence about what was changed on reading.
        tracks: of a video, once the job has ended.
        hidden: objects left out since the weights do not vouch for their class.
        unsure: objects of such classes in photos that have nothing else.
        doubles: objects left out since they overlap a surer one of their class.
        zip_path: the download, once the job has ended.
    """

    def __init__(
        self,
        session: Session,
        feed: Feed,
        ask: Ask,
        folder: Path,
        cancel: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if feed.video and ask.everything is None:
            # frame by frame, doubtful objects would come and go as the others go and come
            ask = replace(ask, everything=False)
        self._session, self._feed, self._ask = session, feed, ask
        self._cancel, self._clock = cancel, clock
        self.video = feed.video
        self.thumbnails: list[tuple[bytes, str]] = []
        self.problems: list[tuple[str, str]] = []
        self.notices: list[tuple[str, str]] = []
        self.tracks: list[Track] = []
        self.hidden = self.unsure = self.doubles = 0
        self.categories: tuple[str, ...] = ()
        self.zip_path = folder / "dynamask-batch.zip"
        self._tables: list[pd.DataFrame] = []
        self._frames: list[Frame] = []
        self._coco: export.CocoFile | None = None
        self._ended = False

    @property
    def objects(self) -> int:
        """Number of objects found so far."""
        return sum(len(table) for table in self._tables)

    def frame(self) -> pd.DataFrame:
        """All objects found so far, one row each, with ``track`` where the job is a video."""
        import pandas as pd

        if not self._tables:
            return pd.DataFrame()
        out = pd.concat(self._tables, ignore_index=True)
        if self.video:
            ids = assign_tracks(self._frames)
            out["track"] = np.concatenate(ids) if ids else np.zeros(0, np.int64)
        return out

    def run(self) -> Iterator[Step]:
        """Work; yields before the first item and after each one, and once more at the end.

        However it ends (finished, stopped, or closed from outside), the zip is complete and the
        feed is closed.
        """
        started = self._clock()
        name = ""
        with zipfile.ZipFile(self.zip_path, "w", zipfile.ZIP_STORED) as archive:
            try:
                yield self._step(started, name, "running")
                for name, read in self._feed.items:
                    if self._cancel.is_set():
                        break
                    self._try(archive, name, read)
                    yield self._step(started, name, "running")
            finally:
                self._feed.close()
                self._end(archive)
        state = "stopped" if self._cancel.is_set() else "finished"
        yield self._step(started, name, state)

    def _try(self, archive: zipfile.ZipFile, name: str, read: Callable[[], Picture]) -> None:
        try:
            self._one(archive, name, read())
        except Exception as error:  # one photo never ends the others
            self.problems.append((name, sentence_of(error, "in a batch")))

    def _one(self, archive: zipfile.ZipFile, name: str, picture: Picture) -> None:
        opened = self._session.encode_pixels(picture.pixels, name, picture.notices)
        decoded = _decode(self._session, opened, self._ask)
        found = decoded.instances.to_coco()
        overlay = export.overlay_png(opened, decoded)
        id_map = export.id_map_png(decoded)
        table = export.table(decoded, file_name=name, found=found)
        # all is made before any is kept: a failure leaves no half of a photo
        stem = f"{len(self.thumbnails) + 1:03d}-{_safe(name)}"
        archive.writestr(f"overlays/{stem}.png", overlay)
        archive.writestr(f"idmaps/{stem}.png", id_map)
        self._keep(name, decoded, found, table, picture)
        thumbnail = _thumbnail(overlay, picture.pixels.shape[0])
        self.thumbnails.append((thumbnail, f"{name}: {text.objects(len(found))}"))
        self.notices.extend((name, notice) for notice in opened.notices)
        self.hidden += decoded.hidden
        self.unsure += decoded.unsure
        self.doubles += decoded.doubles

    def _keep(
        self,
        name: str,
        decoded: Decoded,
        found: list[dict[str, Any]],
        table: pd.DataFrame,
        picture: Picture,
    ) -> None:
        instances = decoded.instances
        if self._coco is None:
            self.categories = instances.categories
            self._coco = export.CocoFile(instances.categories)
        self._coco.add(name, decoded, found)
        if picture.seconds is not None:
            table.insert(1, "seconds", picture.seconds)
        self._tables.append(table)
        if self.video:
            self._frames.append(
                Frame(
                    picture.seconds or 0.0,
                    instances.boxes_xyxy_px.numpy(),
                    instances.labels.numpy(),
                    instances.selection.grids,
                )
            )

    def _end(self, archive: zipfile.ZipFile) -> None:
        if self._ended:
            return
        self._ended = True
        self.notices.extend(("", notice) for notice in self._feed.notices)
        if self.video:
            self.tracks = collect_tracks(self._frames, assign_tracks(self._frames))
        data = (self._coco or export.CocoFile()).to_dict()
        deflated = zipfile.ZIP_DEFLATED
        coco = json.dumps(data, **export.JSON_OPTIONS)
        archive.writestr("coco.json", coco, compress_type=deflated)
        archive.writestr("objects.csv", csv_bytes(self.frame()), compress_type=deflated)
        if self.problems:
            lines = "".join(f"{name}: {why}\n" for name, why in self.problems)
            archive.writestr("problems.txt", lines.encode("utf-8"), compress_type=deflated)

    def _step(self, started: float, name: str, state: str) -> Step:
        done, failed = len(self.thumbnails), len(self.problems)
        passed = max(self._clock() - started, 1e-6)
        speed = (done + failed) / passed if done + failed else 0.0
        total = max(self._feed.total, done + failed)
        left = (total - done - failed) / speed if speed else None
        return Step(done, failed, total, name, speed, left, state)


def _decode(session: Session, opened: Opened, ask: Ask) -> Decoded:
    """As ``Session.decode``, and keep nothing in its caches."""
    scene, predictor = opened.scene, session.predictor()
    first_drawn = len(scene) + 1
    rows, *left = overrides.kept_rows(scene, first_drawn, ask, predictor)
    some = overrides.keep(scene, rows)
    instances = predictor.decode(some, ask.policy, threshold=ask.threshold)
    return Decoded(instances, rows + 1, first_drawn, frozenset(), *left)


def time_left(seconds: float) -> str:
    """``40 s`` or ``3 min``."""
    if seconds < 90:
        return words.BATCH_SECONDS.format(count=max(1, round(seconds)))
    return words.BATCH_MINUTES.format(count=round(seconds / 60))


def describe(step: Step, objects: int, problems: Sequence[tuple[str, str]]) -> str:
    """One sentence on where a job is."""
    if step.state == "running":
        if step.left is None:
            return words.BATCH_RUNNING_FIRST.format(total=step.total, name=step.name or "…")
        return words.BATCH_RUNNING.format(
            done=step.done,
            total=step.total,
            name=step.name,
            left=time_left(step.left),
            speed=step.speed,
        )
    if not step.done and problems:
        return words.BATCH_FAILED.format(reason=problems[0][1])
    said = words.BATCH_STOPPED if step.state == "stopped" else words.BATCH_FINISHED
    return said.format(done=step.done, total=step.total, objects=text.objects(objects))


def _safe(name: str) -> str:
    """A name's stem as letters, digits, dash and underscore."""
    clean = "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(name).stem)
    return clean[:60].strip("-") or "photo"


def _thumbnail(png: bytes, height: int) -> bytes:
    """A small JPEG of an overlay's first ``height`` rows: its legend would be too small to read."""
    bgr = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[:height]
    factor = min(1.0, THUMBNAIL_SIDE / max(bgr.shape[:2]))
    if factor < 1:
        size = (max(1, round(bgr.shape[1] * factor)), max(1, round(bgr.shape[0] * factor)))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    return encode(bgr, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 85])
