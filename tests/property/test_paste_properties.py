"""Pasting and RLE hold for any box, grid and threshold."""

import numpy as np
import pycocotools.mask as coco_mask
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dynamask.paste import encode_rle, paste_mask

corner = st.floats(-200, 400, allow_nan=False)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([14, 28, 56, 112]),
    corner,
    corner,
    st.floats(0.01, 500),
    st.floats(0.01, 500),
    st.integers(1, 90),
    st.integers(1, 90),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32 - 1),
)
def test_any_box_gives_a_mask_of_the_photos_size_inside_the_box(
    grid: int,
    x: float,
    y: float,
    w: float,
    h: float,
    height: int,
    width: int,
    threshold: float,
    seed: int,
) -> None:
    logits = torch.randn(grid, grid, generator=torch.Generator().manual_seed(seed)) * 4
    mask = paste_mask(logits, torch.tensor([x, y, x + w, y + h]), (height, width), threshold)
    assert mask.shape == (height, width) and mask.dtype == bool
    rows, columns = np.nonzero(mask)
    meets_photo = x < width and y < height and x + w > 0 and y + h > 0
    if len(rows) > 1 and meets_photo:  # a box beside the photo falls on its nearest pixels
        assert columns.min() >= np.floor(x) - 1 and columns.max() <= np.ceil(x + w) + 1
        assert rows.min() >= np.floor(y) - 1 and rows.max() <= np.ceil(y + h) + 1


@settings(max_examples=150, deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=60)))
def test_rle_round_trip(mask: np.ndarray) -> None:
    rle = encode_rle(mask)
    assert rle["size"] == list(mask.shape)
    assert np.array_equal(coco_mask.decode(rle).astype(bool), mask)
    assert int(coco_mask.area(rle)) == int(mask.sum())
