"""Re-selection and the Pareto against dynamask's own arithmetic and pandas."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from factories import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import budget, selection
from analysis.filters import Filters, Folder
from analysis.summary import paired_gap
from analysis.synthetic import write_run
from dynamask.allocation import budget_grids
from dynamask.config import GRIDS, preset
from dynamask.cost import cost_table
from dynamask.errors import DataError, PolicyError
from dynamask.predictor import Predictor

CONFIG = preset("effnet_lite2_fpn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), 2000, 90, seed=5)


@pytest.fixture(scope="module")
def run(folder: Path) -> Folder:
    return Folder(folder)


@pytest.fixture(scope="module")
def table(run: Folder) -> budget.ObjectTable:
    return budget.object_table(run, Filters())


def invented(count: int, seed: int) -> budget.ObjectTable:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(4, 0.7), count)
    return budget.ObjectTable(
        ids=np.arange(count),
        log_p=np.log(np.clip(p, 1e-12, None)).astype(np.float32),
        iou=rng.random((count, 4), dtype=np.float32),
        biou=rng.random((count, 4), dtype=np.float32),
        photo=np.zeros(count, np.int64),
        sizes=np.array([[640, 480]]),
        bucket=np.array([0]),
        config=CONFIG,
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10_000), st.floats(0, 1))
def test_budget_holds_and_is_as_good_as_the_exact_policy(
    count: int, seed: int, part: float
) -> None:
    table = invented(count, seed)
    macs = table.macs
    goal = macs[0] + part * (macs[-1] - macs[0])
    multiplier = table.multiplier(goal / 1e9)
    picked = table.reselect(multiplier)
    assert macs[picked].mean() <= goal * (1 + 1e-9)
    # Lagrange: nothing cheaper or equal in cost has a larger summed log p
    gain = table.log_p.astype(np.float64)
    exact = budget_grids(np.exp(gain), macs, macs[picked].mean() + 1e-3)
    exact = np.searchsorted(GRIDS, exact)
    rows = np.arange(count)
    assert gain[rows, picked].sum() >= gain[rows, exact].sum() - 1e-3
    # and what is left over would not pay for the next step of the majorant as well
    larger = table.slopes[(table.slopes <= multiplier.price) & (table.slopes > 0)]
    if len(larger):
        group = np.diff(macs)[np.nonzero(table.slopes == larger.max())[1]].sum()
        assert macs[picked].sum() + group > goal * count * (1 - 1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 80), st.integers(0, 10_000), st.floats(0, 0.3), st.floats(0, 0.3))
def test_a_larger_budget_never_gives_a_coarser_grid(
    count: int, seed: int, first: float, more: float
) -> None:
    table = invented(count, seed)
    low = table.macs[0] / 1e9 + first
    one = table.reselect(table.multiplier(low))
    two = table.reselect(table.multiplier(low + more))
    assert (two >= one).all()


@pytest.mark.parametrize("ties", [False, True])
def test_the_price_is_that_of_sorting_all_slopes(ties: bool) -> None:
    table = invented(3000, 5)
    if ties:
        table = replace(table, log_p=np.round(table.log_p))
    slopes = table.slopes.reshape(-1)
    order = np.argsort(-slopes)[: np.count_nonzero(slopes > 0)]
    falling, macs = slopes[order], table.macs
    total = len(table) * macs[0] + np.cumsum(np.diff(macs)[order % 3])
    assert table.range_gmac()[1] == pytest.approx(total[-1] / len(table) / 1e9, rel=1e-12)
    for goal in np.linspace(macs[0], total[-1] / len(table) * 1.01, 50):
        done = np.searchsorted(total, goal * len(table) * (1 + 1e-12), "right")
        price = 0.0
        if done < len(falling):
            dearer = falling[falling > falling[done]]
            above = float(dearer[-1]) if len(dearer) else 2 * float(falling[done])
            price = (above + float(falling[done])) / 2
        assert table.multiplier(goal / 1e9).price == price


def test_dashboards_need_no_torch() -> None:
    """It takes half a gigabyte that a million objects have better use for."""
    code = "import sys, analysis.dashboards, analysis.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def test_extremes(table: budget.ObjectTable) -> None:
    low, high = table.range_gmac()
    assert (table.reselect(table.multiplier(low)) == 0).all()
    np.testing.assert_array_equal(
        table.reselect(table.multiplier(high)), table.log_p.argmax(axis=1)
    )
    np.testing.assert_array_equal(
        table.reselect(table.multiplier(100.0)), table.log_p.argmax(axis=1)
    )
    for wrong in (low * 0.9, float("nan")):
        with pytest.raises(PolicyError, match="budget of at least"):
            table.multiplier(wrong)


def test_sql_gives_the_same_grids(run: Folder, table: budget.ObjectTable) -> None:
    for goal in (0.07, 0.1, 0.13, 0.2):
        multiplier = table.multiplier(goal)
        now = selection.totals(run, Filters(), multiplier)
        picked = table.reselect(multiplier)
        rows = np.arange(len(table))
        for k, grid in enumerate(GRIDS):
            assert now["share"][grid] == pytest.approx((picked == k).mean(), abs=1e-9)
        assert now["gmac"] == pytest.approx(table.macs[picked].mean() / 1e9, rel=1e-6)
        assert now["gmac"] <= goal
        assert now["iou"] == pytest.approx(table.iou[rows, picked].mean(), abs=1e-6)


def test_pareto_equals_the_rows_of_each_policy(
    run: Folder, folder: Path, table: budget.ObjectTable
) -> None:
    rows = pd.concat([pd.read_parquet(p) for p in sorted(folder.glob("part-*.parquet"))])
    size = budget.size_rule_grids(budget.size_rule_rows(run, Filters()), table)
    found = budget.pareto(table, size).set_index("name")
    for name in ("fixed:14", "fixed:28", "fixed:56", "fixed:112", "size", "msm", "oracle"):
        mine = rows[rows["policy"] == name]
        assert found.loc[name, "iou"] == pytest.approx(mine["iou"].mean(), abs=1e-6)
        assert found.loc[name, "biou"] == pytest.approx(mine["biou"].mean(), abs=1e-6)
        assert found.loc[name, "gmac"] == pytest.approx(mine["gmac"].mean(), abs=1e-6)
        branches = 0.0
        costs = cost_table(CONFIG)
        for _, photo in mine.groupby("image_id"):
            shapes = {"p2": (120, 160), "p3": (60, 80), "p4": (30, 40)}  # 640x480 photos
            branches += costs.image_mac(photo["grid"], shapes)
        whole = mine["gmac"].mean() + branches / len(mine) / 1e9
        assert found.loc[name, "gmac_per_roi"] == pytest.approx(whole, abs=1e-6)
        assert found.loc[name, "iou_low"] < found.loc[name, "iou"] < found.loc[name, "iou_high"]
    assert (found["iou"] <= found.loc["oracle", "iou"] + 1e-9).all()
    sweep = found[found["kind"] == "sweep"]
    assert sweep["gmac"].is_monotonic_increasing


def test_pareto_without_objects_or_size_rule(run: Folder) -> None:
    nothing = budget.object_table(run, Filters(categories=("no such class",)))
    assert len(nothing) == 0
    assert len(budget.pareto(nothing)) == 0
    table = budget.object_table(run, Filters())
    assert "size" not in set(budget.pareto(table)["name"])


def test_branches_are_the_predictors(tiny_predictor: Predictor) -> None:
    config = tiny_predictor.config
    costs = cost_table(config)
    rng = np.random.default_rng(0)
    for height, width in [(33, 50), (40, 60), (200, 20)]:
        scene = tiny_predictor.encode(
            rng.integers(0, 255, (height, width, 3), dtype=np.uint8),
            boxes=np.array([[1.0, 1.0, 30.0, 30.0]]),
        )
        shapes = tiny_predictor.model.level_shapes(scene.pyramid)
        for grid in GRIDS:
            ours = budget.branch_macs(
                config, np.array([width]), np.array([height]), np.array([grid])
            )
            assert ours[0] == costs.image_mac([grid], shapes)


def test_paired_gap_equals_pandas(table: budget.ObjectTable) -> None:
    fine = np.full(len(table), 3)
    coarse = np.zeros(len(table), np.int64)
    gap, low, high = paired_gap(table, fine, coarse)
    assert gap == pytest.approx((table.iou[:, 3] - table.iou[:, 0]).mean(), abs=1e-6)
    assert low < gap < high
    assert paired_gap(table, fine, fine) == (0.0, 0.0, 0.0)


def test_config_comes_from_the_manifest() -> None:
    run = SimpleNamespace(manifest={})
    with pytest.raises(DataError, match="configuration"):
        budget.run_config(run)
    run.manifest = {"preset": "resnet50_fpn"}
    assert budget.run_config(run).preset == "resnet50_fpn"
    run.manifest = {"config": CONFIG.to_json()}
    assert budget.run_config(run) == CONFIG
