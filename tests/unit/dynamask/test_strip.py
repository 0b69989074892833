"""The film strip against whole-photo masks, and matching with ground truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torch import Tensor

from dynamask.config import GRIDS
from dynamask.metrics import boundary_iou, mask_iou
from dynamask.predictor import Predictor
from dynamask.strip import film_strip, grid_ious, match_truth
from dynamask.types import Scene

BOXES = [[10, 12, 90, 100], [30, 5, 155, 60]]


@pytest.fixture
def scene(tiny_predictor: Predictor) -> Scene:
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    return tiny_predictor.encode(image, boxes=BOXES)


def test_frames_are_what_each_fixed_grid_gives(tiny_predictor: Predictor, scene: Scene) -> None:
    truth = np.zeros((120, 160), dtype=bool)
    truth[20:60, 40:120] = True
    strip = film_strip(tiny_predictor, scene, 1, truth=truth)
    full = {g: tiny_predictor.decode(scene, f"fixed:{g}").paste(1) for g in GRIDS}
    x, y = strip.corner
    for frame, grid in zip(strip.frames, GRIDS, strict=True):
        h, w = frame.mask.shape
        assert frame.grid == grid and frame.edge.shape == (grid, grid)
        whole = np.zeros_like(truth)
        whole[y : y + h, x : x + w] = frame.mask
        # another batch sums in another order: a pixel may tip over
        assert np.count_nonzero(whole != full[grid]) <= 3
        assert frame.mac == tiny_predictor.cost_table.exit_mac[grid] and frame.ms > 0
        assert frame.truth_iou == pytest.approx(mask_iou(whole, truth))
        assert frame.truth_boundary_iou == pytest.approx(boundary_iou(whole, truth))
        last = np.zeros_like(truth)
        last[y : y + h, x : x + w] = strip.frames[-1].mask
        assert frame.iou == pytest.approx(mask_iou(whole, last))
        assert frame.boundary_iou == pytest.approx(boundary_iou(whole, last))
    assert strip.frames[-1].iou == 1.0 and strip.nbytes > truth.nbytes


def test_without_truth_nothing_is_said_about_it(tiny_predictor: Predictor, scene: Scene) -> None:
    assert {f.truth_iou for f in film_strip(tiny_predictor, scene, 0).frames} == {None}


def test_pairs_are_the_best_ones_and_used_once() -> None:
    ours = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]])
    true = np.array([[1, 0, 11, 10], [0, 0, 10, 9]])
    assert match_truth(ours, true).tolist() == [1, 0, -1]
    assert match_truth(ours, np.zeros((0, 4))).tolist() == [-1, -1, -1]
    assert match_truth(np.zeros((0, 4)), true).tolist() == []


def test_oracle_ious(tiny_predictor: Predictor, scene: Scene) -> None:
    goal = tiny_predictor.decode(scene, "fixed:56").paste(0)
    ious = grid_ious(tiny_predictor, scene, [goal, None])
    assert ious.shape == (2, 4) and np.isnan(ious[1]).all()
    assert ious[0, 2] == pytest.approx(1.0, abs=0.01)
    assert np.isnan(grid_ious(tiny_predictor, scene, [None, None])).all()


def test_all_grids_of_a_photo_whose_pyramid_lies_elsewhere(
    tiny_predictor: Predictor, scene: Scene
) -> None:
    class Away:
        """A level on a device that the model has left, as after a GPU ran out of memory."""

        def __init__(self, level: Tensor) -> None:
            self.level = level

        def to(self, device: object) -> Tensor:
            return self.level.to(device)

    left = replace(scene, pyramid={name: Away(level) for name, level in scene.pyramid.items()})
    here, again = (tiny_predictor.decode_all_grids(s)[28][0] for s in (scene, left))
    np.testing.assert_allclose(again, here, atol=1e-5)
