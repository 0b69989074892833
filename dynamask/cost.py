"""Multiply-adds (MAC) of masks, computed from the layer shapes alone.

One definition everywhere: an object costs the stages up to the grid it leaves at, plus the Mask
Switch Module where the policy asks it; a photo costs its objects plus the image branches that at
least one object needed. Counted are convolutions and matrix products, of class-specific logits
only the object's own channel, and a deformable convolution as its dense 3x3 form plus its offset
convolution. Sampling, pooling, normalisation and activations are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dynamask.config import GRIDS, DynaMaskConfig, MaskHeadConfig, SwitchConfig
from dynamask.errors import InputError

BRANCH_LEVELS: tuple[tuple[str, int], ...] = (("p4", 14), ("p3", 28), ("p2", 56))
"""Image-level map of each stage's image branch, and the stage's grid. An object needs the branch
when it leaves at a finer grid than that."""

_TAPS = 9  # of a 3x3 kernel


@dataclass(frozen=True)
class CostTable:
    """What every part of the mask branch costs for one configuration.

    Attributes:
        exits: MAC of one object that leaves at each of GRIDS, in that order, switch excluded.
        switch_mac: MAC of the Mask Switch Module for one object.
        branch_mac_per_cell: MAC of the 1x1 image-branch convolution for one cell of a map, in
            the order of BRANCH_LEVELS.
        mask_parameters: number of weights and biases in the mask head.
        switch_parameters: the same for the switch, batch-norm statistics excluded.
    """

    exits: tuple[int, ...]
    switch_mac: int
    branch_mac_per_cell: tuple[int, ...]
    mask_parameters: int
    switch_parameters: int

    @property
    def exit_mac(self) -> dict[int, int]:
        """Grid to MAC of one object that leaves there, switch excluded."""
        return dict(zip(GRIDS, self.exits, strict=True))

    def exit_macs(self, pays_switch: bool = False) -> np.ndarray:
        """(4,) int64 MAC per grid in the order of GRIDS, switch included where asked."""
        return np.asarray(self.exits, dtype=np.int64) + (self.switch_mac if pays_switch else 0)

    def object_mac(self, grids: np.ndarray, pays_switch: bool) -> np.ndarray:
        """Cost of every object's own stages, plus the switch where it ran.

        Args:
            grids: (N,) integers, each one of GRIDS.
            pays_switch: whether the policy asked the switch.

        Returns:
            (N,) int64 MAC.

        Raises:
            InputError: a grid that does not exist.
        """
        return self.exit_macs(pays_switch)[grid_indices(grids)]

    def image_branch_mac(self, level_shapes: Mapping[str, tuple[int, int]]) -> dict[str, int]:
        """Cost of each image branch on its whole map.

        Args:
            level_shapes: (height, width) in cells of at least p2, p3 and p4.

        Returns:
            Level name to MAC.

        Raises:
            InputError: a level is missing.
        """
        missing = [name for name, _ in BRANCH_LEVELS if name not in level_shapes]
        if missing:
            raise InputError(
                f"Expected the sizes of p2, p3 and p4; {', '.join(missing)} missing from "
                f"{sorted(level_shapes)}. Give every pyramid level's (height, width)."
            )
        return {
            name: per_cell * int(level_shapes[name][0]) * int(level_shapes[name][1])
            for (name, _), per_cell in zip(BRANCH_LEVELS, self.branch_mac_per_cell, strict=True)
        }

    def image_mac(
        self, grids: np.ndarray | Iterable[int], level_shapes: Mapping[str, tuple[int, int]]
    ) -> int:
        """MAC of the image branches that at least one object needed; 0 without objects.

        Args:
            grids: (N,) integers, each one of GRIDS.
            level_shapes: (height, width) in cells of at least p2, p3 and p4.
        """
        finest = max((int(g) for g in grids), default=0)
        costs = self.image_branch_mac(level_shapes)
        return sum(costs[name] for name, grid in BRANCH_LEVELS if finest > grid)

    def full_mac(self, count: int, level_shapes: Mapping[str, tuple[int, int]]) -> int:
        """MAC of ``count`` objects under ``fixed:112``, image branches included."""
        if not count:
            return 0
        return count * self.exits[-1] + self.image_mac([GRIDS[-1]], level_shapes)


def grid_indices(grids: np.ndarray) -> np.ndarray:
    """Return (N,) int64 positions in GRIDS; raises InputError for a grid that is not there."""
    grids = np.asarray(grids, dtype=np.int64).reshape(-1)
    if not np.isin(grids, GRIDS).all():
        raise InputError(f"Expected grids from {GRIDS}; got {sorted({int(g) for g in grids})}.")
    return np.searchsorted(np.asarray(GRIDS), grids)


@lru_cache(maxsize=64)
def cost_table(config: DynaMaskConfig) -> CostTable:
    """Return the cost table of a configuration; needs no model and no weights."""
    return CostTable(
        exits=_exit_costs(config.mask),
        switch_mac=_switch_cost(config.switch),
        branch_mac_per_cell=tuple(config.mask.in_channels * c for c in config.mask.stage_channels),
        mask_parameters=_mask_parameters(config.mask),
        switch_parameters=_switch_parameters(config.switch),
    )


def _stem_shapes(head: MaskHeadConfig) -> list[tuple[int, int]]:
    width = head.stage_channels[0]
    return [(head.in_channels if i == 0 else width, width) for i in range(head.stem_convs)]


def _offset_channels(head: MaskHeadConfig) -> int:
    return head.offset_groups * 2 * _TAPS


def _exit_costs(head: MaskHeadConfig) -> tuple[int, ...]:
    total = sum(_TAPS * i * o for i, o in _stem_shapes(head)) * GRIDS[0] ** 2
    exits = []
    for grid, c in zip(GRIDS, head.stage_channels, strict=False):
        cells = grid * grid
        total += 2 * c * cells  # mask and edge logits, own channel only: also where it leaves
        exits.append(total)
        fuse_in = (2 * c + 2) * c
        deform = _TAPS * c * _offset_channels(head) + _TAPS * c * c
        fuse_out = c * (c // 2 - 2)
        total += (fuse_in + deform + fuse_out) * cells
    # the last logits are computed on the last stage's grid and then enlarged
    total += 2 * (head.stage_channels[-1] // 2) * GRIDS[-2] ** 2
    exits.append(total)
    return tuple(exits)


def _switch_sides(switch: SwitchConfig) -> tuple[int, int]:
    half = (switch.crop + 1) // 2  # a 3x3 max-pool of stride 2, padding 1
    return half, (half + 1) // 2


def _switch_cost(switch: SwitchConfig) -> int:
    first, second = switch.channels
    half, quarter = _switch_sides(switch)
    convs = switch.crop**2 * switch.in_channels * first + half**2 * _TAPS * first * second
    return convs + second * quarter**2 * switch.hidden + switch.hidden * len(GRIDS)


def _mask_parameters(head: MaskHeadConfig) -> int:
    total = sum(_TAPS * i * o + o for i, o in _stem_shapes(head))
    for c in head.stage_channels:
        out = c // 2 - 2
        total += head.in_channels * c + c  # image branch
        total += 2 * (c + 1) * head.num_classes
        total += (2 * c + 2) * c + c
        total += _TAPS * c * c  # deformable, no bias
        total += (_TAPS * c + 1) * _offset_channels(head)
        total += c * out + out
    return total + 2 * (head.stage_channels[-1] // 2 + 1)


def _switch_parameters(switch: SwitchConfig) -> int:
    first, second = switch.channels
    _, quarter = _switch_sides(switch)
    total = switch.in_channels * first + first + 2 * first
    total += _TAPS * first * second + second + 2 * second
    total += second * quarter**2 * switch.hidden + switch.hidden
    return total + (switch.hidden + 1) * len(GRIDS)
