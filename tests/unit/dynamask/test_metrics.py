"""Mask IoU and boundary IoU against plain definitions and known shapes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dynamask.errors import InputError
from dynamask.metrics import boundary_iou, boundary_width, mask_boundary, mask_iou


def square(x: int, y: int, side: int, size: int = 100) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


def plain_boundary(mask: np.ndarray, distance: int) -> np.ndarray:
    """Erode by one pixel ``distance`` times inside a frame of zeros, as the paper does."""
    framed = np.pad(mask.astype(np.uint8), 1)
    eroded = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=distance)
    return mask & (eroded[1:-1, 1:-1] == 0)


def test_mask_iou_of_known_squares() -> None:
    assert mask_iou(square(0, 0, 10), square(0, 0, 10)) == 1.0
    assert mask_iou(square(0, 0, 10), square(50, 50, 10)) == 0.0
    assert mask_iou(square(0, 0, 10), square(5, 0, 10)) == pytest.approx(50 / 150)
    assert mask_iou(square(0, 0, 0), square(0, 0, 10)) == 0.0
    assert mask_iou(square(0, 0, 0), square(0, 0, 0)) == 1.0
    assert mask_iou(square(0, 0, 10).astype(np.uint8), square(5, 0, 10)) == pytest.approx(1 / 3)


def test_boundary_width_is_two_percent_of_the_diagonal() -> None:
    assert boundary_width(480, 640) == 16
    assert boundary_width(300, 400) == 10
    assert boundary_width(5, 5) == 1


def test_boundary_of_a_square_is_its_rim() -> None:
    rim = mask_boundary(square(20, 30, 20), 3)
    assert rim.sum() == 20**2 - 14**2
    assert not rim[33:47, 23:37].any()


@pytest.mark.parametrize("distance", [1, 2, 5, 30])
def test_boundary_equals_repeated_erosion(distance: int) -> None:
    rng = np.random.default_rng(distance)
    for _ in range(5):
        noise = cv2.GaussianBlur(rng.random((60, 90)).astype(np.float32), (0, 0), 4)
        mask = noise > np.median(noise)  # touches the photo's edge too
        assert mask.any()
        assert (mask_boundary(mask, distance) == plain_boundary(mask, distance)).all()


def test_boundary_iou_notices_what_mask_iou_hardly_does() -> None:
    a, b = square(10, 10, 80), square(12, 12, 76)
    assert mask_iou(a, b) > 0.9
    assert boundary_iou(a, b, distance=2) == 0.0
    assert boundary_iou(a, a) == 1.0
    assert 0.0 < boundary_iou(a, b) < mask_iou(a, b)


def test_boundary_iou_takes_the_photo_diagonal() -> None:
    a, b = square(10, 10, 50), square(12, 10, 50)
    assert boundary_iou(a, b) == boundary_iou(a, b, distance=3)  # 0.02 * 141.4
    assert boundary_iou(a, b) != boundary_iou(a, b, distance=5)


def test_boundary_iou_is_mask_iou_where_the_band_covers_everything() -> None:
    a, b = square(40, 40, 4), square(41, 40, 4)
    assert boundary_iou(a, b) == mask_iou(a, b)


def test_shapes_must_agree() -> None:
    with pytest.raises(InputError, match="of one size"):
        mask_iou(square(0, 0, 3), square(0, 0, 3, size=50))
    with pytest.raises(InputError, match="of one size"):
        boundary_iou(np.zeros(5), np.zeros(5))
