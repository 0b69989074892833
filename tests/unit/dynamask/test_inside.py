"""Looking inside: what is shown is what the model really works on, and nothing is left behind."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dynamask.config import GRIDS, STRIDES
from dynamask.errors import InputError
from dynamask.inside import arrows, look_inside, mean_offsets, principal_colours, stretch
from dynamask.model.region_fpn import STAGE_LEVELS, sample_image_branch
from dynamask.predictor import Predictor
from dynamask.types import Scene

BOXES = [[10, 12, 90, 100], [30, 5, 155, 60]]


@pytest.fixture
def predictor(tiny_predictor: Predictor) -> Predictor:
    """With offsets: untrained ones are zero, which would hide a wrong layout."""
    own = copy.copy(tiny_predictor)
    own.model = copy.deepcopy(tiny_predictor.model)
    torch.manual_seed(7)
    for stage in own.model.mask_head.stages:
        torch.nn.init.normal_(stage.fuse_conv[1].conv_offset.weight, std=0.05)
        torch.nn.init.normal_(stage.fuse_conv[1].conv_offset.bias, std=0.5)
    return own


@pytest.fixture
def scene(predictor: Predictor) -> Scene:
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    return predictor.encode(image, boxes=BOXES)


def test_shapes_and_ranges(predictor: Predictor, scene: Scene) -> None:
    inside = look_inside(predictor, scene, 1)
    crop = predictor.config.switch.crop
    assert inside.switch_crop.shape == (crop, crop, 3) and inside.switch_crop.dtype == np.uint8
    assert inside.box.tolist() == BOXES[1]
    assert inside.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert list(inside.features) == list(inside.offsets) == [14, 28, 56]
    assert list(inside.edges) == list(GRIDS)
    for index, grid in enumerate((14, 28, 56)):
        assert inside.features[grid].shape == (grid, grid, 3)
        assert inside.offsets[grid].shape == (grid, grid, 2)
        assert inside.channels[grid] == predictor.config.mask.stage_channels[index]
        assert 0 < inside.shares[grid] <= 1
    assert inside.nbytes > 112 * 112 * 4


def test_edges_and_offsets_are_those_of_the_stages(predictor: Predictor, scene: Scene) -> None:
    inside = look_inside(predictor, scene, 0)
    logits = predictor.decode_all_grids(scene, 0)
    head = predictor.model.mask_head
    rois = predictor._rois(scene.boxes_xyxy_px[:1], scene)
    with torch.inference_mode():
        x = head.stem(head.roi_features(scene.pyramid, rois))
        for index, (grid, stage) in enumerate(zip((14, 28, 56), head.stages, strict=True)):
            assert np.abs(inside.edges[grid] - logits[grid][1][0].sigmoid().numpy()).max() < 1e-5
            colours = principal_colours(x[0].numpy())[0].astype(int)
            # a hair of rounding in the features may move a colour by one
            assert np.abs(inside.features[grid].astype(int) - colours).max() <= 1
            mask, edge = stage.logits(x, scene.labels[:1].clamp(min=0))
            level = stage.image_branch(scene.pyramid[STAGE_LEVELS[index]])
            image = sample_image_branch(level, rois, grid, STRIDES[STAGE_LEVELS[index]])
            guides = torch.stack((mask.sigmoid(), edge.sigmoid()), dim=1)
            mixed = F.relu(stage.fuse_conv[0](torch.cat((x, image, guides), dim=1)))
            raw = stage.fuse_conv[1].conv_offset(mixed)[0].numpy()
            down = raw[0::2].mean(axis=0)  # rows come first, see deform_conv
            right = raw[1::2].mean(axis=0)
            np.testing.assert_allclose(inside.offsets[grid][..., 0], right, atol=1e-4)
            np.testing.assert_allclose(inside.offsets[grid][..., 1], down, atol=1e-4)
            assert np.abs(inside.offsets[grid]).max() > 0.01
            x = head.advance(index, x, (mask, edge), level, rois)
    assert np.abs(inside.edges[112] - logits[112][1][0].sigmoid().numpy()).max() < 1e-5


def test_the_switch_crop_is_what_the_switch_classifies(predictor: Predictor, scene: Scene) -> None:
    inside = look_inside(predictor, scene, 1)
    switch = predictor.model.mask_switch
    rois = predictor._rois(scene.boxes_xyxy_px[1:], scene)
    with torch.inference_mode():
        crop = switch.crop(scene.pyramid["p2"], rois)
        odds = switch.classify(crop).softmax(dim=1)[0].numpy()
    np.testing.assert_allclose(inside.probabilities, odds, atol=1e-5)
    np.testing.assert_array_equal(inside.switch_crop, principal_colours(crop[0].numpy())[0])


def test_no_hook_stays_behind_and_results_repeat(predictor: Predictor, scene: Scene) -> None:
    first, second = (look_inside(predictor, scene, 0) for _ in range(2))
    for grid in (14, 28, 56):
        np.testing.assert_array_equal(first.features[grid], second.features[grid])
    for module in predictor.model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks


@pytest.mark.parametrize("row", [-1, 2])
def test_an_object_that_is_not_there(predictor: Predictor, scene: Scene, row: int) -> None:
    with pytest.raises(InputError, match="Expected an object from 0 to 1"):
        look_inside(predictor, scene, row)


def test_components_are_found_whatever_the_sign() -> None:
    rng = np.random.default_rng(1)
    ramp = np.linspace(-1, 1, 100).reshape(10, 10)
    features = 5 * ramp * np.array([3.0, -4.0, 0, 0])[:, None, None]
    features = features + 1e-3 * rng.standard_normal((4, 10, 10))
    picture, share = principal_colours(features)
    assert share > 0.999
    red = picture[..., 0].astype(int).ravel()
    # the largest loading, -4, is turned positive: red falls as the ramp rises
    assert red[0] == 255 and red[-1] == 0 and (np.diff(red) <= 1).all()


def test_flat_and_narrow_features() -> None:
    picture, share = principal_colours(np.full((5, 4, 6), 2.0))
    assert share == 0 and (picture == 128).all() and picture.shape == (4, 6, 3)
    picture, share = principal_colours(np.arange(12.0).reshape(1, 3, 4))
    assert share == pytest.approx(1) and (picture[..., 1:] == 128).all()


def test_mean_offsets_by_hand() -> None:
    raw = torch.zeros(2 * 18, 3, 3)
    raw[0::2] = 0.5  # down
    raw[1::2] = -2.0  # right
    raw[1, 1, 2] += 18.0  # one tap of one group, in one cell: 18 / 18
    out = mean_offsets(raw)
    assert out.shape == (3, 3, 2)
    assert out[0, 0].tolist() == [-2.0, 0.5] and out[1, 2].tolist() == pytest.approx([-1.0, 0.5])


def test_arrows_are_parts_of_the_box() -> None:
    offsets = np.zeros((28, 28, 2), dtype=np.float32)
    offsets[0:2, 2:4] = (2.8, -1.4)
    lattice = arrows(offsets, 14)
    assert lattice.shape == (196, 4)
    assert lattice[1] == pytest.approx([1.5 / 14, 0.5 / 14, 0.1, -0.05])
    assert not lattice[0, 2:].any() and not lattice[2:, 2:].any()
    assert stretch(np.zeros((196, 4)), 14) == 1
    assert stretch(np.full((196, 4), 0.01), 14) == 5  # 0.014 long; a cell is 0.071
    assert stretch(np.full((196, 4), 0.5), 14) == 1
