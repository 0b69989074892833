"""Makers of photo files by code: whole ones, damaged ones, and ones whose header lies."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

WIDTH, HEIGHT = 60, 40
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)

Corner = tuple[int, int, int]


def drawing() -> np.ndarray:
    """(40, 60, 3) uint8: red top-left, green top-right, blue bottom-left, white bottom-right."""
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2], pixels[: HEIGHT // 2, WIDTH // 2 :] = RED, GREEN
    pixels[HEIGHT // 2 :, : WIDTH // 2], pixels[HEIGHT // 2 :, WIDTH // 2 :] = BLUE, WHITE
    return pixels


UPRIGHT = (RED, GREEN, BLUE)


def encoded(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    """An image in a file format, as bytes."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def photo(kind: str, **options: object) -> bytes:
    """The drawing in a file format, near lossless."""
    if kind == "JPEG":
        options = {"quality": 95, "subsampling": 0, **options}
    if kind in ("WEBP", "AVIF"):
        options = {"quality": 95, **options}
    return encoded(drawing(), kind, **options)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    """A PNG of any claimed size around any data (compressed here)."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(data))
        + png_chunk(b"IEND", b"")
    )


def jpeg_claiming(width: int, height: int) -> bytes:
    """A real JPEG whose frame header claims another size."""
    data = bytearray(photo("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def gif_claiming(width: int, height: int) -> bytes:
    data = bytearray(photo("GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def bmp_claiming(width: int, height: int) -> bytes:
    data = bytearray(photo("BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def tiff_claiming(width: int, height: int) -> bytes:
    data = bytearray(photo("TIFF"))
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    for i in range(count):
        at = directory + 2 + 12 * i
        tag = struct.unpack_from("<H", data, at)[0]
        if tag in (256, 257):  # ImageWidth, ImageLength
            struct.pack_into("<HII", data, at + 2, 4, 1, width if tag == 256 else height)
    return bytes(data)


def webp_claiming(width: int, height: int) -> bytes:
    """An extended WebP whose canvas claims another size."""
    plain = photo("WEBP")
    body = struct.pack("<I", 0) + (width - 1).to_bytes(3, "little")
    body += (height - 1).to_bytes(3, "little")
    chunks = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + body + plain[12:]
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def avif_claiming(width: int, height: int) -> bytes:
    data = bytearray(photo("AVIF"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


def turned(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return photo(kind, exif=exif)


# EXIF orientation -> (size, corners) of the drawing once it is upright, by the EXIF standard:
# value n says which visual side the stored row 0 and column 0 are
TURNED: dict[int, tuple[tuple[int, int], tuple[Corner, Corner, Corner]]] = {
    1: ((WIDTH, HEIGHT), (RED, GREEN, BLUE)),
    2: ((WIDTH, HEIGHT), (GREEN, RED, WHITE)),  # row 0 top, column 0 right
    3: ((WIDTH, HEIGHT), (WHITE, BLUE, GREEN)),  # bottom, right
    4: ((WIDTH, HEIGHT), (BLUE, WHITE, RED)),  # bottom, left
    5: ((HEIGHT, WIDTH), (RED, BLUE, GREEN)),  # row 0 left, column 0 top
    6: ((HEIGHT, WIDTH), (BLUE, RED, WHITE)),  # right, top
    7: ((HEIGHT, WIDTH), (WHITE, GREEN, BLUE)),  # right, bottom
    8: ((HEIGHT, WIDTH), (GREEN, WHITE, RED)),  # left, bottom
}


def ramp(dtype: type, top: float) -> np.ndarray:
    """(40, 60) from 0 to ``top``."""
    return np.linspace(0, top, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(dtype)


def transparent(kind: str, **options: object) -> bytes:
    """Red with an invisible right half, which hides green."""
    rgba = np.dstack([drawing(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    rgba[:, WIDTH // 2 :, 3] = 0
    if kind == "WEBP":
        options = {"lossless": True, "exact": True, **options}
    return encoded(rgba, kind, **options)


def palette(**options: object) -> bytes:
    return encoded(Image.fromarray(drawing()).quantize(8), "PNG", **options)


def palette_with_transparency(kind: str) -> bytes:
    image = Image.fromarray(drawing()).quantize(8)
    green = image.getpixel((WIDTH - 5, 5))
    return encoded(image, kind, transparency=green)


def grey_alpha() -> bytes:
    grey = np.full((HEIGHT, WIDTH), 40, np.uint8)
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, WIDTH // 2 :] = 0
    return encoded(Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]), "PNG")


def half_transparent() -> bytes:
    rgba = np.full((HEIGHT, WIDTH, 4), (0, 0, 0, 128), np.uint8)
    return encoded(rgba, "PNG")


def one_bit() -> bytes:
    return encoded(Image.fromarray(ramp(np.uint8, 255)).convert("1", dither=0), "PNG")


def two_frames(kind: str) -> bytes:
    first, second = Image.fromarray(drawing()), Image.fromarray(drawing()[::-1].copy())
    options = {"lossless": True} if kind == "WEBP" else {}
    return encoded(first, kind, save_all=True, append_images=[second], **options)


def cmyk(**options: object) -> bytes:
    image = Image.fromarray(drawing()).convert("CMYK")
    return encoded(image, "JPEG", quality=95, subsampling=0, **options)


def deep_png(channels: int) -> bytes:
    """The drawing as a PNG of 16 bits a channel; with four channels all of it is opaque."""
    pixels = np.full((HEIGHT, WIDTH, 4), 65535, ">u2")
    pixels[..., :3] = drawing().astype(np.uint16) * 257
    rows = b"".join(b"\0" + row[:, :channels].tobytes() for row in pixels)
    return png(WIDTH, HEIGHT, depth=16, colour={3: 2, 4: 6}[channels], data=rows)


def deep_tiff() -> bytes:
    """The drawing as an uncompressed TIFF of 16 bits a channel."""
    body = (drawing().astype("<u2") * 257).tobytes()
    tags = [
        (256, 3, 1, WIDTH),
        (257, 3, 1, HEIGHT),
        (258, 3, 3, 8),  # bits of each channel lie at byte 8
        (259, 3, 1, 1),  # not compressed
        (262, 3, 1, 2),  # RGB
        (273, 4, 1, 14),  # the picture lies behind them
        (277, 3, 1, 3),
        (278, 3, 1, HEIGHT),
        (279, 4, 1, len(body)),
    ]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags)
    bits = struct.pack("<HHH", 16, 16, 16)
    return b"II*\0" + struct.pack("<I", 14 + len(body)) + bits + body + directory + b"\0" * 4


def swapped_profile() -> bytes:
    """An RGB profile whose red and green primaries are exchanged: pure red means green."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", data, 128)
    rows = {bytes(data[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = rows[b"rXYZ"], rows[b"gXYZ"]
    where = bytes(data[red + 4 : red + 12]), bytes(data[green + 4 : green + 12])
    data[red + 4 : red + 12], data[green + 4 : green + 12] = where[1], where[0]
    return bytes(data).replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))


def lab_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def png_with(name: bytes, body: bytes) -> bytes:
    """The drawing with one more chunk behind the header."""
    plain = photo("PNG")
    return plain[:33] + png_chunk(name, body) + plain[33:]


def with_good_checksums(data: bytes) -> bytes:
    """A damaged PNG whose chunks pass their checksum, so that the damage reaches the decoder."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        out += png_chunk(data[at + 4 : at + 8], data[at + 8 : end])
        at = end + 4
    return bytes(out + data[at:])


def bad_crc() -> bytes:
    data = bytearray(photo("PNG"))
    data[data.index(b"IDAT") + 8] ^= 0xFF
    return bytes(data)


def polyglot() -> bytes:
    """A whole JPEG with a script behind it; the picture is fine and the rest is ignored."""
    return photo("JPEG") + b"<script>alert(1)</script>"


def tiff_loop() -> bytes:
    """A TIFF whose next directory is itself."""
    data = bytearray(photo("TIFF"))
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    struct.pack_into("<I", data, directory + 2 + 12 * count, directory)
    return bytes(data)


def half(kind: str) -> bytes:
    rng = np.random.default_rng(7)  # noise, so that half of the bytes are half of the picture
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(noise, kind)
    return data[: len(data) // 2]


def head(kind: str) -> bytes:
    return photo(kind)[:20]


KINDS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
CLAIMS = {
    "JPEG": jpeg_claiming,
    "PNG": lambda w, h: png(w, h, data=b"\0" * 1000),
    "GIF": gif_claiming,
    "BMP": bmp_claiming,
    "TIFF": tiff_claiming,
    "WEBP": webp_claiming,
    "AVIF": avif_claiming,
}
