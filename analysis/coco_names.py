"""Where the photos of an annotation file lie, whatever the tool that wrote it calls them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

MAX_PATH, MAX_PART = 1024, 255
"""Longest path and part of a path in bytes that file systems take."""
MAX_LISTED = 500_000
"""Files of a photo folder that are listed to find photos by their last name alone."""
_COMMON = {"data", "images", "img", "imgs", "media", "photos", "upload", "uploads"}
_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")
_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/]*/")
_SERVED = re.compile(r"(?:^|/)data/local-files/?\?d=(.+)$")


def plain_name(entry: Mapping[str, Any]) -> str | None:
    """The path of a photo relative to the photo folder, with ``/`` between its parts.

    LVIS has no ``file_name`` but a ``coco_url`` that ends in ``train2017/000000391895.jpg``; some
    exports have an address, an absolute path or backslashes as ``file_name``. Label Studio calls
    photos that it served from a folder ``/data/local-files/?d=FOLDER/NAME``.

    Returns:
        None where there is no usable name.
    """
    name = entry.get("file_name")
    if isinstance(name, str) and name.strip():
        return _usable(_plain(name))
    url = entry.get("coco_url")
    if isinstance(url, str) and url.strip():
        return _usable("/".join(_plain(url).split("/")[-2:]))
    return None


class Photos:
    """The photos that there are, and which of them a name means.

    Args:
        there: whether a path, relative and with ``/``, is a photo.
        listed: all paths; only asked for where a name is nowhere.

    Attributes:
        doubtful: of the last :meth:`find`: image id to the paths of photos that share its last
            name, none of which it surely means.
    """

    def __init__(self, there: Callable[[str], bool], listed: Callable[[], Iterable[str]]) -> None:
        self._there, self._listed = there, listed
        self._index: dict[str, list[str]] | None = None
        self.doubtful: dict[int, list[str]] = {}

    @classmethod
    def in_folder(cls, folder: Path) -> Photos:
        """The files below a folder."""
        return cls(lambda name: _is_file(folder, name), lambda: _walk(folder))

    @classmethod
    def among(cls, paths: Iterable[str]) -> Photos:
        """The members of an archive."""
        known = set(paths)
        return cls(known.__contains__, lambda: known)

    def find(self, names: Mapping[int, str]) -> dict[int, str]:
        """Image id to the path it really has, for photos that are not where their name says.

        Looked for are the name without its first folders (LVIS's ``val2017/``, Cityscapes'
        ``leftImg8bit/val/``, Label Studio's ``upload/3/``), with its percent signs decoded,
        without Label Studio's prefix of eight hexadecimal digits, and at last the one photo of
        that name in a folder below (Detectron's Cityscapes), unless the name gives another folder:
        ``val/1.jpg`` is not ``train/1.jpg``. Two photos never get one file: those stay as they
        are named, and so do all that are ``doubtful``.
        """
        found, others = {}, {}
        bases = Counter(name.rsplit("/", 1)[-1] for name in names.values())
        for number, name in names.items():
            if self._there(name):
                continue
            place, alike = self._seek(name, alone=bases[name.rsplit("/", 1)[-1]] == 1)
            if place is not None:
                found[number] = place
            elif alike:
                others[number] = alike
        used = Counter(found.values())
        taken = {n for i, n in names.items() if i not in found}
        sure = {i: n for i, n in found.items() if used[n] == 1 and n not in taken}
        self.doubtful = others | {i: [n] for i, n in found.items() if i not in sure}
        return sure

    def one(self, name: str) -> str | None:
        """The path that a name means; None where there is none, or no one that it must mean."""
        return name if self._there(name) else self._seek(name, alone=True)[0]

    def _seek(self, name: str, *, alone: bool) -> tuple[str | None, list[str]]:
        """(The path that a name means, those that only share its last name).

        Args:
            name: of no photo as it is.
            alone: no other photo has this last name, so that the last name may be enough.
        """
        candidates = list(_candidates(name))
        for candidate in candidates:
            if self._there(candidate):
                return candidate, []
        index = self._bases()
        alike: dict[str, None] = {}
        for candidate in (name, *candidates):
            same = index.get(candidate.rsplit("/", 1)[-1], [])
            alike |= dict.fromkeys(same)
            fitting = [p for p in same if p.endswith(f"/{candidate}")]
            usable = alone or candidate == name
            if usable and len(fitting) == 1 and not _contradict(candidate, name, fitting[0]):
                return fitting[0], []
        return None, list(alike)

    def _bases(self) -> dict[str, list[str]]:
        if self._index is None:
            self._index = {}
            for path in self._listed():
                self._index.setdefault(path.rsplit("/", 1)[-1], []).append(path)
        return self._index


def _walk(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder; none where there are too many to list."""
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        inside = PurePosixPath(Path(place).relative_to(folder).as_posix())
        found += [str(inside / name) for name in files]
        if len(found) > MAX_LISTED:
            return
    yield from found


def _contradict(candidate: str, name: str, place: str) -> bool:
    """Whether a name and a path that both end in ``candidate`` give different folders before it.

    Folders that any set may have, and those of an upload, say nothing.
    """
    depth = candidate.count("/") + 1
    wanted, given = (_telling(p.split("/")[:-depth]) for p in (_plain(unquote(name)), place))
    return bool(wanted and given)


def _telling(folders: list[str]) -> list[str]:
    """Folders without those at the end that say nothing."""
    while folders and (
        folders[-1].lower() in _COMMON or (folders[-1].isdecimal() and "upload" in folders[-2:-1])
    ):
        folders = folders[:-1]
    return folders


def _candidates(name: str) -> Iterator[str]:
    names = [name] if (decoded := unquote(name)) == name else [name, _plain(decoded)]
    for known in names:
        parts = PurePosixPath(known).parts
        if not parts:
            continue
        yield from ("/".join(parts[k:]) for k in range(int(known == name), len(parts)))
        bare = _UPLOAD.sub("", parts[-1])
        if bare != parts[-1]:
            yield from ("/".join((*parts[k:-1], bare)) for k in range(len(parts)))


def _plain(name: str) -> str:
    """No scheme, host, backslash, percent sign code, leading slash or way up."""
    name = name.strip().replace("\\", "/")
    if served := _SERVED.search(name):
        name = unquote(served[1]).replace("\\", "/")
    elif _SCHEME.match(name):
        name = unquote(_SCHEME.sub("", name).split("?")[0])
    parts = [p for p in name.split("/") if p not in ("", ".", "..")]
    if parts and re.fullmatch(r"[A-Za-z]:", parts[0]):
        parts = parts[1:]
    return "/".join(parts)


def _usable(name: str) -> str | None:
    try:
        raw = name.encode("utf-8")
    except UnicodeEncodeError:  # half a character
        return None
    parts = raw.split(b"/")
    if not raw or b"\0" in raw or len(raw) > MAX_PATH or max(map(len, parts)) > MAX_PART:
        return None
    return name


def _is_file(folder: Path, name: str) -> bool:
    return os.path.isfile(folder / name)  # False, too, for what is no name at all
