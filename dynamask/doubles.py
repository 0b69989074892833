"""Several boxes on one object: which to show."""

from __future__ import annotations

import numpy as np
from torchvision.ops import batched_nms

from dynamask.types import Scene


def without_doubles(scene: Scene, rows: np.ndarray, overlap: float) -> np.ndarray:
    """The rows that no surer row of the same class overlaps by more than ``overlap``.

    The detector's own suppression stops at an IoU of 0.5, the customary one for measuring AP; a
    small detector with loose boxes then leaves several on one object. The surest come first, so
    that of fewer rows (those above a larger score) no other ones are left.

    Args:
        scene: its boxes, scores and labels.
        rows: (K,) int64, those to look at.
        overlap: IoU of two boxes, 0 to 1.

    Returns:
        (L,) int64, in rising order.
    """
    boxes, scores, labels = (
        part[rows] for part in (scene.boxes_xyxy_px, scene.scores, scene.labels)
    )
    return np.sort(rows[batched_nms(boxes, scores, labels, overlap).numpy()])
