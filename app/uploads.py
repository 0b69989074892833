"""Uploaded photos: bounded in bytes, pixels, time and disk before anything else sees them."""

from __future__ import annotations

import logging
import queue
import shutil
import threading
from pathlib import Path

import cv2
from gradio.processing_utils import save_bytes_to_cache

from dynamask.coco_read import read_rgb
from dynamask.errors import InputError
from dynamask.images import ReadImage, is_turned, read_image

MAX_UPLOAD_BYTES = 20_000_000  # a 24-megapixel JPEG at best quality takes about 15 MB
MIN_FREE_BYTES = 1_000_000_000  # below this the server refuses work rather than fill the disk
DECODE_SECONDS = 20.0  # 40 megapixels take about 3 s on two cores
MAX_DECODING = 4  # also counts decoders that ran out of time and still run

log = logging.getLogger(__name__)
_slots = threading.BoundedSemaphore(MAX_DECODING)


def read_upload(
    path: str | Path,
    *,
    max_bytes: int = MAX_UPLOAD_BYTES,
    min_free_bytes: int = MIN_FREE_BYTES,
    seconds: float = DECODE_SECONDS,
) -> ReadImage:
    """Decode an uploaded file.

    Args:
        path: where the server put the upload.
        max_bytes: largest file.
        min_free_bytes: free space that the disk of uploads must have.
        seconds: longest time to wait for the decoder.

    Returns:
        pixels (H, W, 3) uint8 RGB and notices for the user.

    Raises:
        InputError: one sentence that may be shown as it is; it names no folder of the server.
    """
    path = Path(path)
    _check_disk(path, min_free_bytes)
    return _decode_in_time(path, max_bytes, seconds)


def in_frame(path: Path, size: tuple[int, int], cache: str) -> Path:
    """A photo that opens in the frame of a set's boxes, as coco_read.read_photo has it.

    Args:
        path: the photo.
        size: (height, width) that the boxes are meant for.
        cache: folder for a copy whose pixels lie as the file stores them, where EXIF would turn
            them out of the frame.

    Returns:
        The photo itself, or the copy.

    Raises:
        InputError: there is no such file; DataError: it cannot be decoded.
    """
    if not is_turned(path):
        return path
    pixels = read_rgb(path)
    if pixels.shape[:2] != size:  # then the boxes are meant for the upright photo
        return path
    stored = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()  # what the run has read
    return Path(save_bytes_to_cache(stored, "stored", cache))


def _check_disk(path: Path, min_free_bytes: int) -> None:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:  # the file is then missing too, and read_image says so
        return
    if free < min_free_bytes:
        raise InputError(
            f"Expected {min_free_bytes / 1e9:g} GB of free disk space on the server, got "
            f"{free / 1e9:.1f} GB; free some space and try again."
        )


def _decode_in_time(path: Path, max_bytes: int, seconds: float) -> ReadImage:
    """Run the decoder in a thread of its own and wait for it at most ``seconds``.

    A decoder in C cannot be stopped from outside; its thread is left behind as a daemon and keeps
    its slot until it ends, so that a handful of slow files cannot pile up threads.
    """
    if not _slots.acquire(timeout=seconds):
        raise InputError(
            "Expected a free decoder for the photo, got a busy server; try again in a minute."
        )
    answer: queue.SimpleQueue[ReadImage | BaseException] = queue.SimpleQueue()

    def decode() -> None:
        try:
            answer.put(read_image(path, max_bytes=max_bytes))
        except BaseException as error:  # handed to the waiting thread
            answer.put(error)
        finally:
            _slots.release()

    try:
        threading.Thread(target=decode, name="decode-upload", daemon=True).start()
    except RuntimeError:  # no thread to be had: give the slot back
        _slots.release()
        raise
    try:
        result = answer.get(timeout=seconds)
    except queue.Empty:
        log.warning("a photo took more than %.0f s to decode", seconds)
        raise InputError(
            f"Expected a photo that decodes within {seconds:g} s, got one that takes longer; "
            "make it smaller or save it as JPEG."
        ) from None
    if isinstance(result, BaseException):
        raise result
    return result
