"""Choosing grids under a mean cost: the arithmetic behind ``budget:C`` and ``random:C``.

The budget problem is a multiple-choice knapsack. Its Lagrangian relaxation is solved by bisection
on one multiplier (Everett, "Generalized Lagrange multiplier method", 1963); what that leaves over
is spent greedily.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from dynamask.config import GRIDS
from dynamask.errors import PolicyError

_TINY = 1e-12  # log p of an underflowed softmax stays finite
_STEPS = 100  # halvings; the multiplier is then exact to double precision


def budget_grids(probabilities: np.ndarray, mac: np.ndarray, mean_budget_mac: float) -> np.ndarray:
    """Maximise the summed log p under a mean cost, on one photo or across a dataset.

    Args:
        probabilities: (M, 4) float, each row over GRIDS.
        mac: (4,) cost of one object at each grid, rising, with everything the budget counts
            (for ``budget:C`` the switch too).
        mean_budget_mac: largest allowed mean cost per object, in MAC.

    Returns:
        (M,) int64 grids; their mean cost never exceeds the budget. Within one object's step of
        the true optimum; a larger budget never gives a lower summed log p.

    Raises:
        PolicyError: the budget is below the cost of the coarsest grid, or no number.
    """
    mac = np.asarray(mac, dtype=np.float64)
    count = len(probabilities)
    budget = _total(count, mac, mean_budget_mac)
    if not count:
        return np.zeros(0, dtype=np.int64)
    gain = np.log(np.clip(np.asarray(probabilities, dtype=np.float64), _TINY, None))

    def best(multiplier: float) -> np.ndarray:
        return (gain - multiplier * mac).argmax(axis=1)  # argmax takes the cheaper on ties

    picked = best(0.0)
    if mac[picked].sum() > budget:
        # at `high` no step to any dearer grid pays, so everybody is at the cheapest
        low, high = 0.0, 2.0 * (gain.max() - gain.min()) / np.diff(mac).min()
        for _ in range(_STEPS):
            middle = (low + high) / 2
            if mac[best(middle)].sum() > budget:
                low = middle
            else:
                high = middle
        picked = best(high)
        _spend(picked, gain, mac, budget - mac[picked].sum())
    return _grids(picked)


def _spend(picked: np.ndarray, gain: np.ndarray, mac: np.ndarray, left: float) -> None:
    """Move objects to finer grids in place, best log-p gain per MAC first, while money is left."""
    heap: list[tuple[float, float, int, int, int]] = []

    def push(row: int) -> None:
        here = int(picked[row])
        for there in range(here + 1, len(mac)):
            step, more = mac[there] - mac[here], gain[row, there] - gain[row, here]
            # what does not fit now never will: the rest only shrinks
            if more > 0 and step <= left:
                heapq.heappush(heap, (-more / step, step, row, here, there))

    for row in range(len(picked)):
        push(row)
    while heap:
        _, step, row, here, there = heapq.heappop(heap)
        if picked[row] == here and step <= left:
            picked[row] = there
            left -= step
            push(row)


def random_grids(
    count: int, mac: np.ndarray, mean_budget_mac: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw grids blindly with a mean cost close to, and never above, a budget.

    The draw is the distribution of largest entropy with that mean cost; then objects in random
    order step down until the budget holds, or up while it still does.

    Args:
        count: number of objects M.
        mac: (4,) cost of one object at each grid, rising.
        mean_budget_mac: largest allowed mean cost per object, in MAC.
        rng: source of randomness.

    Returns:
        (M,) int64 grids.

    Raises:
        PolicyError: the budget is below the cost of the coarsest grid, or no number.
    """
    mac = np.asarray(mac, dtype=np.float64)
    left = _total(count, mac, mean_budget_mac)
    if not count:
        return np.zeros(0, dtype=np.int64)
    picked = rng.choice(len(mac), size=count, p=_entropic(mac, mean_budget_mac))
    left -= mac[picked].sum()
    order = rng.permutation(count)
    while left < 0:
        for row in order:
            if left < 0 and picked[row] > 0:
                left += mac[picked[row]] - mac[picked[row] - 1]
                picked[row] -= 1
    for row in order:
        if picked[row] + 1 < len(mac) and mac[picked[row] + 1] - mac[picked[row]] <= left:
            left -= mac[picked[row] + 1] - mac[picked[row]]
            picked[row] += 1
    return _grids(picked)


