"""Agreement of grids on masks whose overlap is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from factories import draw_shapes

from analysis.per_object import agreement, compare_grids
from dynamask.config import GRIDS
from dynamask.metrics import boundary_iou, mask_iou
from dynamask.paste import paste_mask


def test_known_overlap() -> None:
    logits = {g: torch.full((1, g, g), 9.0) for g in GRIDS}
    logits[14][:, :, 7:] = -9.0  # the left half only
    result = compare_grids(logits, torch.tensor([[0.0, 0.0, 56.0, 56.0]]), (80, 90), 0.5)
    assert result.iou[0] == pytest.approx([0.5, 1, 1, 1], abs=0.01)
    assert 0 < result.boundary_iou[0, 0] < 1
    assert result.boundary_iou[0, 1:].tolist() == [1, 1, 1]


def test_agrees_with_full_size_metrics(tiny_predictor) -> None:
    image, _ = draw_shapes(np.random.default_rng(5), 120, 160, 3)
    boxes = [[5, 5, 60, 100], [50, 20, 155, 110]]
    scene = tiny_predictor.encode(image, boxes, [0, 0])
    result = agreement(tiny_predictor, scene)
    logits = tiny_predictor.decode_all_grids(scene)
    for row in range(2):
        masks = [paste_mask(logits[g][0][row], scene.boxes_xyxy_px[row], (120, 160)) for g in GRIDS]
        for k, mask in enumerate(masks):
            assert result.iou[row, k] == pytest.approx(mask_iou(mask, masks[-1]))
            assert result.boundary_iou[row, k] == pytest.approx(boundary_iou(mask, masks[-1]))


def test_no_objects() -> None:
    assert compare_grids({}, np.zeros((0, 4)), (20, 20), 0.5).iou.shape == (0, 4)
