"""Where dataset runs live, who may see which, and which are open; knows nothing of Gradio.

Runs lie in one folder: ``$DYNAMASK_RUNS``, else ``runs`` in the working directory; shipped ones in
assets/runs, which is never written to. What the page itself needs of a run (whose it is, where its
COCO file and photos are) lies beside the runs, under ``.page/NAME``, so that a run folder stays
what the command line makes of it.

On a public server a visitor is a random token that lives in the visitor's browser. Visitors see
shipped runs and their own; without ``public`` everybody is the owner of everything. How long a
visitor's runs stay is up to :mod:`app.dataset_keep`, which goes by the time of ``used``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.dashboards import forget
from analysis.store import JOURNAL, MANIFEST, delete_run, folder_bytes, open_run, run_info
from app import settings
from app import text_dataset as words
from dynamask.errors import InputError

if TYPE_CHECKING:
    from analysis.filters import Queryable
    from analysis.store import RunInfo

RUNS_ENV = "DYNAMASK_RUNS"
SHIPPED = settings.ROOT / "assets" / "runs"
PAGE, FACTS, USED = ".page", "page.json", "used"
USED_SECONDS = 60.0  # how exactly it is written down when a run was last looked at
MAX_LISTED = 500
MAX_OPEN = 6  # a run that is open keeps file handles and a few megabytes
MAX_PAGE_BYTES = 100_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True)
class Shelved:
    """A run as the page lists it.

    Attributes:
        key: names it in the page: ``shipped/NAME`` or ``own/NAME``.
        facts: what its folder says; see analysis.store.
        page: what the page keeps of it: ``owner``, ``coco``, ``images``; {} for others.
    """

    key: str
    facts: RunInfo
    page: dict[str, Any] = field(repr=False, default_factory=dict)

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.facts.path

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.facts.path.name

    @property
    def shipped(self) -> bool:
        """Whether it came with the program and is never changed."""
        return self.key.startswith("shipped/")


@dataclass(frozen=True)
class Kept:
    """What the page keeps beside a run.

    Attributes:
        name: of the run.
        used: seconds since 1970 when it was last looked at.
        owned: whether a visitor made it.
        orphan: whether its run is gone: its making was cut short, or it was deleted by hand. What
            lies under its name then, such as a later run of the operator's, is somebody else's.
        folders: of the run and of what was uploaded for it.
    """

    name: str
    used: float
    owned: bool
    orphan: bool
    folders: tuple[Path, ...]

    @property
    def size_bytes(self) -> int:
        """Of all of it; counted when it is asked for."""
        return sum(folder_bytes(folder) for folder in self.folders)


class Shelf:
    """The runs of this server; thread-safe.

    Args:
        folder: of the runs; None is the environment's or ``runs`` here.
        public: visitors are strangers to one another and to this machine.
        shipped: folder of the runs that came with the program.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        public: bool = False,
        shipped: Path = SHIPPED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # whole, as it is compared with places that are written down
        self.folder = Path(folder or os.environ.get(RUNS_ENV) or "runs").expanduser().absolute()
        self.public = public
        self._shipped, self._clock = shipped, clock
        self._used: dict[str, float] = {}
        self._open: OrderedDict[tuple, Queryable] = OrderedDict()
        self._lock = threading.RLock()

    # -- looking ---------------------------------------------------------------------------

    def runs(self, owner: str = "") -> list[Shelved]:
        """Runs that a visitor may see: own ones, newest first, then shipped ones."""
        own = [self._info("own", path) for path in _folders(self.folder)]
        kept = [info for info in own if info is not None and self._sees(info, owner)]
        kept.sort(key=lambda info: (info.facts.created, info.name), reverse=True)
        shipped = [self._info("shipped", path) for path in _folders(self._shipped)]
        return [*kept, *(info for info in shipped if info is not None)][:MAX_LISTED]

    def find(self, key: object, owner: str = "") -> Shelved:
        """The run of a key that came from a browser.

        Raises:
            InputError: there is none, or it is somebody else's.
        """
        place, _, name = key.partition("/") if isinstance(key, str) else ("", "", "")
        if place in ("own", "shipped") and NAME.fullmatch(name):
            root = self.folder if place == "own" else self._shipped
            info = self._info(place, root / name)
            if info is not None and self._sees(info, owner):
                if place == "own":
                    self._use(name)
                return info
        raise InputError(words.RUN_GONE.format(name=str(key)[:80]))

    def open(self, info: Shelved) -> Queryable:
        """Open a run; kept open until it changes on disk.

        Raises:
            DataError: it is damaged.
        """
        key = (str(info.path), _stamp(info.path), _shards(info.path))
        with self._lock:
            if key not in self._open:
                self._open[key] = open_run(info.path)
            self._open.move_to_end(key)
            while len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
            return self._open[key]

    def photos(self, info: Shelved) -> Path | None:
        """Folder of a run's photos where it is still there; strangers get uploads only."""
        for place in (info.page.get("images"), _asked(info.path).get("images")):
            if not isinstance(place, str) or not place or info.shipped:
                continue
            folder = Path(place)
            if self.public and not folder.is_relative_to(self.folder / PAGE):
                continue
            if folder.is_dir():
                return folder
        return None

    def may_change(self, info: Shelved, owner: str = "") -> bool:
        """Whether a visitor may resume and delete a run."""
        return not info.shipped and self._sees(info, owner)

    # -- changing --------------------------------------------------------------------------

    def new(self, name: str, coco_name: str) -> tuple[Path, Path]:
        """Choose the folder of a new run and make that of its page's files.

        Args:
            name: what the user wants it called, or "".
            coco_name: the COCO file's name, from which a name is made otherwise.

        Returns:
            (folder of the run, not made yet; existing folder for uploads).

        Raises:
            InputError: a name that cannot be used, or exists; or nothing can be written there.
        """
        name = name.strip()
        if name and not NAME.fullmatch(name):
            raise InputError(words.MAKE_BAD_NAME.format(name=repr(name[:80])))
        made = f"{clean(coco_name)}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        with self._lock:
            path = self.folder / (name or made)
            home = self.home(path.name)
            if path.exists() or home.exists():
                raise InputError(words.MAKE_TAKEN.format(name=path.name))
            try:
                home.mkdir(parents=True)
            except OSError as error:
                raise InputError(words.MAKE_NO_PLACE.format(env=RUNS_ENV)) from error
            self._use(path.name)
            return path, home

    def home(self, name: str) -> Path:
        """Folder of what the page keeps of a run."""
        return self.folder / PAGE / name

    def remember(self, name: str, owner: str, coco: Path, images: Path, **more: Any) -> None:
        """Write down whose a run is and what it is made from, for resuming it later."""
        facts = {"owner": _hash(owner), "coco": str(coco), "images": str(images), **more}
        place = self.home(name) / FACTS
        part = place.with_suffix(".part")
        part.write_text(json.dumps(facts), encoding="utf-8")
        os.replace(part, place)
        self._use(name)

    def delete(self, info: Shelved, owner: str = "") -> None:
        """Delete a run with the photos that were uploaded for it.

        Raises:
            InputError: it is shipped, or somebody else's.
        """
        if info.shipped:
            raise InputError(words.RUN_READ_ONLY.format(name=info.name))
        if not self.may_change(info, owner):
            raise InputError(words.RUN_OF_OTHERS)
        self.remove(info.name)

    def remove(self, name: str, *, run: bool = True) -> None:
        """Remove a run, if it is there, and what the page keeps of it.

        Args:
            name: of the run.
            run: also the run; False where it is not the one that things are kept for.

        Raises:
            InputError: a process is writing to it.
        """
        path = self.folder / name
        with self._lock:
            for key in [k for k in self._open if k[0] == str(path)]:
                del self._open[key]
            if run and _is_run(path):
                delete_run(path)
            self._used.pop(name, None)
        shutil.rmtree(self.home(name), ignore_errors=True)
        # waits for whatever is being scored, which must hold up nobody else; and comes after the
        # files are gone, so that nothing of them can be read into memory again
        forget()

    def abandon(self, name: str) -> None:
        """Give a name back whose run failed before there was anything to resume."""
        path = self.folder / name
        if (path / MANIFEST).is_file():
            return
        with contextlib.suppress(InputError, OSError):  # why it failed is what has to be told
            self.remove(name)
            path.rmdir()

    # -- what is kept ----------------------------------------------------------------------

    def kept(self) -> list[Kept]:
        """What the page keeps of runs, theirs and ours; not what a run of another name reads."""
        read = [Path(place) for run in _folders(self.folder) for place in _asked(run).values()]
        kept = [self._kept(home) for home in _folders(self.folder / PAGE)]
        return [
            k
            for k in kept
            if not (k.orphan and any(p.is_relative_to(self.home(k.name)) for p in read))
        ]

    def is_owner(self, name: str, owner: str) -> bool:
        """Whether a visitor made what is kept under a name."""
        facts = _json(self.home(name) / FACTS) or {}
        return bool(owner) and facts.get("owner") == _hash(owner)

    def _kept(self, home: Path) -> Kept:
        path = self.folder / home.name
        facts = _json(home / FACTS) or {}
        used = next((t for p in (home / USED, home) if (t := _time(p)) is not None), 0.0)
        there = _is_run(path) and _made_from(path, facts)
        folders = (home, path) if there else (home,)
        return Kept(home.name, used, bool(facts.get("owner")), not there, folders)

    def _use(self, name: str) -> None:
        """Write down that a run was looked at now."""
        home, now = self.home(name), self._clock()
        if abs(now - self._used.get(name, -1e9)) < USED_SECONDS or not home.is_dir():
            return
        self._used[name] = now
        with contextlib.suppress(OSError):
            (home / USED).touch()
            os.utime(home / USED, (now, now))

    # -- parts -----------------------------------------------------------------------------

    def _sees(self, info: Shelved, owner: str) -> bool:
        if not self.public or info.shipped:
            return True
        return bool(owner) and info.page.get("owner") == _hash(owner)

    def _info(self, place: str, path: Path) -> Shelved | None:
        if not _is_run(path):
            return None
        page = (_json(self.home(path.name) / FACTS) or {}) if place == "own" else {}
        page = page if _made_from(path, page) else {}
        return Shelved(f"{place}/{path.name}", run_info(path), page)


