"""What strangers are not told: where things lie on this server.

Sentences of errors name files, as whoever runs the program needs. On a public page they go to
strangers, so there every absolute path is cut down to its last part. Whoever shows an error asks
:func:`sentence_of`; knows nothing of Gradio.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from app import text
from dynamask.errors import DynaMaskError

logger = logging.getLogger(__name__)

_PATH = re.compile(r"(?<![\w./:<-])(?:[A-Za-z]:[\\/]|/)(?:[^\s/\\,;:()'\"<>]+[\\/])+")


class Discretion:
    """Cuts folders of this machine out of sentences; does nothing until it is told to."""

    def __init__(self) -> None:
        self._folders: tuple[str, ...] = ()
        self._on = False

    def begin(self, folders: Iterable[Path]) -> None:
        """Hide paths from now on; these folders even where their names have spaces."""
        self._folders = tuple(sorted((f"{f}/" for f in folders), key=len, reverse=True))
        self._on = True

    def end(self) -> None:
        """Say everything again."""
        self._on = False

    def told(self, sentence: object) -> str:
        """A sentence as it may be shown."""
        said = str(sentence)
        if not self._on:
            return said
        for folder in self._folders:
            said = said.replace(folder, "")
        return _PATH.sub("", said)


DISCRETION = Discretion()
"""Of this process: a server is public or it is not."""


def sentence_of(error: Exception, doing: str, otherwise: str = text.UNEXPECTED) -> str:
    """What the page may say of an error: its sentence where we wrote it, a general one elsewhere.

    Args:
        error: what was raised; one that is not ours goes to the log with its trace.
        doing: when it was raised, for the log: ``on comparing``.
        otherwise: the general sentence.
    """
    if isinstance(error, DynaMaskError):
        return DISCRETION.told(error)
    logger.error("unexpected error %s", doing, exc_info=error)
    return otherwise
