"""Zips of photos from strangers: nothing is unpacked to a name or size that the zip chooses.

The directory of the zip is judged before anything is read; then members are read one at a time
through a counting stream, since a directory may lie. Never ``extractall``.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from app import text_batch as words
from app.uploads import MAX_UPLOAD_BYTES
from dynamask.errors import InputError

MAX_FILES = 500  # in the directory, photos or not
MAX_UNPACKED_BYTES = 1_000_000_000
MAX_RATIO = 100  # photos hardly shrink; a bomb shrinks a thousandfold
RATIO_FLOOR_BYTES = 1_000_000  # below it a high ratio harms nobody
CHUNK = 1 << 20

_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst", ".jar"}
_ARCHIVE_STARTS = (b"PK\x03\x04", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08", b"BZh")
_CLUTTER = {"thumbs.db", "desktop.ini"}
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED, _STRONG = 0x1, 0x40


def is_zip(path: Path) -> bool:
    """Whether a file begins or ends like a zip."""
    try:
        with path.open("rb") as file:
            if file.read(4) == b"PK\x03\x04":
                return True
        return zipfile.is_zipfile(path)
    except OSError:
        return False


class PhotoZip:
    """A zip whose directory was accepted; read its members one by one.

    Args:
        path: the file.
        name: what the user called it, for messages.

    Attributes:
        members: the photos, in the order of the directory; folders and clutter left out.

    Raises:
        InputError: one sentence saying what is wrong with it.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._name = shown(name)
        self._path = path
        with self._opened() as archive:
            self.members = self._judge(archive, path.stat().st_size)

    def read(self, member: zipfile.ZipInfo) -> bytes:
        """Content of a member, at most as large as a photo may be.

        Raises:
            InputError: damaged, larger than it says, or an archive itself.
        """
        name = shown(member.filename)
        limit = min(member.file_size, MAX_UPLOAD_BYTES)
        if member.file_size > MAX_UPLOAD_BYTES:
            raise too_large(name, member.file_size, MAX_UPLOAD_BYTES)
        parts, count = [], 0
        with self._opened() as archive, archive.open(member) as stream:
            while part := stream.read(CHUNK):
                count += len(part)
                if count > limit:
                    raise InputError(words.ZIP_LIED.format(name=name))
                parts.append(part)
        data = b"".join(parts)
        if data.startswith(_ARCHIVE_STARTS):
            raise InputError(words.ZIP_NESTED.format(name=name))
        return data

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                yield archive
        except InputError:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise InputError(words.ZIP_DAMAGED.format(name=self._name)) from error
        except (NotImplementedError, RuntimeError, struct.error) as error:
            raise InputError(words.ZIP_METHOD.format(name=self._name)) from error

    def _judge(self, archive: zipfile.ZipFile, size: int) -> list[zipfile.ZipInfo]:
        infos = archive.infolist()
        if len(infos) > MAX_FILES:
            raise InputError(words.ZIP_FILES.format(most=MAX_FILES, count=len(infos)))
        claimed = sum(info.file_size for info in infos)
        if claimed > MAX_UNPACKED_BYTES or claimed > max(size * MAX_RATIO, RATIO_FLOOR_BYTES):
            most = MAX_UNPACKED_BYTES / 1e6
            raise InputError(words.ZIP_BOMB.format(most=most, ratio=MAX_RATIO))
        for info in infos:
            self._judge_member(info)
        photos = [info for info in infos if not info.is_dir() and not _is_clutter(info.filename)]
        if not photos:
            raise InputError(words.ZIP_EMPTY)
        return photos

    def _judge_member(self, info: zipfile.ZipInfo) -> None:
        name = shown(info.filename)
        if leads_out(info.filename) or leads_out(getattr(info, "orig_filename", "")):
            raise InputError(words.ZIP_PATHS.format(name=name))
        if info.flag_bits & (_ENCRYPTED | _STRONG):
            raise InputError(words.ZIP_LOCKED.format(name=name))
        if stat.S_ISLNK(info.external_attr >> 16):
            raise InputError(words.ZIP_LINKS.format(name=name))
        if PurePosixPath(info.filename.lower()).suffix in _ARCHIVES:
            raise InputError(words.ZIP_NESTED.format(name=name))
        if info.compress_type not in _METHODS:
            raise InputError(words.ZIP_METHOD.format(name=name))


def leads_out(name: str) -> bool:
    """Whether a member's name is absolute, names a drive or climbs out of the folder."""
    parts = re.split(r"[\\/]", name)
    return bool(
        name.startswith(("/", "\\"))
        or re.match(r"^[A-Za-z]:", name)
        or ".." in parts
        or "\0" in name
    )


def shown(name: str) -> str:
    """The last part of a name, printable and short: fit for a sentence."""
    last = re.split(r"[\\/]", str(name).rstrip("/\\"))[-1]
    clean = "".join(c if c.isprintable() else "?" for c in last) or "?"
    return clean if len(clean) <= 60 else f"{clean[:45]}…{clean[-12:]}"


def too_large(name: str, size: float, most: float) -> InputError:
    """The error for a file of too many bytes."""
    return InputError(words.TOO_LARGE.format(most=most / 1e6, size=size / 1e6, name=shown(name)))


def _is_clutter(name: str) -> bool:
    """What operating systems add to zips by themselves."""
    parts = PurePosixPath(name).parts
    last = parts[-1].lower() if parts else ""
    return "__MACOSX" in parts or last.startswith(".") or last in _CLUTTER
