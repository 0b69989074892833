"""Several boxes on one object: the surest is left."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from dynamask.doubles import without_doubles

SCENE = SimpleNamespace(
    boxes_xyxy_px=torch.tensor(
        [[0, 0, 10, 6], [0, 0, 10, 10], [0, 0, 10, 10], [0, 8, 10, 18]], dtype=torch.float32
    ),
    scores=torch.tensor([0.5, 0.9, 0.4, 0.7]),
    labels=torch.tensor([3, 3, 5, 3]),
)


def left(rows: list[int], overlap: float) -> list[int]:
    return without_doubles(SCENE, np.array(rows, dtype=np.int64), overlap).tolist()


def test_the_surest_of_a_class_is_left() -> None:
    assert left([0, 1, 2, 3], 0.3) == [1, 2, 3]  # IoU 0.6; another class; IoU 0.11
    assert left([0, 1, 2, 3], 0.61) == [0, 1, 2, 3]
    assert left([0, 1, 2, 3], 0.1) == [1, 2]


def test_only_the_rows_asked_for_count() -> None:
    assert left([0, 2], 0.3) == [0, 2]
    assert left([], 0.3) == []
