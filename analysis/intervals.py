"""Bootstrap over photos: objects of one photo are alike, so photos, not objects, are drawn.

Percentile intervals (Efron and Tibshirani, 1993) of ratios of sums, computed from one row of sums
per photo (or group of photos, see filters.PHOTO_BUCKETS), so that a million objects cost no more
than a thousand rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 500
LEVEL = 0.95


@dataclass(frozen=True)
class Sums:
    """Sums per photo.

    Attributes:
        codes: (K,) which photo (0..photos-1) a row belongs to.
        photos: number of photos drawn from.
    """

    codes: np.ndarray
    photos: int

    @classmethod
    def of(cls, buckets: np.ndarray) -> Sums:
        """From one photo id (any integers) per row."""
        unique, codes = np.unique(np.asarray(buckets), return_inverse=True)
        return cls(codes.reshape(-1), len(unique))

    def table(self, cells: np.ndarray, count: int, values: np.ndarray) -> np.ndarray:
        """(photos, count) float64 sums of ``values`` by photo and cell."""
        flat = self.codes * count + np.asarray(cells, dtype=np.int64)
        sums = np.bincount(flat, np.asarray(values, dtype=np.float64), self.photos * count)
        return sums.reshape(self.photos, count)


def draws(photos: int, seed: int = 0, count: int = DRAWS) -> np.ndarray:
    """(count, photos) how often each photo is drawn in each resample; the same for one seed."""
    if not photos:
        return np.zeros((count, 0))
    rng = np.random.default_rng(seed)
    return rng.multinomial(photos, np.full(photos, 1 / photos), size=count).astype(np.float64)


def ratio_interval(
    above: np.ndarray, below: np.ndarray, seed: int = 0, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratio of two sums over photos with its 95 % interval.

    Args:
        above: (photos, C) numerators per photo.
        below: (photos, C) or (photos, 1) denominators per photo.
        seed: of the resamples.
        weights: resamples of :func:`draws`, to share them between calls.

    Returns:
        (C,) ratios, lower and upper bounds; NaN where the denominator is 0, and bounds NaN with
        fewer than two photos.
    """
    weights = draws(len(above), seed) if weights is None else weights
    below = np.broadcast_to(below, above.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = above.sum(0) / below.sum(0)
        if len(above) < 2:
            nothing = np.full(above.shape[1], np.nan)
            return ratio, nothing, nothing
        resampled = (weights @ above) / (weights @ below)
    low, high = bounds(resampled)
    return ratio, low, high


def bounds(resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C,) lower and upper 95 % percentiles over axis 0, NaN (an empty resample) left out."""
    low = np.full(resampled.shape[1], np.nan)
    high = low.copy()
    usable = np.isfinite(resampled).any(axis=0)
    tails = [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2]
    if usable.any():
        low[usable], high[usable] = np.nanpercentile(resampled[:, usable], tails, axis=0)
    return low, high
