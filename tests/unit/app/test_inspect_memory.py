"""What the page restores: from its address, and from what the browser kept."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest
from PIL import Image
from tab_helpers import build_tab, event

from app import preferences, query
from app.session import Session
from app.tabs.inspect import InspectTab
from dynamask.predictor import Predictor

STORED = {"policy": "size", "threshold": 0.7, "colour": "class", "fill": 80}


def asked(**parameters: str) -> gr.Request:
    request = gr.Request()
    request.query_params = parameters
    return request


@pytest.fixture
def tab(tiny_predictor: Predictor, tmp_path: Path) -> InspectTab:
    tab = build_tab(Session(load=lambda: tiny_predictor))
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "shade.jpg")
    tab.example_paths, tab.tab_ids = [tmp_path / "shade.jpg"], ["inspect", "batch"]
    return tab


def test_the_browser_remembers(tab: InspectTab) -> None:
    policy, threshold, viewer, notice, look, usual = tab.on_restore(STORED, asked())
    assert policy["value"] == usual == "size" and threshold == 0.7
    assert look == viewer["value"]["prefs"] == {"colour": "class", "fill": 80}
    assert notice["visible"] is False


def test_the_address_outranks_the_memory(tab: InspectTab) -> None:
    request = asked(policy="budget", budget="0.1", example="shade", score="0.4", tab="batch")
    policy, _, _, notice, *_ = tab.on_restore(STORED, request)
    assert policy["value"] == "budget" and notice["visible"] is False
    _, slider, _, linked = tab.on_load(request)
    assert slider["value"] == 0.1
    assert linked == {
        "example": "shade",
        "filter": {"classes": [], "sizes": [], "grids": [], "score": 0.4},
        "every": None,
    }
    viewer, _, state, *_ = tab.on_linked(linked, "budget", slider["value"], 0.5, 0.05)
    assert state["name"] == "shade.jpg" and viewer["value"]["filter"] == linked["filter"]


def test_addresses_of_examples_only(tab: InspectTab, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "own.jpg")
    own = tab.on_photo(str(tmp_path / "own.jpg"), "budget", 0.1, 0.5, 0.05)[0]["value"]
    assert own["query"] == {"example": "", "policy": "budget", "budget": "0.1", "classes": ""}


@pytest.mark.parametrize(
    "parameters",
    [
        {"policy": "<script>alert(1)</script>"},
        {"policy": "oracle"},
        {"budget": "-1"},
        {"example": "../../../etc/passwd"},
        {"tab": "admin"},
        {"hide-grid": "15"},
        {"classes": "some"},
    ],
)
def test_odd_addresses_are_ignored_with_a_notice(tab: InspectTab, parameters: dict) -> None:
    policy, _, _, notice, *_ = tab.on_restore(None, asked(**parameters))
    name = next(iter(parameters))
    assert policy["value"] == "msm" and notice["visible"] is True
    assert name in notice["value"] and "script" not in notice["value"]
    _, slider, _, linked = tab.on_load(asked(**parameters))
    assert slider["minimum"] <= slider["value"] <= slider["maximum"]
    assert linked == gr.skip()


def test_a_budget_outside_the_models_range_is_moved_into_it(tab: InspectTab) -> None:
    for budget in ("0", "999"):
        slider = tab.on_load(asked(budget=budget))[1]
        assert slider["value"] in (slider["minimum"], slider["maximum"])


@pytest.mark.parametrize("linked", [None, 7, {"example": "own"}, {"example": None}, ["shade"]])
def test_only_known_examples_are_opened(tab: InspectTab, linked: object) -> None:
    assert tab.on_linked(linked, "msm", 0.1, 0.5, 0.05) == gr.skip()


def test_changes_are_remembered(tab: InspectTab) -> None:
    look = {"colour": "class", "fill": 80}
    kept = tab.on_prefer(STORED, look, "fixed:28", 0.6)
    assert kept == {**STORED, "policy": "fixed:28", "threshold": 0.6}
    assert tab.on_prefer(kept, look, "oracle", 0.6) == kept  # it needs a file
    # what was sent of the memory is old news: the controls and the event count
    sent = event({"colour": "score", "fill": 10, "policy": "size"})
    assert tab.on_look(STORED, "fixed:28", 0.6, sent) == (
        {**kept, "colour": "score", "fill": 10},
        {"colour": "score", "fill": 10},
    )
    with pytest.raises(gr.Error, match="^'?Expected"):
        tab.on_look(kept, "msm", 0.5, event("class"))


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "x",
        [],
        {"policy": "magic", "threshold": float("nan"), "colour": "red", "fill": 1e9},
        {"policy": "oracle", "threshold": True, "colour": None, "fill": "45"},
        {"policy": ["msm"], "threshold": 0.05, "colour": {}, "fill": -1, "photo": "x" * 10**6},
    ],
)
def test_odd_memories_are_defaults(stored: object) -> None:
    assert preferences.read_preferences(stored) == preferences.defaults()


def test_sizes_are_those_of_the_picture() -> None:
    from app.picture import SIZES

    assert tuple(name for name, *_ in SIZES) == query.SIZES
