"""Videos drawn on the spot; lying, damaged and endless ones end in one sentence."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from app import video
from app.video import Video, is_video
from dynamask.errors import InputError

pytestmark = pytest.mark.timeout(240)


def write_video(
    path: Path, frames: int = 25, rate: float = 25.0, size: tuple[int, int] = (64, 96)
) -> Path:
    """A square that moves a pixel per frame; frame k is k grey levels brighter."""
    height, width = size
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (width, height))
    assert writer.isOpened()
    for k in range(frames):
        image = np.full((height, width, 3), 40 + k % 200, np.uint8)
        image[20:40, k : k + 20] = (0, 0, 250)  # BGR: red
        writer.write(image)
    writer.release()
    return path


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mp4"])
def test_every_nth_frame_comes_in_rgb(tmp_path: Path, suffix: str) -> None:
    clip = Video(write_video(tmp_path / f"a{suffix}"), "clip", every=10)
    try:
        assert (clip.facts.width, clip.facts.height) == (96, 64)
        assert clip.facts.rate == pytest.approx(25) and clip.total == 3
        frames = list(clip.frames())
    finally:
        clip.close()
    assert [f.index for f in frames] == [0, 10, 20]
    assert [f.seconds for f in frames] == pytest.approx([0, 0.4, 0.8])
    for frame in frames:
        assert frame.pixels.shape == (64, 96, 3)
        assert abs(int(frame.pixels[5, 90].mean()) - 40 - frame.index) <= 4
        red = frame.pixels[30, frame.index + 10]
        assert red[0] > 200 and red[2] < 60
    assert not clip.notices and clip._process.poll() is not None


def test_closing_early_ends_the_process(tmp_path: Path) -> None:
    clip = Video(write_video(tmp_path / "a.avi", 200), "clip", every=1)
    next(clip.frames())
    clip.close()
    assert clip._process.poll() is not None
    clip.close()  # once more does no harm


def read_all(path: Path, every: int) -> None:
    clip = Video(path, "holiday.mp4", every)
    try:
        list(clip.frames())
    finally:
        clip.close()


def refused(path: Path, said: str, every: int = 1) -> None:
    with pytest.raises(InputError, match=said) as error:
        read_all(path, every)
    assert str(path.parent) not in str(error.value)
    assert str(error.value).startswith("Expected ") and str(error.value).endswith(".")


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_video(tmp_path / "a.avi", 62, rate=2.0)
    refused(clip, "at most 30 s, got 31 s")
    many = write_video(tmp_path / "b.avi", 310, size=(16, 16))
    refused(many, "at most 300 frames to analyse, got 310")
    with monkeypatch.context() as patch:
        patch.setattr(video, "MAX_PIXELS", 100)
        refused(clip, "got 96 x 64 px")
    with monkeypatch.context() as patch:
        patch.setattr(video, "MAX_BYTES", 100)
        refused(clip, "at most 0 MB")


@pytest.mark.hostile
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"GIF89a" + b"\0" * 50,
    ],
    ids=["empty", "text", "playlist", "concat", "gif"],
)
def test_other_files_never_reach_the_decoder(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "holiday.mp4"
    path.write_bytes(content)
    assert not is_video(path)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a decoder was started")

    monkeypatch.setattr(subprocess, "Popen", never)
    refused(path, "MP4, MOV, WebM, MKV or AVI")


@pytest.mark.hostile
@pytest.mark.parametrize(
    "head", [b"\0\0\0\x18ftypmp42", b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0AVI LIST"]
)
def test_garbage_after_a_good_start(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "holiday.mp4"
    path.write_bytes(head + np.random.default_rng(0).bytes(20_000))
    refused(path, "damaged one")


@pytest.mark.hostile
def test_a_truncated_video_gives_what_it_has(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", 60)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    clip = Video(path, "a.avi", every=5)
    try:
        frames = list(clip.frames())
    finally:
        clip.close()
    assert 2 <= len(frames) < 12
    assert any("ended after" in notice for notice in clip.notices) or not clip.facts.frames


@pytest.mark.hostile
def test_a_decoder_that_dies_or_hangs_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.avi", 5)
    start = subprocess.Popen

    def script(code: str) -> None:
        monkeypatch.setattr(
            subprocess, "Popen", lambda _, **options: start([sys.executable, "-c", code], **options)
        )

    script("import os; os.kill(os.getpid(), 11)")
    refused(path, "damaged one")
    script("import sys; sys.stdout.write('{\"bytes\": 1e9}' + chr(10))")
    refused(path, "damaged one")
    script("import threading; threading.Event().wait()")
    with pytest.raises(InputError, match="decodes in time"):
        Video(path, "a.avi", 1, seconds=0.5)


@pytest.mark.hostile
def test_stop_does_not_wait_for_a_decoder_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.avi", 5)
    start = subprocess.Popen
    head = '{"width": 64, "height": 48, "rate": 10, "frames": 5}'
    code = f"import threading; print('{head}', flush=True); threading.Event().wait()"
    monkeypatch.setattr(
        subprocess, "Popen", lambda _, **options: start([sys.executable, "-c", code], **options)
    )
    cancel = threading.Event()
    clip = Video(path, "a.avi", 1, cancel=cancel)
    threading.Timer(0.5, cancel.set).start()
    started = time.monotonic()
    assert list(clip.frames()) == []
    assert time.monotonic() - started < 2
    clip.close()
    with pytest.raises(InputError, match="got Stop first"):
        Video(path, "a.avi", 1, cancel=cancel)
