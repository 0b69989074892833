"""Outlines of masks against scikit-image, and shapes whose compactness is known."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import perimeter_crofton

from analysis.outline import outline


def test_outlines_against_another_implementation() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :120]
    for _ in range(20):
        cx, cy, r = rng.uniform(20, 100), rng.uniform(20, 70), rng.uniform(1, 19)
        mask = np.hypot(x - cx, y - cy) < r * (1 + 0.2 * np.cos(3 * np.arctan2(y - cy, x - cx)))
        mask &= np.hypot(x - cx, y - cy) > r / 3
        if mask.any():
            expected = perimeter_crofton(np.pad(mask, 1), directions=4)
            assert outline(mask).length_px == pytest.approx(expected)


def test_discs_are_compact_and_combs_are_not() -> None:
    y, x = np.mgrid[:200, :200]
    disc = outline(np.hypot(x - 100, y - 100) < 60)
    assert disc.compactness == pytest.approx(1, abs=0.03) and not disc.truncated
    comb = np.zeros((200, 200), bool)
    comb[50:150, 50:150:2] = True
    assert outline(comb).compactness < 0.02
    assert outline(np.hypot(x - 5, y - 100) < 20).truncated
    nothing = outline(np.zeros((5, 5), bool))
    assert (nothing.pixels, nothing.compactness) == (0, None)
