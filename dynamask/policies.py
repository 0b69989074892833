"""Policies: which mask grid each object leaves at. All go through one interface.

A policy reads only what is in :class:`RoIs` and returns one grid per object; :func:`select` adds
what that costs. M and N count objects; column k of a probability row belongs to ``GRIDS[k]``.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from dynamask.allocation import budget_grids, random_grids
from dynamask.config import GRIDS, DynaMaskConfig
from dynamask.cost import CostTable, cost_table
from dynamask.errors import InputError, PolicyError
from dynamask.types import Selection

NEVER_PX = 1e9
"""A size threshold that no box reaches; finite, so a config stays strict JSON."""

__all__ = [
    "NEVER_PX",
    "POLICY_FORMS",
    "BudgetPolicy",
    "FixedPolicy",
    "MSMPolicy",
    "OraclePolicy",
    "Policy",
    "RandomPolicy",
    "RoIs",
    "SizePolicy",
    "budget_grids",
    "budget_range_gmac",
    "fit_size_thresholds",
    "parse_policy",
    "select",
]

POLICY_FORMS = (
    "msm, " + ", ".join(f"fixed:{g}" for g in GRIDS) + ", size, budget:C, random:C "
    "(C in GMAC per object), oracle"
)


@dataclass(frozen=True)
class RoIs:
    """What a policy may look at.

    Attributes:
        probabilities: (N, 4) float, the switch's softmax over GRIDS; kept for display under
            policies that do not ask it.
        boxes_xyxy_px: (N, 4) float, photo pixels.
        level_shapes: (height, width) in cells of p2, p3 and p4 as the network ran them.
        cost: cost table of the model.
        ious: (N, 4) float mask IoU at each grid against ground truth, where it is known.

    Raises:
        InputError: shapes that do not belong together.
    """

    probabilities: np.ndarray
    boxes_xyxy_px: np.ndarray
    level_shapes: Mapping[str, tuple[int, int]]
    cost: CostTable = field(repr=False)
    ious: np.ndarray | None = None

    def __post_init__(self) -> None:
        # accepts CPU tensors too; frozen, hence object.__setattr__
        for name in ("probabilities", "boxes_xyxy_px", "ious"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.asarray(value))
        n = len(self.boxes_xyxy_px)
        for name in ("boxes_xyxy_px", "probabilities", "ious"):
            value = getattr(self, name)
            if value is not None and value.shape != (n, 4):
                raise InputError(f"Expected {name} of shape ({n}, 4); got {value.shape}.")

    def __len__(self) -> int:
        return len(self.boxes_xyxy_px)

    @property
    def sqrt_areas_px(self) -> np.ndarray:
        """(N,) float64 square root of each box's area in photo pixels."""
        return box_sizes_px(self.boxes_xyxy_px)


class Policy(Protocol):
    """Chooses a grid per object.

    Attributes:
        name: what :func:`parse_policy` reads back.
        needs_switch: whether objects pay for the Mask Switch Module.
    """

    needs_switch: ClassVar[bool]

    @property
    def name(self) -> str:
        """The policy as users write it."""
        ...

    def choose(self, rois: RoIs) -> np.ndarray:
        """Return (N,) int64 grids, each one of GRIDS."""
        ...


def select(policy: Policy, rois: RoIs) -> Selection:
    """Let a policy choose, and price its choice.

    Args:
        policy: any policy.
        rois: N objects of one photo; N may be 0.

    Returns:
        The grids with their costs in MAC.

    Raises:
        PolicyError: the policy cannot be met on these objects.
    """
    grids = np.asarray(policy.choose(rois), dtype=np.int64)
    return Selection(
        grids=grids,
        probabilities=rois.probabilities.astype(np.float32, copy=False),
        object_mac=rois.cost.object_mac(grids, policy.needs_switch),
        image_mac=rois.cost.image_mac(grids, rois.level_shapes),
        full_mac=rois.cost.full_mac(len(rois), rois.level_shapes),
        policy=policy.name,
        pays_switch=policy.needs_switch,
    )


@dataclass(frozen=True)
class MSMPolicy:
    """The trained switch: argmax of its probabilities, the cheaper grid on ties."""

    needs_switch: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """``msm``."""
        return "msm"

    def choose(self, rois: RoIs) -> np.ndarray:
        """(N,) grids."""
        return _to_grids(rois.probabilities.argmax(axis=1))


