"""A store decodes each object once per grid, and gives what the predictor gives."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pytest
import torch

from dynamask.override import ByHandPolicy
from dynamask.policies import FixedPolicy, MSMPolicy
from dynamask.predictor import Predictor, keep_objects
from dynamask.redecode import MaskStore
from dynamask.types import Scene

BOXES = [[10, 12, 90, 100], [30, 5, 155, 60], [0, 0, 40, 40]]


@pytest.fixture
def scene(tiny_predictor: Predictor) -> Scene:
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    return tiny_predictor.encode(image, boxes=BOXES)


@pytest.fixture
def decoded_rows(tiny_predictor: Predictor) -> Iterator[list[int]]:
    """How many objects each call of the model decoded."""
    rows: list[int] = []
    real = tiny_predictor.decode

    def spy(scene: Scene, *args: object, **kwargs: object) -> object:
        rows.append(len(scene))
        return real(scene, *args, **kwargs)

    with patch.object(tiny_predictor, "decode", spy):
        yield rows


def test_the_same_masks_as_the_predictor(tiny_predictor: Predictor, scene: Scene) -> None:
    store = MaskStore(tiny_predictor)
    ours = store.decode(scene, MSMPolicy(), threshold=0.4)
    theirs = tiny_predictor.decode(scene, "msm", threshold=0.4)
    np.testing.assert_array_equal(ours.selection.grids, theirs.selection.grids)
    assert ours.threshold == 0.4 and ours.selection.image_mac == theirs.selection.image_mac
    for a, b in zip(ours.mask_logits, theirs.mask_logits, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert store.nbytes == sum(2 * 4 * g * g for g in ours.selection.grids.tolist())


def test_only_what_is_new_is_decoded(
    tiny_predictor: Predictor, scene: Scene, decoded_rows: list[int]
) -> None:
    store = MaskStore(tiny_predictor)
    store.decode(scene, FixedPolicy(28))
    assert decoded_rows == [3]
    store.decode(scene, FixedPolicy(28), threshold=0.3)
    store.decode(keep_objects(scene, torch.tensor([2, 0])), FixedPolicy(28))
    assert decoded_rows == [3] and len(store) == 3
    changed = store.decode(scene, ByHandPolicy(FixedPolicy(28), {1: 56}))
    assert decoded_rows == [3, 1] and changed.mask_logits[1].shape == (56, 56)


def test_an_empty_photo(tiny_predictor: Predictor, scene: Scene) -> None:
    none = keep_objects(scene, torch.zeros(0, dtype=torch.int64))
    assert len(MaskStore(tiny_predictor).decode(none, MSMPolicy())) == 0
