"""Frames of a video from a stranger, decoded in a process of its own.

The decoders are large C libraries: a file that makes one crash, hang or fill the memory ends that
process, not the server. Containers are sniffed first, since a playlist that calls itself MP4 could
make the decoder open other files or addresses. This module is also that process:
``python -m app.video FILE EVERY`` writes frames to stdout.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from app import text_batch as words
from app.archives import shown, too_large
from dynamask.errors import InputError

MAX_BYTES = 200_000_000
MAX_SECONDS = 30.0
SECONDS_SLACK = 0.5  # cameras round
MAX_FRAMES = 300
MAX_PIXELS = 9_500_000  # 4096 x 2304
MAX_RATE = 240.0
ASSUMED_RATE = 25.0
FRAME_SECONDS = 60.0  # longest wait for one frame; a decoder takes 20 s to start where all are busy
LOOK_SECONDS = 0.25  # between looks at whether somebody pressed Stop
CPU_SECONDS = 300
MEMORY_BYTES = 4 << 30

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoFacts:
    """What a container says about its video; ``frames`` is 0 where it does not say."""

    width: int
    height: int
    rate: float
    frames: int
    notices: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Length as the container says."""
        return self.frames / self.rate


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """A frame: its number from 0, when it is shown, and (H, W, 3) uint8 RGB."""

    index: int
    seconds: float
    pixels: np.ndarray


