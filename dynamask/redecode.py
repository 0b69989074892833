"""Deciding again without decoding again: every (object, grid) of a photo is decoded once.

A policy only chooses among four masks per object, so what one choice decoded serves all later
ones. Moving a budget then costs the few objects whose grid is new, and mostly nothing.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from torch import Tensor

from dynamask.policies import Policy, RoIs, select
from dynamask.predictor import Predictor, keep_objects
from dynamask.types import Instances, Scene

Key = tuple[float, float, float, float, int, int]


class MaskStore:
    """Mask and edge logits of one photo's objects at the grids that were asked for so far.

    Thread-safe; boxes may come and go, since an object is known by its box and label.

    Args:
        predictor: the model.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._kept: dict[Key, tuple[Tensor, Tensor]] = {}
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes held by logits."""
        return sum(m.nbytes + e.nbytes for m, e in list(self._kept.values()))

    def __len__(self) -> int:
        return len(self._kept)

    def decode(
        self,
        scene: Scene,
        policy: Policy,
        *,
        threshold: float = 0.5,
        ious: np.ndarray | None = None,
    ) -> Instances:
        """As :meth:`Predictor.decode` with a policy object; only what is new runs the model.

        Args:
            scene: always of the photo that this store is for.
            policy: who chooses.
            threshold: mask probability above which a pixel belongs to the object.
            ious: (N, 4) for the oracle.
        """
        predictor = self._predictor
        selection = select(
            policy,
            RoIs(
                probabilities=scene.probabilities.numpy(),
                boxes_xyxy_px=scene.boxes_xyxy_px.numpy(),
                level_shapes=predictor.model.level_shapes(scene.pyramid),
                cost=predictor.cost_table,
                ious=ious,
            ),
        )
        keys = [
            (*map(float, box), int(label), int(grid))
            for box, label, grid in zip(
                scene.boxes_xyxy_px, scene.labels, selection.grids, strict=True
            )
        ]
        with self._lock:  # two changes at once would both decode the same objects
            missing = [row for row, key in enumerate(keys) if key not in self._kept]
            for grid in sorted({keys[row][-1] for row in missing}):
                rows = torch.tensor([row for row in missing if keys[row][-1] == grid])
                new = predictor.decode(keep_objects(scene, rows), f"fixed:{grid}")
                logits = zip(new.mask_logits, new.edge_logits, strict=True)
                for row, pair in zip(rows.tolist(), logits, strict=True):
                    self._kept[keys[row]] = pair
            found = [self._kept[key] for key in keys]
        return Instances(
            image_size=scene.image_size,
            boxes_xyxy_px=scene.boxes_xyxy_px,
            labels=scene.labels,
            scores=scene.scores,
            mask_logits=tuple(mask for mask, _ in found),
            edge_logits=tuple(edge for _, edge in found),
            selection=selection,
            categories=predictor.categories,
            threshold=threshold,
        )
