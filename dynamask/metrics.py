"""How well a mask fits: mask IoU and boundary IoU, on full-photo bool masks.

Boundary IoU follows Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation
Evaluation" (CVPR 2021): the IoU of the two bands of pixels that lie inside each mask within a
distance d of its own contour.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from dynamask.errors import InputError

DILATION_RATIO = 0.02
"""Band width as a share of the photo's diagonal."""


def boundary_width(height: int, width: int, ratio: float = DILATION_RATIO) -> int:
    """Return the band width d in pixels for a photo: at least 1."""
    return max(1, round(ratio * math.hypot(height, width)))


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over union of two (H, W) masks; 1.0 where both are empty.

    Raises:
        InputError: masks of different shapes.
    """
    a, b = _pair(a, b)
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def mask_boundary(mask: np.ndarray, distance: int) -> np.ndarray:
    """Return the (H, W) bool pixels of a mask within ``distance`` pixels of its contour.

    The distance is the chessboard one; beyond the photo's edge counts as outside the mask.
    """
    mask = np.ascontiguousarray(mask, dtype=np.uint8)
    out = np.zeros(mask.shape, dtype=bool)
    x, y, w, h = cv2.boundingRect(mask)
    if not w:
        return out
    # only the object's own rectangle, framed by outside pixels: much less to erode
    part = mask[y : y + h, x : x + w]
    framed = cv2.copyMakeBorder(part, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    side = 2 * distance + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    core = cv2.erode(framed, kernel)[1:-1, 1:-1]
    out[y : y + h, x : x + w] = (part > 0) & (core == 0)
    return out


def boundary_iou(a: np.ndarray, b: np.ndarray, distance: int | None = None) -> float:
    """Return the boundary IoU of two (H, W) masks; 1.0 where both are empty.

    Args:
        a: bool or 0/1 mask.
        b: the same shape.
        distance: band width in pixels; 2 % of the photo's diagonal where None.

    Raises:
        InputError: masks of different shapes.
    """
    a, b = _pair(a, b)
    d = boundary_width(*a.shape) if distance is None else distance
    return mask_iou(mask_boundary(a, d), mask_boundary(b, d))


def _pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 2 or a.shape != b.shape:
        raise InputError(
            f"Expected two masks (H, W) of one size, got {a.shape} and {b.shape}; "
            "decode both at the photo's size."
        )
    return a.astype(bool), b.astype(bool)
