"""Policies on top of policies: a grid set by hand, and chance at the switch's own cost."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from dynamask.allocation import random_grids
from dynamask.config import GRIDS
from dynamask.errors import PolicyError
from dynamask.policies import MSMPolicy, Policy, RoIs


@dataclass(frozen=True)
class ByHandPolicy:
    """Another policy's grids, with those of some objects set by a user.

    The other objects keep what the policy chose for them: a budget is not shared out again.

    Attributes:
        base: who chooses the rest.
        by_row: row among the RoIs to its grid.

    Raises:
        PolicyError: a grid that does not exist.
    """

    base: Policy
    by_row: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for grid in self.by_row.values():
            if grid not in GRIDS:
                raise PolicyError(
                    f"Expected one of the grids {', '.join(map(str, GRIDS))} for an object, got "
                    f"{grid!r}; choose one of these."
                )

    @property
    def needs_switch(self) -> bool:
        """As the base policy: a hand does not ask the switch."""
        return self.base.needs_switch

    @property
    def name(self) -> str:
        """For example ``msm, 2 by hand``."""
        return f"{self.base.name}, {len(self.by_row)} by hand" if self.by_row else self.base.name

    def choose(self, rois: RoIs) -> np.ndarray:
        """(N,) grids; rows beyond the RoIs are ignored."""
        grids = self.base.choose(rois).copy()
        for row, grid in self.by_row.items():
            if 0 <= row < len(grids):
                grids[row] = grid
        return grids


@dataclass(frozen=True)
class EqualRandomPolicy:
    """Grids drawn blindly at the mean cost that the switch's own choice has on this photo.

    What the switch itself costs is part of that mean, so chance may spend it on finer grids.

    Attributes:
        seed: the same seed and boxes give the same grids.
    """

    seed: int = 0
    needs_switch: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """``random:equal``."""
        return "random:equal"

    def choose(self, rois: RoIs) -> np.ndarray:
        """(N,) grids; their cost never exceeds the switch's."""
        macs = rois.cost.exit_macs()
        if not len(rois):
            return np.zeros(0, dtype=np.int64)
        asked = rois.cost.object_mac(MSMPolicy().choose(rois), pays_switch=True).mean()
        boxes = np.ascontiguousarray(rois.boxes_xyxy_px, dtype=np.float32)
        rng = np.random.default_rng([self.seed, zlib.crc32(boxes.tobytes())])
        return random_grids(len(rois), macs, float(min(asked, macs[-1])), rng)