def _entropic(mac: np.ndarray, mean: float) -> np.ndarray:
    """(4,) probabilities of largest entropy whose mean cost is the given one."""
    scaled = (mac - mac[0]) / (mac[-1] - mac[0])
    target = float(np.clip((mean - mac[0]) / (mac[-1] - mac[0]), 0.0, 1.0))

    def distribution(slope: float) -> np.ndarray:
        weights = np.exp(slope * scaled - max(slope, 0.0))
        return weights / weights.sum()

    low, high = -700.0, 700.0  # exp stays finite; beyond is a point mass anyway
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if distribution(middle) @ scaled < target:
            low = middle
        else:
            high = middle
    return distribution((low + high) / 2)


def _total(count: int, mac: np.ndarray, mean_budget_mac: float) -> float:
    if not mean_budget_mac >= mac[0]:  # refuses NaN as well
        raise PolicyError(
            f"Expected a budget of at least {mac[0] / 1e9:.4f} GMAC per object, the cost of grid "
            f"{GRIDS[0]}; got {mean_budget_mac / 1e9:.4f}. Choose a larger one."
        )
    return float(count) * float(mean_budget_mac)


def _grids(indices: np.ndarray) -> np.ndarray:
    return np.asarray(GRIDS, dtype=np.int64)[indices]


@dataclass(frozen=True, eq=False)
class BudgetPath:
    """The exact Lagrangian path of ``budget:C`` on one photo, from all at 14 upwards.

    Step k moves object ``rows[k]`` from grid ``before[k]`` to ``after[k]``; it is affordable from a
    mean budget of ``budgets_mac[k]`` on, and not below it. In between, what is left over may pay
    for a later and cheaper step ahead of its turn, see :func:`budget_grids`.

    Attributes:
        rows: (K,) int64 object of each step, by rising budget.
        before: (K,) int64 grid that the object leaves behind.
        after: (K,) int64 grid it gets, always a finer one; steps may skip grids.
        budgets_mac: (K,) float64 mean budget per object in MAC, rising.
        range_mac: lowest budget (all at 14), and the one from which on nothing changes any more.
    """

    rows: np.ndarray
    before: np.ndarray
    after: np.ndarray
    budgets_mac: np.ndarray
    range_mac: tuple[float, float]

    def steps_of(self, row: int) -> list[tuple[int, int, float]]:
        """(grid before, grid after, mean budget in MAC) of one object's steps, rising."""
        return [
            (int(self.before[k]), int(self.after[k]), float(self.budgets_mac[k]))
            for k in np.flatnonzero(self.rows == row)
        ]


def budget_path(probabilities: np.ndarray, mac: np.ndarray) -> BudgetPath:
    """Every budget at which the Lagrangian choice of :func:`budget_grids` changes, exactly.

    An object takes only the corners of the upper hull of (cost, log p); all objects' hull edges,
    steepest first, are the order in which a growing budget is spent (Everett, 1963).

    Args:
        probabilities: (M, 4) float, each row over GRIDS.
        mac: (4,) cost of one object at each grid, rising, as for :func:`budget_grids`.
    """
    mac = np.asarray(mac, dtype=np.float64)
    gain = np.log(np.clip(np.asarray(probabilities, dtype=np.float64), _TINY, None))
    edges: list[tuple[float, int, int, int]] = []
    for row, values in enumerate(gain):
        here, best = 0, int(values.argmax())
        while here < best:
            ahead = np.arange(here + 1, best + 1)
            slopes = (values[ahead] - values[here]) / (mac[ahead] - mac[here])
            there = here + 1 + int(len(slopes) - 1 - slopes[::-1].argmax())  # the last of equals
            edges.append((-float(slopes.max()), row, here, there))
            here = there
    edges.sort()
    count = max(len(gain), 1)
    spent = np.cumsum([mac[there] - mac[here] for *_, here, there in edges])
    budgets = mac[0] + spent / count if edges else np.zeros(0)
    return BudgetPath(
        rows=np.array([e[1] for e in edges], dtype=np.int64),
        before=_grids(np.array([e[2] for e in edges], dtype=np.int64)),
        after=_grids(np.array([e[3] for e in edges], dtype=np.int64)),
        budgets_mac=budgets,
        range_mac=(float(mac[0]), float(budgets[-1]) if edges else float(mac[0])),
    )
