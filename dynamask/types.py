"""The three objects that flow through the house: Scene, Selection, Instances.

All are immutable and validated when made. ``N`` is the number of objects (RoIs). Boxes are
``xyxy`` in pixels of the photo as the user gave it (after EXIF rotation), not of the network
input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dynamask.config import GRIDS
from dynamask.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def _expect(condition: bool, expected: str, came: object) -> None:
    if not condition:
        raise InputError(f"Expected {expected}; got {came}.")


@dataclass(frozen=True)
class Scene:
    """A photo after the slow part: everything that re-decoding under another policy needs.

    Attributes:
        image_size: (height, width) of the photo in pixels.
        input_size: (height, width) of the resized photo inside the network input, in pixels.
        pyramid: ``p2``..``p5`` to (1, C, h, w) float tensors on the model's device.
        boxes_xyxy_px: (N, 4) float32, photo pixels, on CPU.
        labels: (N,) int64 category indices 0..num_classes-1; -1 where unknown (drawn boxes).
        scores: (N,) float32 in [0, 1].
        probabilities: (N, 4) float32, the Mask Switch Module's softmax over GRIDS.
        key: hash of pixels, weights and preprocessing (not of the boxes).
        box_source: ``detector`` or ``given``; boxes added later do not change it.
        notices: sentences for the user about how the photo was handled.
    """

    image_size: tuple[int, int]
    input_size: tuple[int, int]
    pyramid: Mapping[str, Tensor] = field(repr=False)
    boxes_xyxy_px: Tensor
    labels: Tensor
    scores: Tensor
    probabilities: Tensor
    key: str
    box_source: str = "detector"
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.boxes_xyxy_px)
        _expect(tuple(self.boxes_xyxy_px.shape) == (n, 4), "boxes (N, 4)", self.boxes_xyxy_px.shape)
        _expect(tuple(self.labels.shape) == (n,), f"labels ({n},)", tuple(self.labels.shape))
        _expect(tuple(self.scores.shape) == (n,), f"scores ({n},)", tuple(self.scores.shape))
        _expect(
            tuple(self.probabilities.shape) == (n, len(GRIDS)),
            f"probabilities ({n}, {len(GRIDS)})",
            tuple(self.probabilities.shape),
        )

    def __len__(self) -> int:
        return len(self.boxes_xyxy_px)

    @property
    def nbytes(self) -> int:
        """Bytes held by the pyramid: what a cache should count."""
        return sum(t.numel() * t.element_size() for t in self.pyramid.values())


@dataclass(frozen=True)
class Selection:
    """Which grid every object leaves at, and what that costs.

    Attributes:
        grids: (N,) int64, each one of GRIDS.
        probabilities: (N, 4) float32 of the switch (kept for display under every policy).
        object_mac: (N,) int64, multiply-adds of the object's own stages, plus the switch
            where the policy asks it.
        image_mac: multiply-adds of the image branches that at least one object needed.
        full_mac: what the same objects would cost under ``fixed:112``, image branches included.
        policy: the policy's name, for example ``msm`` or ``budget:0.1``.
        pays_switch: whether the switch ran for this choice.
    """

    grids: np.ndarray
    probabilities: np.ndarray
    object_mac: np.ndarray
    image_mac: int
    full_mac: int
    policy: str
    pays_switch: bool

    def __post_init__(self) -> None:
        n = len(self.grids)
        _expect(bool(np.isin(self.grids, GRIDS).all()), f"grids from {GRIDS}", self.grids)
        _expect(self.probabilities.shape == (n, len(GRIDS)), f"probabilities ({n}, 4)", "others")
        _expect(self.object_mac.shape == (n,), f"object_mac ({n},)", self.object_mac.shape)

    def __len__(self) -> int:
        return len(self.grids)

    @property
    def gmac(self) -> np.ndarray:
        """(N,) float64: each object's own cost in GMAC (10^9 multiply-adds)."""
        return self.object_mac / 1e9

    @property
    def total_gmac(self) -> float:
        """GMAC of all masks of the photo, image branches included."""
        return (int(self.object_mac.sum()) + self.image_mac) / 1e9

    @property
    def gmac_per_roi(self) -> float:
        """Total divided by the number of objects; 0.0 where there are none."""
        return self.total_gmac / len(self) if len(self) else 0.0

    @property
    def share_of_full(self) -> float:
        """Cost as a fraction of all objects at grid 112; 0.0 where there are no objects."""
        return self.total_gmac / (self.full_mac / 1e9) if self.full_mac else 0.0

    def counts(self) -> dict[int, int]:
        """Number of objects at each grid, in the order of GRIDS."""
        return {g: int((self.grids == g).sum()) for g in GRIDS}


@dataclass(frozen=True)
class Instances:
    """Decoded objects of one photo; masks stay box-local until somebody pastes them.

    Attributes:
        image_size: (height, width) of the photo in pixels.
        boxes_xyxy_px: (N, 4) float32 on CPU.
        labels: (N,) int64, -1 where the class is unknown.
        scores: (N,) float32.
        mask_logits: N tensors (S, S) float32 on CPU, S the object's grid.
        edge_logits: the same for object edges.
        selection: grids and cost.
        categories: class names by index.
        threshold: mask probability above which a pixel belongs to the object.
    """

    image_size: tuple[int, int]
    boxes_xyxy_px: Tensor
    labels: Tensor
    scores: Tensor
    mask_logits: tuple[Tensor, ...] = field(repr=False)
    edge_logits: tuple[Tensor, ...] = field(repr=False)
    selection: Selection = field(repr=False)
    categories: tuple[str, ...] = field(repr=False)
    threshold: float = 0.5

    def __post_init__(self) -> None:
        n = len(self.boxes_xyxy_px)
        for name in ("labels", "scores", "mask_logits", "edge_logits", "selection"):
            _expect(len(getattr(self, name)) == n, f"{n} {name}", len(getattr(self, name)))
        for grid, logits in zip(self.selection.grids, self.mask_logits, strict=True):
            _expect(
                tuple(logits.shape) == (grid, grid),
                f"mask logits ({grid}, {grid})",
                tuple(logits.shape),
            )
        _expect(0.0 < self.threshold < 1.0, "a mask threshold between 0 and 1", self.threshold)

    def __len__(self) -> int:
        return len(self.boxes_xyxy_px)

    def category(self, index: int) -> str:
        """Class name of object ``index``; ``object`` where the class is unknown."""
        label = int(self.labels[index])
        return self.categories[label] if 0 <= label < len(self.categories) else "object"

    def paste(self, index: int) -> np.ndarray:
        """Return object ``index`` as a (H, W) bool array of the full photo."""
        from dynamask.paste import paste_mask

        return paste_mask(
            self.mask_logits[index], self.boxes_xyxy_px[index], self.image_size, self.threshold
        )

    def rle(self, index: int) -> dict[str, Any]:
        """Return object ``index`` as compressed COCO RLE of the full photo (counts as str)."""
        from dynamask.paste import encode_rle

        return encode_rle(self.paste(index))

    def to_coco(self) -> list[dict[str, Any]]:
        """Return one dict per object: bbox (xywh), category, score, area_px2, grid, ... ."""
        from dynamask.paste import instances_to_coco

        return instances_to_coco(self)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per object (the same fields as :meth:`to_coco`, without the RLE)."""
        import pandas as pd

        rows = [{k: v for k, v in o.items() if k != "segmentation"} for o in self.to_coco()]
        return pd.DataFrame(rows)


def empty_boxes() -> Tensor:
    """Return a (0, 4) float32 tensor: a photo in which nothing was found."""
    return torch.zeros((0, 4), dtype=torch.float32)
