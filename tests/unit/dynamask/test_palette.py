"""The grid colours must be told apart by everyone, on any photo, and keep their order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from dynamask.config import GRIDS
from dynamask.palette import (
    FILL_ALPHA,
    GRID_COLOURS,
    GRID_DASHES,
    HALO_DARK,
    HALO_LIGHT,
    UNKNOWN_CLASS,
    class_colour,
    contrast,
    halo,
    rgb,
)

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
VISION = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
PHOTOS = {
    "night": (30, 30, 30),
    "grey": (128, 128, 128),
    "snow": (225, 225, 225),
    "grass": (70, 110, 50),
    "sky": (120, 160, 210),
    "skin": (190, 150, 120),
}
PAIRS = list(itertools.combinations(range(len(GRIDS)), 2))


def seen_as_lab(colours: np.ndarray, vision: str) -> np.ndarray:
    """(N, 3) sRGB 0..255 -> (N, 3) CIE Lab as that eye sees it."""
    c = colours / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ VISION[vision].T, 0, 1)
    gamma = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(gamma[None])[0]


def smallest_difference(lab: np.ndarray) -> float:
    """Smallest CIEDE2000 difference between any two of the colours."""
    first, second = zip(*PAIRS, strict=True)
    return float(deltaE_ciede2000(lab[list(first)], lab[list(second)]).min())


def grid_colours() -> np.ndarray:
    return np.array([rgb(GRID_COLOURS[g]) for g in GRIDS], dtype=float)


@pytest.mark.parametrize("vision", VISION)
def test_plain_colours_are_far_apart_and_in_order_of_lightness(vision: str) -> None:
    lab = seen_as_lab(grid_colours(), vision)
    assert smallest_difference(lab) > 15
    assert (np.diff(lab[:, 0]) > 5).all(), lab[:, 0]


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("photo", PHOTOS)
def test_fills_over_a_photo_are_told_apart(vision: str, photo: str) -> None:
    fill = FILL_ALPHA * grid_colours() + (1 - FILL_ALPHA) * np.array(PHOTOS[photo])
    assert smallest_difference(seen_as_lab(fill, vision)) > 10


def smallest_hue_difference(colours: np.ndarray, vision: str) -> float:
    """Smallest a*b* distance of fills over any photo: what shading on the photo cannot hide."""
    fills = [FILL_ALPHA * colours + (1 - FILL_ALPHA) * np.array(p) for p in PHOTOS.values()]
    labs = [seen_as_lab(fill, vision)[:, 1:] for fill in fills]
    return min(float(np.linalg.norm(lab[i] - lab[j])) for lab in labs for i, j in PAIRS)


@pytest.mark.parametrize("vision", VISION)
def test_fills_differ_by_more_than_lightness(vision: str) -> None:
    assert smallest_hue_difference(grid_colours(), vision) > 12


def test_cividis_differs_by_lightness_alone() -> None:
    """Why not cividis: its mid-tones, as fills, are told apart by a photo's shading or not."""
    from matplotlib import colormaps

    cividis = colormaps["cividis"](np.linspace(0, 1, 4))[:, :3] * 255
    assert max(smallest_hue_difference(cividis, vision) for vision in VISION) < 12


def test_every_outline_has_a_halo_of_contrast_three() -> None:
    for colour in GRID_COLOURS.values():
        assert contrast(colour, halo(colour)) >= 3
    # one of the two helpers is seen on any background, also the one that suits it worst
    for grey in range(256):
        page = f"#{grey:02x}{grey:02x}{grey:02x}"
        assert max(contrast(page, HALO_DARK), contrast(page, HALO_LIGHT)) >= 3


def test_contrast_is_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_dashes_differ_and_cover_every_grid() -> None:
    assert tuple(GRID_COLOURS) == tuple(GRID_DASHES) == GRIDS
    assert len(set(GRID_DASHES.values())) == len(GRIDS)
    filled = [1.0 if not d else d[0] / sum(d) for d in GRID_DASHES.values()]
    assert filled == sorted(filled)


def test_class_colours_are_stable_and_differ() -> None:
    colours = [class_colour(i) for i in range(80)]
    assert len(set(colours)) == 80
    assert colours[0] == class_colour(0) == "#1d76c9"
    lab = rgb2lab(np.array([[rgb(c) for c in colours]]) / 255)[0]
    assert deltaE_ciede2000(lab[:-1], lab[1:]).min() > 15  # neighbours never look alike
    assert class_colour(-1) == UNKNOWN_CLASS not in colours
