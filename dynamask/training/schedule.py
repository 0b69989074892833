"""How long, how fast and at which size: the published COCO schedules, and our CPU recipe.

``1x`` and ``3x`` are the schedules of Mask R-CNN's reference code (detectron2's model zoo, which
the paper's tables use): batch 16, SGD with momentum 0.9, rate 0.02 divided by ten at two steps,
linear warm-up over 1,000 iterations, short side 800 (1x) or one of 640..800 (3x).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from dynamask.errors import InputError

SHORT_1X = (800,)
SHORT_3X = (640, 672, 704, 736, 768, 800)


@dataclass(frozen=True)
class Schedule:
    """A published schedule.

    Attributes:
        name: on the command line.
        steps: iterations at batch ``batch``.
        milestones: iterations after which the rate is a tenth, then a hundredth.
        short_sides: the photo's short side is one of these, in pixels.
        long_side: and its long side at most this.
        lr: rate of SGD at batch ``batch``.
        batch: photos per iteration over all processes.
        warmup: iterations of linear warm-up from ``lr * warmup_start``.
        rois: mask RoIs per photo at most.
    """

    name: str
    steps: int
    milestones: tuple[int, int]
    short_sides: tuple[int, ...]
    long_side: int = 1333
    lr: float = 0.02
    batch: int = 16
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: int = 1000
    warmup_start: float = 1e-3
    flip: float = 0.5
    backbone_from: int = 2  # stem and first stage stay as ImageNet left them
    rois: int = 32

    def for_batch(self, photos: int) -> tuple[int, tuple[int, int], float]:
        """(iterations, milestones, rate) for another batch, by the linear scaling rule.

        Goyal et al., "Accurate, Large Minibatch SGD" (2017): the rate grows with the batch and
        the number of photos seen stays. The warm-up keeps its number of iterations.
        """
        factor = self.batch / photos
        first, second = (round(m * factor) for m in self.milestones)
        return round(self.steps * factor), (first, second), self.lr / factor


SCHEDULES: dict[str, Schedule] = {
    s.name: s
    for s in (
        Schedule("1x", 90_000, (60_000, 80_000), SHORT_1X),
        Schedule("3x", 270_000, (210_000, 250_000), SHORT_3X),
    )
}

PUBLISHED_PRESETS = ("resnet50_fpn", "resnet101_fpn", "resnext101_64x4d_fpn")
"""Presets that the published schedules are meant for."""

RateFactor = Callable[[int], float]


def cosine_factor(step: int, *, total: int, warmup: int) -> float:
    """Linear warm-up, then a half cosine down to 2 % of the peak.

    Args:
        step: from 0.
        total: steps of the run.
        warmup: steps of the warm-up.

    Returns:
        Factor on the peak rate, in (0, 1].
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))


def step_factor(
    step: int, *, milestones: tuple[int, ...], warmup: int, warmup_start: float
) -> float:
    """Linear warm-up from ``warmup_start``, then a tenth after each milestone.

    Args:
        step: from 0.
        milestones: steps at which the factor falls.
        warmup: steps of the warm-up.
        warmup_start: factor at step 0.
    """
    factor = 0.1 ** sum(step >= m for m in milestones)
    if step < warmup:
        factor *= warmup_start + (1 - warmup_start) * step / warmup
    return factor


def temperature_at(step: int, *, total: int, start: float, end: float | None) -> float:
    """Gumbel temperature: constant, or falling geometrically from ``start`` to ``end``."""
    if end is None:
        return start
    return start * (end / start) ** min(1.0, step / max(1, total - 1))


def pick_schedule(name: str) -> Schedule:
    """A schedule by name; raises InputError listing the known ones."""
    if name not in SCHEDULES:
        raise InputError(
            f"Expected a schedule, one of {', '.join(SCHEDULES)}; got {name!r}. Choose one of "
            "these, or leave --schedule out for the recipe of this machine."
        )
    return SCHEDULES[name]


def training_hours(seconds_per_step: float, steps: int, processes: int) -> tuple[float, float]:
    """(hours by the clock, device hours) of a run whose processes each hold one device."""
    hours = seconds_per_step * steps / 3600
    return hours, hours * processes
