"""Properties that every choice under a budget must have, on drawn objects and costs."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dynamask.config import GRIDS, preset
from dynamask.cost import cost_table
from dynamask.policies import (
    MSMPolicy,
    RandomPolicy,
    RoIs,
    SizePolicy,
    budget_grids,
    fit_size_thresholds,
    select,
)

COST = cost_table(preset("effnet_lite2_fpn"))
SHAPES = {"p2": (24, 32), "p3": (12, 16), "p4": (6, 8)}

fractions = st.floats(0.0, 1.0)
steps = st.lists(st.integers(1, 10**9), min_size=4, max_size=4)


@st.composite
def probabilities(draw, max_rows: int = 12) -> np.ndarray:
    rows = draw(st.integers(0, max_rows))
    # a few whole weights, so that exact ties are common
    weights = draw(hnp.arrays(np.int64, (rows, 4), elements=st.integers(0, 20)))
    weights[weights.sum(axis=1) == 0] = 1
    return weights / weights.sum(axis=1, keepdims=True)


def log_p(rows: np.ndarray) -> np.ndarray:
    return np.log(np.clip(rows, 1e-12, None))


def value(rows: np.ndarray, grids: np.ndarray) -> float:
    return float(log_p(rows)[np.arange(len(rows)), indices(grids)].sum())


def indices(grids: np.ndarray) -> np.ndarray:
    return np.searchsorted(GRIDS, grids)


def between(mac: np.ndarray, fraction: float) -> float:
    return float(mac[0] + fraction * (mac[-1] - mac[0]))


@given(probabilities(), steps, fractions)
def test_budget_is_never_exceeded(rows, increments, fraction) -> None:
    mac = np.cumsum(increments)
    budget = between(mac, fraction)
    grids = budget_grids(rows, mac, budget)
    assert grids.shape == (len(rows),)
    assert set(grids.tolist()) <= set(GRIDS)
    assert mac[indices(grids)].sum() <= budget * len(rows)


@given(probabilities(), steps, fractions, fractions)
def test_a_larger_budget_never_lowers_the_value(rows, increments, one, other) -> None:
    mac = np.cumsum(increments)
    low, high = (budget_grids(rows, mac, between(mac, f)) for f in sorted((one, other)))
    assert value(rows, high) >= value(rows, low) - 1e-9


@settings(max_examples=60)
@given(probabilities(max_rows=5), steps, fractions)
def test_close_to_the_brute_force_optimum(rows, increments, fraction) -> None:
    mac = np.cumsum(increments)
    budget = between(mac, fraction)
    found = value(rows, budget_grids(rows, mac, budget))
    gain, picks = log_p(rows), np.arange(len(rows))
    optimum = max(
        gain[picks, list(combination)].sum()
        for combination in itertools.product(range(4), repeat=len(rows))
        if mac[list(combination)].sum() <= budget * len(rows)
    )
    assert found <= optimum + 1e-9
    # the gap of the relaxation: one step of one object
    one_step = (gain.max(axis=1) - gain[:, 0]).max() if len(rows) else 0.0
    assert found >= optimum - one_step - 1e-9


@given(probabilities(), steps, st.integers(0, 10**9))
def test_enough_budget_gives_the_argmax(rows, increments, extra) -> None:
    mac = np.cumsum(increments)
    grids = budget_grids(rows, mac, float(mac[-1] + extra))
    assert (indices(grids) == rows.argmax(axis=1)).all()


@given(probabilities(), steps, fractions)
def test_the_rest_is_spent(rows, increments, fraction) -> None:
    mac = np.cumsum(increments)
    budget = between(mac, fraction)
    at = indices(budget_grids(rows, mac, budget))
    left = budget * len(rows) - mac[at].sum()
    for row, here in enumerate(at):
        for there in range(here + 1, 4):
            better = log_p(rows)[row, there] > log_p(rows)[row, here]
            assert not (better and mac[there] - mac[here] <= left)


@given(probabilities(), steps, fractions)
def test_no_object_has_a_likelier_cheaper_grid(rows, increments, fraction) -> None:
    mac = np.cumsum(increments)
    at = indices(budget_grids(rows, mac, between(mac, fraction)))
    for row, here in enumerate(at):
        assert (log_p(rows)[row, :here] < log_p(rows)[row, here]).all()


@given(probabilities(), steps, fractions)
def test_deterministic_and_order_of_copies_kept(rows, increments, fraction) -> None:
    mac = np.cumsum(increments)
    budget = between(mac, fraction)
    first = budget_grids(rows, mac, budget)
    assert (first == budget_grids(rows.copy(), mac, budget)).all()


@given(probabilities())
def test_msm_is_argmax_and_counts_add_up(rows) -> None:
    rois = RoIs(rows, np.tile([0.0, 0.0, 4.0, 4.0], (len(rows), 1)), SHAPES, COST)
    picked = select(MSMPolicy(), rois)
    assert (indices(picked.grids) == rows.argmax(axis=1)).all()
    assert sum(picked.counts().values()) == len(rows)
    assert int(picked.object_mac.sum()) == sum(
        count * (COST.exit_mac[grid] + COST.switch_mac) for grid, count in picked.counts().items()
    )
    assert picked.total_gmac * 1e9 <= picked.full_mac + len(rows) * COST.switch_mac + 1


@given(st.integers(0, 60), fractions, st.integers(0, 2**31))
def test_random_stays_within_its_budget_and_repeats(count, fraction, seed) -> None:
    gmac = between(COST.exit_macs(), fraction) / 1e9
    boxes = np.tile([0.0, 0.0, 4.0, 4.0], (count, 1))
    rois = RoIs(np.full((count, 4), 0.25), boxes, SHAPES, COST)
    grids = RandomPolicy(gmac, seed).choose(rois)
    assert (grids == RandomPolicy(gmac, seed).choose(rois)).all()
    assert COST.object_mac(grids, pays_switch=False).sum() <= gmac * 1e9 * count + 1


@given(
    st.lists(st.integers(0, 5000), min_size=1, max_size=80, unique=True),
    st.lists(st.integers(0, 10), min_size=4, max_size=4).filter(any),
)
def test_fitted_size_thresholds_meet_the_shares(sizes, weights) -> None:
    shares = np.array(weights) / sum(weights)
    thresholds = fit_size_thresholds(np.array(sizes), shares)
    sides = np.array(sizes, dtype=float)
    boxes = np.stack((0 * sides, 0 * sides, sides, sides), axis=1)
    rois = RoIs(np.full((len(sizes), 4), 0.25), boxes, SHAPES, COST)
    counts = select(SizePolicy(thresholds), rois).counts()
    found = np.array([counts[g] for g in GRIDS])
    assert (np.abs(found - shares * len(sizes)) <= 1.0 + 1e-9).all()
