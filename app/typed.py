"""Paths that the owner of this machine typed: never an error of the disk's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from app import text_dataset as words
from dynamask.errors import InputError

SHOWN = 120  # characters of what was typed that a message repeats


def typed_path(value: Any) -> Path:
    """What was typed as a path, ``~`` filled in; nothing is looked up.

    Raises:
        InputError: it names nobody's home, or no disk can hold such a name.
    """
    text = str(value or "").strip()
    try:
        path = Path(text).expanduser()
        usable = b"\0" not in os.fsencode(path)
    except (RuntimeError, ValueError):  # ~nobody, a lone surrogate
        usable = False
    if not usable:
        raise InputError(words.PATH_NONE.format(name=repr(text[:SHOWN])))
    return path


def typed_folder(value: Any) -> Path:
    """A folder that was typed.

    Raises:
        InputError: there is no such folder.
    """
    path = typed_path(value)
    if not str(value or "").strip() or not os.path.isdir(path):
        raise InputError(words.FOLDER_NONE.format(name=repr(str(value or "")[:SHOWN])))
    return path
