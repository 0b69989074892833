"""Every policy on small hand-checked objects, and every sentence that refuses one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynamask.config import GRIDS, preset
from dynamask.cost import cost_table
from dynamask.errors import InputError, PolicyError
from dynamask.policies import (
    NEVER_PX,
    FixedPolicy,
    OraclePolicy,
    RandomPolicy,
    RoIs,
    SizePolicy,
    budget_grids,
    budget_range_gmac,
    fit_size_thresholds,
    parse_policy,
    select,
)

CONFIG = preset("effnet_lite2_fpn")
COST = cost_table(CONFIG)
SHAPES = {"p2": (120, 160), "p3": (60, 80), "p4": (30, 40)}
PROBABILITIES = np.array(
    [[0.7, 0.1, 0.1, 0.1], [0.1, 0.6, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]],
    dtype=np.float32,
)
BOXES = np.array([[0, 0, 10, 10], [0, 0, 50, 50], [0, 0, 100, 200], [5, 5, 5, 50]], dtype=float)
EVERY_POLICY = ["msm", *(f"fixed:{g}" for g in GRIDS), "size", "budget:0.1", "random:0.1", "oracle"]


def make_rois(count: int = 4, ious: np.ndarray | None = None) -> RoIs:
    return RoIs(PROBABILITIES[:count], BOXES[:count], SHAPES, COST, ious)


def many(count: int = 200, seed: int = 0) -> RoIs:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 300, (count, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(2, 300, (count, 2))), axis=1)
    return RoIs(rng.dirichlet(np.ones(4), count), boxes, SHAPES, COST, rng.random((count, 4)))


def test_msm_is_argmax_and_cheaper_on_ties() -> None:
    picked = select(parse_policy("msm", config=CONFIG), make_rois())
    assert picked.grids.tolist() == [14, 28, 112, 14]
    assert picked.pays_switch
    own = [COST.exit_mac[g] for g in (14, 28, 112, 14)]
    assert picked.object_mac.tolist() == [mac + COST.switch_mac for mac in own]
    assert picked.image_mac == sum(COST.image_branch_mac(SHAPES).values())


@pytest.mark.parametrize("grid", GRIDS)
def test_fixed_pays_no_switch(grid: int) -> None:
    picked = select(parse_policy(f"fixed:{grid}", config=CONFIG), make_rois())
    assert picked.counts() == {g: 4 * (g == grid) for g in GRIDS}
    assert picked.object_mac.tolist() == [COST.exit_mac[grid]] * 4
    assert not picked.pays_switch
    assert (picked.share_of_full == 1.0) == (grid == 112)


def test_size_reads_the_box_area() -> None:
    picked = select(SizePolicy((10.0, 50.1, 141.0)), make_rois())
    assert picked.grids.tolist() == [28, 28, 112, 14]  # exactly the threshold goes finer


def test_size_uses_the_configured_thresholds() -> None:
    changed = CONFIG.replace(size_thresholds_px=(1.0, 2.0, 3.0))
    assert parse_policy("size", config=changed).choose(make_rois()).tolist() == [112, 112, 112, 14]


def test_fitted_thresholds_give_the_asked_shares() -> None:
    sizes = np.random.default_rng(3).lognormal(4, 1, 1000)
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    thresholds = fit_size_thresholds(sizes, shares)
    counts = np.bincount(np.searchsorted(thresholds, sizes, side="right"), minlength=4)
    assert counts.tolist() == [400, 300, 200, 100]


def test_fitted_thresholds_of_a_collapsed_switch() -> None:
    assert fit_size_thresholds(np.array([5.0, 9.0]), np.array([1, 0, 0, 0])) == (NEVER_PX,) * 3
    assert fit_size_thresholds(np.array([5.0, 9.0]), np.array([0, 0, 0, 1])) == (0.0,) * 3
    with pytest.raises(PolicyError, match="0 sizes"):
        fit_size_thresholds(np.zeros(0), np.ones(4))
    with pytest.raises(PolicyError, match="not negative"):
        fit_size_thresholds(np.ones(3), np.array([1, -1, 1, 1]))


def test_budget_by_hand() -> None:
    probabilities = np.array([[0.4, 0.6, 1e-9, 1e-9], [0.1, 0.9, 1e-9, 1e-9]])
    mac = np.array([10, 20, 30, 40])
    # one step of 10 to spend: the second object gains more by it
    assert budget_grids(probabilities, mac, 15).tolist() == [14, 28]
    assert budget_grids(probabilities, mac, 14.9).tolist() == [14, 14]
    assert budget_grids(probabilities, mac, 20).tolist() == [28, 28]
    assert budget_grids(probabilities, mac, 10).tolist() == [14, 14]


def test_budget_spends_what_the_multiplier_leaves() -> None:
    # 200 equal objects tie at one multiplier: all or none, without the greedy rest
    probabilities = np.tile([0.1, 0.2, 0.3, 0.4], (200, 1))
    macs = COST.exit_macs(pays_switch=True)
    grids = budget_grids(probabilities, macs, 0.15e9)
    spent = COST.object_mac(grids, pays_switch=True).mean()
    assert 0.15e9 - macs[-1] / 200 < spent <= 0.15e9


def test_budget_counts_the_switch_and_changes_grids() -> None:
    rois = many()
    means = []
    for spec in ("budget:0.07", "budget:0.1", "budget:0.2"):
        picked = select(parse_policy(spec, config=CONFIG), rois)
        assert picked.pays_switch
        assert picked.policy == spec
        assert picked.gmac.mean() <= float(spec.split(":")[1]) + 1e-12
        means.append(picked.gmac.mean())
    assert means == sorted(means)
    assert means[0] < means[1]
    assert means[1] == pytest.approx(0.1, abs=0.002)


def test_random_is_blind_seeded_and_near_its_budget() -> None:
    rois = many(400)
    first = RandomPolicy(0.12).choose(rois)
    blind = RoIs(rois.probabilities[::-1], rois.boxes_xyxy_px, SHAPES, COST)
    assert (first == RandomPolicy(0.12).choose(blind)).all()
    assert (first != RandomPolicy(0.12, seed=1).choose(rois)).any()
    assert set(first.tolist()) == set(GRIDS)
    picked = select(RandomPolicy(0.12), rois)
    assert not picked.pays_switch
    assert 0.119 < picked.gmac.mean() <= 0.12


def test_random_differs_between_photos_of_as_many_objects() -> None:
    one, other = many(50, seed=1), many(50, seed=2)
    assert (RandomPolicy(0.12).choose(one) != RandomPolicy(0.12).choose(other)).any()


def test_oracle_takes_the_best_and_the_cheapest_of_equals() -> None:
    ious = np.array([[0.1, 0.9, 0.9, 0.2], [0.5, 0.5, 0.5, 0.5], [0, 0, 0.1, 0.2], [0.9, 0, 0, 0]])
    picked = select(parse_policy("oracle", config=CONFIG), make_rois(ious=ious))
    assert picked.grids.tolist() == [28, 14, 112, 14]
    assert not picked.pays_switch


def test_oracle_without_ground_truth_is_a_sentence() -> None:
    with pytest.raises(PolicyError, match="'oracle'"):
        OraclePolicy().choose(make_rois())


@pytest.mark.parametrize("spec", EVERY_POLICY)
def test_no_objects(spec: str) -> None:
    picked = select(parse_policy(spec, config=CONFIG), make_rois(0))
    assert len(picked) == 0
    assert picked.grids.dtype == np.int64
    assert picked.total_gmac == 0
    assert picked.share_of_full == 0


@pytest.mark.parametrize("spec", EVERY_POLICY)
def test_names_are_read_back(spec: str) -> None:
    policy = parse_policy(spec, config=CONFIG)
    assert policy.name == spec
    assert parse_policy(f"  {policy.name.upper()} ", config=CONFIG) == policy


@pytest.mark.parametrize(
    "spec",
    ["", "best", "fixed", "fixed:", "fixed:x", "msm:3", "size:1", "oracle:", "budget", "fixed:-14"],
)
def test_unknown_policy_lists_the_forms(spec: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(spec, config=CONFIG)
    for form in ("msm", "fixed:14", "fixed:112", "size", "budget:C", "random:C", "oracle"):
        assert form in str(caught.value)
    assert repr(spec) in str(caught.value)


def test_unknown_grid_is_a_sentence() -> None:
    with pytest.raises(PolicyError, match="14, 28, 56, 112 after 'fixed:'; got 13"):
        parse_policy("fixed:13", config=CONFIG)
    with pytest.raises(PolicyError):
        FixedPolicy(0)


@pytest.mark.parametrize(
    "value", ["nan", "-0.1", "inf", "-inf", "", "abc", "0", "0.06", "99", "1e"]
)
@pytest.mark.parametrize("name", ["budget", "random"])
def test_budget_out_of_range_says_the_range(name: str, value: str) -> None:
    # of budget with value 0.06 too: the switch alone lifts the lowest budget above it
    if (name, value) == ("random", "0.06"):
        assert parse_policy("random:0.06", config=CONFIG).gmac == 0.06
        return
    with pytest.raises(PolicyError) as caught:
        parse_policy(f"{name}:{value}", config=CONFIG)
    low, high = {"budget": ("0.0621", "0.2301"), "random": ("0.0579", "0.2259")}[name]
    assert f"from {low} to {high} GMAC" in str(caught.value)
    for bound in (low, high):  # what the sentence offers is accepted
        picked = select(parse_policy(f"{name}:{bound}", config=CONFIG), many(30))
        assert picked.gmac.mean() <= float(bound)


@pytest.mark.parametrize("name", ["budget", "random"])
def test_the_exact_ends_of_the_range_work(name: str) -> None:
    low, high = budget_range_gmac(COST, pays_switch=name == "budget")
    assert set(parse_policy(f"{name}:{low!r}", config=CONFIG).choose(many())) == {14}
    dearest = parse_policy(f"{name}:{high!r}", config=CONFIG).choose(many())
    expected = many().probabilities.argmax(axis=1) if name == "budget" else [3]
    assert (np.searchsorted(GRIDS, dearest) == expected).all()


def test_budget_below_the_cheapest_grid_is_refused() -> None:
    for bad in (9.0, float("nan"), -1.0):
        with pytest.raises(PolicyError, match="at least"):
            budget_grids(np.full((2, 4), 0.25), np.array([10, 20, 30, 40]), bad)


def test_size_thresholds_must_rise() -> None:
    for bad in ((3.0, 2.0, 5.0), (1.0, float("nan"), 2.0), (1.0, 2.0)):
        with pytest.raises(PolicyError, match="three rising"):
            SizePolicy(bad)


def test_rois_check_their_shapes_and_take_tensors() -> None:
    with pytest.raises(InputError, match=r"probabilities of shape \(4, 4\)"):
        RoIs(PROBABILITIES[:3], BOXES, SHAPES, COST)
    with pytest.raises(InputError, match="ious"):
        RoIs(PROBABILITIES, BOXES, SHAPES, COST, np.zeros((4, 3)))
    rois = RoIs(torch.tensor(PROBABILITIES), torch.tensor(BOXES), SHAPES, COST)
    picked = select(parse_policy("msm", config=CONFIG), rois)
    assert picked.grids.tolist() == [14, 28, 112, 14]
    assert picked.probabilities.dtype == np.float32
