"""Photos from strangers: sniffed by content, measured by their header, then decoded to RGB.

A file of a few kilobytes can claim gigapixels, so nothing is decoded before its header passes
the limits. Pillow's format classes are used directly: no search through every decoder that
Pillow has, and none of its process-wide switches is touched, so any thread may read.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from dynamask.errors import InputError
from dynamask.sniff import ALLOWED, sniff, webp_size

MAX_PIXELS = 40_000_000  # a 12 kB PNG of 100 MP took seconds and kept 500 MB
MIN_SIDE, MAX_SIDE = 16, 12_000  # px
MAX_ASPECT = 50  # long side : short side
MAX_FILE_BYTES = 1 << 30  # 40 MP of 16-bit RGBA is 320 MB
MAX_PROFILE_BYTES = 8_000_000  # printers' profiles take 1 to 3 MB

_READERS = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
    "GIF": GifImageFile,
    "AVIF": AvifImageFile,
}
_ORIENTATION_TAG = 0x0112
_TRANSPOSE = {  # EXIF orientation -> what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ReadImage:
    """A decoded photo: ``pixels`` (H, W, 3) uint8 RGB, upright; ``notices`` for the user."""

    pixels: np.ndarray
    notices: tuple[str, ...] = ()


def read_image(
    source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int | None = None
) -> ReadImage:
    """Read a photo as upright RGB.

    Args:
        source: a file's path, or the file's content.
        max_pixels: width times height, decided from the header before decoding.
        max_bytes: largest file; 1 GiB where None.

    Returns:
        pixels (H, W, 3) uint8 and one sentence per thing that was changed on the way.

    Raises:
        InputError: missing, too large, damaged or no photo that can be read.
    """
    data, name = _read_bytes(source, MAX_FILE_BYTES if max_bytes is None else max_bytes)
    kind = sniff(data)
    _check_kind(kind, data, name)
    if kind == "WEBP":  # its decoder takes memory for the whole canvas as it opens
        size = webp_size(data)
        if size is not None:
            _check_size(size, name, max_pixels)
    try:
        image = _READERS[kind](io.BytesIO(data))
    except Exception as error:
        raise _damaged(kind, name, error) from error
    with image:
        _check_size(image.size, name, max_pixels)
        deep = _deep_colour(image, kind)  # known only until it is decoded
        try:
            image.load()
        except Exception as error:
            raise _damaged(kind, name, error) from error
        _check_size(image.size, name, max_pixels)  # a GIF frame may outgrow its screen
        notices: list[str] = []
        if deep:
            notices.append("The photo has 16 bits per colour; it was scaled to 8.")
        pixels = _to_rgb(image, name, notices)
        pixels = _upright(pixels, _orientation(image))
        if _has_more(image):
            more = "pages" if kind == "TIFF" else "frames"
            notices.append(f"The file has several {more}; the first one was used.")
    return ReadImage(pixels, tuple(notices))


def is_turned(source: str | Path | bytes) -> bool:
    """Whether :func:`read_image` turns or mirrors a photo, as EXIF asks; False for no photo.

    Raises:
        InputError: there is no such file, or it is too large.
    """
    data, _ = _read_bytes(source, MAX_FILE_BYTES)
    kind = sniff(data)
    size = webp_size(data) if kind == "WEBP" else None
    if kind not in _READERS or (size and size[0] * size[1] > MAX_PIXELS):
        return False
    try:
        with _READERS[kind](io.BytesIO(data)) as image:
            return _orientation(image) != 1
    except Exception as error:
        log.debug("no photo: %r", error)
        return False


def _read_bytes(source: str | Path | bytes, limit: int) -> tuple[bytes, str]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        data, name = bytes(source), "the photo"
    else:
        path = Path(source)
        name = _shown(path.name)
        try:
            if not path.is_file():  # also keeps out devices, which never end
                state = "a folder" if path.is_dir() else "no such file"
                raise InputError(
                    f"Expected a photo file, got {state} at {name}; give the path of a photo."
                )
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except (OSError, ValueError) as error:
            raise InputError(
                f"Expected a photo file, got {name} that cannot be opened; check its name and "
                "permissions."
            ) from error
    if len(data) > limit:
        raise InputError(
            f"Expected a photo of at most {_megabytes(limit)}, got a larger file ({name}); "
            "save it smaller, for example as JPEG."
        )
    return data, name


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count >= 1_000_000 else f"{count} bytes"


def _shown(name: str) -> str:
    """A file name fit for one sentence: printable and short."""
    clean = "".join(c if c.isprintable() else "?" for c in name)
    return clean if len(clean) <= 80 else f"{clean[:60]}…{clean[-15:]}"


def _check_kind(kind: str, data: bytes, name: str) -> None:
    if not data:
        raise InputError(
            f"Expected a photo, got an empty file ({name}); export or download it again."
        )
    if kind == "HEIC":
        raise InputError(
            f"Expected a photo as {ALLOWED}, got HEIC ({name}); export it as JPEG and try again."
        )
    if kind == "SVG":
        raise InputError(
            f"Expected a photo made of pixels, got an SVG drawing ({name}); "
            "export it as PNG and try again."
        )
    if kind == "AVIF" and not features.check("avif"):
        raise InputError(
            f"Expected a photo that this Pillow can read, got AVIF ({name}); export it as JPEG "
            "or install a Pillow with AVIF."
        )
    if kind not in _READERS:
        raise InputError(
            f"Expected a photo as {ALLOWED}, got {kind} ({name}); "
            "open it in a photo program and save it as JPEG or PNG."
        )


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    got = f"got {width} x {height} px ({name})"
    if min(size) < MIN_SIDE:
        raise InputError(
            f"Expected a photo with sides of at least {MIN_SIDE} px, {got}; give a larger one."
        )
    if width * height > max_pixels:
        raise InputError(
            f"Expected a photo of at most {max_pixels / 1e6:g} megapixels, {got}; "
            "make it smaller and try again."
        )
    if max(size) > MAX_SIDE:
        raise InputError(
            f"Expected a photo with sides of at most {MAX_SIDE} px, {got}; "
            "make it smaller or crop it."
        )
    if max(size) > MAX_ASPECT * min(size):
        raise InputError(
            f"Expected a photo at most {MAX_ASPECT} times longer than wide, {got}; crop it."
        )


def _damaged(kind: str, name: str, error: Exception) -> InputError:
    log.debug("%s: %s decoder: %r", name, kind, error)
    return InputError(
        f"Expected a whole {kind} photo, got one that is damaged or cut short ({name}); "
        "export or download it again."
    )


def _to_rgb(image: Image.Image, name: str, notices: list[str]) -> np.ndarray:
    """Pixels (H, W, 3) uint8 of any mode that the allowed formats decode to."""
    mode = image.mode
    if mode.startswith("I;16"):
        notices.append("The photo has 16 bits per pixel; it was scaled to 8.")
        grey = np.asarray(image).astype(np.uint32)  # also from the other byte order
        return _stack((grey + 128) // 257)
    if mode in ("I", "F"):
        notices.append(
            "The photo has 32 bits per pixel and no fixed range; "
            "its 0.5th to 99.5th percentile were scaled to 8 bits."
        )
        return _stack(_stretch(np.asarray(image), name))
    try:
        if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
            return _on_white(image, notices)
        if mode in ("CMYK", "LAB"):
            notices.append(f"The photo's {mode} colours were converted to RGB.")
        return np.array(_with_profile(image, notices), dtype=np.uint8)
    except (OSError, ValueError, TypeError, KeyError, IndexError, SyntaxError) as error:
        raise _damaged(image.format or mode, name, error) from error


def _stack(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def _stretch(values: np.ndarray, name: str) -> np.ndarray:
    """Scale (H, W) float or int to 0..255 between its 0.5th and 99.5th percentile."""
    finite = np.isfinite(values)
    sample = values[finite]
    sample = sample[:: max(1, sample.size // 1_000_000)]  # a million is enough for a percentile
    if sample.size == 0:
        raise InputError(
            f"Expected finite pixel values, got none in {name}; export it as an 8-bit photo."
        )
    low, high = np.percentile(sample.astype(np.float64), (0.5, 99.5))
    if high <= low:  # nearly constant: two values may still differ
        low, high = float(sample.min()), float(sample.max())
    if high <= low:
        return np.full(values.shape, 128, np.uint8)
    safe = np.where(finite, values, low).astype(np.float64)
    return np.rint(np.clip((safe - low) / (high - low), 0, 1) * 255)


def _on_white(image: Image.Image, notices: list[str]) -> np.ndarray:
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    alpha = rgba.getchannel("A")
    rgb = _with_profile(rgba.convert("RGB"), notices)
    if alpha.getextrema() == (255, 255):
        return np.array(rgb, dtype=np.uint8)
    notices.append("The photo is transparent in places; it was put on white.")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgb, mask=alpha)
    return np.array(white, dtype=np.uint8)


def _with_profile(image: Image.Image, notices: list[str]) -> Image.Image:
    """RGB through the embedded colour profile where it has one that works, else plainly."""
    if image.mode in ("P", "RGBX", "YCbCr"):
        image = image.convert("RGB")
    profile = image.info.get("icc_profile")
    if image.mode in ("RGB", "CMYK") and profile:
        try:
            return _to_srgb(image, profile)
        except Exception as error:
            log.debug("colour profile not used: %r", error)
            notices.append("The photo's colour profile is damaged; its colours may be a bit off.")
    if image.mode == "LAB":  # Pillow's own convert knows no LAB
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        if converted is not None:
            return converted
    return image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """RGB or CMYK through its profile; any exception means that the profile is of no use."""
    if len(profile) > MAX_PROFILE_BYTES:
        raise ValueError(f"a profile of {len(profile)} bytes")
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if source.profile.xcolor_space.strip() == "GRAY":  # of a grey photo that is RGB by now
        return image.convert("RGB")
    if image.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(source):
        return image
    converted = ImageCms.profileToProfile(
        image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    if converted is None:
        raise ValueError("not converted")
    return converted


def _deep_colour(image: Any, kind: str) -> bool:
    """Whether colours of 16 bits are about to be cut to 8 by the decoder (grey ones are not)."""
    if kind not in ("PNG", "TIFF") or image.mode.startswith("I;16"):
        return False
    return any(";16" in str(tile[3]) for tile in image.tile[:1])


def _orientation(image: Image.Image) -> int:
    try:
        value: Any = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception as error:
        log.debug("EXIF not used: %r", error)
        return 1
    return value if value in _TRANSPOSE else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W, 3) turned or mirrored as EXIF says."""
    if orientation not in _TRANSPOSE:
        return pixels
    return np.array(Image.fromarray(pixels).transpose(_TRANSPOSE[orientation]))


def _has_more(image: Any) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception as error:
        log.debug("frames not counted: %r", error)
        return False
