"""What the other grids would have given the objects of one photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dynamask.config import GRIDS
from dynamask.metrics import boundary_width, mask_boundary
from dynamask.paste import crop_mask

if TYPE_CHECKING:
    from dynamask.predictor import Predictor
    from dynamask.types import Scene


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far each grid's mask agrees with the finest one's.

    Attributes:
        iou: (N, 4) float64 mask IoU to the mask of grid 112, columns as GRIDS; the last is 1.
        boundary_iou: (N, 4) float64 boundary IoU to it (Cheng et al., CVPR 2021).
    """

    iou: np.ndarray
    boundary_iou: np.ndarray


def agreement(predictor: Predictor, scene: Scene, threshold: float = 0.5) -> Agreement:
    """Decode every object at every grid and compare, at the photo's own size.

    Args:
        predictor: the model.
        scene: N objects; N may be 0.
        threshold: mask probability above which a pixel belongs to the object.
    """
    logits = predictor.decode_all_grids(scene) if len(scene) else {}
    return compare_grids(
        {grid: masks for grid, (masks, _) in logits.items()},
        scene.boxes_xyxy_px,
        scene.image_size,
        threshold,
    )


def compare_grids(
    logits: Mapping[int, Any], boxes_xyxy_px: Any, image_size: tuple[int, int], threshold: float
) -> Agreement:
    """As :func:`agreement`, of decoded masks.

    Args:
        logits: grid to (N, grid, grid) mask logits.
        boxes_xyxy_px: (N, 4) in photo pixels.
        image_size: (height, width) of the photo.
        threshold: as for :func:`agreement`.
    """
    count = len(boxes_xyxy_px)
    iou, boundary = np.ones((count, len(GRIDS))), np.ones((count, len(GRIDS)))
    distance = boundary_width(*image_size)
    for row in range(count):
        box = boxes_xyxy_px[row]
        # all grids of an object have the same crop; nothing outside it belongs to the mask
        masks = [crop_mask(logits[g][row], box, image_size, threshold)[0] for g in GRIDS]
        bands = [mask_boundary(mask, distance) for mask in masks]
        iou[row] = [_iou(mask, masks[-1]) for mask in masks]
        boundary[row] = [_iou(band, bands[-1]) for band in bands]
    return Agreement(iou, boundary)


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0
