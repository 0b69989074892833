"""Damaged, lying and odd photos, each made by code together with what must come of it.

The colours of the drawing are known, so that a file that can be read is checked by its pixels.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hostile.forge import (
    BLUE,
    CLAIMS,
    GREEN,
    HEIGHT,
    KINDS,
    RED,
    TURNED,
    UPRIGHT,
    WHITE,
    WIDTH,
    Corner,
    bad_crc,
    bmp_claiming,
    cmyk,
    deep_png,
    deep_tiff,
    drawing,
    encoded,
    grey_alpha,
    half,
    half_transparent,
    head,
    lab_profile,
    one_bit,
    palette,
    palette_with_transparency,
    photo,
    png,
    png_with,
    polyglot,
    ramp,
    swapped_profile,
    tiff_claiming,
    tiff_loop,
    transparent,
    turned,
    two_frames,
    webp_claiming,
)
from PIL import Image


@dataclass(frozen=True)
class Case:
    """One hostile file: either ``error`` (a pattern of the message) or the expected picture.

    ``corners`` are the RGB values near top-left, top-right and bottom-left; ``grey`` (low, high)
    is what the darkest and brightest pixel must be; ``notices`` are patterns, one for each.
    """

    name: str
    make: Callable[[], bytes]
    error: str | None = None
    size: tuple[int, int] = (WIDTH, HEIGHT)
    corners: tuple[Corner, Corner, Corner] | None = None
    grey: tuple[int, int] | None = None
    notices: tuple[str, ...] = ()
    tolerance: int = 24
    tags: frozenset[str] = field(default_factory=frozenset)


def cases() -> list[Case]:
    """Every hostile file."""
    return [*_headers(), *_broken(), *_not_photos(), *_orientations(), *_modes(), *_odd()]


def _headers() -> list[Case]:
    """Refused by what the header claims; the data behind it is too short to be decoded."""
    header = frozenset({"header"})
    big = "at most 40 megapixels"
    found = [
        Case(f"huge-{kind.lower()}", lambda k=kind: CLAIMS[k](11_000, 11_000), big, tags=header)
        for kind in KINDS
    ]
    claims = {
        "40-mp-and-one-row": (8000, 5001, big),
        "gigapixels": (65_535, 65_535, big),
        "largest-png": (2**31 - 1, 2**31 - 1, "megapixels|damaged"),
        "one-pixel": (1, 1, "at least 16 px"),
        "side-15": (15, 400, "at least 16 px"),
        "no-width": (0, 40, "damaged|at least 16 px"),
        "side-12001": (12_001, 300, "at most 12000 px"),
        "aspect-51": (1020, 20, "50 times longer"),
        "aspect-51-tall": (20, 1020, "50 times longer"),
        "thin-line": (20_000, 2, "at least 16 px"),
    }
    found += [
        Case(name, lambda w=w, h=h: png(w, h), error, tags=header)
        for name, (w, h, error) in claims.items()
    ]
    bomb = Case("png-bomb-100-mp", _bomb, big, tags=header)
    return [*found, bomb]


def _bomb() -> bytes:
    """100 megapixels of black in about 12 kB, whole and valid (one bit a pixel)."""
    return png(10_000, 10_000, depth=1, data=b"\0" * (1251 * 10_000))


def _broken() -> list[Case]:
    found = [Case(f"half-{kind.lower()}", lambda k=kind: half(k), "damaged") for kind in KINDS]
    found += [Case(f"head-{kind.lower()}", lambda k=kind: head(k), "damaged") for kind in KINDS]
    claimed = "damaged"  # a size within the limits that the data does not fill
    found += [
        Case("png-too-little-data", lambda: png(3000, 3000, data=b"\0" * 5000), claimed),
        Case("bmp-too-little-data", lambda: bmp_claiming(3000, 3000), claimed),
        Case("tiff-too-little-data", lambda: tiff_claiming(3000, 3000), claimed),
        Case("webp-canvas-lies", lambda: webp_claiming(3000, 3000), claimed),
        Case("png-bad-checksum", bad_crc, claimed),
        Case("png-no-data", lambda: png(40, 40), claimed),
        Case("png-bad-depth", lambda: png(40, 40, depth=7, data=b"\0" * 5000), claimed),
        Case(
            "jpeg-only-markers", lambda: b"\xff\xd8\xff\xe0\x00\x10JFIF\0" + b"\xff" * 400, claimed
        ),
        Case("tiff-no-directory", lambda: b"II*\x00" + struct.pack("<I", 10**9), claimed),
        Case("zlib-bomb-in-png-text", _text_bomb, claimed),
    ]
    return found


def _text_bomb() -> bytes:
    """80 MB of text in a chunk of 80 kB."""
    return png_with(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 80_000_000))


def _not_photos() -> list[Case]:
    heic = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\0" * 100
    video = b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isomavc1" + b"\0" * 100
    svg = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script/></svg>'
    contents: dict[str, tuple[bytes, str]] = {
        "empty": (b"", "an empty file"),
        "one-byte": (b"\xff", "unknown kind"),
        "text": (b"this is no photo\n", "a text file"),
        "long-utf8-text": (("a" + "ö" * 4000).encode(), "a text file"),
        "utf8-text": ("kein Foto, höchstens Text".encode(), "a text file"),
        "html": (b"<!DOCTYPE html><img src=x onerror=alert(1)>", "a web page"),
        "svg": (svg, "an SVG drawing"),
        "svg-bare": (b"\xef\xbb\xbf  <svg width='1'/>", "an SVG drawing"),
        "heic": (heic, "HEIC.*JPEG"),
        "video": (video, "a video"),
        "wav": (b"RIFF\x24\0\0\0WAVEfmt ", "sound"),
        "pdf": (b"%PDF-1.7\n", "a PDF"),
        "zip": (b"PK\x03\x04" + b"\0" * 60, "a ZIP"),
        "photoshop": (b"8BPS\0\1" + b"\0" * 60, "Photoshop"),
        "icon": (b"\0\0\1\0\1\0" + b"\0" * 60, "an icon"),
        "jpeg-2000": (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\0" * 60, "JPEG 2000"),
        "jpeg-xl": (b"\xff\x0a" + b"\0" * 60, "JPEG XL"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "a text file"),
        "ppm": (b"P6 40 40 255\n" + b"\x80\x90\x01" * 1600, "unknown kind"),
        "numpy": (b"\x93NUMPY\x01\0" + b"\0" * 60, "NumPy"),
        "pickle": (b"\x80\x04\x95\0\0\0\0\0\0\0\0.", "unknown kind"),
        "zeros": (b"\0" * 5000, "unknown kind"),
    }
    return [Case(name, lambda d=data: d, error) for name, (data, error) in contents.items()]


def _orientations() -> list[Case]:
    found = [
        Case(f"exif-{o}-{kind.lower()}", lambda k=kind, o=o: turned(k, o), None, size, corners)
        for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
        for o, (size, corners) in TURNED.items()
    ]
    found += [
        Case("exif-9", lambda: turned("JPEG", 9), corners=UPRIGHT),
        Case(
            "exif-damaged",
            lambda: photo("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\x01"),
            corners=UPRIGHT,
        ),
    ]
    return found


def _modes() -> list[Case]:
    white_right = (RED, WHITE, BLUE)
    clear = ("transparent",)
    bits = ("16 bits",)
    deep = ("32 bits",)
    more = ("several frames",)
    with_nan = ramp(np.float32, 1.0)
    with_nan[20, 20], with_nan[20, 21] = np.nan, np.inf
    black_left = ((40, 40, 40), WHITE, (40, 40, 40))
    grey = ((127,) * 3,) * 3
    return [
        *(Case(f"plain-{k.lower()}", lambda k=k: photo(k), corners=UPRIGHT) for k in KINDS),
        Case("cmyk", cmyk, corners=UPRIGHT, notices=("CMYK",)),
        Case("cmyk-bad-profile", lambda: cmyk(icc_profile=b"x" * 400), None, corners=UPRIGHT,
             notices=("CMYK", "profile is damaged")),
        Case("profile-swaps-red-and-green", lambda: photo("PNG", icc_profile=swapped_profile()),
             corners=(GREEN, RED, BLUE)),
        Case("profile-swaps-rgba", lambda: transparent("PNG", icc_profile=swapped_profile()),
             corners=(GREEN, WHITE, BLUE), notices=clear),
        Case("profile-swaps-palette", lambda: palette(icc_profile=swapped_profile()),
             corners=(GREEN, RED, BLUE)),
        Case("profile-of-another-space", lambda: photo("PNG", icc_profile=lab_profile()),
             corners=UPRIGHT, notices=("profile is damaged",)),
        Case("rgb-bad-profile", lambda: photo("PNG", icc_profile=b"\0" * 400), corners=UPRIGHT,
             notices=("profile is damaged",)),
        Case("16-bit-rgb-png", lambda: deep_png(3), corners=UPRIGHT, notices=bits, tolerance=0),
        Case("16-bit-rgba-png", lambda: deep_png(4), corners=UPRIGHT, notices=bits, tolerance=0),
        Case("16-bit-rgb-tiff", deep_tiff, corners=UPRIGHT, notices=bits, tolerance=0),
        Case("16-bit-png", lambda: encoded(ramp(np.uint16, 65535), "PNG"), grey=(0, 255),
             notices=bits),
        Case("16-bit-tiff", lambda: encoded(ramp(np.uint16, 65535), "TIFF"), grey=(0, 255),
             notices=bits),
        Case("16-bit-half-bright", lambda: encoded(ramp(np.uint16, 32768), "PNG"), grey=(0, 128),
             notices=bits, tolerance=1),
        Case("float-tiff", lambda: encoded(ramp(np.float32, 1.0), "TIFF"), grey=(0, 255),
             notices=deep),
        Case("float-tiff-nan", lambda: encoded(with_nan, "TIFF"), grey=(0, 255), notices=deep),
        Case("float-tiff-all-nan",
             lambda: encoded(np.full((HEIGHT, WIDTH), np.nan, np.float32), "TIFF"), "finite"),
        Case("float-tiff-constant",
             lambda: encoded(np.full((HEIGHT, WIDTH), 3e38, np.float32), "TIFF"), grey=(128, 128),
             notices=deep),
        Case("int-tiff", lambda: encoded(ramp(np.int32, 10**9), "TIFF"), grey=(0, 255),
             notices=deep),
        Case("grey-png", lambda: encoded(ramp(np.uint8, 255), "PNG"), grey=(0, 255)),
        Case("one-bit", one_bit, grey=(0, 255)),
        Case("rgba-png", lambda: transparent("PNG"), corners=white_right, notices=clear),
        Case("rgba-webp", lambda: transparent("WEBP"), corners=white_right, notices=clear),
        Case("rgba-tiff", lambda: transparent("TIFF"), corners=white_right, notices=clear),
        Case("half-transparent", half_transparent, corners=grey, notices=clear, tolerance=1),
        Case("grey-alpha", grey_alpha, corners=black_left, notices=clear),
        Case("palette-png", lambda: palette_with_transparency("PNG"), corners=white_right,
             notices=clear),
        Case("palette-gif", lambda: palette_with_transparency("GIF"), corners=white_right,
             notices=clear),
        *(Case(f"animated-{k.lower()}", lambda k=k: two_frames(k), corners=UPRIGHT, notices=more)
          for k in ("GIF", "WEBP", "PNG", "AVIF")),
        Case("pages-tiff", lambda: two_frames("TIFF"), corners=UPRIGHT, notices=("several pages",)),
    ]  # fmt: skip


def _odd() -> list[Case]:
    small = (16, 16)
    return [
        Case("smallest", lambda: encoded(drawing()[:16, :16], "PNG"), None, small,
             (RED, RED, RED)),
        Case("aspect-50", lambda: encoded(Image.new("RGB", (800, 16), RED), "PNG"), None, (800, 16),
             (RED, RED, RED)),
        Case("script-behind-jpeg", polyglot, corners=UPRIGHT),
        Case("unknown-png-chunk", lambda: png_with(b"abCd", b"\xff" * 900), corners=UPRIGHT),
        Case("tiff-directory-loop", tiff_loop, corners=UPRIGHT),
        Case("progressive-jpeg", lambda: photo("JPEG", progressive=True), corners=UPRIGHT),
    ]  # fmt: skip
