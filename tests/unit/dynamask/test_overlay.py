"""The picture: masks in their grid's colour, small ones on top, a legend that can be read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynamask.config import GRIDS
from dynamask.errors import InputError
from dynamask.overlay import cost_line, dashed_contour, draw_overlay, legend_strip
from dynamask.palette import FILL_ALPHA, GRID_COLOURS, HALO_DARK, rgb
from dynamask.types import Instances, Selection

GREY = 120


def make_instances(
    boxes: list[tuple[int, int, int, int]],
    grids: list[int],
    size: tuple[int, int] = (200, 300),
    logit: float = 8.0,
) -> Instances:
    """Objects that fill their boxes (or, with a negative logit, none of them)."""
    n = len(boxes)
    selection = Selection(
        grids=np.array(grids, dtype=np.int64),
        probabilities=np.full((n, 4), 0.25, np.float32),
        object_mac=np.full(n, 50_000_000, np.int64),
        image_mac=20_000_000 if n else 0,
        full_mac=n * 400_000_000,
        policy="msm",
        pays_switch=True,
    )
    logits = tuple(torch.full((g, g), logit) for g in grids)
    return Instances(
        image_size=size,
        boxes_xyxy_px=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.zeros(n, dtype=torch.int64),
        scores=torch.ones(n),
        mask_logits=logits,
        edge_logits=logits,
        selection=selection,
        categories=("person",),
    )


def photo(size: tuple[int, int] = (200, 300)) -> np.ndarray:
    return np.full((*size, 3), GREY, np.uint8)


def fill_of(grid: int) -> np.ndarray:
    """The colour of a fill over the grey photo."""
    return np.rint((1 - FILL_ALPHA) * GREY + FILL_ALPHA * np.array(rgb(GRID_COLOURS[grid])))


@pytest.mark.parametrize("grid", GRIDS)
def test_fill_has_the_grids_colour_and_the_photo_stays_elsewhere(grid: int) -> None:
    image = photo()
    out = draw_overlay(image, make_instances([(50, 40, 150, 140)], [grid]), legend=False)
    assert out.shape == image.shape and out.dtype == np.uint8
    assert (out[60:120, 70:130] == fill_of(grid)).all()
    outside = np.ones(image.shape[:2], bool)
    outside[36:144, 46:154] = False
    assert (out[outside] == GREY).all()
    assert (image == GREY).all(), "the photo given must not change"


@pytest.mark.parametrize("grid", GRIDS)
def test_outline_is_seen_in_the_full_colour(grid: int) -> None:
    out = draw_overlay(photo(), make_instances([(50, 40, 150, 140)], [grid]), legend=False)
    exact = (out == np.array(rgb(GRID_COLOURS[grid]))).all(-1)
    ring = np.zeros(exact.shape, bool)
    ring[38:142, 48:152] = True
    ring[44:136, 54:146] = False
    assert exact[ring].sum() > 50
    assert not exact[~ring].any()


def test_finer_grids_have_fuller_lines() -> None:
    drawn = []
    for grid in GRIDS:
        out = draw_overlay(photo(), make_instances([(50, 40, 150, 140)], [grid]), legend=False)
        drawn.append(int((out == np.array(rgb(GRID_COLOURS[grid]))).all(-1).sum()))
    assert drawn == sorted(set(drawn))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_small_objects_lie_on_top_in_any_order(order: tuple[int, int]) -> None:
    boxes, grids = [(20, 20, 220, 180), (80, 60, 130, 110)], [14, 112]
    instances = make_instances([boxes[i] for i in order], [grids[i] for i in order])
    out = draw_overlay(photo(), instances, legend=False)
    on_top = (1 - FILL_ALPHA) * fill_of(14) + FILL_ALPHA * np.array(rgb(GRID_COLOURS[112]))
    assert (out[85, 105] == np.rint(on_top)).all()


def test_a_box_over_the_border_and_an_empty_mask() -> None:
    out = draw_overlay(photo(), make_instances([(-30, -20, 60, 50)], [28]), legend=False)
    assert (out[10:40, 10:50] == fill_of(28)).all()
    nothing = draw_overlay(
        photo(), make_instances([(20, 20, 60, 60)], [28], logit=-8), legend=False
    )
    assert (nothing == GREY).all()


def test_legend_lies_below_the_photo() -> None:
    instances = make_instances([(50, 40, 150, 140)], [56])
    plain = draw_overlay(photo(), instances, legend=False)
    out = draw_overlay(photo(), instances)
    assert out.shape[0] > 200 and out.shape[1:] == plain.shape[1:]
    assert (out[:200] == plain).all()
    for colour in GRID_COLOURS.values():  # each grid has a swatch, also those with no objects
        assert (out[200:] == np.array(rgb(colour))).all(-1).sum() >= 60


def test_legend_shows_the_counts() -> None:
    few = legend_strip(make_instances([(5, 5, 20, 20)], [56]), 300, 200)
    many = legend_strip(make_instances([(5, 5, 20, 20)] * 2, [56, 56]), 300, 200)
    assert few.shape == many.shape
    changed = np.flatnonzero((few != many).any(axis=(0, 2)))
    assert len(changed), "another count must look different"


@pytest.mark.parametrize("width", [16, 60, 100, 160, 390, 1200, 4000])
def test_legend_fits_any_width(width: int) -> None:
    strip = legend_strip(make_instances([(0, 0, 9, 9)], [14], (200, width)), width, 200)
    assert strip.shape[1] == width
    if width >= 60:  # nothing is cut at the right: the last columns stay empty
        assert (strip[:, -2:] == np.array(rgb(HALO_DARK))).all()
        for colour in GRID_COLOURS.values():
            assert (strip == np.array(rgb(colour))).all(-1).any()


def test_cost_line() -> None:
    instances = make_instances([(5, 5, 20, 20)] * 2, [14, 28])
    # 2 objects of 0.05 GMAC and 0.02 of image branches; all at 112: 0.8
    assert cost_line(instances) == "0.12 GMAC in masks, 15% of all-112"
    assert cost_line(make_instances([], [])) == "no objects found"


def test_a_photo_without_objects_keeps_its_pixels() -> None:
    out = draw_overlay(photo(), make_instances([], []))
    assert (out[:200] == GREY).all() and out.shape[0] > 200


@pytest.mark.parametrize("grid", GRIDS)
def test_an_object_of_one_pixel_is_still_seen(grid: int) -> None:
    out = draw_overlay(photo(), make_instances([(50, 40, 51, 41)], [grid]), legend=False)
    assert (out[40, 50] == np.array(rgb(GRID_COLOURS[grid]))).all()


def test_dashes_leave_gaps_and_full_lines_do_not() -> None:
    column = np.arange(10, 90)
    line = np.concatenate(
        [np.stack([column, np.full(80, 10)], 1), np.stack([column[::-1], np.full(80, 90)], 1)]
    )
    full, dashed = np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100, 3), np.uint8)
    dashed_contour(full, line, (), (255, 0, 0), 2)
    dashed_contour(dashed, line, (6, 8), (255, 0, 0), 2)
    assert full[10, 10:90, 0].all()
    share = dashed[10, 10:90, 0].mean() / 255
    assert 0.3 < share < 0.8


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((100, 300, 3), np.uint8),
        np.zeros((200, 300), np.uint8),
        np.zeros((200, 300, 4), np.uint8),
        np.zeros((200, 300, 3), np.float32),
    ],
)
def test_another_photo_is_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="^Expected"):
        draw_overlay(image, make_instances([(5, 5, 20, 20)], [14]))
