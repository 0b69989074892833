"""Zips that bomb, climb, nest, lock or lie: each is one sentence, and nothing is written."""

from __future__ import annotations

import io
import re
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from app import archives
from app.archives import PhotoZip, is_zip, leads_out, shown
from dynamask.errors import InputError

pytestmark = pytest.mark.hostile
SENTENCE = re.compile(r"^Expected [^\n]+[;,][^\n]+\.$")


def make(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def renamed(name: str) -> bytes:
    """A zip whose member has a name that Python's writer would not give it."""
    plain = b"A" * len(name.encode())
    return make({plain.decode(): b"x"}).replace(plain, name.encode())


def with_flag(bit: int) -> bytes:
    data = bytearray(make({"a.png": b"x"}))
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(start) + offset
        data[at : at + 2] = struct.pack("<H", bit)
    return bytes(data)


def link() -> bytes:
    info = zipfile.ZipInfo("a.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


def claiming(size: int) -> bytes:
    """The directory says that a member of one byte has ``size`` bytes."""
    data = bytearray(make({"a.png": b"x"}))
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", size)
    return bytes(data)


CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "bomb": (lambda: make({"a.png": b"\0" * 20_000_000}, zipfile.ZIP_DEFLATED), "times its size"),
    "many bombs": (
        lambda: make({f"{k}.png": b"\0" * 5_000_000 for k in range(9)}, zipfile.ZIP_DEFLATED),
        "times its size",
    ),
    "claims gigabytes": (lambda: claiming(2_000_000_000), "times its size"),
    "too many files": (lambda: make({f"{k}.png": b"x" for k in range(501)}), "at most 500 files"),
    "climbs": (lambda: make({"../../evil.png": b"x"}), "leads out"),
    "climbs inside": (lambda: make({"in/../../evil.png": b"x"}), "leads out"),
    "climbs on windows": (lambda: renamed("..\\evil.png"), "leads out"),
    "absolute": (lambda: make({"/etc/evil.png": b"x"}), "leads out"),
    "drive": (lambda: make({"C:/evil.png": b"x"}), "leads out"),
    "nested": (lambda: make({"a.png": b"x", "inner.zip": make({"b.png": b"x"})}), "archive inside"),
    "nested tar": (lambda: make({"inner.tar.gz": b"x"}), "archive inside"),
    "encrypted": (lambda: with_flag(0x1), "encrypted"),
    "link": (link, "a link"),
    "bzip2": (lambda: make({"a.png": b"x" * 99}, zipfile.ZIP_BZIP2), "unusual way"),
    "lzma": (lambda: make({"a.png": b"x" * 99}, zipfile.ZIP_LZMA), "unusual way"),
    "empty": (lambda: make({}), "got none"),
    "only clutter": (lambda: make({"__MACOSX/a": b"x", "in/.DS_Store": b"x"}), "got none"),
    "no directory": (lambda: make({"a.png": b"x" * 500})[:300], "damaged"),
    "garbage": (lambda: b"PK\x03\x04" + b"\xff" * 300, "damaged"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_whole(name: str, tmp_path: Path) -> None:
    make_bytes, said = CASES[name]
    path = tmp_path / "upload.zip"
    path.write_bytes(make_bytes())
    assert is_zip(path)
    with pytest.raises(InputError, match=said) as error:
        PhotoZip(path, "photos.zip")
    assert SENTENCE.match(str(error.value)) and str(tmp_path) not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["upload.zip"]


def photo_zip(tmp_path: Path, data: bytes) -> PhotoZip:
    path = tmp_path / "upload.zip"
    path.write_bytes(data)
    return PhotoZip(path, "photos.zip")


def test_members_are_read_one_by_one(tmp_path: Path) -> None:
    archive = photo_zip(tmp_path, make({"in/": b"", "in/a.png": b"one", "b.png": b"two"}))
    assert [m.filename for m in archive.members] == ["in/a.png", "b.png"]
    assert [archive.read(m) for m in archive.members] == [b"one", b"two"]


def test_a_hidden_archive_is_only_its_own_problem(tmp_path: Path) -> None:
    archive = photo_zip(tmp_path, make({"a.png": make({"b.png": b"x"}), "c.png": b"ok"}))
    with pytest.raises(InputError, match="archive inside"):
        archive.read(archive.members[0])
    assert archive.read(archive.members[1]) == b"ok"


def test_a_large_member_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = photo_zip(tmp_path, make({"a.png": b"x" * 500}))
    monkeypatch.setattr(archives, "MAX_UPLOAD_BYTES", 499)
    with pytest.raises(InputError, match="at most 0 MB"):
        archive.read(archive.members[0])


def test_a_member_that_is_larger_than_it_says(tmp_path: Path) -> None:
    archive = photo_zip(tmp_path, make({"a.png": b"\0" * 5000}, zipfile.ZIP_DEFLATED))
    archive.members[0].file_size = 100  # what a lying directory would have said
    with pytest.raises(InputError, match=r"as large as the zip says|damaged"):
        archive.read(archive.members[0])


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_damage_anywhere_is_a_sentence_or_harmless(at: int, tmp_path: Path) -> None:
    data = bytearray(make({"a.png": b"abc" * 40, "b.png": b"def" * 40}, zipfile.ZIP_DEFLATED))
    data[at % len(data)] ^= 0xFF
    try:
        archive = photo_zip(tmp_path, bytes(data))
        for member in archive.members:
            archive.read(member)
    except InputError as error:
        assert SENTENCE.match(str(error))  # noqa: PT017 - no error is fine too


def test_other_archives_are_no_zips(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w"):
        pass
    assert not is_zip(path) and not is_zip(tmp_path / "none")


def test_names() -> None:
    assert leads_out("a/../b") and leads_out("..") and leads_out("\\\\server\\x")
    assert not leads_out("a..b/c.png")
    assert shown("in/<b>\n.png") == "<b>?.png"
    assert len(shown("x" * 500)) <= 60
