"""Policies as lookups: equal to really decoding; intervals equal to a plain bootstrap."""

from pathlib import Path

import numpy as np
import pytest
from factories import tiny_coco

from dynamask.config import GRIDS, preset
from dynamask.cost import cost_table
from dynamask.errors import DataError
from dynamask.predictor import Predictor
from dynamask.training import tradeoff as t
from dynamask.training.evaluate import evaluate

SHAPE = {"p2": (12, 16), "p3": (6, 8), "p4": (3, 4)}


def invented(objects: int = 60, photos: int = 7, seed: int = 0) -> t.ObjectTable:
    rng = np.random.default_rng(seed)
    gain = np.cumsum(rng.exponential(0.02, (objects, 4)) * [0, 1, 0.5, 0.2], axis=1)
    photo = np.sort(np.concatenate([np.arange(photos), rng.integers(0, photos, objects - photos)]))
    size = np.exp(rng.uniform(1, 6, objects))
    logits = gain / 0.02 + rng.normal(0, 0.01, gain.shape)
    odds = np.exp(logits)
    return t.ObjectTable(
        iou=0.6 + gain,
        boundary_iou=0.5 + 1.5 * gain,
        probabilities=odds / odds.sum(axis=1, keepdims=True),
        sqrt_area_px=size,
        mask_area_px2=0.6 * size**2,
        photo=photo,
        shapes=(SHAPE,) * photos,
        cost=cost_table(preset("effnet_lite2_fpn")),
    )


@pytest.mark.slow
def test_lookup_equals_decoding(tiny_predictor: Predictor, tmp_path: Path) -> None:
    made = tiny_coco(tmp_path, 4, objects=3, name="shapes")
    table = t.measure_objects(tiny_predictor, made.annotations, made.images)
    policies = ["msm", "fixed:14", "fixed:112"]
    rows = evaluate(tiny_predictor, made.annotations, made.images, policies, "gt")
    choices = [t.switch_alone(table), t.fixed(table, 14), t.fixed(table, 112)]
    weights = t.photo_weights(len(table.shapes), draws=50)
    for row, choice in zip(rows, choices, strict=True):
        mine = t.row(table, choice, weights)
        for name in (*t.METRICS, "gmac_per_roi"):
            assert mine[name] == pytest.approx(row[name], abs=1e-9), name
        assert mine["share"] == pytest.approx(row["share"])


def test_no_objects(tiny_predictor: Predictor, tmp_path: Path) -> None:
    made = tiny_coco(tmp_path, 2, objects=1, name="shapes")
    with pytest.raises(DataError, match="objects"):
        t.measure_objects(tiny_predictor, made.annotations, made.images, limit=0)


def test_interval_equals_a_plain_bootstrap() -> None:
    table = invented()
    values = table.iou[:, 2]
    weights = t.photo_weights(7, draws=400, seed=3)
    means = []
    for draw in weights:
        picked = np.concatenate(
            [np.flatnonzero(table.photo == p) for p, n in enumerate(draw) for _ in range(n)]
        )
        means.append(values[picked].mean())
    wanted = np.quantile(means, (0.025, 0.975))
    assert t.interval(values, table.photo, weights) == pytest.approx(tuple(wanted))
    assert t.interval(np.ones(60), table.photo, weights) == (1.0, 1.0)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    photo = np.repeat(np.arange(40), 5)
    weights = t.photo_weights(40, draws=500)
    hits = 0
    for _ in range(200):
        values = rng.normal(0, 1, 40)[photo] + rng.normal(0, 1, 200)
        low, high = t.interval(values, photo, weights)
        hits += low <= 0 <= high
    assert 0.87 < hits / 200 <= 0.99


def test_a_set_wide_budget_holds_and_buys_quality() -> None:
    table = invented(3000, 40)
    low, high = (m / 1e9 for m in table.cost.exit_macs(pays_switch=True)[[0, -1]])
    last = -1.0
    for gmac in np.linspace(low, high, 6):
        choice = t.switch_at(table, gmac)
        assert table.cost.object_mac(choice.grids, True).mean() <= gmac * 1e9 + 1
        quality = t.qualities(table, choice)["mean_iou"].mean()
        blind = t.random_at(table, gmac - table.cost.switch_mac / 1e9)
        assert quality >= t.qualities(table, blind)["mean_iou"].mean() - 1e-4
        best = t.oracle_at(table, gmac)
        assert quality <= t.qualities(table, best)["mean_iou"].mean() + 1e-3
        assert quality >= last - 1e-3
        last = quality


def test_branches_are_paid_once_a_photo() -> None:
    table = invented()
    coarse, fine = t.fixed(table, 14), t.fixed(table, 112)
    exits = table.cost.exits
    assert table.gmac_per_roi(coarse.grids, False) == pytest.approx(exits[0] / 1e9)
    branches = table.cost.image_mac([112], SHAPE) * 7 / 60
    assert table.gmac_per_roi(fine.grids, False) == pytest.approx((exits[3] + branches) / 1e9)


def test_size_rule_has_the_asked_shares() -> None:
    table = invented()
    choice = t.size_at(table, np.array([0.5, 0.25, 0.25, 0.0]))
    counts = [(choice.grids == g).sum() for g in GRIDS]
    assert counts == [30, 15, 15, 0]
    assert (
        table.sqrt_area_px[choice.grids == 14].max() < table.sqrt_area_px[choice.grids == 28].min()
    )


def test_paired_difference_of_a_policy_with_itself_is_nothing() -> None:
    table, weights = invented(), t.photo_weights(7, draws=50)
    pair = t.paired(table, t.switch_alone(table), t.switch_alone(table), weights)
    assert pair["mean_iou"] == {"difference": 0.0, "ci95": (0.0, 0.0)}
    better = t.paired(table, t.fixed(table, 112), t.fixed(table, 14), weights)
    assert better["mean_boundary_iou"]["ci95"][0] > 0
