"""Invented photos with known shapes, for the exports under tests/exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT, PHOTOS = 128, 96, 4
CLASSES = ("person", "car", "traffic light")

Points = list[tuple[float, float]]


def shapes(photo: int) -> list[tuple[str, Points]]:
    """(class, corners in px) of the objects of a photo, drawn bright on a dark ground."""
    move = 3 * photo
    return [
        ("person", [(10 + move, 20), (38 + move, 14), (44 + move, 50), (26 + move, 80), (8, 60)]),
        ("car", [(70, 40 - move), (116, 44 - move), (118, 72 - move), (66, 70 - move)]),
    ]


def car_in_parts(photo: int) -> list[Points]:
    """A car of which something hides the middle: two parts of one object."""
    upper = [(x, min(y, 55)) for x, y in shapes(photo)[1][1]]
    return [upper, [(66, 80), (80, 80), (80, 90), (66, 90)]]


def drawn(*polygons: Points) -> np.ndarray:
    """(H, W) bool mask of the parts of an object."""
    image = Image.new("1", (WIDTH, HEIGHT))
    for points in polygons:
        ImageDraw.Draw(image).polygon(points, fill=1)
    return np.array(image)


def photo(number: int) -> Image.Image:
    """RGB photo of 128 x 96 px."""
    rng = np.random.default_rng(number)
    ground = rng.integers(30, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    image = Image.fromarray(ground)
    pen = ImageDraw.Draw(image)
    for k, (_, points) in enumerate(shapes(number)):
        pen.polygon(points, fill=((230, 190, 150), (160, 200, 240))[k])
    return image


def write_photos(folder: Path, names: list[str]) -> None:
    """Write the photos 0, 1, ... under these paths."""
    for number, name in enumerate(names):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        photo(number).save(target)
