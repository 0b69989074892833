"""The Compare tab without a browser: one photo, two choices, the same boxes."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image
from unit.app.test_picture import NASTY, make, opened

from app import compare_job, compare_view, text
from app.compare_handlers import CompareHandlers, new_state
from app.compare_job import Choice
from app.compare_view import Comparison, Side
from app.session import Ask, Session
from dynamask.categories import COCO_CATEGORIES
from dynamask.checkpoint import save_weights
from dynamask.errors import InputError
from dynamask.palette import ONLY_FIRST, rgb
from dynamask.predictor import Predictor

LOOSE = Ask(min_score=0.0)
MSM, FINE = Choice("first", "msm", "Switch"), Choice("first", "fixed:112", "All 112")


@pytest.fixture(scope="module")
def other_predictor(tmp_path_factory: pytest.TempPathFactory, tiny_predictor: Predictor) -> Any:
    """The same model with a mask head and a detector of its own."""
    torch.manual_seed(5)
    model = type(tiny_predictor.model)(tiny_predictor.config)
    path = tmp_path_factory.mktemp("weights") / "other.safetensors"
    names = tuple(reversed(COCO_CATEGORIES))
    save_weights(model, path, categories=names, metadata={"seed": 5})
    return Predictor.from_weights(path, device="cpu")


# per module: the same small photo is then encoded once
@pytest.fixture(scope="module")
def session(tiny_predictor: Predictor) -> Session:
    return Session(load=lambda: tiny_predictor)


@pytest.fixture(scope="module")
def both(session: Session, other_predictor: Predictor) -> dict[str, Session]:
    return {"first": session, "second": Session("b.safetensors", load=lambda: other_predictor)}


def test_two_policies_share_boxes_and_encode_once(
    session: Session, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = session.open(photo)
    monkeypatch.setattr(type(session.predictor()), "encode", None)  # not needed any more
    made = compare_job.compare({"first": session}, first, MSM, FINE, LOOSE, "a.png")
    a, b = made.a.decoded.instances, made.b.decoded.instances
    assert len(a) > 0 and torch.equal(a.boxes_xyxy_px, b.boxes_xyxy_px)
    assert set(b.selection.grids.tolist()) == {112}
    assert made.a.name == "Switch"  # one weights file: its name says nothing


def test_second_weights_get_the_boxes_and_classes_of_the_first(
    both: dict[str, Session], photo: Path
) -> None:
    first = both["first"].open(photo)
    choice = Choice("second", "fixed:112", "All 112")
    made = compare_job.compare(both, first, FINE, choice, LOOSE, "a.png")
    a, b = made.a.decoded, made.b.decoded
    assert torch.equal(a.instances.boxes_xyxy_px, b.instances.boxes_xyxy_px)
    assert a.ids.tolist() == b.ids.tolist()
    names = [[d.instances.category(i) for i in range(len(d.ids))] for d in (a, b)]
    assert names[0] == names[1]  # the other file has its classes in another order
    assert torch.equal(a.instances.scores, b.instances.scores)
    same = [
        torch.equal(x, y)
        for x, y in zip(a.instances.mask_logits, b.instances.mask_logits, strict=True)
    ]
    assert not any(same)
    assert made.b.name == "All 112, b.safetensors"


def test_second_weights_as_a_find_their_own_boxes(both: dict[str, Session], photo: Path) -> None:
    first = both["first"].open(photo)
    choice = Choice("second", "msm", "Switch")
    made = compare_job.compare(both, first, choice, FINE, LOOSE, "a.png")
    own = both["second"].predictor().encode(first.pixels)
    assert torch.equal(made.a.decoded.instances.boxes_xyxy_px, own.boxes_xyxy_px)
    assert torch.equal(made.b.decoded.instances.boxes_xyxy_px, own.boxes_xyxy_px)


def test_policies_of_other_weights_encode_nothing_again(
    both: dict[str, Session], photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = both["first"].open(photo)
    choice = Choice("second", "msm", "Switch")
    compare_job.compare(both, first, MSM, choice, LOOSE, "a.png")
    monkeypatch.setattr(Predictor, "encode", None)
    for policy in ("size", "fixed:14"):
        other = Choice("second", policy, policy)
        few = Ask(min_score=float(first.scene.scores.median()))
        made = compare_job.compare(both, first, MSM, other, few, "a.png")
        assert 0 < len(made.b.decoded.ids) < len(first.scene)


def test_drawn_boxes_are_in_both(both: dict[str, Session], photo: Path) -> None:
    first = both["first"].open(photo)
    ask = Ask(min_score=0.0, drawn=((10.0, 10.0, 70.0, 60.0),), drawn_labels=(3,))
    made = compare_job.compare(both, first, MSM, Choice("second", "msm", "S"), ask, "a.png")
    assert made.a.decoded.ids[-1] == made.b.decoded.ids[-1] == len(first.scene) + 1
    assert made.a.decoded.first_drawn == made.b.decoded.first_drawn
    names = [side.decoded.instances.category(-1) for side in (made.a, made.b)]
    assert names == [COCO_CATEGORIES[3]] * 2


def test_unknown_weights_are_a_sentence(session: Session, photo: Path) -> None:
    first = session.open(photo)
    with pytest.raises(InputError, match="one of the two weight files"):
        compare_job.compare({"first": session}, first, MSM, Choice("second", "msm", ""), LOOSE, "a")


# -- what the page gets ----------------------------------------------------------------------


def pair(**options: Any) -> Comparison:
    boxes = [[0.0, 0.0, 28.0, 28.0], [30.0, 10.0, 70.0, 50.0]]
    a, b = make(boxes, **options), make(boxes, **options)
    b.instances.mask_logits[0][:, 7:] = -8.0  # B's first mask is the left half
    return Comparison(opened(), Side(a, "Switch"), Side(b, "All 28"))


def test_value_is_json_and_counts_changes() -> None:
    value = compare_view.viewer_value(pair(), name="a.jpg", min_score=0.3)
    json.dumps(value, allow_nan=False)
    assert value["order"] == [1] and [o["changed"] for o in value["objects"]] == [True, False]
    assert value["summary"].startswith("1 of 2 objects changed")
    assert [row[:2] for row in value["totals"]["rows"]] == [["A", "Switch"], ["B", "All 28"]]
    assert len(value["head"]) == 1 + len(value["objects"][0]["cells"])
    assert value["objects"][0]["cells"][0] == "0.500"


def test_difference_picture_marks_the_pixels_of_only_one() -> None:
    value = compare_view.viewer_value(pair(), name="a.jpg", min_score=0.3)
    data = base64.b64decode(value["difference"].split(",")[1])
    picture = np.asarray(Image.open(io.BytesIO(data)))
    assert picture.shape == (60, 80, 4)
    marked = picture[..., 3] > 0
    assert marked[:28, 15:28].all() and not marked[:, 30:].any() and not marked[:28, :13].any()
    assert tuple(picture[5, 20, :3]) == rgb(ONLY_FIRST)


def test_names_are_only_names() -> None:
    made = pair(names=(NASTY,))
    card = compare_view.object_card(made, 1)
    assert "<img" not in card and "&lt;img" in card
    value = compare_view.viewer_value(made, name=NASTY, min_score=0.3)
    assert value["objects"][0]["name"] == NASTY  # the page sets it as text
    for crop in value["crops"]:
        assert b"alert" not in base64.b64decode(crop["svg"].split(",")[1])


def test_card_of_equal_masks_and_of_nobody() -> None:
    made = pair()
    assert "equal, pixel by pixel" in compare_view.object_card(made, 2)
    for odd in (None, 0, 99):
        assert 'data-selected=""' in compare_view.object_card(made, odd)


def test_truth_has_columns_of_its_own() -> None:
    truth = np.zeros((60, 80), dtype=bool)
    truth[:28, :28] = True
    made = pair()
    made = Comparison(made.opened, made.a, made.b, (truth, None))
    value = compare_view.viewer_value(made, name="a.jpg", min_score=0.3)
    assert value["objects"][0]["cells"][-2:] == ["1.000", "0.500"]
    assert value["objects"][1]["cells"][-2:] == ["\u2013", "\u2013"]
    assert len(value["head"]) == 1 + len(value["objects"][0]["cells"])
    assert value["totals"]["rows"][0][-1] == "1.000"
    assert "A 1.000, B 0.500" in compare_view.object_card(made, 1)


def test_no_objects_are_no_error() -> None:
    none = make([])
    made = Comparison(opened(), Side(none, "a"), Side(none, "b"))
    value = compare_view.viewer_value(made, name="a.jpg", min_score=0.3)
    json.dumps(value, allow_nan=False)
    assert value["objects"] == [] and "lower the smallest score" in value["hint"]
    assert list(compare_view.changed_table(made)["iou"]) == []


def test_classes_that_are_hidden_are_not_looked_for_at_lower_scores() -> None:
    none = replace(make([]), hidden=2)
    made = Comparison(opened(), Side(none, "a"), Side(none, "b"))
    value = compare_view.viewer_value(made, name="a.jpg", min_score=0.3)
    assert text.EVERYTHING in value["hint"]


# -- handlers --------------------------------------------------------------------------------

CONTROLS = ("first", "msm", 0.1, "first", "fixed:112", 0.1, 0.5, 0.05)


@pytest.fixture
def handlers(session: Session, tmp_path: Path) -> CompareHandlers:
    made = CompareHandlers(session)
    made.viewer = made.file = SimpleNamespace(GRADIO_CACHE=str(tmp_path / "cache"))
    session.predictor()
    return made


def event(data: Any) -> Any:
    return SimpleNamespace(_data=data)


@pytest.fixture
def state(handlers: CompareHandlers, photo: Path) -> dict[str, Any]:
    return handlers.on_photo(str(photo), *CONTROLS)[2]


@pytest.mark.parametrize(
    "changed",
    [
        {0: "second"},
        {0: ["first"]},
        {0: None},
        {1: "magic"},
        {1: {}},
        {1: "oracle"},
        {1: "budget", 2: "much"},
        {4: "budget", 5: 1e9},
        {4: "budget", 5: float("nan")},
        {6: 2.0},
        {7: None},
    ],
    ids=str,
)
def test_odd_controls_are_a_sentence(
    handlers: CompareHandlers, state: dict[str, Any], changed: dict[int, Any]
) -> None:
    controls = [changed.get(i, value) for i, value in enumerate(CONTROLS)]
    for call in (
        lambda: handlers.on_control(state, None, *controls),
        lambda: handlers.on_select(state, *controls, event({"id": 1})),
        lambda: handlers.on_save(state, *controls),
    ):
        with pytest.raises(gr.Error, match="Expected "):
            call()


def test_opening_selecting_and_saving(handlers: CompareHandlers, state: dict[str, Any]) -> None:
    controls = CONTROLS
    viewer, card, *budgets = handlers.on_control(state, None, *controls)
    assert viewer["value"]["seq"] > 0 and 'data-selected=""' in card
    assert [b["visible"] for b in budgets] == ["hidden", "hidden"]
    card, selected = handlers.on_select(state, *controls, event({"id": 99}))
    assert selected is None and 'data-selected=""' in card
    table = Path(handlers.on_save(state, *controls)["value"]).read_text()
    assert table.startswith("object_id,category,area_a")


def test_take_over_from_inspect(
    handlers: CompareHandlers, state: dict[str, Any], photo: Path
) -> None:
    inspected = {**state, "by_hand": ((1, 14), (2, 112)), "drawn": ((5.0, 5.0, 60.0, 60.0),)}
    theirs = ("fixed:28", 0.1, 0.6, 0.05)
    viewer, _, taken, *rest = handlers.on_take(inspected, *theirs, *CONTROLS)
    assert taken["drawn"] == inspected["drawn"] and taken["key"] == state["key"]
    assert taken["inspected"] == ("fixed:28", "All 28") and taken["by_hand"] == ((1, 14), (2, 112))
    policy_a, policy_b = rest[6:8]
    assert policy_a["value"] == "inspect" and policy_b["value"] == "fixed:112"
    assert ("As in Inspect", "inspect") in policy_a["choices"]
    assert rest[-3:] == ["first", 0.6, 0.05]
    rows = viewer["value"]["totals"]["rows"]
    assert [row[1] for row in rows] == ["As in Inspect: All 28, 2 by hand", "All 112"]
    grids = {o["id"]: o["grids"][0] for o in viewer["value"]["objects"]}
    assert (grids.pop(1), grids.pop(2)) == (14, 112) and set(grids.values()) == {28}
    cells = {o["id"]: o["cells"][2:4] for o in viewer["value"]["objects"]}
    assert cells[1] == ["14 by hand", "112"] and cells[3] == ["28", "112"]
    controls = ("first", "inspect", 0.1, *CONTROLS[3:6], 0.6, 0.05)
    assert "set by hand" in handlers.on_select(taken, *controls, event({"id": 1}))[0]
    assert "set by hand" not in handlers.on_select(taken, *controls, event({"id": 3}))[0]
    table = Path(handlers.on_save(taken, *controls)["value"]).read_text().splitlines()
    assert "grid_a,by_hand_a" in table[0] and ",14,True," in table[1]

    # another photo has no such choice any more, and none is left behind
    for shown in (handlers.on_photo(str(photo), *controls), handlers.on_renew(*controls)):
        assert shown[9]["value"] == "msm"
        assert "inspect" not in [value for _, value in shown[9]["choices"]]
    with pytest.raises(gr.Error, match="taken from Inspect"):
        handlers.on_control(new_state() | {"key": state["key"]}, None, *controls)


def test_nothing_to_take_over(handlers: CompareHandlers) -> None:
    alone = handlers.on_take({"key": None}, "msm", 0.1, 0.5, 0.05, *CONTROLS)
    assert "open one there" in alone[5]["value"] and alone[2] == new_state()


def test_every_class_is_the_users_to_say(
    handlers: CompareHandlers, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [handlers.sessions["first"].predictor().categories[0]]
    monkeypatch.setitem(handlers.sessions["first"].predictor().metadata, "shown_classes", names)
    counts = []
    for every in (False, True):
        viewer, _, said = handlers.on_every(state, None, every, *CONTROLS)
        assert said["every"] is every
        counts.append(len(viewer["value"]["objects"]))
    assert counts[0] < counts[1]


def test_grids_by_hand_are_of_the_first_weights_objects(
    both: dict[str, Session], photo: Path
) -> None:
    first = both["first"].open(photo)
    ids = both["first"].decode(first, LOOSE).ids
    last = int(ids[-1])
    hand = Choice("second", "fixed:112", "All 112", ((last, 14), (999, 28)))
    few = Ask(min_score=float(first.scene.scores[last - 1]))
    made = compare_job.compare(both, first, FINE, hand, few, "a.png")
    second = made.b.decoded
    grids = dict(zip(second.ids.tolist(), second.instances.selection.grids, strict=True))
    assert grids.pop(last) == 14 and set(grids.values()) <= {112}
    assert second.by_hand == {last} and not made.a.decoded.by_hand
    with pytest.raises(InputError, match="boxes of bundled weights"):
        compare_job.compare(both, first, hand, FINE, few, "a.png")


def test_a_bad_photo_is_an_alert(handlers: CompareHandlers, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"hello")
    shown = handlers.on_photo(str(bad), *CONTROLS)
    assert "Expected" in shown[5]["value"] and str(tmp_path) not in shown[5]["value"]
    assert shown[2] == new_state()