@dataclass(frozen=True)
class FixedPolicy:
    """Every object leaves at the same grid."""

    grid: int
    needs_switch: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.grid not in GRIDS:
            raise PolicyError(
                f"Expected a grid of {', '.join(map(str, GRIDS))} after 'fixed:'; got "
                f"{self.grid}. Choose one of these."
            )

    @property
    def name(self) -> str:
        """For example ``fixed:28``."""
        return f"fixed:{self.grid}"

    def choose(self, rois: RoIs) -> np.ndarray:
        """(N,) grids."""
        return np.full(len(rois), self.grid, dtype=np.int64)


@dataclass(frozen=True)
class SizePolicy:
    """The baseline that the switch must beat: larger boxes get finer grids.

    Attributes:
        thresholds_px: three rising values of sqrt(box area) in photo pixels; a box of exactly
            the threshold gets the finer grid.
    """

    thresholds_px: tuple[float, float, float]
    needs_switch: ClassVar[bool] = False

    def __post_init__(self) -> None:
        values = np.asarray(self.thresholds_px, dtype=np.float64)
        if values.shape != (3,) or not np.isfinite(values).all() or (np.diff(values) < 0).any():
            raise PolicyError(
                "Expected three rising size thresholds in pixels; got "
                f"{self.thresholds_px}. Correct size_thresholds_px in the configuration."
            )

    @property
    def name(self) -> str:
        """``size``."""
        return "size"

    def choose(self, rois: RoIs) -> np.ndarray:
        """(N,) grids."""
        return _to_grids(np.searchsorted(self.thresholds_px, rois.sqrt_areas_px, side="right"))


@dataclass(frozen=True)
class BudgetPolicy:
    """The likeliest grids whose mean cost per object stays within a budget.

    Attributes:
        gmac: budget in GMAC per object: its own stages plus the switch.
    """

    gmac: float
    needs_switch: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """For example ``budget:0.1``."""
        return f"budget:{_number(self.gmac)}"

    def choose(self, rois: RoIs) -> np.ndarray:
        """(N,) grids; raises PolicyError where even grid 14 is above the budget."""
        macs = rois.cost.exit_macs(pays_switch=True)
        return budget_grids(rois.probabilities, macs, _to_mac(self.gmac))


@dataclass(frozen=True)
class RandomPolicy:
    """Grids drawn at random with a mean cost within the budget: what a blind choice gives.

    Attributes:
        gmac: budget in GMAC per object, its own stages (no switch is paid).
        seed: the same seed and boxes give the same grids.
    """

    gmac: float
    seed: int = 0
    needs_switch: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """For example ``random:0.1``."""
        return f"random:{_number(self.gmac)}"

    def choose(self, rois: RoIs) -> np.ndarray:
        """(N,) grids; raises PolicyError where even grid 14 is above the budget."""
        # the boxes are mixed in, so the i-th object of every photo is not always the same
        mixed = zlib.crc32(np.ascontiguousarray(rois.boxes_xyxy_px, dtype=np.float32).tobytes())
        rng = np.random.default_rng([self.seed, mixed])
        return random_grids(len(rois), rois.cost.exit_macs(), _to_mac(self.gmac), rng)


@dataclass(frozen=True)
class OraclePolicy:
    """The grid whose mask fits the ground truth best, the cheapest on ties: an upper bound."""

    needs_switch: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """``oracle``."""
        return "oracle"

    def choose(self, rois: RoIs) -> np.ndarray:
        """(N,) grids; raises PolicyError without ground-truth IoUs."""
        if not len(rois):
            return np.zeros(0, dtype=np.int64)
        if rois.ious is None:
            raise PolicyError(
                "Expected ground-truth masks for the policy 'oracle', got a photo without any; "
                "use it on annotated data, or choose another policy."
            )
        return _to_grids(np.nan_to_num(rois.ious, nan=-1.0).argmax(axis=1))


