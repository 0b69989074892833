"""AP of mixtures of grids against pycocotools, against stored masks, and its cost."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from run_factory import CLASSES, HEIGHT, WIDTH, at_grid, invent_detections, write_detections

from analysis import (
    budget,
    budget_ap,
    budget_detections,
    dashboards,
    dashboards_ap,
    detections,
    errors,
    metrics,
)
from analysis.budget_detections import Detections, load
from analysis.budget_errors import judge
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
def data(run: Folder) -> Detections:
    loaded = load(run)
    assert loaded is not None
    return loaded


@pytest.fixture(scope="module")
def table(data: Detections) -> pd.DataFrame:
    return budget_ap.ap_pareto(data, steps=6).set_index("name")


def pycocotools_ap(truths: list[Truth], founds: list[Found]) -> float:
    """AP of pycocotools itself."""
    return float(pycocotools_stats(truths, founds)[0])


def pycocotools_stats(truths: list[Truth], founds: list[Found]) -> np.ndarray:
    """AP, AP50, AP75, and AP of small, medium and large; -1 where there is none."""
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
    return evaluation.stats


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


def mixed_masks(invented: tuple, data: Detections, pick: np.ndarray) -> list[Found]:
    """The detections with masks decoded at the grids that were picked."""
    by_grid = [{d.id: d for d in at_grid(invented[1], g)} for g in GRIDS]
    return [by_grid[k][i] for i, k in zip(data.pool.ids.tolist(), pick, strict=True)]


@pytest.mark.parametrize("seed", [3, 4])
def test_any_mixture_is_pycocotools_own(invented: tuple, data: Detections, seed: int) -> None:
    pick = np.random.default_rng(seed).integers(0, 4, len(data.pool))
    stats = pycocotools_stats(invented[0], mixed_masks(invented, data, pick))
    row = budget_ap.Score(data, pick).row
    for name, expected in zip(("AP", "AP50", "AP75", "APS", "APM", "APL"), stats, strict=False):
        known = expected if expected >= 0 else np.nan
        assert row[name] == pytest.approx(known, abs=1e-6, nan_ok=True), name


def test_a_budget_is_pycocotools_own(invented: tuple, run: Folder, data: Detections) -> None:
    """The page's row, its Pareto mark and its curves at a budget, from masks at those grids."""
    budget_gmac = 0.09
    pick = data.reselect(budget_gmac)
    assert len(set(pick.tolist())) > 1
    masks = mixed_masks(invented, data, pick)
    expected = pycocotools_ap(invented[0], masks)
    row = dashboards.ap_table(run, Filters(), budget=budget_gmac).iloc[0]
    assert row["policy"] == "budget 0.0900 GMAC"
    assert row["AP"] == pytest.approx(expected, abs=1e-6)
    here = budget_ap.at_budget(data, budget_gmac)
    assert here["ap"] == pytest.approx(expected, abs=1e-6)
    assert here["boundary_ap"] == pytest.approx(row["boundary_AP"], abs=1e-9)
    spent = cost_table(preset("effnet_lite2_fpn")).exit_macs(True)[pick].mean() / 1e9
    assert here["gmac"] == pytest.approx(spent) and spent <= budget_gmac
    slow = metrics.overlaps(*(invented[0], masks), data.pool.images.tolist())
    score = dashboards.scored(run, Filters(), budget=budget_gmac)
    np.testing.assert_allclose(
        score.by_area.to_numpy(float), metrics.ap_by_area(slow).to_numpy(float), atol=1e-9
    )


@pytest.mark.parametrize("low", [0.0, 0.4])
@pytest.mark.parametrize("seed", [1, 2])
def test_everything_is_as_from_the_masks(
    invented: tuple, run: Folder, seed: int, low: float
) -> None:
    """AP, curves, verdicts and costs of errors against the code that compares masks."""
    data = load(run, Filters(score=(low, 1.0)))
    pick = np.random.default_rng(seed).integers(0, 4, len(data.pool))
    masks = mixed_masks(invented, data, pick)
    slow = metrics.overlaps(invented[0], masks, data.pool.images.tolist())
    score = budget_ap.Score(data, pick)
    expected = metrics.ap_row(slow)
    assert score.row == pytest.approx(expected, abs=1e-9, nan_ok=True)
    np.testing.assert_allclose(score.interval, metrics.ap_interval(slow), atol=1e-9)
    np.testing.assert_allclose(
        score.by_area.to_numpy(float), metrics.ap_by_area(slow).to_numpy(float), atol=1e-9
    )
    verdicts, mine = errors.classify(slow), judge(data.pool, pick).verdicts()
    for theirs, ours, key in (
        (verdicts.detections, mine.detections, "id"),
        (verdicts.objects, mine.objects, "annotation_id"),
    ):
        theirs, ours = theirs.sort_values(key), ours.sort_values(key)
        assert theirs[key].tolist() == ours[key].tolist()
        assert theirs["error"].tolist() == ours["error"].astype(str).tolist()
        assert theirs["annotation_id"].tolist() == ours["annotation_id"].tolist()
    assert len(set(verdicts.detections["error"])) > 4  # every kind of error is among them
    costs = errors.error_costs(slow, verdicts)
    assert score.errors["n"].tolist() == costs["n"].tolist()
    np.testing.assert_allclose(score.errors["ap"], costs["ap"], atol=1e-9)
    assert score.base == pytest.approx(errors.base_ap(verdicts, slow), abs=1e-9)


