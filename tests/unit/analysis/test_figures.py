"""What the page draws: titles, n, intervals, colours, marks that lead back to their objects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_factory import at_grid, invent_detections, write_detections

from analysis import budget_ap, dashboards, selection
from analysis.figures import THEMES, plain
from analysis.figures_ap import ap_by_area
from analysis.filters import Filters, Folder
from analysis.metrics import ap_row, overlaps
from analysis.synthetic import write_run
from dynamask.config import GRIDS
from dynamask.errors import InputError, PolicyError
from dynamask.palette import GRID_COLOURS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_run(tmp_path_factory.mktemp("run"), 1500, 80, seed=8)
    invented = invent_detections(photos=12, seed=3)
    write_detections(path, *invented, policy="msm", grids=True)
    return path


@pytest.fixture(scope="module")
def run(folder: Path) -> Folder:
    dashboards.forget()
    return Folder(folder)


@pytest.fixture(scope="module")
def msm(folder: Path) -> pd.DataFrame:
    rows = pd.concat([pd.read_parquet(p) for p in sorted(folder.glob("part-*.parquet"))])
    return rows[rows["policy"] == "msm"].set_index("annotation_id")


@pytest.fixture(scope="module", params=["light", "dark"])
def drawn(request: pytest.FixtureRequest, run: Folder) -> dict:
    return dashboards.figures(run, Filters(), None, request.param)


def test_every_figure_has_title_units_and_n(drawn: dict) -> None:
    assert set(drawn) == set(dashboards.FIGURES)
    for name, figure in drawn.items():
        layout = figure["layout"]
        assert "n = " in layout["title"]["text"], name
        assert layout["meta"]["n"] > 0, name
        assert layout["xaxis"]["title"]["text"], name
        assert figure["data"], name
        assert any("customdata" in t for t in figure["data"]), name
        assert len(json.dumps(figure, allow_nan=False)) < 1_500_000
    assert {f["layout"]["paper_bgcolor"] for f in drawn.values()} <= {
        t["paper"] for t in THEMES.values()
    }


def test_shares_stack_to_one_in_the_grids_colours(drawn: dict) -> None:
    for name in ("share_by_area", "share_by_class", "share_by_complexity"):
        bars = [t for t in drawn[name]["data"] if t["type"] == "bar"]
        assert [t["marker"]["color"] for t in bars] == [GRID_COLOURS[g] for g in GRIDS]
        total = np.sum([t["y"] for t in bars], axis=0)
        np.testing.assert_allclose(total, 1.0, atol=1e-5)
        whiskers = [t for t in drawn[name]["data"] if "error_y" in t]
        assert len(whiskers) == 3
        assert all(min(t["error_y"]["array"]) >= -1e-9 for t in whiskers)


def test_marks_of_the_confusion_lead_to_exactly_their_objects(
    run: Folder, msm: pd.DataFrame
) -> None:
    trace = dashboards.figures(run, Filters(), names=("confusion",))["confusion"]["data"][0]
    table = selection.confusion(run, Filters()).set_index(["oracle_grid", "grid"])["n"]
    for row in trace["customdata"]:
        for mark in row:
            found = dashboards.objects_behind(run, Filters(), mark)
            assert len(found) == min(table[(mark["oracle_grid"], mark["grid"])], 200)
            assert (found["grid"] == mark["grid"]).all()
            assert found["file_name"].notna().all()
            assert found["regret"].is_monotonic_decreasing
            lost = msm.loc[found["annotation_id"], "regret"].to_numpy()
            np.testing.assert_allclose(found["regret"], lost, atol=1e-6)


@pytest.mark.parametrize("name", ["share_by_area", "share_by_class", "share_by_complexity"])
@pytest.mark.parametrize("budget", [None, 0.12])
def test_marks_of_the_shares_lead_to_as_many_objects_as_drawn(
    run: Folder, name: str, budget: float | None
) -> None:
    figure = dashboards.figures(run, Filters(), budget, names=(name,))[name]
    for trace in figure["data"]:
        for mark, hover in list(
            zip(trace.get("customdata", []), trace.get("hovertext", []), strict=False)
        )[::7]:
            count = int(hover.split("<br>")[1].split(" of ")[0].replace(",", ""))
            found = dashboards.objects_behind(run, Filters(), mark, budget)
            assert len(found) == min(count, 200)
            assert (found["grid"] == mark["grid"]).all()


def test_other_marks(run: Folder, msm: pd.DataFrame) -> None:
    found = dashboards.objects_behind(run, Filters(), {"policy": "fixed:28"})
    assert (found["grid"] == 28).all()
    best = msm[[f"iou{g}" for g in GRIDS]].max(axis=1)
    worst = (best - msm["iou28"]).sort_values(ascending=False)
    assert found["regret"].iloc[0] == pytest.approx(worst.iloc[0], abs=1e-6)
    one = dashboards.objects_behind(run, Filters(), int(msm.index[5]))
    assert list(one["annotation_id"]) == [msm.index[5]]
    for policy in ("msm", "size", "oracle", "random", "budget:0.1000"):
        assert len(dashboards.objects_behind(run, Filters(), {"policy": policy})) == 200
    near = dashboards.objects_behind(run, Filters(), {"hex": [2.0, 3.5, 0.3, 0.9]})
    rows = msm.loc[near["annotation_id"]]
    assert rows["compactness"].between(0.3, 0.9).all()
    sure = dashboards.objects_behind(run, Filters(), {"top": [0.9, 1.0]})
    assert len(sure) == min((msm[[f"p{g}" for g in GRIDS]].max(axis=1) >= 0.9).sum(), 200)


@pytest.mark.parametrize(
    "mark",
    [
        None,
        {},
        [],
        "x",
        True,
        float("nan"),
        {"grid": 15},
        {"policy": "drop"},
        {"policy": "budget:x"},
        {"policy": "budget:nan"},
        {"area": [1]},
        {"area": ["a", "b"]},
        {"hex": [1, 2, 3, float("inf")]},
        {"category": 3},
        {"error": "no such"},
        {"id": 1e300},
        {"sql; --": 1},
    ],
)
def test_marks_that_no_figure_draws_are_refused(run: Folder, mark: object) -> None:
    with pytest.raises(InputError, match="Expected a mark"):
        dashboards.objects_behind(run, Filters(), mark)


def test_a_mark_cannot_inject(run: Folder) -> None:
    found = dashboards.objects_behind(run, Filters(), {"category": "' OR 1=1 --"})
    assert len(found) == 0


def test_budget_moves_the_plots(run: Folder) -> None:
    low, high = dashboards.budget_range(run, Filters())
    cheap = dashboards.figures(run, Filters(), low, names=("share_by_area",))["share_by_area"]
    assert all(y == 1.0 for y in cheap["data"][0]["y"])
    full = dashboards.figures(run, Filters(), high, names=("share_by_area",))["share_by_area"]
    own = dashboards.figures(run, Filters(), names=("share_by_area",))["share_by_area"]
    assert [t["y"] for t in full["data"]] == [t["y"] for t in own["data"]]
    here = dashboards.figures(run, Filters(), 0.12, names=("pareto_iou",))["pareto_iou"]
    point = next(t for t in here["data"] if t.get("name") == "your budget")
    assert 0 < point["y"][0] < 1
    with pytest.raises(PolicyError):
        dashboards.figures(run, Filters(), 0.001)


def test_no_object_is_said_so(run: Folder) -> None:
    filters = Filters(categories=("no such class",))
    for name, figure in dashboards.figures(run, filters).items():
        words = figure["layout"]["annotations"][0]["text"].replace("<br>", " ")
        assert "passes the filters" in words, name
    for name in dashboards.TABLES:
        assert dashboards.table(run, filters, name) is not None


def test_ap_of_the_tables_is_that_of_the_detections(run: Folder) -> None:
    table = dashboards.table(run, Filters(), "ap")
    truths, founds = invent_detections(photos=12, seed=3)
    assert list(table["policy"]) == [*(f"fixed:{g}" for g in sorted(GRIDS, key=str)), "msm"]
    for grid in GRIDS:
        row = table.set_index("policy").loc[f"fixed:{grid}"]
        expected = ap_row(overlaps(truths, at_grid(founds, grid)))
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, nan_ok=True)
        assert row["AP_low"] <= expected["AP"] <= row["AP_high"]
    assert len(dashboards.table(run, Filters(), "errors")) == 7


def test_ap_follows_the_budget(run: Folder) -> None:
    names = ("ap_by_area", "error_costs", "pareto_ap", "pareto_boundary_ap")
    own, cheap = (dashboards.figures(run, Filters(), b, names=names) for b in (None, 0.07))
    for name in names:
        words = cheap[name]["layout"]["title"]["text"]
        assert own[name]["data"] != cheap[name]["data"], name
        assert ("budget 0.0700 GMAC" in words) == (not name.startswith("pareto"))
    table = dashboards.table(run, Filters(), "ap", 0.07)
    assert table["policy"].iloc[0] == "budget 0.0700 GMAC" and len(table) == 6
    for name, column in (("pareto_ap", "AP"), ("pareto_boundary_ap", "boundary_AP")):
        ring = next(t for t in cheap[name]["data"] if t.get("name") == "your budget")
        assert ring["y"][0] == pytest.approx(table[column].iloc[0], abs=1e-6)
        assert ring["x"][0] < 0.08
    # an error's bar, and the objects behind it, are those of the budget
    for trace in (cheap["error_costs"]["data"][0],):
        for mark, cases in zip(trace["customdata"], trace["text"], strict=True):
            found = dashboards.objects_behind(run, Filters(), mark, 0.07)
            assert len(found) <= int(cases.replace(",", ""))


def test_the_axis_of_ap_is_as_high_as_what_is_drawn() -> None:
    spans = [(10.0, 100.0), (100.0, 1000.0)]
    table = pd.DataFrame(
        [
            {"low_px2": a, "high_px2": b, "n": 9, "ap": 0.2, "ap_low": 0.1, "ap_high": 0.25}
            | {"bap": 0.1, "bap_low": 0.05, "bap_high": 0.15}
            for a, b in spans
        ]
    )

    def top(**changed: float) -> float:
        low, high = ap_by_area(table.assign(**changed))["layout"]["yaxis"]["range"]
        assert low == 0
        return high

    assert 0.25 < top() < 0.3
    assert top(ap_high=1.0) == 1.0  # AP ends there
    assert 0.3 < top(ap_high=np.nan, bap_high=0.3) < 0.35
    assert top(ap=0.0, ap_high=0.0, bap_high=0.0) > 0.04  # nothing is no flat plot


@pytest.mark.parametrize("budget", [None, 0.12])
def test_every_mark_of_ap_against_cost_leads_to_objects(run: Folder, budget: float | None) -> None:
    drawn = dashboards.figures(run, Filters(), budget, names=("pareto_ap",))["pareto_ap"]
    marks = [mark for trace in drawn["data"] for mark in trace.get("customdata", [])]
    assert len(marks) == 8 + budget_ap.STEPS + (budget is not None)
    for mark in marks:
        found = dashboards.objects_behind(run, Filters(), mark, budget)
        assert len(found) == 200, mark
        kind, _, value = mark["policy"].partition(":")
        if kind == "fixed":
            assert (found["grid"] == int(value)).all()


def test_a_brushed_part_of_the_map_is_its_objects(
    monkeypatch: pytest.MonkeyPatch, run: Folder, msm: pd.DataFrame
) -> None:
    """Of hexagons the page sends the brush's two ranges."""
    monkeypatch.setattr(selection, "MAX_POINTS", 100)
    drawn = dashboards.figures(run, Filters(), names=("map",))["map"]
    assert drawn["data"][0]["marker"]["symbol"] == "hexagon2"
    found = dashboards.objects_behind(run, Filters(), {"hex": [2.0, 3.0, 0.4, 0.6]})
    area = np.log10(msm["area_px2"].clip(lower=1))
    inside = area.between(2, 3) & msm["compactness"].between(0.4, 0.6)
    assert len(found) == min(inside.sum(), 200) and len(found)
    assert set(found["annotation_id"]) <= set(msm.index[inside])


