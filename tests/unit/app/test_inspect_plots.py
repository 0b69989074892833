"""Plots and inside views of a photo, through the handlers that the page calls."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from gradio import EventData

from app import bench
from app.inside_pictures import arrows_svg, box_pixels
from app.inspect_parts import new_state
from app.inspect_plots import PhotoPlots, photo_objects
from app.session import Session
from dynamask.config import GRIDS

CONTROLS = ("msm", 0.1, 0.5, 0.05)
BOXES = ((10.0, 12.0, 90.0, 100.0), (30.0, 5.0, 155.0, 60.0), (100.0, 70.0, 130.0, 110.0))


@pytest.fixture(scope="module")
def session(tiny_weights: Path) -> Session:
    return Session(tiny_weights, device="cpu")


@pytest.fixture
def plots(session: Session) -> PhotoPlots:
    return PhotoPlots(session)


@pytest.fixture
def state(session: Session, photo: Path) -> dict[str, Any]:
    opened = session.open(photo)
    return {**new_state(), "key": opened.scene.key, "path": str(photo), "drawn": BOXES}


def drawn_ids(session: Session, state: dict[str, Any]) -> list[int]:
    first = len(session.reopen(state["key"]).scene) + 1
    return [first + i for i in range(len(BOXES))]


def event(data: Any) -> EventData:
    return EventData(None, data)


def test_every_plot_has_every_object(
    plots: PhotoPlots, session: Session, state: dict[str, Any]
) -> None:
    grids, odds, budget = plots.on_picture({**state, "every": True}, *CONTROLS)
    opened = session.reopen(state["key"])
    decoded = session.decode(opened, plots._ask({**state, "every": True}, CONTROLS))
    ids = {str(i) for i in decoded.ids}
    assert set(map(str, drawn_ids(session, state))) <= ids
    for value, times in ((grids, 1), (odds, len(GRIDS))):
        found = [i for t in value["figure"]["data"] for i in t.get("ids", [])]
        assert sorted(found) == sorted(list(ids) * times)
    assert grids["seq"] == odds["seq"] == budget["seq"] > 0
    levels = {
        int(i): round(y)
        for t in grids["figure"]["data"]
        for i, y in zip(t.get("ids", []), t["y"], strict=False)
    }
    for row, object_id in enumerate(decoded.ids):
        assert GRIDS[levels[int(object_id)]] == decoded.instances.selection.grids[row]
    now = budget["figure"]["data"][-1]
    assert now["y"][1] == pytest.approx(decoded.instances.selection.gmac_per_roi, rel=1e-4)


def test_plots_follow_policy_and_filter_and_numbers_rise(
    plots: PhotoPlots, state: dict[str, Any]
) -> None:
    before = plots.on_picture(state, *CONTROLS)[0]
    after = plots.on_picture(state, "fixed:28", 0.1, 0.5, 0.05)[0]
    names = {t["name"] for t in after["figure"]["data"] if t.get("ids")}
    assert names == {"grid 28"} and after["seq"] > before["seq"]
    few = plots.on_picture({**state, "drawn": BOXES[:1]}, "msm", 0.1, 0.5, 0.95)[0]
    assert "n = 1" in few["figure"]["layout"]["title"]["text"]
    assert plots.on_picture(new_state(), *CONTROLS) == (None, None, None)


def test_a_policy_that_cannot_be_changes_no_plot(plots: PhotoPlots, state: dict[str, Any]) -> None:
    skipped = plots.on_picture(state, "oracle", 0.1, 0.5, 0.05)  # there is no ground truth
    assert all(value["__type__"] == "update" and len(value) == 1 for value in skipped)


def test_the_curve_is_computed_once_for_all_policies(
    plots: PhotoPlots, session: Session, state: dict[str, Any]
) -> None:
    plots.on_picture(state, *CONTROLS)
    kept = len(session.strips)
    plots.on_picture(state, "fixed:14", 0.1, 0.5, 0.05)
    assert len(session.strips) == kept


def test_inside_shows_four_parts_as_pictures(
    plots: PhotoPlots, session: Session, state: dict[str, Any]
) -> None:
    object_id = drawn_ids(session, state)[1]
    value = plots.on_inside(state, *CONTROLS, event({"id": object_id}))
    assert value["id"] == object_id and value["seq"] > 0
    assert value["aspect"] == pytest.approx(125 / 55, abs=0.01)
    counts = {p["kind"]: len(p["pictures"]) for p in value["parts"]}
    assert counts == {"switch": 2, "features": 3, "offsets": 3, "edges": 4}
    sizes = [picture_size(i["url"]) for p in value["parts"] for i in p["pictures"][:4]]
    assert sizes == [28, 28, 14, 28, 56, None, None, None, 14, 28, 56, 112]
    kept = len(session.strips)
    again = plots.on_inside(state, *CONTROLS, event({"id": object_id}))
    assert len(session.strips) == kept and again["parts"] == value["parts"]


def picture_size(url: str) -> int | None:
    """Side of a square PNG in a data URL; None for a well-formed SVG."""
    kind, data = re.fullmatch(r"data:image/([a-z+]+);base64,(.*)", url).groups()
    raw = base64.b64decode(data)
    if kind == "svg+xml":
        assert ET.fromstring(raw.decode()).tag.endswith("svg")  # noqa: S314 - our own text
        return None
    image = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[0] == image.shape[1]
    return image.shape[0]


@pytest.mark.parametrize("data", [None, {}, {"id": "1"}, {"id": -1}, {"id": True}])
def test_odd_events_are_a_sentence(plots: PhotoPlots, state: dict[str, Any], data: Any) -> None:
    value = plots.on_inside(state, *CONTROLS, event(data))
    assert value["problem"].startswith("Expected ") and value["id"] is None


def test_an_object_that_is_gone_changes_nothing(plots: PhotoPlots, state: dict[str, Any]) -> None:
    for data in ({"id": 60000}, {"id": None}):
        assert plots.on_inside(state, *CONTROLS, event(data))["__type__"] == "update"


def test_a_box_at_the_edge_has_at_least_one_pixel() -> None:
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    assert box_pixels(pixels, np.array([29.9, 19.9, 30.0, 20.0])).shape == (1, 1, 3)
    assert box_pixels(pixels, np.array([2.2, 3.0, 12.4, 9.0])).shape == (6, 10, 3)


def test_arrows_start_and_end_where_they_should() -> None:
    crop = np.full((50, 100, 3), 90, dtype=np.uint8)
    svg = ET.fromstring(arrows_svg(np.array([[0.5, 0.5, 0.1, -0.2]]), 2, crop))  # noqa: S314
    assert svg.get("viewBox") == "0 0 420.0 210.0"
    path = svg.find("{http://www.w3.org/2000/svg}path").get("d")
    assert path.startswith("M210.0,105.0L294.0,21.0")  # + 2 x (0.1 x 420, -0.2 x 210)


def test_objects_know_their_names(session: Session, state: dict[str, Any]) -> None:
    opened = session.reopen(state["key"])
    decoded = session.decode(opened, PhotoPlots(session)._ask(state, CONTROLS))
    objects = photo_objects(opened, decoded)
    assert len(objects.names) == len(objects) == len(decoded.ids)
    assert objects.log_area[-3:] == pytest.approx(np.log10([80 * 88, 125 * 55, 30 * 40]))


def test_the_bench_moves_controls_over_twenty_objects(session: Session) -> None:
    result = bench.measure(session)
    first, last = bench.boxes(200, 300)[0], bench.boxes(200, 300)[-1]
    assert last[2] - last[0] > 4 * (first[2] - first[0]) and last[3] <= 200
    assert result["objects"] >= bench.OBJECTS and result["steps"] == bench.STEPS + 4
    assert 0 < result["picture_ms_median"] <= result["both_ms_median"] <= result["both_ms_max"]
