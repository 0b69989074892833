"""What the model sees of one object on its way to a mask, as small arrays that can be drawn.

The stages run as they always do; hooks read their inputs and the offsets of their deformable
convolutions, under the predictor's lock, so that nobody else's objects pass by meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dynamask.config import GRIDS
from dynamask.errors import InputError
from dynamask.model.deform_conv import TAPS
from dynamask.model.region_fpn import RegionFPN
from dynamask.predictor import Predictor
from dynamask.types import Scene

STAGE_GRIDS = GRIDS[:-1]
"""Grids that a stage runs at; the finest logits are the last stage's, enlarged."""

ARROWS = 7  # a side: one for each 2 x 2 cells of the coarsest grid; more could not be told apart
STRETCHES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
LIMITS = (1.0, 99.0)  # percentiles of a component that become 0 and 255


@dataclass(frozen=True, eq=False)
class Inside:
    """One object, seen from inside. Rows and columns of every array run over its box.

    Attributes:
        box: (4,) float32 xyxy in photo pixels.
        probabilities: (4,) float32 of the switch over GRIDS.
        switch_crop: (S, S, 3) uint8, components of the features that the switch saw; S is 28 or 56.
        switch_share: part of their variance that the three components hold, 0 to 1.
        features: stage's grid to (S, S, 3) uint8, components of the stage's input.
        shares: stage's grid to the part of the variance in them.
        channels: stage's grid to the number of channels of its input.
        offsets: stage's grid to (S, S, 2) float32, mean (right, down) displacement in cells over
            the nine taps and all groups of the stage's deformable convolution.
        edges: each of GRIDS to (S, S) float32 probability of an edge.
    """

    box: np.ndarray
    probabilities: np.ndarray
    switch_crop: np.ndarray = field(repr=False)
    switch_share: float
    features: dict[int, np.ndarray] = field(repr=False)
    shares: dict[int, float]
    channels: dict[int, int]
    offsets: dict[int, np.ndarray] = field(repr=False)
    edges: dict[int, np.ndarray] = field(repr=False)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays: what a cache should count."""
        arrays = (*self.features.values(), *self.offsets.values(), *self.edges.values())
        return self.switch_crop.nbytes + sum(a.nbytes for a in arrays)


def look_inside(predictor: Predictor, scene: Scene, row: int) -> Inside:
    """Run switch and all mask stages for one object and keep what they work on.

    Args:
        predictor: the model.
        scene: the photo.
        row: which of its objects.

    Raises:
        InputError: there is no such object.
    """
    if not 0 <= row < len(scene):
        raise InputError(
            f"Expected an object from 0 to {len(scene) - 1}, got {row}; choose one of the photo's."
        )
    boxes = scene.boxes_xyxy_px[row : row + 1]
    head, switch = predictor.model.mask_head, predictor.model.mask_switch
    rois = predictor._rois(boxes, scene)
    pyramid = predictor._here(scene.pyramid)
    labels = scene.labels[row : row + 1].clamp(min=0).to(rois.device)
    with predictor._lock, torch.inference_mode(), _watched(head) as seen:
        crop = switch.crop(pyramid["p2"], rois)[0].float().cpu()
        logits = head.all_grids(pyramid, rois, labels)
    inputs, offsets = seen
    switch_crop, switch_share = principal_colours(crop.numpy())
    coloured = {grid: principal_colours(inputs[grid]) for grid in STAGE_GRIDS}
    return Inside(
        box=boxes[0].numpy().copy(),
        probabilities=scene.probabilities[row].numpy().copy(),
        switch_crop=switch_crop,
        switch_share=switch_share,
        features={grid: picture for grid, (picture, _) in coloured.items()},
        shares={grid: share for grid, (_, share) in coloured.items()},
        channels={grid: len(inputs[grid]) for grid in STAGE_GRIDS},
        offsets=offsets,
        edges={
            grid: torch.sigmoid(edge[0].float()).cpu().numpy() for grid, (_, edge) in logits.items()
        },
    )


@contextmanager
def _watched(head: RegionFPN) -> Iterator[tuple[dict[int, np.ndarray], dict[int, np.ndarray]]]:
    """Stage inputs (C, S, S) and mean offsets (S, S, 2) of the one object that runs inside."""
    inputs: dict[int, np.ndarray] = {}
    offsets: dict[int, np.ndarray] = {}
    hooks = []
    for grid, stage in zip(STAGE_GRIDS, head.stages, strict=True):

        def keep_input(_: object, given: tuple[Tensor, ...], grid: int = grid) -> None:
            inputs[grid] = given[0][0].float().cpu().numpy()

        def keep_offset(_: object, __: object, out: Tensor, grid: int = grid) -> None:
            offsets[grid] = mean_offsets(out[0].float().cpu()).numpy()

        hooks.append(stage.register_forward_pre_hook(keep_input))
        hooks.append(stage.fuse_conv[1].conv_offset.register_forward_hook(keep_offset))
    try:
        yield inputs, offsets
    finally:
        for hook in hooks:
            hook.remove()


def mean_offsets(offset: Tensor) -> Tensor:
    """(groups * 18, S, S) offsets in torchvision's layout -> (S, S, 2) mean (right, down)."""
    side = offset.shape[-2:]
    down, right = offset.reshape(-1, TAPS, 2, *side).mean(dim=(0, 1))
    return torch.stack((right, down), dim=-1)


