"""Pixels of a photo as its file stores them, whatever its EXIF says of turning it."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from dynamask.errors import DataError

logger = logging.getLogger(__name__)

MAX_PIXELS = 200_000_000
"""Larger TIFFs are left to OpenCV, which has a limit of its own."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION = 0x0112
_BACK = {  # what undoes each of EXIF's eight ways to turn a photo
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_EIGHT_BITS = ("L", "LA", "P", "RGB", "RGBA", "CMYK")


def read_rgb(path: Path, *, upright: bool = False) -> np.ndarray:
    """Read a photo as (H, W, 3) uint8 RGB, ``upright`` as its EXIF says; DataError if not."""
    if not os.path.isfile(path):
        raise DataError(
            f"Expected a photo {path.name} in the folder {path.parent.name}, got no such file; "
            "check the photo folder and file names."
        )
    pixels = _turned_tiff(path, upright)
    if pixels is not None:
        return pixels
    try:
        turned = 0 if upright else cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR | turned)
    except cv2.error:  # a header that claims more pixels than OpenCV allows
        pixels = None
    if pixels is None:
        raise DataError(f"Expected a photo, got {path.name} that cannot be decoded; replace it.")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _turned_tiff(path: Path, upright: bool) -> np.ndarray | None:
    """A TIFF that its EXIF turns, which OpenCV turns too or fails on; None for all other files.

    Pillow turns it as it is loaded, so that the stored pixels are found by turning it back.
    """
    with path.open("rb") as file:
        if file.read(4) not in _TIFF:
            return None
    try:
        with warnings.catch_warnings(action="ignore"), TiffImageFile(path) as image:
            turn = image.getexif().get(_ORIENTATION, 1)
            large = image.width * image.height > MAX_PIXELS
            if turn not in _BACK or image.mode not in _EIGHT_BITS or large:
                return None
            pixels = image.convert("RGB")
    except Exception as error:  # damaged files make Pillow raise nearly anything
        logger.debug("TIFF left to OpenCV: %r", error)
        return None
    return np.array(pixels if upright else pixels.transpose(_BACK[turn]))
