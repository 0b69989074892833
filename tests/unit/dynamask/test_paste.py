"""Pasting: geometry of the grid in the photo, and RLE that pycocotools reads."""

import json

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch

from dynamask.paste import crop_mask, encode_rle, paste_mask


@pytest.mark.parametrize("grid", [14, 28, 56, 112])
def test_full_grid_fills_exactly_the_box(grid: int) -> None:
    mask = paste_mask(torch.full((grid, grid), 9.0), torch.tensor([10.0, 20, 50, 90]), (100, 80))
    expected = np.zeros((100, 80), bool)
    expected[20:90, 10:50] = True
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize("grid", [14, 28, 56, 112])
def test_half_plane_lands_on_the_middle(grid: int) -> None:
    logits = torch.full((grid, grid), -9.0)
    logits[:, grid // 2 :] = 9.0
    mask = paste_mask(logits, torch.tensor([100.0, 0, 212, 112]), (112, 300))
    assert mask[:, 156:212].all()
    assert not mask[:, :156].any()


def test_one_cell_per_pixel_is_the_identity() -> None:
    logits = torch.randn(28, 28, generator=torch.Generator().manual_seed(0))
    mask = paste_mask(logits, torch.tensor([3.0, 5, 31, 33]), (60, 60))
    assert np.array_equal(mask[5:33, 3:31], (logits > 0).numpy())


def test_box_beyond_the_photo_is_cut() -> None:
    mask = paste_mask(torch.full((14, 14), 9.0), torch.tensor([-30.0, -10, 20, 500]), (40, 60))
    assert mask[:, :20].all() and not mask[:, 20:].any()


def test_tiny_box_still_has_a_pixel() -> None:
    crop, (x, y) = crop_mask(torch.full((14, 14), 9.0), torch.tensor([7.6, 3.6, 7.9, 3.9]), (9, 9))
    assert crop.shape == (1, 1) and crop.all() and 0 <= x < 9 and 0 <= y < 9


def test_threshold_shrinks_the_mask() -> None:
    yy, xx = np.mgrid[:56, :56]
    logits = torch.from_numpy(8 - 0.5 * np.hypot(yy - 28, xx - 28)).float()
    box = torch.tensor([0.0, 0, 100, 100])
    areas = [paste_mask(logits, box, (100, 100), t).sum() for t in (0.1, 0.5, 0.9)]
    assert areas[0] > areas[1] > areas[2] > 0


def test_rle_round_trip_through_json() -> None:
    mask = np.random.default_rng(0).random((37, 53)) > 0.5
    rle = json.loads(json.dumps(encode_rle(mask)))
    assert np.array_equal(coco_mask.decode(rle).astype(bool), mask)
    assert coco_mask.area(rle) == mask.sum()
