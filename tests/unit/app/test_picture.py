"""Id maps, outlines and records, made from masks whose shape is known."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from app import picture, settings
from app.card import empty_card, object_card
from app.session import Decoded, Opened
from dynamask.config import GRIDS, preset
from dynamask.cost import cost_table
from dynamask.palette import UNKNOWN_CLASS
from dynamask.strip import Frame, Strip
from dynamask.types import Instances, Scene, Selection

NASTY = '<img src=x onerror="alert(1)">'


def make(
    boxes: list[list[float]],
    size: tuple[int, int] = (60, 80),
    logit: float = 8.0,
    names: tuple[str, ...] = ("person",),
    pays_switch: bool = True,
) -> Decoded:
    """Objects that fill their boxes, at grids 14, 28, 56, 112, 14, ..."""
    n = len(boxes)
    grids = np.array([GRIDS[i % 4] for i in range(n)], dtype=np.int64)
    logits = tuple(torch.full((int(g), int(g)), logit) for g in grids)
    instances = Instances(
        image_size=size,
        boxes_xyxy_px=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.zeros(n, dtype=torch.int64),
        scores=torch.linspace(0.9, 0.5, n) if n else torch.zeros(0),
        mask_logits=logits,
        edge_logits=logits,
        selection=Selection(
            grids=grids,
            probabilities=np.full((n, 4), 0.25, dtype=np.float32),
            object_mac=np.full(n, 50_000_000, dtype=np.int64),
            image_mac=10_000_000,
            full_mac=n * 100_000_000,
            policy="msm",
            pays_switch=pays_switch,
        ),
        categories=names,
    )
    return Decoded(instances, np.arange(1, n + 1, dtype=np.int64), first_drawn=n + 1)


def opened(size: tuple[int, int] = (60, 80)) -> Opened:
    none = torch.zeros(0)
    scene = Scene(size, size, {}, none.reshape(0, 4), none.long(), none, none.reshape(0, 4), "k")
    return Opened(scene, np.full((*size, 3), 90, dtype=np.uint8), ("A notice.",))


def value(decoded: Decoded, **options: object) -> dict:
    size = decoded.instances.image_size
    return picture.viewer_value(opened(size), decoded, name="a.jpg", min_score=0.3, **options)


def test_small_objects_stay_on_top() -> None:
    decoded = make([[20, 20, 30, 30], [0, 0, 80, 60]])  # the small one comes first
    masks = picture.build_masks(decoded.instances, decoded.ids)
    assert masks.id_map[25, 25] == 1
    assert masks.id_map[5, 5] == 2
    assert (masks.id_map == 1).sum() == 100
    assert masks.areas.tolist() == [100, 4800]


def test_anchor_lies_on_the_visible_part() -> None:
    decoded = make([[0, 0, 80, 60], [10, 10, 40, 50]])
    masks = picture.build_masks(decoded.instances, decoded.ids)
    for object_id, anchor in zip(decoded.ids, masks.anchors, strict=True):
        assert anchor is not None
        assert masks.id_map[anchor[1], anchor[0]] == object_id


def test_a_hidden_object_has_no_anchor_but_an_outline() -> None:
    decoded = make([[10, 10, 20, 20], [10, 10, 20, 20]])
    masks = picture.build_masks(decoded.instances, decoded.ids)
    assert masks.anchors[0] is None and masks.anchors[1] is not None
    assert all(masks.outlines)


def test_an_empty_mask_is_an_object_without_outline() -> None:
    decoded = make([[10, 10, 20, 20]], logit=-8.0)
    masks = picture.build_masks(decoded.instances, decoded.ids)
    assert masks.areas.tolist() == [0]
    assert masks.outlines == [[]] and masks.anchors == [None]
    assert value(decoded)["objects"][0]["area"] == 0


def test_large_photos_are_shown_smaller_with_areas_in_photo_pixels() -> None:
    decoded = make([[100, 100, 1700, 1300], [3000, 2000, 3001, 2001]], size=(2400, 3200))
    masks = picture.build_masks(decoded.instances, decoded.ids)
    assert masks.id_map.shape == (1200, settings.DISPLAY_SIDE)
    assert masks.areas.tolist() == [1600 * 1200, 1]
    assert (masks.id_map == 1).sum() == 800 * 600
    assert (masks.id_map == 2).sum() == 1, "a pixel-sized object stays visible"
    xs, ys = masks.outlines[0][0][0::2], masks.outlines[0][0][1::2]
    assert (min(xs), max(xs), min(ys), max(ys)) == (50, 849, 50, 649)


def test_photos_are_never_enlarged() -> None:
    assert picture.display_size((60, 80)) == (60, 80)
    assert picture.display_size((16, 12_000)) == (2, 1600)


def test_id_map_png_holds_ids_beyond_a_byte() -> None:
    ids = np.array([[0, 1, 255], [256, 300, 65_535]], dtype=np.uint16)
    with Image.open(io.BytesIO(picture.id_map_png(ids))) as image:
        assert image.mode == "RGB"
        pixels = np.asarray(image).astype(int)
    assert (pixels[..., 0] + 256 * pixels[..., 1] == ids).all()


def test_display_jpeg_keeps_colours_and_shrinks() -> None:
    pixels = np.zeros((100, 3200, 3), dtype=np.uint8)
    pixels[..., 0] = 200  # red
    with Image.open(io.BytesIO(picture.display_jpeg(pixels))) as image:
        assert image.size == (1600, 50)
        red, green, _ = np.asarray(image).reshape(-1, 3).mean(axis=0)
    assert red > 180 and green < 20


def test_viewer_value_tells_counts_and_cost() -> None:
    shown = value(make([[0, 0, 20, 20], [30, 0, 60, 30], [0, 30, 20, 50]]), select=2)
    assert {g["grid"]: g["count"] for g in shown["grids"]} == {14: 1, 28: 1, 56: 1, 112: 0}
    assert shown["summary"] == "3 objects"
    assert shown["cost"] == "This photo: 0.160 GMAC in masks, 53% of all-112."
    assert shown["select"] == 2 and shown["hint"] == ""
    assert shown["notices"] == ["A notice."]
    assert [o["id"] for o in shown["objects"]] == [1, 2, 3]
    assert shown["objects"][0]["score"] == pytest.approx(0.9)


def test_nothing_found_says_what_to_do() -> None:
    shown = value(make([]))
    assert shown["objects"] == []
    assert "draw a box" in shown["hint"] and "0.30" in shown["hint"]
    assert "Show everything found" not in shown["hint"]
    hidden = value(replace(make([]), hidden=4))
    assert "Show everything found" in hidden["hint"] and "0.30" in hidden["hint"]


def test_drawn_boxes_have_no_class_or_score() -> None:
    decoded = make([[0, 0, 20, 20], [30, 0, 60, 30]])
    unknown = replace(decoded.instances, labels=torch.tensor([0, -1]))
    decoded = Decoded(unknown, decoded.ids, first_drawn=2)
    found, drawn = value(decoded)["objects"]
    assert (found["drawn"], found["name"]) == (False, "person")
    assert found["colours"]["class"] != drawn["colours"]["class"] == UNKNOWN_CLASS
    assert drawn["colours"]["score"] == UNKNOWN_CLASS != found["colours"]["score"]
    assert (drawn["drawn"], drawn["name"], drawn["score"]) == (True, "drawn box", None)


def square_strip() -> Strip:
    """A square of 20 px that every grid sees alike."""
    mask = np.ones((20, 20), dtype=bool)
    frames = (Frame(g, mask, np.zeros((g, g), np.float32), 7 * g, 1.5, 1.0, 1.0) for g in GRIDS)
    return Strip((0, 0), tuple(frames))


def test_names_are_text_in_the_card() -> None:
    decoded = make([[0, 0, 20, 20]], names=(NASTY,))
    costs = cost_table(preset("effnet_lite0_fpn"))
    shown = object_card(decoded, 1, costs, square_strip(), opened().pixels)
    assert NASTY not in shown and "<img" not in shown
    assert "&lt;img src=x" in shown
    assert "400 px²" in shown and 'data-grid="14"' in shown


def test_card_says_whether_the_switch_was_paid() -> None:
    costs = cost_table(preset("effnet_lite0_fpn"))
    box = [[0.0, 0.0, 20.0, 20.0]]
    assert "more" in object_card(make(box), 1, costs)
    assert "does not ask" in object_card(make(box, pays_switch=False), 1, costs)


def test_card_of_nothing_is_an_invitation() -> None:
    costs = cost_table(preset("effnet_lite0_fpn"))
    for object_id in (None, 99):
        assert object_card(make([[0, 0, 20, 20]]), object_id, costs) == empty_card()
