"""Run folders on disk: written so that a kill at any moment loses at most the photo in work.

A finished photo first goes to ``journal/`` as one small file. Once all photos of a shard are
there, the shard's tables are written, each to a temporary name, flushed and renamed, with
``photos-N.parquet`` last: it marks the shard as done, and only then are its journal files
removed. ``manifest.json`` is written after that. Which photos belong to which shard follows from
the configuration alone, so an interrupted run and an undisturbed one write the same files.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from analysis.filters import Folder
from analysis.rows import Row, Rows
from analysis.schema import TABLES, check_version, to_arrow
from dynamask.errors import DataError, InputError

MANIFEST, JOURNAL, LOCK = "manifest.json", "journal", ".lock"
PROBLEMS_FILE = "problems.parquet"
"""What is wrong with the annotation file; problems-N.parquet is about the photos of a shard."""
STATES = ("running", "stopped", "done")
LAST_TABLE = "photos"
"""Written last: its shard is done where this file is there."""
MIN_FREE_BYTES = 1_000_000_000
PROBE_SECONDS = 2.0
"""How long a run that is to be written to waits for those who only ask whether it is busy."""
BUSY = (
    "Expected a run that nobody is writing to, got {path}, which another process is working on; "
    "wait for it, or stop it first."
)
OPEN = "open"
"""Takes the number's place in the tables of photos whose shard is not whole: what a stopped run
shows beside its shards. The journal stays the truth about them."""
_SHARD = re.compile(rf"({'|'.join(TABLES)})-(\d{{5,}}|{OPEN})\.parquet")


@dataclass(frozen=True)
class RunInfo:
    """What a list of runs shows.

    Attributes:
        path: the run folder.
        name: for people.
        state: ``done``; ``running`` (a process is writing to it now); ``stopped`` (cancelled or
            killed; resume it); ``unreadable`` (no usable manifest; ``problem`` says why).
        photos: photos of the run.
        photos_done: of them, those that are finished, skipped ones included.
        objects: annotated objects measured so far.
        policies: at ground-truth boxes.
        weights: name of the weights file.
        created: when it was started, ISO 8601 in UTC.
        problem: one sentence; empty where the run can be read.
        manifest: everything manifest.json says.
    """

    path: Path
    name: str
    state: str
    photos: int = 0
    photos_done: int = 0
    objects: int = 0
    policies: tuple[str, ...] = ()
    weights: str = ""
    created: str = ""
    problem: str = ""
    manifest: Mapping[str, Any] | None = None

    @cached_property
    def size_bytes(self) -> int:
        """Of all its files; counted when it is asked for, as a large run has thousands."""
        return folder_bytes(self.path)


def open_run(path: str | Path) -> Folder:
    """Open a run folder for dashboards, reports and queries; also one that is not finished.

    Returns:
        ``query(sql, params)`` over the tables ``objects``, ``detections``, ``truths``,
        ``photos`` and ``problems``, and ``manifest``.

    Raises:
        DataError: no readable manifest, or one of another schema version.
    """
    run = Folder(path)
    check_version(run.manifest, str(path))
    return run


def list_runs(folder: str | Path) -> list[RunInfo]:
    """The runs directly inside a folder, the newest first; none where it does not exist."""
    folder = Path(folder)
    places = [p for p in folder.iterdir() if p.is_dir()] if folder.is_dir() else []
    runs = [run_info(p) for p in places if (p / MANIFEST).is_file() or (p / JOURNAL).is_dir()]
    return sorted(runs, key=lambda r: (r.created, r.name), reverse=True)


def run_info(path: str | Path) -> RunInfo:
    """Describe one run folder; never raises for a damaged one."""
    path = Path(path)
    try:
        manifest = read_manifest(path)
        check_version(manifest, str(path))
    except DataError as error:
        return RunInfo(path, path.name, "unreadable", problem=str(error))

    def number(key: str) -> int:
        value = manifest.get(key)
        return value if isinstance(value, int) else 0

    state = str(manifest.get("state"))
    if state != "done":
        state = "running" if is_busy(path) else "stopped"
    return RunInfo(
        path=path,
        name=str(manifest.get("name") or path.name),
        state=state,
        photos=number("photos"),
        photos_done=number("photos_done"),
        objects=number("objects"),
        policies=tuple(map(str, manifest.get("policies") or ())),
        weights=str(manifest.get("weights") or ""),
        created=str(manifest.get("created") or ""),
        manifest=manifest,
    )


def folder_bytes(path: Path) -> int:
    """Bytes of all files below a folder; files that go meanwhile count nothing."""
    total = 0
    for place, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def delete_run(path: str | Path) -> None:
    """Delete a run's own files, and its folder if nothing else is in it.

    Raises:
        DataError: no run folder.
        InputError: a process is writing to it.
    """
    path = Path(path)
    if path.is_symlink() or not ((path / MANIFEST).is_file() or (path / JOURNAL).is_dir()):
        raise DataError(
            f"Expected a run folder to delete, got {path}, which has no manifest.json; choose a "
            "folder made by python -m analysis run."
        )
    with locked(path):
        # the manifest goes last, so that a deletion cut short can be repeated
        for file in list(path.iterdir()):
            own = _SHARD.fullmatch(file.name) or file.name == PROBLEMS_FILE
            if own or _is_temporary(file):
                file.unlink()
        shutil.rmtree(path / JOURNAL, ignore_errors=True)
        (path / MANIFEST).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # files of somebody else are left alone
        path.rmdir()


def read_manifest(path: Path) -> dict[str, Any]:
    """manifest.json as a dict; raises DataError where there is none."""
    try:
        manifest = json.loads((path / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"Expected a run folder with a readable manifest.json at {path}, got none; make one "
            "with python -m analysis run."
        ) from error
    if not isinstance(manifest, dict):
        raise DataError(f"Expected an object in manifest.json at {path}; make the run again.")
    return manifest


def is_busy(path: Path) -> bool:
    """Whether a process is writing to a run."""
    if not (path / LOCK).is_file():
        return False
    try:
        with locked(path, seconds=0):
            return False
    except InputError:
        return True


@contextlib.contextmanager
def locked(path: Path, seconds: float = PROBE_SECONDS) -> Iterator[None]:
    """Hold a run folder alone; the lock ends with the process, however that ends.

    Args:
        path: the run folder.
        seconds: to wait for somebody who holds it.

    Raises:
        InputError: another process, or another thread of this one, holds it.
    """
    # never a soft lock, which is a file that a killed process leaves behind
    lock = FileLock(path / LOCK, timeout=seconds, fallback_to_soft=False)
    try:
        os.stat(path)  # a folder that is gone must not come back as one with nothing but a lock
        lock.acquire()
    except Timeout as error:
        raise InputError(BUSY.format(path=path)) from error
    except OSError as error:
        raise InputError(
            f"Expected a run folder to write to, got {path} ({error.strerror}); choose another."
        ) from error
    try:
        yield
    finally:
        # while it is held: those who wait for this file then see that it is gone, and make another
        with contextlib.suppress(OSError):  # Windows keeps what is open
            (path / LOCK).unlink()
        lock.release()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all, also after a power cut.

    Raises:
        InputError: the place cannot be written to, for example a full disk.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        if os.name != "nt":  # where folders cannot be opened, and renaming is enough
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise InputError(
            f"Expected to write {path.name}, which failed ({error.strerror or error}); make room, "
            "then go on with --resume."
        ) from error


class RunFolder:
    """Writes one run; hold :func:`locked` around its use.

    Args:
        path: the run folder; it must exist.
        shards: photo positions of every shard.
        tables: which of TABLES the run has.
    """

    def __init__(self, path: Path, shards: Sequence[range], tables: Sequence[str]) -> None:
        self.path, self.shards = path, shards
        self.tables = [t for t in tables if t != LAST_TABLE] + [LAST_TABLE]
        self._journal = path / JOURNAL
        self._size = len(shards[0]) if shards else 1
        self._open: dict[int, dict[int, Rows]] = {}
        self.done: set[int] = set()
        self.counts = dict.fromkeys(("objects", "skipped_photos", "rows", "detections"), 0)

    def recover(self) -> None:
        """Find out what is finished, and remove what a kill left half-done."""
        self._journal.mkdir(exist_ok=True)
        for file in (*self.path.iterdir(), *self._journal.iterdir()):
            if _is_temporary(file):
                file.unlink()
        finished = {i for i in range(len(self.shards)) if self._file(LAST_TABLE, i).is_file()}
        for file in list(self.path.iterdir()):
            found = _SHARD.fullmatch(file.name)
            if found and (found[2] == OPEN or int(found[2]) not in finished):
                file.unlink()
        for index in finished:
            self.done.update(self.shards[index])
            self._count_shard(index)
        for file in list(self._journal.iterdir()):
            position = int(file.stem) if file.stem.isdecimal() else -1
            if position < 0 or position in self.done or position >= self._photos:
                file.unlink()  # its shard was written, the kill came before the clean-up
                continue
            self._remember(position, json.loads(file.read_text("utf-8")))
        for index in list(self._open):
            self._commit_if_whole(index)

    def keep(self, position: int, rows: Rows) -> None:
        """Store one finished photo, and its shard where it was the last one missing."""
        text = json.dumps(rows, separators=(",", ":"))
        write_whole(self._journal / f"{position}.json", text.encode())
        self._remember(position, rows)
        self._commit_if_whole(position // self._size)

    def show_open(self) -> None:
        """Write what is in no shard yet, so that a stopped run can be looked at."""
        photos = [
            rows for index in sorted(self._open) for _, rows in sorted(self._open[index].items())
        ]
        for table in self.tables if photos else ():
            path = self.path / f"{table}-{OPEN}.parquet"
            self._write(path, table, [row for rows in photos for row in rows[table]])

    def write_problems(self, problems: Sequence[Row]) -> None:
        """Write what is wrong with the annotation file itself."""
        self._write(self.path / PROBLEMS_FILE, "problems", problems)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write manifest.json; ``state`` done also removes the empty journal."""
        if manifest.get("state") == "done":
            shutil.rmtree(self._journal, ignore_errors=True)
        text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
        write_whole(self.path / MANIFEST, text.encode())

    @property
    def _photos(self) -> int:
        return self.shards[-1].stop if self.shards else 0

    def _remember(self, position: int, rows: Rows) -> None:
        self._open.setdefault(position // self._size, {})[position] = rows
        self.done.add(position)
        self._count(rows["photos"], len(rows["part"]))

    def _count_shard(self, index: int) -> None:
        import pyarrow.parquet as pq

        try:
            photos = pq.read_table(self._file(LAST_TABLE, index)).to_pylist()
            rows = pq.read_metadata(self._file("part", index)).num_rows
        except (OSError, ValueError) as error:
            raise DataError(
                f"Expected a whole shard {index} in {self.path}, got one that cannot be read; "
                "delete the run and make it again."
            ) from error
        self._count(photos, rows)

    def _count(self, photos: Sequence[Row], rows: int) -> None:
        self.counts["rows"] += rows
        for photo in photos:
            self.counts["objects"] += photo["objects"]
            self.counts["detections"] += photo["detections"]
            self.counts["skipped_photos"] += photo["state"] == "skipped"

    def _commit_if_whole(self, index: int) -> None:
        photos = self._open[index]
        if len(photos) < len(self.shards[index]):
            return
        for table in self.tables:
            rows = [row for p in self.shards[index] for row in photos[p][table]]
            self._write(self._file(table, index), table, rows)
        for position in self.shards[index]:
            (self._journal / f"{position}.json").unlink(missing_ok=True)
        del self._open[index]

    @staticmethod
    def _write(path: Path, table: str, rows: Sequence[Row]) -> None:
        import pyarrow.parquet as pq

        sink = io.BytesIO()
        pq.write_table(to_arrow(rows, table), sink, compression="zstd")
        write_whole(path, sink.getvalue())

    def _file(self, table: str, index: int) -> Path:
        return self.path / f"{table}-{index:05d}.parquet"


def _is_temporary(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".tmp")