def test_a_run_made_anew_in_its_place_is_read_anew(tmp_path: Path) -> None:
    """Of the same name, photos and state; only the manifest's time tells them apart."""
    found = []
    for seed in (0, 1):
        path = write_run(tmp_path / "run", 60, 6, seed=seed)
        facts = json.loads((path / "manifest.json").read_text())
        facts["updated"] = f"2026-01-01T00:00:0{seed}+00:00"
        (path / "manifest.json").write_text(json.dumps(facts))
        found.append(dashboards.table(Folder(path), Filters(), "policies"))
    assert not found[0].equals(found[1])


def test_unknown_names_are_refused(run: Folder) -> None:
    with pytest.raises(InputError, match="Expected figures"):
        dashboards.figures(run, Filters(), names=("nothing",))
    with pytest.raises(InputError, match="Expected figures"):
        dashboards.figures(run, Filters(), theme="pink")
    with pytest.raises(InputError, match="Expected a table"):
        dashboards.table(run, Filters(), "nothing")


def test_plain_is_json() -> None:
    value = {"a": np.array([1.0, np.nan]), 3: [np.int64(2), pd.NA, np.inf], "s": pd.Series([True])}
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == {
        "a": [1.0, None],
        "3": [2, None, None],
        "s": [True],
    }
