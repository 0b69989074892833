"""AP of mixtures of grids against pycocotools, against stored masks, and its cost."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from run_factory import CLASSES, HEIGHT, WIDTH, at_grid, invent_detections, write_detections

from analysis import budget, budget_ap, dashboards, detections, metrics
from analysis.filters import Filters, Folder
from analysis.intervals import draws
from analysis.metrics import Found, Truth
from analysis.report import render
from analysis.synthetic import write_run
from dynamask.config import GRIDS, preset
from dynamask.cost import cost_table


@pytest.fixture(scope="module")
def invented() -> tuple[list[Truth], list[Found]]:
    return invent_detections(photos=24, seed=6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, invented: tuple) -> Folder:
    path = write_run(tmp_path_factory.mktemp("run"), 300, 20, seed=2)
    write_detections(path, *invented, policy="msm", grids=True)
    dashboards.forget()
    return Folder(path)


@pytest.fixture(scope="module")
def data(run: Folder) -> budget_ap.Detections:
    loaded = budget_ap.load(run)
    assert loaded is not None
    return loaded


@pytest.fixture(scope="module")
def table(data: budget_ap.Detections) -> pd.DataFrame:
    return budget_ap.ap_pareto(data, steps=6).set_index("name")


def pycocotools_ap(truths: list[Truth], founds: list[Found]) -> float:
    """AP of pycocotools itself."""
    images = sorted({t.image_id for t in truths} | {d.image_id for d in founds})
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in images],
        "categories": [{"id": c} for c in CLASSES],
        "annotations": [
            {
                "id": t.id,
                "image_id": t.image_id,
                "category_id": t.category_id,
                "segmentation": t.rle,
                "area": t.area,
                "bbox": list(t.box),
                "iscrowd": int(t.crowd),
            }
            for t in truths
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        results = coco.loadRes(
            [
                {
                    "image_id": d.image_id,
                    "category_id": d.category_id,
                    "score": d.score,
                    "segmentation": d.rle,
                }
                for d in founds
            ]
        )
        evaluation = COCOeval(coco, results, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


@pytest.mark.parametrize("grid", GRIDS)
def test_fixed_grids_are_pycocotools_own(
    run: Folder, invented: tuple, table: pd.DataFrame, grid: int
) -> None:
    truths, founds = invented
    found = table.loc[f"fixed:{grid}"]
    assert found["ap"] == pytest.approx(pycocotools_ap(truths, at_grid(founds, grid)), abs=1e-6)
    stored = metrics.ap_row(detections.load(run, f"fixed:{grid}"))
    assert found["ap"] == pytest.approx(stored["AP"], abs=1e-9)
    assert found["boundary_ap"] == pytest.approx(stored["boundary_AP"], abs=1e-9)
    assert 0 < found["ap_low"] <= found["ap"] <= found["ap_high"]


def test_any_mixture_is_pycocotools_own(invented: tuple, data: budget_ap.Detections) -> None:
    truths, founds = invented
    pick = np.random.default_rng(3).integers(0, 4, len(founds))
    by_grid = [{d.id: d for d in at_grid(founds, g)} for g in GRIDS]
    mixed = [by_grid[k][i] for i, k in zip(data.table.ids.tolist(), pick, strict=True)]
    matches = metrics.match(data.mixed(pick), data.images)
    ours = metrics.average_precision(matches).mean()
    assert ours == pytest.approx(pycocotools_ap(truths, mixed), abs=1e-6)


def test_a_mixture_of_one_grid_is_that_grid(run: Folder, data: budget_ap.Detections) -> None:
    stored = detections.load(run, "fixed:112")
    fine = np.full(len(data.table), 3)
    for boundary, cells in ((False, stored.masks), (True, stored.boundaries)):
        for mine, theirs in zip(data.mixed(fine, boundary), cells, strict=True):
            np.testing.assert_array_equal(mine.found, theirs.found)
            np.testing.assert_array_equal(mine.truth, theirs.truth)
            np.testing.assert_array_equal(mine.iou, theirs.iou)


def test_resamples_are_those_of_average_precision(data: budget_ap.Detections) -> None:
    pick = data.table.log_p.argmax(axis=1)
    matches = metrics.match(data.mixed(pick), data.images)
    weights = draws(len(data.images), 4, 30)
    fast = budget_ap.resampled_ap(matches, weights)
    slow = [metrics.average_precision(matches, w).mean() for w in weights]
    np.testing.assert_allclose(fast, slow, atol=1e-9)


def test_the_oracle_has_the_best_mean_iou(data: budget_ap.Detections) -> None:
    found = budget.pareto(data.table, data.size_grids, 6).set_index("name")
    assert (found["iou"] <= found.loc["oracle", "iou"] + 1e-9).all()
    assert found.loc["oracle", "iou"] > found.loc["fixed:14", "iou"]


def test_costs_are_the_cost_tables(table: pd.DataFrame, data: budget_ap.Detections) -> None:
    costs = cost_table(preset("effnet_lite2_fpn"))
    for k, grid in enumerate(GRIDS):
        row = table.loc[f"fixed:{grid}"]
        assert row["gmac"] == pytest.approx(costs.exits[k] / 1e9, rel=1e-12)
        sizes = data.table.sizes
        whole = budget.branch_macs(
            data.table.config, sizes[:, 0], sizes[:, 1], np.full(len(sizes), grid)
        )
        branches = whole.sum() / len(data.table) / 1e9
        assert row["gmac_per_roi"] == pytest.approx(row["gmac"] + branches, rel=1e-9)
    picked = data.table.log_p.argmax(axis=1)
    mean = costs.exit_macs(True)[picked].mean() / 1e9
    assert table.loc["msm", "gmac"] == pytest.approx(mean, rel=1e-9)
    # a random mixture costs what the switch's choice costs, the switch itself aside
    without = mean - costs.switch_mac / 1e9
    assert table.loc["random", "gmac"] == pytest.approx(without, rel=1e-9)
    sweep = table[table["kind"] == "sweep"]
    assert sweep["gmac"].is_monotonic_increasing and len(sweep) == 6
    for name in ("ap", "boundary_ap"):
        assert sweep[name].iloc[-1] == pytest.approx(table.loc["msm", name], abs=1e-12)


def test_filters_are_those_of_detections(run: Folder) -> None:
    filters = Filters(score=(0.4, 1.0))
    found = budget_ap.ap_pareto(budget_ap.load(run, filters), steps=2).set_index("name")
    stored = metrics.ap_row(detections.load(run, "fixed:28", filters))
    assert found.loc["fixed:28", "ap"] == pytest.approx(stored["AP"], abs=1e-9)
    nothing = budget_ap.load(run, Filters(score=(2.0, 3.0)))
    assert len(budget_ap.ap_pareto(nothing)) == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures(run: Folder, theme: str) -> None:
    names = ("pareto_ap", "pareto_boundary_ap")
    drawn = dashboards.figures(run, Filters(), None, theme, names)
    for name, words in zip(names, ("AP", "Boundary AP"), strict=True):
        layout = drawn[name]["layout"]
        assert f"{words} against cost" in layout["title"]["text"]
        assert "per detection (GMAC" in layout["xaxis"]["title"]["text"]
        shown = {t.get("name") for t in drawn[name]["data"]}
        assert {"all 14", "all 112", "size rule", "oracle", "switch, by budget"} <= shown
    assert "AP against cost" in render(run, None, Filters())


def test_a_run_without_the_table_says_what_to_do(tmp_path: Path, invented: tuple) -> None:
    path = write_run(tmp_path / "run", 50, 5)
    for words in ("run it with detector boxes", "--detector-grids"):
        dashboards.forget()
        drawn = dashboards.figures(Folder(path), Filters(), names=("pareto_ap",))["pareto_ap"]
        said = str(drawn["layout"]).replace("<br>", " ")  # lines are broken to fit
        assert words in said and not drawn["data"]
        write_detections(path, *invented, policy="msm")
    assert budget_ap.load(Folder(path)) is None
    dashboards.forget()
