"""Which objects are shown: those vouched for, or all without such; the surest of doubles."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tab_helpers import build_tab
from torchvision.ops import box_iou

from app import export, overrides, settings, text
from app.batch_job import BatchJob, Feed, Picture
from app.session import Ask, Session
from app.tabs.inspect import InspectTab
from dynamask.detectors import Found, encode_found
from dynamask.predictor import Predictor
from dynamask.types import Scene

KNOWN = {"shown_classes": ["dog"], "shown_min_ap50": 0.3}
NAMES = ("cup", "dog")


def kept(
    objects: list[tuple[str, float]],
    *,
    every: bool | None = None,
    least: float = 0.3,
    drawn: int = 0,
    metadata: dict[str, Any] = KNOWN,
    boxes: Sequence[tuple[float, ...]] | None = None,
    source: str = "detector",
) -> tuple[list[int], int, int, int]:
    """Rows, hidden, unsure and doubles of objects by class and score, then drawn boxes.

    Boxes lie side by side where none are given.
    """
    labels = [NAMES.index(name) for name, _ in objects] + [-1] * drawn
    scores = [score for _, score in objects] + [1.0] * drawn
    if boxes is None:
        boxes = [(20 * i, 0, 20 * i + 10, 10) for i in range(len(scores))]
    scene = SimpleNamespace(
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.tensor(scores),
        boxes_xyxy_px=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        box_source=source,
    )
    model = SimpleNamespace(metadata=metadata, categories=NAMES)
    ask = Ask(min_score=least, everything=every)
    rows, *left = overrides.kept_rows(scene, len(objects) + 1, ask, model)
    return rows.tolist(), *left


BOTH = [("cup", 0.9), ("dog", 0.5), ("cup", 0.4)]
CUPS = [("cup", 0.9), ("cup", 0.5)]


def test_poor_classes_are_left_out_beside_good_ones() -> None:
    assert kept(BOTH) == ([1], 2, 0, 0)
    assert kept(BOTH, every=True) == ([0, 1, 2], 0, 0, 0)
    assert kept(BOTH, metadata={}) == ([0, 1, 2], 0, 0, 0)  # weights that say nothing of classes


def test_poor_classes_alone_are_shown_until_the_user_says_no() -> None:
    assert kept(CUPS) == ([0, 1], 0, 2, 0)
    assert kept(CUPS, every=False) == ([], 2, 0, 0)
    assert kept(CUPS, every=True) == ([0, 1], 0, 0, 0)
    assert kept([]) == ([], 0, 0, 0)


def test_the_smallest_score_never_brings_objects_by_rising_nor_takes_any_by_falling() -> None:
    for objects in (BOTH, CUPS, [("cup", 0.9), ("dog", 0.2)]):
        shown = [set(kept(objects, least=least)[0]) for least in (0.05, 0.1, 0.3, 0.45, 0.6, 0.95)]
        assert all(more >= less for more, less in itertools.pairwise(shown))
    assert kept(BOTH, least=0.6) == ([], 1, 0, 0)  # the dog goes, and no cup comes


def test_a_drawn_box_is_no_reason_to_hide_the_others() -> None:
    assert kept(CUPS, drawn=1) == ([0, 1, 2], 0, 2, 0)
    assert kept(CUPS, drawn=1, every=False) == ([2], 2, 0, 0)


def test_each_has_a_sentence_of_its_own() -> None:
    model = SimpleNamespace(metadata=KNOWN)
    assert overrides.notices(0, 0, 0, model) == ()
    (hidden,) = overrides.notices(3, 0, 0, model)
    (unsure,) = overrides.notices(0, 2, 0, model)
    (doubles,) = overrides.notices(0, 0, 1, model)
    assert hidden.startswith("3 objects hidden") and "AP50 (box) below 0.3" in hidden
    assert unsure.startswith("2 objects shown") and "care" in unsure
    assert "AP50 (box) below 0.3" in unsure
    assert "1 object that" in doubles and "IoU above 0.3" in doubles
    assert text.EVERYTHING in hidden and text.EVERYTHING in doubles


DOGS = [("dog", 0.5), ("dog", 0.9), ("dog", 0.7), ("cup", 0.8)]
ON_ONE = [(0, 0, 10, 6), (0, 0, 10, 10), (0, 8, 10, 18), (0, 0, 10, 10)]  # IoU 0.6, 0.11


def test_the_surest_of_what_overlaps_in_one_class_is_left() -> None:
    assert kept(DOGS, boxes=ON_ONE, every=False) == ([1, 2], 1, 0, 1)
    assert kept(DOGS, boxes=ON_ONE) == ([1, 2], 1, 0, 1)
    assert kept(DOGS, boxes=ON_ONE, every=True) == ([0, 1, 2, 3], 0, 0, 0)
    assert kept(DOGS, boxes=ON_ONE, metadata={}) == ([0, 1, 2, 3], 0, 0, 0)


def test_a_drawn_box_is_no_double_and_makes_none() -> None:
    assert kept(DOGS[:1], boxes=[(0, 0, 9, 9)] * 3, drawn=2) == ([0, 1, 2], 0, 0, 0)


def test_boxes_from_elsewhere_are_all_shown() -> None:
    assert kept(DOGS, boxes=ON_ONE, source="given") == ([0, 1, 2, 3], 0, 0, 0)


BOX = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 12)] * 2)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(30, 99), BOX), max_size=12))
def test_no_two_of_a_class_overlap_and_a_smaller_score_takes_none(found: list[Any]) -> None:
    objects = [("dog", 0.995), *((name, score / 100) for name, score, _ in found)]
    boxes = [(50, 50, 60, 60), *((x, y, x + w, y + h) for *_, (x, y, w, h) in found)]
    last: set[int] = set()
    for least in (0.9, 0.6, 0.3):
        rows, hidden, unsure, doubles = kept(objects, boxes=boxes, least=least)
        assert last <= set(rows) and 0 in rows and not unsure
        bright = sum(score >= least for _, score in objects)
        assert len(rows) + hidden + doubles == bright
        last = set(rows)
        assert all(objects[row][0] == "dog" for row in rows)
        overlap = box_iou(*[torch.tensor([boxes[r] for r in rows], dtype=torch.float32)] * 2)
        assert (overlap - torch.eye(len(rows))).max() <= settings.MAX_OVERLAP + 1e-6


# -- one rule: the page, its files and a batch agree ------------------------------------------


class Cups:
    """Stands in for a detector that finds cups, and a dog where the photo is dark."""

    name = "cups"

    def __call__(self, image: np.ndarray, file_name: str = "") -> Found:
        height, width = image.shape[:2]
        boxes = np.array([[0, 0, width / 2, height / 2], [width / 4, 0, width, height]])
        second = "dog" if image.mean() < 40 else "cup"
        return Found(boxes.astype(np.float32), ("cup", second), np.full(2, 0.9, np.float32))


@pytest.fixture
def session(tiny_predictor: Predictor) -> Session:
    model = copy.copy(tiny_predictor)
    model.metadata = {**tiny_predictor.metadata, **KNOWN}

    def encode(pixels: np.ndarray) -> Scene:  # as if the model's own detector had found them
        return replace(encode_found(tiny_predictor, pixels, Cups()), box_source="detector")

    model.encode = encode
    return Session(load=lambda: model)


@pytest.fixture
def tab(session: Session) -> InspectTab:
    session.predictor()
    return build_tab(session)


CONTROLS = ("msm", 0.1, 0.5, 0.3)


def test_a_photo_of_poor_classes_alone(tab: InspectTab, photo: Path) -> None:
    viewer, _, state, *_, every = tab.on_photo(str(photo), *CONTROLS)
    value = viewer["value"]
    assert [o["name"] for o in value["objects"]] == ["cup", "cup"] and value["hint"] == ""
    assert any("2 objects" in notice and "care" in notice for notice in value["notices"])
    assert every["value"] is True and "classes" not in {k for k, v in value["query"].items() if v}
    opened, decoded = tab._saved(state, CONTROLS)  # what the files are made of
    assert len(export.table(decoded, file_name="a.png")) == 2
    page, _ = export.export("html", opened, decoded, name="a.png")
    assert b"take the names with care" in page

    viewer, _, state, *_ = tab.on_every(state, None, False, *CONTROLS)
    value = viewer["value"]
    assert value["objects"] == [] and text.EVERYTHING in value["hint"]
    assert value["query"]["classes"] == "known"
    viewer, _, state, *_ = tab.on_every(state, None, True, *CONTROLS)
    value = viewer["value"]
    assert len(value["objects"]) == 2 and value["query"]["classes"] == "all"
    assert not any("care" in notice for notice in value["notices"])  # they were asked for


def test_the_address_says_what_the_user_said(tab: InspectTab, photo: Path) -> None:
    tab.example_paths = [photo]
    for every, count in ((None, 2), (True, 2), (False, 0), ("no", 2)):
        linked = {"example": photo.stem, "filter": None, "every": every}
        viewer, _, state, *_, ticked = tab.on_linked(linked, *CONTROLS)
        assert len(viewer["value"]["objects"]) == count
        assert state["every"] is (every if isinstance(every, bool) else None)
        assert ticked["value"] is (count > 0)


def test_another_detector_is_not_judged_by_our_own_ap(session: Session, photo: Path) -> None:
    model = copy.copy(session.predictor())
    del model.encode  # the real one
    tab = build_tab(Session(load=lambda: model, detector=Cups))
    tab.session.predictor()
    viewer, *_ = tab.on_photo(str(photo), *CONTROLS)
    assert [o["name"] for o in viewer["value"]["objects"]] == ["cup", "cup"]
    assert not any("care" in notice for notice in viewer["value"]["notices"])
    assert not tab._leaves_out()  # so that the switch, which would do nothing, is not offered


@pytest.mark.parametrize("video", [False, True])
def test_a_batch(session: Session, tmp_path: Path, video: bool) -> None:
    dark, light = (np.full((96, 128, 3), grey, np.uint8) for grey in (10, 200))
    items = [
        (name, lambda pixels=pixels: Picture(pixels, (), 0.0 if video else None))
        for name, pixels in (("dark.png", dark), ("light.png", light))
    ]
    feed = Feed(2, iter(items), video)
    job = BatchJob(session, feed, Ask(everything=None), tmp_path, threading.Event())
    list(job.run())
    names = job.frame()["category"].tolist()
    # photo by photo as in Inspect; frames of one video are all treated alike
    assert names == (["dog"] if video else ["dog", "cup", "cup"])
    assert (job.hidden, job.unsure) == ((3, 0) if video else (1, 2))
