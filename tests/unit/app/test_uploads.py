"""Uploads: limits on bytes, disk and time, and messages that name no folder."""

from __future__ import annotations

import threading
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import uploads
from dynamask.errors import InputError
from dynamask.images import ReadImage


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((40, 60, 3), (10, 200, 30), np.uint8)).save(path)
    return path


def test_a_photo_is_decoded(photo: Path) -> None:
    read = uploads.read_upload(photo)
    assert read.pixels.shape == (40, 60, 3)
    assert read.pixels[5, 5].tolist() == [10, 200, 30]


def test_too_many_bytes(photo: Path) -> None:
    with pytest.raises(InputError, match=r"at most 50 bytes.*photo\.png"):
        uploads.read_upload(photo, max_bytes=50)


def test_the_limit_itself_is_allowed(photo: Path) -> None:
    assert uploads.read_upload(photo, max_bytes=photo.stat().st_size).notices == ()


def test_full_disk(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 4 * 10**8))
    with pytest.raises(InputError, match=r"1 GB of free disk space.*got 0\.4 GB"):
        uploads.read_upload(photo)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8\xff\xe0broken"])
def test_messages_name_no_folder(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"^Expected .*\(x\.jpg\)") as caught:
        uploads.read_upload(path)
    assert str(tmp_path) not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file at gone\.jpg") as caught:
        uploads.read_upload(tmp_path / "nowhere" / "gone.jpg")
    assert str(tmp_path) not in str(caught.value)


def test_slow_decoder_is_left_behind(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def slow(*_: object, **__: object) -> ReadImage:
        release.wait(30)
        return ReadImage(np.zeros((16, 16, 3), np.uint8))

    monkeypatch.setattr(uploads, "read_image", slow)
    monkeypatch.setattr(uploads, "_slots", threading.BoundedSemaphore(1))
    began = time.monotonic()
    try:
        with pytest.raises(InputError, match=r"decodes within 0\.2 s"):
            uploads.read_upload(photo, seconds=0.2)
        with pytest.raises(InputError, match="busy server"):  # its slot is still taken
            uploads.read_upload(photo, seconds=0.2)
        assert time.monotonic() - began < 10
    finally:
        release.set()
    assert uploads.read_upload(photo, seconds=20).pixels.shape == (16, 16, 3)  # slot given back


def test_unexpected_errors_reach_the_caller(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> ReadImage:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(uploads, "read_image", broken)
    with pytest.raises(ZeroDivisionError):
        uploads.read_upload(photo)


def test_many_at_once(photo: Path) -> None:
    results: list[ReadImage] = []
    threads = [
        threading.Thread(target=lambda: results.append(uploads.read_upload(photo)))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 12
    assert all((r.pixels == results[0].pixels).all() for r in results)
