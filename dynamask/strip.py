"""One object at every grid: the masks, how well they agree, what each costs and how long it took.

And ground truth for a photo's objects, where somebody has it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from dynamask.config import GRIDS
from dynamask.metrics import boundary_iou, boundary_width, mask_iou
from dynamask.paste import crop_mask, paste_mask
from dynamask.predictor import Predictor, keep_objects
from dynamask.types import Scene

MATCH_BOX_IOU = 0.5
"""Least IoU of an object's box with the box around a true mask for the two to be one object."""


@dataclass(frozen=True, eq=False)
class Frame:
    """An object at one grid.

    Attributes:
        grid: one of GRIDS.
        mask: (h, w) bool, the part of the photo inside the box.
        edge: (grid, grid) float32 probability of an edge, over the box.
        mac: multiply-adds of the object's own stages, switch excluded.
        ms: measured milliseconds to decode this object alone, image branches included.
        iou: mask IoU to the mask of grid 112.
        boundary_iou: boundary IoU to it (Cheng et al., CVPR 2021).
        truth_iou: mask IoU to ground truth; None without it.
        truth_boundary_iou: boundary IoU to ground truth; None without it.
    """

    grid: int
    mask: np.ndarray = field(repr=False)
    edge: np.ndarray = field(repr=False)
    mac: int
    ms: float
    iou: float
    boundary_iou: float
    truth_iou: float | None = None
    truth_boundary_iou: float | None = None


@dataclass(frozen=True, eq=False)
class Strip:
    """All frames of an object, coarse to fine.

    Attributes:
        corner: (x, y) of the masks' top-left pixel in the photo.
        frames: four, in the order of GRIDS.
        truth: (H, W) bool ground truth of the photo, or None.
    """

    corner: tuple[int, int]
    frames: tuple[Frame, ...]
    truth: np.ndarray | None = field(default=None, repr=False)

    @property
    def nbytes(self) -> int:
        """Bytes held by masks and edges."""
        own = sum(f.mask.nbytes + f.edge.nbytes for f in self.frames)
        return own + (0 if self.truth is None else self.truth.nbytes)


def film_strip(
    predictor: Predictor,
    scene: Scene,
    row: int,
    *,
    threshold: float = 0.5,
    truth: np.ndarray | None = None,
) -> Strip:
    """Decode one object at every grid, each timed on its own.

    Args:
        predictor: the model.
        scene: the photo.
        row: which of its objects.
        threshold: mask probability above which a pixel belongs to the object.
        truth: (H, W) bool ground truth of this object, at the photo's size.
    """
    one = keep_objects(scene, torch.tensor([row]))
    logits = predictor.decode_all_grids(one, 0)  # also warms the kernels that are timed below
    box, size = one.boxes_xyxy_px[0], one.image_size
    crops = {g: crop_mask(logits[g][0][0], box, size, threshold) for g in GRIDS}
    distance = boundary_width(*size)
    finest = crops[GRIDS[-1]][0]
    frames = []
    for grid in GRIDS:
        started = time.perf_counter()
        predictor.decode(one, f"fixed:{grid}", threshold=threshold)
        ms = 1000 * (time.perf_counter() - started)
        mask = crops[grid][0]
        whole = paste_mask(logits[grid][0][0], box, size, threshold) if truth is not None else None
        frames.append(
            Frame(
                grid=grid,
                mask=mask,
                edge=torch.sigmoid(logits[grid][1][0]).numpy(),
                mac=predictor.cost_table.exit_mac[grid],
                ms=ms,
                # nothing outside the crop belongs to either mask, so the crop is enough
                iou=mask_iou(mask, finest),
                boundary_iou=boundary_iou(mask, finest, distance),
                truth_iou=None if whole is None else mask_iou(whole, truth),
                truth_boundary_iou=None if whole is None else boundary_iou(whole, truth, distance),
            )
        )
    return Strip(crops[GRIDS[-1]][1], tuple(frames), truth)


def match_truth(boxes_xyxy_px: np.ndarray, truth_boxes: np.ndarray) -> np.ndarray:
    """Pair objects with true ones by box IoU, best pairs first; each is used once.

    Args:
        boxes_xyxy_px: (N, 4).
        truth_boxes: (T, 4), in the same pixels.

    Returns:
        (N,) int64 index of the true object, -1 where none overlaps by MATCH_BOX_IOU.
    """
    ours = np.asarray(boxes_xyxy_px, dtype=np.float64).reshape(-1, 1, 4)
    true = np.asarray(truth_boxes, dtype=np.float64).reshape(1, -1, 4)
    sides = np.minimum(ours[..., 2:], true[..., 2:]) - np.maximum(ours[..., :2], true[..., :2])
    shared = np.clip(sides, 0, None).prod(axis=-1)
    union = (ours[..., 2:] - ours[..., :2]).prod(-1) + (true[..., 2:] - true[..., :2]).prod(-1)
    iou = shared / np.maximum(union - shared, 1e-9)
    matched = np.full(iou.shape[0], -1, dtype=np.int64)
    while iou.size and iou.max() >= MATCH_BOX_IOU:
        row, column = np.unravel_index(int(iou.argmax()), iou.shape)
        matched[row] = column
        iou[row, :], iou[:, column] = -1.0, -1.0
    return matched


def grid_ious(
    predictor: Predictor, scene: Scene, truths: Sequence[np.ndarray | None], threshold: float = 0.5
) -> np.ndarray:
    """Mask IoU of every object with its ground truth at every grid: what the oracle chooses by.

    Args:
        predictor: the model.
        scene: N objects.
        truths: for each, its (H, W) bool ground truth, or None.
        threshold: as for :func:`film_strip`.

    Returns:
        (N, 4) float64, NaN rows where there is no ground truth.
    """
    out = np.full((len(scene), len(GRIDS)), np.nan)
    known = [row for row, truth in enumerate(truths) if truth is not None]
    if not known:
        return out
    some = keep_objects(scene, torch.tensor(known))
    logits = predictor.decode_all_grids(some)
    for at, row in enumerate(known):
        box = some.boxes_xyxy_px[at]
        for column, grid in enumerate(GRIDS):
            mask = paste_mask(logits[grid][0][at], box, scene.image_size, threshold)
            out[row, column] = mask_iou(mask, truths[row])
    return out
