"""Which photos come at which training step: a pure function of the seed and the step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from dynamask.errors import DataError


class SampleKey(NamedTuple):
    """Which photo, and for which step and place in the batch (the seed of its augmentation)."""

    source: str
    index: int
    step: int = 0
    slot: int = 0


class MixedSampler(Sampler[list[SampleKey]]):
    """Batches by step number: pass as ``batch_sampler`` of a DataLoader.

    Each source is walked in an order shuffled anew each time it has been used up, so no photo
    comes twice before all have come once.

    Args:
        sizes: source name to number of photos.
        plan: source name to photos per batch; 0 leaves a source out, 0.5 gives a photo at every
            other step. Fractions are to hundredths, and one source comes at every step.
        seed: of the run.
        steps: number of the step to stop before.
        start: first step; a resumed run gives the number of steps already made.
        rank: which of ``world`` processes this is.
        world: processes that share a batch. The plan is one process's; together they see the
            batch of one process whose plan is ``world`` times as large, dealt out like cards.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        plan: Mapping[str, float],
        seed: int,
        steps: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        unknown = sorted(set(plan) - set(sizes))
        if unknown or any(n < 0 for n in plan.values()) or max(plan.values(), default=0) < 1:
            raise DataError(
                f"Expected a batch plan over {', '.join(sorted(sizes))} with at least one photo "
                f"of one source in every batch, got {dict(plan)}; for example "
                f"{{'{min(sizes)}': 1}}."
            )
        self.sizes = dict(sizes)
        # by name: the plan's order must not change which photos come
        self.plan = {
            n: Fraction(plan[n]).limit_denominator(100) * world for n in sorted(plan) if plan[n]
        }
        self.rank, self.world = rank, world
        self.seed, self.steps, self.start = seed, steps, start
        self._orders: dict[str, tuple[int, np.ndarray]] = {}

    def __len__(self) -> int:
        return max(0, self.steps - self.start)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for step in range(self.start, self.steps):
            yield self.batch(step)

    def batch(self, step: int) -> list[SampleKey]:
        """Return this process's part of a step; the same whatever was asked before."""
        keys: list[SampleKey] = []
        phase = Fraction(0)  # so that two sources of 0.5 take turns
        for name, count in self.plan.items():
            first, last = (int(s * count + phase) for s in (step, step + 1))
            phase = (phase + count) % 1
            for place in range(first, last):
                index = self._index(name, place)
                keys.append(SampleKey(name, index, step, len(keys)))
        return keys[self.rank :: self.world]

    def _index(self, name: str, place: int) -> int:
        epoch, offset = divmod(place, self.sizes[name])
        cached = self._orders.get(name)
        if cached is None or cached[0] != epoch:
            tag = int.from_bytes(name.encode(), "little")
            order = np.random.default_rng([self.seed, tag, epoch]).permutation(self.sizes[name])
            cached = self._orders[name] = (epoch, order)
        return int(cached[1][offset])