def parse_policy(spec: str, *, config: DynaMaskConfig) -> Policy:
    """Read a policy as users write it.

    Args:
        spec: for example ``msm``, ``fixed:28``, ``size``, ``budget:0.1``, ``random:0.1``,
            ``oracle``; case and surrounding spaces do not matter.
        config: the model's configuration: its costs bound C, its thresholds make ``size``.

    Raises:
        PolicyError: unknown name, or a value that is no number or out of range.
    """
    name, colon, value = str(spec).strip().lower().partition(":")
    name, value = name.strip(), value.strip()
    if name == "fixed" and value.isdecimal():
        return FixedPolicy(int(value))
    if name in ("budget", "random") and colon:
        pays_switch = name == "budget"
        gmac = _read_gmac(name, value, budget_range_gmac(cost_table(config), pays_switch))
        return BudgetPolicy(gmac) if pays_switch else RandomPolicy(gmac)
    if not colon:
        if name == "msm":
            return MSMPolicy()
        if name == "size":
            return SizePolicy(config.size_thresholds_px)
        if name == "oracle":
            return OraclePolicy()
    raise PolicyError(f"Expected a policy, one of {POLICY_FORMS}; got {spec!r}. Choose one.")


def budget_range_gmac(cost: CostTable, pays_switch: bool = True) -> tuple[float, float]:
    """Lowest and highest mean cost per object in GMAC: everything at 14, everything at 112."""
    macs = cost.exit_macs(pays_switch)
    return float(macs[0]) / 1e9, float(macs[-1]) / 1e9


def fit_size_thresholds(
    sqrt_areas: np.ndarray, target_shares: np.ndarray
) -> tuple[float, float, float]:
    """Thresholds that give each grid the asked share of objects, hence the same mean cost.

    Args:
        sqrt_areas: (M,) sqrt(box area) of training objects in photo pixels, M >= 1.
        target_shares: (4,) shares of GRIDS, for example the switch's; they need not sum to 1.

    Returns:
        Three rising thresholds in pixels for :class:`SizePolicy`; NEVER_PX where no object goes
        further. Equal sizes cannot be told apart, so shares are met up to ties.

    Raises:
        PolicyError: no objects, or shares that are no shares.
    """
    sizes = np.sort(np.asarray(sqrt_areas, dtype=np.float64).reshape(-1))
    shares = np.asarray(target_shares, dtype=np.float64)
    usable = np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0
    if not len(sizes) or not np.isfinite(sizes).all() or shares.shape != (4,) or not usable:
        raise PolicyError(
            "Expected object sizes and four shares that are not negative; got "
            f"{len(sizes)} sizes and shares {shares.tolist()}. Give training objects."
        )
    cuts = np.rint(np.cumsum(shares / shares.sum())[:-1] * len(sizes)).astype(int)
    thresholds = []
    for cut in cuts:
        if cut == 0:
            thresholds.append(0.0)
        elif cut >= len(sizes):
            thresholds.append(NEVER_PX)
        else:
            thresholds.append(float((sizes[cut - 1] + sizes[cut]) / 2))
    return (thresholds[0], thresholds[1], thresholds[2])


def box_sizes_px(boxes_xyxy_px: np.ndarray) -> np.ndarray:
    """(N, 4) boxes -> (N,) float64 sqrt(area) in pixels; 0 for an empty box."""
    boxes = np.asarray(boxes_xyxy_px, dtype=np.float64).reshape(-1, 4)
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None)
    return np.sqrt(sides[:, 0] * sides[:, 1])


def _to_grids(indices: np.ndarray) -> np.ndarray:
    return np.asarray(GRIDS, dtype=np.int64)[np.asarray(indices, dtype=np.int64)]


def _to_mac(gmac: float) -> float:
    return round(gmac * 1e9, 3)  # 0.2 * 1e9 and the like must not fall just below a whole MAC


def _number(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _read_gmac(name: str, text: str, bounds: tuple[float, float]) -> float:
    # rounded inwards, so that the bounds shown are themselves accepted
    low, high = math.ceil(bounds[0] * 1e4) / 1e4, math.floor(bounds[1] * 1e4) / 1e4
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not bounds[0] <= value <= bounds[1]:  # refuses NaN as well
        raise PolicyError(
            f"Expected {name}:C with C from {low:.4f} to {high:.4f} GMAC per object for this "
            f"model; got {text!r}. Choose a value in this range."
        )
    return value
