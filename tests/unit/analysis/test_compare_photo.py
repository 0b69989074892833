"""Comparison of two results on masks whose overlap is known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from analysis.compare_photo import (
    COLUMNS,
    as_table,
    compare_objects,
    mask_pair,
    most_changed,
    totals,
)
from dynamask.errors import InputError
from dynamask.types import Instances, Selection

SIZE = (60, 90)


def result(
    boxes: list[list[float]], grids: list[int], filled: list[tuple[float, float]], mac: int = 10**8
) -> Instances:
    """Objects that fill the given span (from, to; parts of the box's width) of their boxes."""
    logits = []
    for grid, (low, high) in zip(grids, filled, strict=True):
        one = torch.full((grid, grid), -9.0)
        one[:, round(low * grid) : round(high * grid)] = 9.0
        logits.append(one)
    n = len(boxes)
    return Instances(
        image_size=SIZE,
        boxes_xyxy_px=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.zeros(n, dtype=torch.int64),
        scores=torch.ones(n),
        mask_logits=tuple(logits),
        edge_logits=tuple(logits),
        selection=Selection(
            grids=np.array(grids, dtype=np.int64),
            probabilities=np.full((n, 4), 0.25, dtype=np.float32),
            object_mac=np.full(n, mac, dtype=np.int64),
            image_mac=mac,
            full_mac=8 * mac,
            policy="msm",
            pays_switch=True,
        ),
        categories=("person",),
    )


BOXES = [[0, 0, 28, 28], [30, 0, 58, 28], [0, 30, 56, 58]]


def test_numbers_of_known_masks() -> None:
    a = result(BOXES, [28, 28, 56], [(0, 1), (0, 1), (0, 0.5)])
    b = result(BOXES, [28, 14, 56], [(0, 1), (0, 0.5), (0.5, 1)], mac=2 * 10**8)
    table = compare_objects(a, b)
    assert table["iou"].tolist() == pytest.approx([1, 0.5, 0], abs=0.02)
    assert table["area_a"].tolist() == [784, 784, 784]
    assert table["area_b"].tolist() == pytest.approx([784, 392, 784], abs=1)
    assert table["only_a"].tolist() == pytest.approx([0, 392, 784], abs=1)
    assert table["only_b"].tolist() == pytest.approx([0, 0, 784], abs=1)
    assert table["boundary_iou"][0] == 1 and 0 < table["boundary_iou"][1] < 1
    assert table["grid_b"].tolist() == [28, 14, 56]
    assert table["gmac_a"].tolist() == [0.1] * 3 and table["gmac_b"].tolist() == [0.2] * 3
    assert table["changed"].tolist() == [False, True, True]
    assert most_changed(table)["row"].tolist() == [2, 1]
    sums = totals(a, b, table)
    assert (sums.objects, sums.changed, sums.known) == (3, 2, 0)
    assert sums.gmac_a == pytest.approx(0.4) and sums.gmac_b == pytest.approx(0.8)
    assert sums.ratio == pytest.approx(2)
    assert sums.iou == pytest.approx(0.5, abs=0.02)
    assert math.isnan(sums.truth_iou_a)


def test_another_grid_is_a_change_even_where_no_pixel_differs() -> None:
    a = result(BOXES[:1], [28], [(0, 1)])
    b = result(BOXES[:1], [112], [(0, 1)])
    table = compare_objects(a, b)
    assert table["iou"].tolist() == [1] and table["changed"].tolist() == [True]


def test_of_equal_objects_the_larger_comes_first() -> None:
    a = result(BOXES, [28] * 3, [(0, 1)] * 3)
    b = result(BOXES, [28] * 3, [(0, 0)] * 3)
    assert most_changed(compare_objects(a, b))["row"].tolist() == [2, 0, 1]


def test_ground_truth_may_reach_out_of_the_box() -> None:
    a = result(BOXES[:2], [28, 28], [(0, 1), (0, 1)])
    b = result(BOXES[:2], [28, 28], [(0, 0.5), (0, 1)])
    truth = np.zeros(SIZE, dtype=bool)
    truth[0:28, 0:56] = True  # twice as wide as the box
    table = compare_objects(a, b, [truth, None])
    assert table["truth_iou_a"][0] == pytest.approx(0.5)
    assert table["truth_iou_b"][0] == pytest.approx(0.25, abs=0.01)
    assert math.isnan(table["truth_iou_a"][1])
    sums = totals(a, b, table)
    assert sums.known == 1 and sums.truth_iou_a == pytest.approx(0.5)


def test_pair_has_the_pixels_of_only_one() -> None:
    a = result(BOXES[:1], [28], [(0, 0.75)])
    b = result(BOXES[:1], [28], [(0.25, 1)])
    pair = mask_pair(a, b, 0)
    assert pair.corner == (0, 0) and pair.a.shape == (28, 28)
    assert pair.only_a[:, :6].all() and not pair.only_a[:, 8:].any()
    assert pair.only_b[:, 22:].all() and not pair.only_b[:, :20].any()
    assert not (pair.only_a & pair.only_b).any()


def test_two_empty_masks_are_equal() -> None:
    none = result(BOXES[:1], [28], [(0, 0)])
    table = compare_objects(none, none)
    assert table["iou"].tolist() == [1] and not table["changed"].any()


def test_no_objects() -> None:
    none = result([], [], [])
    table = compare_objects(none, none)
    assert list(table.columns) == list(COLUMNS) and len(table) == 0
    sums = totals(none, none, table)
    assert sums.objects == 0 and math.isnan(sums.iou)
    assert most_changed(as_table([])).empty


@pytest.mark.parametrize("other", [BOXES[:2], [[1, 0, 28, 28], *BOXES[1:]], []])
def test_other_boxes_are_refused(other: list[list[float]]) -> None:
    a = result(BOXES, [28] * 3, [(0, 1)] * 3)
    b = result(other, [28] * len(other), [(0, 1)] * len(other))
    with pytest.raises(InputError, match="the same boxes"):
        compare_objects(a, b)