def clean(name: str) -> str:
    """A file's stem, fit for the name of a folder."""
    kept = "".join(
        c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in Path(name).stem
    )
    return kept.strip("-_")[:40] or "run"


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(p for p in root.iterdir() if NAME.fullmatch(p.name) and p.is_dir())
    except OSError:
        return []


def _is_run(path: Path) -> bool:
    return (path / MANIFEST).is_file() or (path / JOURNAL).is_dir()


def _asked(path: Path) -> dict[str, str]:
    """Where a run has its ``coco`` file and ``images`` from; {} where its manifest does not say."""
    asked = (_json(path / MANIFEST) or {}).get("asked")
    asked = asked if isinstance(asked, dict) else {}
    return {k: asked[k] for k in ("coco", "images") if isinstance(asked.get(k), str)}


def _made_from(path: Path, facts: dict[str, Any]) -> bool:
    """Whether a run is the one that the page wrote facts down for, not a later one of its name."""
    asked = _asked(path)
    return not asked or any(facts.get(k, place) == place for k, place in asked.items())


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _json(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > MAX_PAGE_BYTES:
            return None
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _stamp(path: Path) -> int:
    try:
        return (path / MANIFEST).stat().st_mtime_ns
    except OSError:
        return 0


def _shards(path: Path) -> int:
    return sum(1 for _ in path.glob("*.parquet"))


def _hash(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest() if owner else ""
