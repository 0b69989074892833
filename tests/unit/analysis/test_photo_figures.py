"""Plots of one photo: what is drawn where, from numbers made by hand."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from analysis import photo_figures as draw
from analysis.photo_figures import PhotoObjects, budget_curve
from dynamask.allocation import budget_grids, budget_path
from dynamask.config import GRIDS, preset
from dynamask.cost import cost_table

COSTS = cost_table(preset("effnet_lite2_fpn"))
SHAPES = {"p2": (100, 120), "p3": (50, 60), "p4": (25, 30)}
EDGES = (32.0, 96.0, 224.0)


def make(sides: list[float], grids: list[int], policy: str = "msm", seed: int = 0) -> PhotoObjects:
    n = len(sides)
    boxes = np.array([[10.0, 10.0, 10 + s, 10 + s] for s in sides]).reshape(n, 4)
    odds = np.random.default_rng(seed).dirichlet(np.ones(4), size=n)
    grids = np.array(grids, dtype=np.int64)
    return PhotoObjects(
        ids=np.arange(1, n + 1) * 3,
        names=tuple(f"<i>thing {i}</i>" for i in range(n)),
        boxes_xyxy_px=boxes,
        probabilities=odds,
        grids=grids,
        object_mac=COSTS.object_mac(grids, True),
        image_mac=COSTS.image_mac(grids, SHAPES),
        level_shapes=SHAPES,
        policy=policy,
    )


def with_ids(figure: dict) -> dict[int, tuple[float, float, str]]:
    """Object number -> (x, y, hover) of a figure in which each object has one point."""
    out = {}
    for trace in figure["data"]:
        for i, x, y, t in zip(
            trace.get("ids", []), trace["x"], trace["y"], trace.get("hovertext", []), strict=False
        ):
            assert int(i) not in out
            out[int(i)] = (x, y, t)
    return out


def test_grids_stand_at_their_box_area_and_the_rule_has_its_thresholds() -> None:
    figure = draw.grids_by_area(make([10, 50, 300], [14, 112, 112]), EDGES)
    points = with_ids(figure)
    assert points[3][:2] == pytest.approx((2.0, 0.0))
    assert points[6][:2] == pytest.approx((np.log10(2500), 3.0), abs=1e-4)
    assert points[9][:2] == pytest.approx((np.log10(90000), 3.0), abs=1e-4)
    assert "the size rule gives 28" in points[6][2] and "&lt;i&gt;thing 1" in points[6][2]
    rule = figure["data"][0]
    assert rule["name"] == "size rule"
    assert rule["x"][1:-1] == pytest.approx(
        np.repeat(np.log10(np.square(EDGES)), 2).tolist(), abs=1e-4
    )
    assert rule["y"] == [0, 0, 1, 1, 2, 2, 3, 3]
    axis = figure["layout"]["xaxis"]
    ticks = dict(zip(axis["ticktext"], axis["tickvals"], strict=True))
    assert ticks == pytest.approx({"100": 2.0, "1,000": 3.0, "10,000": 4.0, "100,000": 5.0})
    assert "n = 3 · 1 off the size rule's stairs" in figure["layout"]["title"]["text"]


def test_points_of_one_row_do_not_hide_each_other() -> None:
    figure = draw.grids_by_area(make([40, 40, 40, 200], [28] * 4), EDGES)
    heights = [y for _, y, _ in with_ids(figure).values()]
    assert len(set(heights[:3])) == 3 and max(abs(h - 1) for h in heights) < 0.5
    assert heights[3] == 1


def test_odds_are_the_switches_and_the_chosen_grid_is_large() -> None:
    objects = make([20, 80], [14, 56], seed=3)
    figure = draw.odds_by_area(objects)
    assert [t["name"] for t in figure["data"]] == [f"grid {g}" for g in GRIDS]
    drawn = np.array([t["y"] for t in figure["data"]]).T
    np.testing.assert_allclose(drawn, objects.probabilities, rtol=1e-5)
    sizes = np.array([t["marker"]["size"] for t in figure["data"]])
    assert sizes.argmax(axis=0).tolist() == [0, 2]
    assert all(t["ids"] == ["3", "6"] for t in figure["data"])


def test_the_curve_is_what_the_allocation_spends() -> None:
    objects = make([20, 80, 120, 300, 90], [14] * 5, seed=5)
    curve = budget_curve(objects.probabilities, COSTS, SHAPES)
    macs = COSTS.exit_macs(pays_switch=True)
    assert (curve.own <= curve.budgets * (1 + 1e-9)).all()
    assert (np.diff(curve.budgets) > 0).all()
    for at in (0, 7, len(curve.budgets) - 1):
        grids = budget_grids(objects.probabilities, macs, curve.budgets[at] * 1e9)
        spent = macs[np.searchsorted(GRIDS, grids)].mean()
        assert curve.own[at] == pytest.approx(spent / 1e9)
        image = COSTS.image_mac(grids, SHAPES) / 5
        assert curve.full[at] == pytest.approx((spent + image) / 1e9)
    path = budget_path(objects.probabilities, macs)
    assert [s[2] for s in curve.steps] == path.rows.tolist()
    assert [s[0] for s in curve.steps] == pytest.approx((path.budgets_mac / 1e9).tolist())
    # from the end of the reach on, everybody has the grid that the switch likes best
    best = macs[objects.probabilities.argmax(axis=1)].mean() / 1e9
    assert curve.own[-1] == pytest.approx(best) and curve.reach[1] == pytest.approx(best)


def test_the_step_of_an_object_is_a_point_with_its_number() -> None:
    objects = make([20, 80, 120], [14, 28, 28], policy="budget:0.2", seed=5)
    curve = budget_curve(objects.probabilities, COSTS, SHAPES)
    figure = draw.cost_by_budget(objects, curve)
    drawn = [i for t in figure["data"] for i in t.get("ids", [])]
    assert sorted(drawn) == sorted(str(objects.ids[s[2]]) for s in curve.steps)
    now = figure["data"][-1]
    own = objects.object_mac.mean() / 1e9
    low, high = curve.budgets[0], max(curve.budgets[-1], own)
    assert now["name"] == "now" and now["x"][0] == pytest.approx(min(max(0.2, low), high), rel=1e-5)
    assert now["y"] == pytest.approx([own, own + objects.image_mac / 3e9], rel=1e-5)
    band = figure["layout"]["shapes"][0]
    assert (band["x0"], band["x1"]) == pytest.approx(curve.reach, rel=1e-5)


def test_without_objects_every_plot_says_what_to_do() -> None:
    nothing = make([], [])
    for figure in (
        draw.grids_by_area(nothing, EDGES),
        draw.odds_by_area(nothing),
        draw.cost_by_budget(nothing, None),
    ):
        lines = figure["layout"]["annotations"][0]["text"].split("<br>")
        assert " ".join(lines) == draw.NO_OBJECTS
        assert max(map(len, lines)) <= 32  # half the page's column has room for no more


def test_figures_are_json_with_n_and_units() -> None:
    objects = make([20.0] * 30, [14] * 30)
    curve = budget_curve(objects.probabilities, COSTS, SHAPES)
    for figure in (
        draw.grids_by_area(objects, EDGES, "dark"),
        draw.odds_by_area(objects, "dark"),
        draw.cost_by_budget(objects, curve, "dark"),
    ):
        json.dumps(figure, allow_nan=False)
        assert "n = 30" in figure["layout"]["title"]["text"]
        for axis in ("xaxis", "yaxis"):
            assert figure["layout"][axis]["title"]["text"]


def test_a_hundred_objects_take_no_time_to_speak_of() -> None:
    objects = make([20.0 + i for i in range(100)], [28] * 100)
    started = time.perf_counter()
    draw.cost_by_budget(objects, budget_curve(objects.probabilities, COSTS, SHAPES))
    assert time.perf_counter() - started < 10  # about 0.2 s on a quiet machine