def principal_colours(features: np.ndarray) -> tuple[np.ndarray, float]:
    """First three principal components of a feature map as red, green and blue.

    Args:
        features: (C, H, W) float; each cell is one sample.

    Returns:
        (H, W, 3) uint8, each component stretched from its 1st to its 99th percentile, and the part
        of the variance that the three hold, 0 to 1. Signs are fixed, so equal maps give equal
        colours; a component without variance is mid-grey.
    """
    channels, height, width = features.shape
    samples = features.reshape(channels, -1).T.astype(np.float64)
    samples = samples - samples.mean(axis=0)
    values, vectors = np.linalg.eigh(samples.T @ samples)
    values, vectors = np.clip(values[::-1][:3], 0, None), vectors[:, ::-1][:, :3]
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    components = samples @ (vectors * np.where(signs == 0, 1, signs))
    total = float((samples**2).sum())
    out = np.full((height * width, 3), 128, dtype=np.uint8)
    for at in range(components.shape[1]):
        low, high = np.percentile(components[:, at], LIMITS)
        if values[at] > 1e-12 * max(total, 1e-12) and high > low:
            scaled = np.clip((components[:, at] - low) / (high - low), 0, 1)
            out[:, at] = np.rint(255 * scaled).astype(np.uint8)
    share = float(values.sum() / total) if total > 0 else 0.0
    return out.reshape(height, width, 3), min(share, 1.0)


def arrows(offsets: np.ndarray, side: int = ARROWS) -> np.ndarray:
    """Mean displacements of a coarser lattice, as parts of the box's width and height.

    Args:
        offsets: (S, S, 2) in cells, S a multiple of ``side``.
        side: arrows along each side.

    Returns:
        (side * side, 4) float64: x and y of the start, 0 to 1, then the displacement in x and y.
    """
    size = offsets.shape[0]
    step = size // side
    blocks = offsets.astype(np.float64).reshape(side, step, side, step, 2).mean(axis=(1, 3)) / size
    middles = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(middles, middles)
    return np.concatenate((x[..., None], y[..., None], blocks), axis=-1).reshape(-1, 4)


def stretch(displacements: np.ndarray, side: int = ARROWS) -> int:
    """How many times longer arrows can be drawn so that the long ones span about their own cell.

    Args:
        displacements: from :func:`arrows`.
        side: arrows along each side.
    """
    long = float(np.percentile(np.hypot(displacements[:, 2], displacements[:, 3]), 95))
    if long <= 0:
        return 1
    return max((k for k in STRETCHES if k * long <= 1 / side), default=1)


def mean_length(offsets: np.ndarray) -> float:
    """Mean length of (S, S, 2) displacements, in cells."""
    return float(np.hypot(offsets[..., 0], offsets[..., 1]).mean())