def is_video(path: Path) -> bool:
    """Whether a file begins like MP4/MOV, WebM/MKV or AVI."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    mp4 = head[4:8] in (b"ftyp", b"moov", b"wide", b"mdat")
    return mp4 or head[:4] == b"\x1a\x45\xdf\xa3" or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")


class Video:
    """A video that passed the limits; iterate over :meth:`frames` once, then :meth:`close`.

    Args:
        path: the file.
        name: what the user called it, for messages.
        every: every how many frames one is taken, 1 or more.
        seconds: longest wait for one frame.
        cancel: once it is set, no frame is waited for any more.

    Attributes:
        facts: what its container says.
        total: how many frames will come; 0 where that is not known.
        notices: sentences for the user; there may be more once all frames have come.

    Raises:
        InputError: one sentence.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        every: int,
        *,
        seconds: float = FRAME_SECONDS,
        cancel: threading.Event | None = None,
    ) -> None:
        self._name = shown(name)
        self._wait = seconds
        self._cancel = cancel or threading.Event()
        if not is_video(path):
            raise InputError(words.VIDEO_KIND.format(name=self._name))
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise too_large(name, size, MAX_BYTES)
        self._messages: queue.Queue[tuple[dict[str, Any], bytes] | None] = queue.Queue(maxsize=2)
        self._closed = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app.video", str(path.resolve()), str(int(every))],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "OPENCV_FFMPEG_CAPTURE_OPTIONS": "protocol_whitelist;file",
                "OPENCV_LOG_LEVEL": "SILENT",
                "OMP_NUM_THREADS": "1",
            },
        )
        threading.Thread(target=self._pump, name="read-video", daemon=True).start()
        try:
            self.facts = self._start(every)
        except BaseException:
            self.close()
            raise
        self.notices = list(self.facts.notices)
        self.total = -(-self.facts.frames // every)

    def frames(self) -> Iterator[VideoFrame]:
        """The sampled frames, in order.

        Raises:
            InputError: not one frame could be decoded, or one took too long.
        """
        came = 0
        while True:
            head, body = self._next()
            if self._cancel.is_set():
                return
            if "end" in head:
                break
            came += 1
            pixels = np.frombuffer(body, dtype=np.uint8)
            yield VideoFrame(
                head["index"],
                head["index"] / self.facts.rate,
                pixels.reshape(head["height"], head["width"], 3),
            )
        if not came:
            raise InputError(words.VIDEO_DAMAGED.format(name=self._name))
        decoded = head["end"]
        if self.facts.frames and decoded < 0.9 * self.facts.frames:
            self.notices.append(
                words.VIDEO_ENDED.format(frames=decoded, promised=self.facts.frames)
            )

    def close(self) -> None:
        """End the decoder; harmless when it has ended."""
        self._closed.set()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _start(self, every: int) -> VideoFacts:
        head, _ = self._next()
        if self._cancel.is_set():
            raise InputError(words.VIDEO_STOPPED.format(name=self._name))
        if "rate" not in head:
            raise InputError(words.VIDEO_DAMAGED.format(name=self._name))
        rate, notices = float(head["rate"]), ()
        if not 0 < rate <= MAX_RATE:  # also NaN
            rate, notices = ASSUMED_RATE, (words.VIDEO_RATE.format(rate=ASSUMED_RATE),)
        frames = int(head["frames"]) if 0 < head["frames"] < 1e7 else 0
        facts = VideoFacts(head["width"], head["height"], rate, frames, notices)
        if facts.width * facts.height > MAX_PIXELS:
            raise InputError(
                words.VIDEO_SIZE.format(
                    most=MAX_PIXELS / 1e6, width=facts.width, height=facts.height
                )
            )
        if facts.seconds > MAX_SECONDS + SECONDS_SLACK:
            raise InputError(
                words.VIDEO_LONG.format(most=MAX_SECONDS, seconds=facts.seconds, name=self._name)
            )
        sampled = -(-facts.frames // every)
        if sampled > MAX_FRAMES:
            raise InputError(words.VIDEO_FRAMES.format(most=MAX_FRAMES, count=sampled))
        return facts

    def _next(self) -> tuple[dict[str, Any], bytes]:
        end = time.monotonic() + self._wait
        while True:
            try:
                message = self._messages.get(timeout=min(self._wait, LOOK_SECONDS))
                break
            except queue.Empty:
                if self._cancel.is_set():
                    return {"end": 0}, b""
                if time.monotonic() >= end:
                    log.warning("a video frame took more than %.0f s", self._wait)
                    raise InputError(words.VIDEO_SLOW.format(name=self._name)) from None
        if message is None:  # it crashed or was ended by its limits
            raise InputError(words.VIDEO_DAMAGED.format(name=self._name))
        return message

    def _pump(self) -> None:
        """Move what the decoder writes into the queue; None when it ends without a word."""
        stream = self._process.stdout
        message: tuple[dict[str, Any], bytes] | None
        try:
            while stream is not None and (message := _read(stream)) is not None:
                if not self._put(message) or "end" in message[0]:
                    return
        except (OSError, ValueError):
            log.info("the video decoder's output ended early")
        self._put(None)

    def _put(self, message: tuple[dict[str, Any], bytes] | None) -> bool:
        while not self._closed.is_set():
            try:
                self._messages.put(message, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False


def _read(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    line = stream.readline(1000)
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    size = head.get("bytes", 0)
    if not 0 <= size <= 3 * MAX_PIXELS:
        return None
    body = stream.read(size) if size else b""
    return (head, body) if len(body) == size else None


# -- the other process -----------------------------------------------------------------------


def _decode(path: str, every: int) -> int:
    """Write one JSON line about the video, then for each frame a JSON line and its pixels."""
    import cv2

    _limit_resources()
    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        return 1
    out = sys.stdout.buffer

    def say(facts: dict[str, Any], body: bytes = b"") -> None:
        out.write(json.dumps(facts).encode() + b"\n" + body)
        out.flush()

    rate = capture.get(cv2.CAP_PROP_FPS)
    say(
        {
            "width": int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            "height": int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            "rate": rate if 0 < rate < 1e6 else 0,
            "frames": int(min(max(capture.get(cv2.CAP_PROP_FRAME_COUNT), 0), 1e9)),
        }
    )
    shown_rate = rate if 0 < rate <= MAX_RATE else ASSUMED_RATE
    most = int((MAX_SECONDS + SECONDS_SLACK) * shown_rate) + 1  # a container may lie
    index = sent = 0
    while index < most and sent < MAX_FRAMES and capture.grab():
        if index % every == 0:
            done, frame = capture.retrieve()
            if not done or frame is None or frame.ndim != 3 or frame.size > 3 * MAX_PIXELS:
                break
            height, width = frame.shape[:2]
            body = np.ascontiguousarray(frame[..., ::-1]).tobytes()
            say({"index": index, "height": height, "width": width, "bytes": len(body)}, body)
            sent += 1
        index += 1
    say({"end": index})
    return 0


def _limit_resources() -> None:
    try:
        import resource
    except ImportError:  # not on Windows; the parent's patience is then the only limit
        return
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(_decode(sys.argv[1], max(1, int(sys.argv[2]))))
