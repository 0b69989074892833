"""Training targets against the released head's own values and against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dynamask.config import GRIDS
from dynamask.errors import InputError
from dynamask.targets import crop_mask_grids, crop_masks, edge_target
from tests.factories import SHARED

GOLDEN = SHARED / "golden" / "released_head.npz"


def plain_edge(mask: np.ndarray) -> np.ndarray:
    """MODEL.md's definition, pixel by pixel."""
    side = len(mask)
    a = np.zeros_like(mask)
    for y in range(side):
        for x in range(side):
            around = [
                mask[v, u] if 0 <= v < side and 0 <= u < side else 0
                for v in range(y - 1, y + 2)
                for u in range(x - 1, x + 2)
            ]
            a[y, x] = mask[y, x] and not all(around)
    out = a.copy()
    for y in range(0, side, 2):
        for x in range(0, side, 2):
            if a[y, x]:
                out[y : y + 2, x : x + 2] = 1
    return out


@pytest.mark.skipif(not GOLDEN.is_file(), reason="needs ../shared/golden")
@pytest.mark.parametrize("grid", GRIDS)
def test_edge_target_equals_the_released_one(grid: int) -> None:
    with np.load(GOLDEN) as golden:
        mask, expected = golden[f"in.mask_{grid}"], golden[f"out.edge_target_{grid}"]
    got = edge_target(torch.from_numpy(mask)).numpy()
    assert got.shape == expected.shape
    assert (got == expected).all()


@pytest.mark.parametrize("side", [2, 7, 14])
def test_edge_target_equals_its_definition(side: int) -> None:
    rng = np.random.default_rng(side)
    masks = (rng.random((5, side, side)) < 0.7).astype(np.uint8)
    got = edge_target(torch.from_numpy(masks)).numpy()
    assert (got == np.stack([plain_edge(m) for m in masks])).all()


def test_outside_the_roi_counts_as_outside() -> None:
    edge = edge_target(torch.ones((1, 14, 14)))[0]
    # the last row and column are edge themselves; row 0 widens to a 2x2 block, row 13 does not
    assert edge[:2].all() and edge[:, :2].all() and edge[13].all() and edge[:, 13].all()
    assert not edge[2:13, 2:13].any()


def test_edge_target_of_nothing() -> None:
    assert edge_target(torch.zeros((0, 28, 28))).shape == (0, 28, 28)
    assert not edge_target(torch.zeros((2, 28, 28))).any()
    with pytest.raises(InputError, match="Expected masks"):
        edge_target(torch.zeros((28, 28)))


def test_crop_of_a_rectangle_is_exact() -> None:
    masks = torch.zeros((2, 64, 64), dtype=torch.uint8)
    masks[1, 16:48, 16:32] = 1
    boxes = torch.tensor([[16.0, 16.0, 48.0, 48.0], [16.0, 16.0, 48.0, 48.0]])
    crops = crop_masks(masks, boxes, torch.tensor([1, 0]), 16)
    assert crops.dtype == torch.float32
    assert crops[0, :, :8].all() and not crops[0, :, 8:].any()
    assert not crops[1].any(), "the second box reads the empty mask"


def test_crop_reads_the_box_that_was_asked() -> None:
    masks = torch.zeros((1, 40, 40), dtype=torch.bool)
    masks[0, 20:30, 10:20] = True
    inside = crop_masks(masks, torch.tensor([[10.0, 20.0, 20.0, 30.0]]), torch.tensor([0]), 14)
    beside = crop_masks(masks, torch.tensor([[20.0, 20.0, 30.0, 30.0]]), torch.tensor([0]), 14)
    assert inside.all()
    assert not beside[:, :, 1:].any()


def test_all_grids_at_once_agree_with_one_by_one() -> None:
    yy, xx = torch.meshgrid(torch.arange(200), torch.arange(200), indexing="ij")
    disk = ((yy - 100) ** 2 + (xx - 90) ** 2 < 70**2)[None]
    boxes = torch.tensor([[18.3, 29.1, 161.7, 172.4], [60.0, 60.0, 200.0, 190.0]])
    index = torch.zeros(2, dtype=torch.int64)
    together = crop_mask_grids(disk, boxes, index, GRIDS)
    assert set(together) == set(GRIDS)
    for grid in GRIDS:
        alone = crop_masks(disk, boxes, index, grid)
        assert together[grid].shape == alone.shape
        assert (together[grid] != alone).float().mean() < 0.01


def test_crop_refuses_shapes_that_do_not_agree() -> None:
    masks, index = torch.zeros((1, 8, 8)), torch.zeros(2, dtype=torch.int64)
    assert crop_masks(masks, torch.zeros((0, 4)), index[:0], 14).shape == (0, 14, 14)
    with pytest.raises(InputError, match="one index per box"):
        crop_masks(masks, torch.zeros((1, 4)), index, 14)
    with pytest.raises(InputError, match="divide"):
        crop_mask_grids(masks, torch.ones((2, 4)), index, (14, 30))
