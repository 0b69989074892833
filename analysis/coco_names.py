"""Where the photos of an annotation file lie, whatever the tool that wrote it calls them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

MAX_PATH, MAX_PART = 1024, 255
"""Longest path and part of a path in bytes that file systems take."""
_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")
_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/]*/")


def plain_name(entry: Mapping[str, Any]) -> str | None:
    """The path of a photo relative to the photo folder, with ``/`` between its parts.

    LVIS has no ``file_name`` but a ``coco_url`` that ends in ``train2017/000000391895.jpg``; some
    exports have an address, an absolute path or backslashes as ``file_name``.

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


def find_files(folder: Path, names: Mapping[int, str]) -> dict[int, str]:
    """Image id to the path it really has, for photos that are not where their name says.

    Looked for are the name without its first folders (LVIS's ``val2017/``, Cityscapes'
    ``leftImg8bit/val/``, Label Studio's ``upload/3/``) and without Label Studio's prefix of eight
    hexadecimal digits. Two photos never get one file: those stay as they are named.
    """
    found: dict[int, str] = {}
    for number, name in names.items():
        if _is_file(folder, name):
            continue
        for candidate in _candidates(name):
            if _is_file(folder, candidate):
                found[number] = candidate
                break
    used: dict[str, int] = {}
    for name in found.values():
        used[name] = used.get(name, 0) + 1
    taken = {n for i, n in names.items() if i not in found}
    return {i: n for i, n in found.items() if used[n] == 1 and n not in taken}


def _candidates(name: str) -> Iterator[str]:
    parts = PurePosixPath(name).parts
    for k in range(1, len(parts)):
        yield "/".join(parts[k:])
    bare = _UPLOAD.sub("", parts[-1])
    if bare != parts[-1]:
        yield from ("/".join((*parts[k:-1], bare)) for k in range(len(parts)))


def _plain(name: str) -> str:
    """No scheme, host, backslash, percent sign code, leading slash or way up."""
    name = name.strip().replace("\\", "/")
    if _SCHEME.match(name):
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
    try:
        return (folder / name).is_file()
    except (OSError, ValueError):
        return False
