"""The outline of an annotated mask: how long it is, how ragged, and whether the photo cuts it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outline:
    """What a mask's outline is like.

    Attributes:
        pixels: mask area in px².
        length_px: length of the outline, holes included.
        compactness: 4 pi area / length squared, at most 1; None for an empty mask.
        truncated: whether the mask touches the photo's edge.
    """

    pixels: int
    length_px: float
    compactness: float | None
    truncated: bool


def outline(mask: np.ndarray) -> Outline:
    """Measure a (H, W) bool mask.

    The length is Crofton's: crossings of the outline with lines in four directions, which neither
    counts stairs (as pixel edges do) nor depends on the outline's direction by more than 5 %.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Outline(0, 0.0, None, False)
    height, width = mask.shape
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    cut = top == 0 or left == 0 or bottom == height - 1 or right == width - 1
    part = np.pad(mask[top : bottom + 1, left : right + 1], 1)
    straight = np.count_nonzero(part[1:] != part[:-1])
    straight += np.count_nonzero(part[:, 1:] != part[:, :-1])
    slanted = np.count_nonzero(part[1:, 1:] != part[:-1, :-1])
    slanted += np.count_nonzero(part[1:, :-1] != part[:-1, 1:])
    # lines along the axes are 1 px apart, slanted ones 1 / sqrt(2)
    length = math.pi / 8 * (straight + slanted / math.sqrt(2))
    pixels = int(np.count_nonzero(mask))
    return Outline(pixels, length, min(1.0, 4 * math.pi * pixels / length**2), bool(cut))
