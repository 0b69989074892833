"""Grids set by hand, and chance at the switch's cost."""

from __future__ import annotations

import numpy as np
import pytest

from dynamask.config import GRIDS, preset
from dynamask.cost import cost_table
from dynamask.errors import PolicyError
from dynamask.override import ByHandPolicy, EqualRandomPolicy
from dynamask.policies import FixedPolicy, MSMPolicy, RoIs, select

COST = cost_table(preset("effnet_lite0_fpn"))


def rois(count: int, seed: int = 0) -> RoIs:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 100, (count, 2))
    return RoIs(
        probabilities=rng.dirichlet(np.ones(4), size=count).astype(np.float32),
        boxes_xyxy_px=np.hstack((corner, corner + rng.uniform(5, 200, (count, 2)))),
        level_shapes={"p2": (32, 32), "p3": (16, 16), "p4": (8, 8)},
        cost=COST,
    )


def test_a_hand_changes_only_its_own_objects() -> None:
    some = rois(6)
    base = select(MSMPolicy(), some)
    changed = select(ByHandPolicy(MSMPolicy(), {1: 112, 4: 14, 99: 28}), some)
    assert changed.grids[1] == 112 and changed.grids[4] == 14
    rest = [0, 2, 3, 5]
    np.testing.assert_array_equal(changed.grids[rest], base.grids[rest])
    assert changed.pays_switch and changed.policy == "msm, 3 by hand"
    assert changed.object_mac[1] == COST.exits[-1] + COST.switch_mac


def test_a_hand_over_a_fixed_grid_pays_no_switch() -> None:
    chosen = select(ByHandPolicy(FixedPolicy(28), {0: 56}), rois(2))
    assert not chosen.pays_switch
    assert chosen.grids.tolist() == [56, 28]
    assert ByHandPolicy(FixedPolicy(28)).name == "fixed:28"


def test_other_grids_are_refused() -> None:
    with pytest.raises(PolicyError, match="Expected one of the grids"):
        ByHandPolicy(MSMPolicy(), {0: 30})


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_chance_never_costs_more_than_the_switch(count: int) -> None:
    some = rois(count, seed=count)
    switch = select(MSMPolicy(), some).object_mac.sum()
    drawn = select(EqualRandomPolicy(), some)
    assert drawn.object_mac.sum() <= switch
    step = np.diff(COST.exits).max()
    assert switch - drawn.object_mac.sum() < step or set(drawn.grids) == {GRIDS[-1]}
    np.testing.assert_array_equal(drawn.grids, select(EqualRandomPolicy(), some).grids)


def test_chance_without_objects() -> None:
    assert len(select(EqualRandomPolicy(), rois(0))) == 0