def test_resamples_are_those_of_average_precision(invented: tuple, data: Detections) -> None:
    pick = data.log_p.argmax(axis=1)
    slow = metrics.overlaps(
        invented[0], mixed_masks(invented, data, pick), data.pool.images.tolist()
    )
    matches = metrics.match(slow.masks, slow.images)
    weights = draws(len(slow.images), 4, 30)
    fast = data.pool.mixture(pick).scores()._resampled(weights)
    slowly = [metrics.average_precision(matches, w).mean() for w in weights]
    np.testing.assert_allclose(fast, slowly, atol=1e-9)


def test_intervals_of_large_runs_are_about_as_wide(tmp_path: Path) -> None:
    """Their resamples read precision at ranks in steps, and draw photos in groups."""
    data = load(Folder(write_run(tmp_path / "run", 3000, 400, detections=2.0)))
    scores = data.pool.mixture(data.grids["msm"]).scores()
    exact = scores._resampled(draws(len(data.pool.images), 1, 100)).std()
    assert 0.6 * exact < scores._stepped(100, 1).std() < 1.4 * exact


def test_a_sample_is_whole_photos(run: Folder, data: Detections) -> None:
    some = data.sample(50)
    kept = set(some.pool.images.tolist())
    assert 2 <= len(kept) < len(data.pool.images) == some.photos
    photo = data.pool.images[data.pool.photo]
    assert some.pool.ids.tolist() == data.pool.ids[np.isin(photo, list(kept))].tolist()
    pick = data.log_p.argmax(axis=1)[np.isin(photo, list(kept))]
    stored = detections.load(run, "msm")
    cells = [c for c in stored.masks if c.image_id in kept]
    expected = metrics.average_precision(metrics.match(cells, some.pool.images)).mean()
    assert budget_ap.Score(some, pick).row["AP"] == pytest.approx(expected, abs=1e-9)


def test_curves_of_large_runs_are_of_a_sample_that_they_name(
    run: Folder, data: Detections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COCO's numbers stay those of all detections; curves and errors say what they are of."""
    whole = budget_ap.Score(data, data.grids["msm"])
    monkeypatch.setattr(budget_detections, "CURVES", 50)
    monkeypatch.setattr(dashboards_ap, "LIVE_DETECTIONS", 50)
    dashboards.forget()
    score = dashboards.scored(run, Filters())
    assert isinstance(score, budget_ap.Score)
    assert 2 <= score.photos < score.all_photos == len(data.pool.images)
    assert score.row == pytest.approx(whole.row, abs=1e-12, nan_ok=True)
    assert score.interval == pytest.approx(whole.interval, abs=1e-12)
    few = data.sample(50)
    own = budget_ap.Score(few, few.grids["msm"])
    np.testing.assert_array_equal(score.by_area["ap"], own.by_area["ap"])
    pd.testing.assert_frame_equal(score.errors, own.errors)
    assert score.n == own.n <= len(few.pool)
    said = f"{score.photos} of {score.all_photos} photos, drawn at random"
    for name in ("ap_by_area", "error_costs"):
        figure = dashboards.figures(run, Filters(), names=(name,))[name]
        assert said in json.dumps(figure)
    assert said in render(run, None, Filters())
    dashboards.forget()


def test_the_oracle_has_the_best_mean_iou(data: Detections) -> None:
    found = budget.pareto(data.table, data.size_grids, 6).set_index("name")
    assert (found["iou"] <= found.loc["oracle", "iou"] + 1e-9).all()
    assert found.loc["oracle", "iou"] > found.loc["fixed:14", "iou"]


def test_costs_are_the_cost_tables(table: pd.DataFrame, data: Detections) -> None:
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
    found = budget_ap.ap_pareto(load(run, filters), steps=2).set_index("name")
    stored = metrics.ap_row(detections.load(run, "fixed:28", filters))
    assert found.loc["fixed:28", "ap"] == pytest.approx(stored["AP"], abs=1e-9)
    nothing = load(run, Filters(score=(2.0, 3.0)))
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
    assert load(Folder(path)) is None
    said = dashboards.scored(Folder(path), Filters(), budget=0.1)
    assert "--detector-grids" in said and "switch the budget off" in said
    dashboards.forget()
