"""Photos as their files store them, and upright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynamask.errors import DataError
from dynamask.stored import read_rgb

ORIENTATION = 0x0112
# what a viewer shows of the stored pixels, written out for each of EXIF's eight ways
SHOWN = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("turn", SHOWN)
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_a_tiff_that_exif_turns(tmp_path: Path, turn: int, compression: str) -> None:
    """OpenCV turns it whatever it is asked, or fails where the sides are exchanged."""
    pixels = np.random.default_rng(turn).integers(0, 256, (30, 50, 3), np.uint8)
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    path = tmp_path / "photo.tif"
    Image.fromarray(pixels).save(path, exif=exif, compression=compression)
    assert np.array_equal(read_rgb(path), pixels)
    assert np.array_equal(read_rgb(path, upright=True), SHOWN[turn](pixels))


def test_damaged_tiffs_are_a_sentence(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / "photo.tif"
    Image.new("RGB", (50, 30)).save(path, exif=exif, compression="tiff_lzw")
    whole = path.read_bytes()
    for size in (4, 8, 40, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="cannot be decoded"):
            read_rgb(path)
