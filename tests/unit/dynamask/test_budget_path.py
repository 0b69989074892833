"""The exact budgets at which choices flip, held against the policy itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamask.allocation import budget_grids, budget_path
from dynamask.config import GRIDS

MAC = np.array([10.0, 25.0, 60.0, 100.0])


def draw(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(4), size=count)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_each_step_is_taken_at_its_budget_and_not_below(seed: int, count: int) -> None:
    p = draw(seed, count)
    path = budget_path(p, MAC)
    for row, before, after, budget in zip(
        path.rows, path.before, path.after, path.budgets_mac, strict=True
    ):
        at = budget_grids(p, MAC, budget * (1 + 1e-9))
        below = budget_grids(p, MAC, max(budget * (1 - 1e-9), MAC[0]))
        assert at[row] >= after > before
        assert below[row] < after


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_at_a_breakpoint_the_policy_is_the_path(seed: int, count: int) -> None:
    p = draw(seed, count)
    path = budget_path(p, MAC)
    grids = np.full(count, GRIDS[0])
    for row, after, budget in zip(path.rows, path.after, path.budgets_mac, strict=True):
        grids[row] = after
        np.testing.assert_array_equal(budget_grids(p, MAC, budget * (1 + 1e-9)), grids)


def test_above_the_range_everyone_has_the_likeliest_grid() -> None:
    p = draw(3, 12)
    path = budget_path(p, MAC)
    low, high = path.range_mac
    likeliest = np.asarray(GRIDS)[p.argmax(axis=1)]
    np.testing.assert_array_equal(budget_grids(p, MAC, high * (1 + 1e-9)), likeliest)
    np.testing.assert_array_equal(budget_grids(p, MAC, MAC[-1]), likeliest)
    assert low == MAC[0] and high == pytest.approx(MAC[p.argmax(axis=1)].mean())


def test_a_grid_below_the_hull_is_skipped() -> None:
    path = budget_path(np.array([[0.1, 0.11, 0.12, 0.67]]), MAC)
    assert path.steps_of(0) == [(14, 112, 100.0)]
    assert path.steps_of(1) == []


def test_nothing_to_choose() -> None:
    for p in (np.zeros((0, 4)), np.array([[0.7, 0.1, 0.1, 0.1]])):
        path = budget_path(p, MAC)
        assert len(path.rows) == 0 and path.range_mac == (10.0, 10.0)
