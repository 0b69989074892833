"""torchvision's weights in our model: the same boxes, classes and scores to 1e-4."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList

from dynamask.categories import COCO_CATEGORIES
from dynamask.config import preset
from dynamask.convert import relative_error
from dynamask.detectors import TorchvisionDetector
from dynamask.errors import WeightsError
from dynamask.model.detector import DynaMask
from dynamask.torchvision_convert import coco_rows, rename_detector, warm_start

SIZE = (128, 160)


def published_form(model: torch.nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Random weights with batch statistics as a trained network has, and spread-out scores."""
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif name.endswith("running_mean"):
            tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
        elif name.endswith("bn3.weight"):
            tensor.mul_(0.2)  # else features grow to 700 and rounding decides which boxes stay
        elif "cls_score.weight" in name:
            tensor.mul_(60)
    return state


def ours(classes: int) -> DynaMask:
    config = preset("resnet50_fpn")
    detector = replace(
        config.detector, score_threshold=0.02, proposals_test=1000, before_nms_test=1000
    )
    torch.manual_seed(1)
    return DynaMask(config.replace(num_classes=classes, detector=detector)).eval()


def published_maskrcnn() -> torch.nn.Module:
    """The network as torchvision runs its published file: frozen batch norm, epsilon 0.

    Built without torchvision's ``maskrcnn_resnet50_fpn(weights=None)``, which has plain batch norm.
    """
    torch.manual_seed(0)
    body = resnet_fpn_backbone(backbone_name="resnet50", weights=None)
    network = MaskRCNN(body, num_classes=91, box_score_thresh=0.02).eval()
    overwrite_eps(network, 0.0)
    network.load_state_dict(published_form(network))
    return network


def farthest(
    boxes: Tensor, labels: Tensor, scores: Tensor, wanted: dict[str, Tensor]
) -> tuple[float, float]:
    """Largest difference of a box side (px) and of a score, each object with its own partner.

    Equal scores have no order, so objects are paired by class and box.
    """
    free = set(range(len(wanted["boxes"])))
    sides, marks = [], []
    for box, label, score in zip(boxes, labels, scores, strict=True):
        apart = {
            j: float((wanted["boxes"][j] - box).abs().max())
            for j in free
            if wanted["labels"][j] - 1 == label
        }
        assert apart, f"an object of class {int(label)} that torchvision does not find"
        partner = min(apart, key=apart.__getitem__)
        free.remove(partner)
        sides.append(apart[partner])
        marks.append(float((wanted["scores"][partner] - score).abs()))
    return max(sides), max(marks)


@pytest.mark.slow
def test_detections_equal_torchvisions(tmp_path: Path) -> None:
    theirs = published_maskrcnn()
    state = theirs.state_dict()
    assert not any("num_batches_tracked" in name for name in state), "as in the published file"
    torch.save(state, tmp_path / "maskrcnn.pth")
    model = ours(90)
    assert warm_start(model, tmp_path / "maskrcnn.pth") == ["backbone", "fpn", "rpn", "roi_heads"]
    theirs.roi_heads.mask_roi_pool = None  # only boxes are compared
    x = torch.randn((1, 3, *SIZE), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        features = theirs.backbone(x)
        images = ImageList(x, [SIZE])
        proposals, _ = theirs.rpn(images, features)
        (wanted,), _ = theirs.roi_heads(features, proposals, [SIZE])
        pyramid = model.extract(x)
        boxes, labels, scores = model.detect(pyramid, SIZE)
    for level, name in enumerate(("p2", "p3", "p4", "p5")):
        assert relative_error(pyramid[name], features[str(level)]) < 4e-6
    assert len(boxes) == len(wanted["boxes"]) > 5
    side_px, score = farthest(boxes, labels, scores, wanted)
    assert side_px < 1e-4
    assert score < 1e-4
    assert model.config.detector.aligned is False


@pytest.mark.slow
def test_the_plug_in_detector_runs_the_published_file_with_epsilon_zero(tmp_path: Path) -> None:
    theirs = published_maskrcnn()
    torch.save(theirs.state_dict(), tmp_path / "maskrcnn.pth")
    plugged = TorchvisionDetector(
        "maskrcnn_resnet50_fpn", tmp_path / "maskrcnn.pth", device="cpu"
    ).model
    x = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        wanted, found = theirs.backbone(x), plugged.backbone(x)
    for name, level in wanted.items():
        assert relative_error(found[name], level) < 4e-6


def test_channels_that_hardly_vary_keep_their_scale() -> None:
    variance = torch.tensor([1e-30, 1e-13, 1e-5, 1.0])
    state = {
        "backbone.body.bn1.weight": torch.full((4,), 0.25),
        "backbone.body.bn1.running_var": variance,
    }
    out = rename_detector(state, 90)
    kept = out["pyramid.backbone.body.bn1.running_var"]
    scale = out["pyramid.backbone.body.bn1.weight"] * (kept + 1e-5).rsqrt()
    assert torch.allclose(scale, 0.25 * variance.rsqrt(), rtol=1e-5)


@pytest.mark.slow
def test_only_our_classes_are_kept_for_eighty(tmp_path: Path) -> None:
    theirs = torchvision.models.detection.fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None
    )
    state = theirs.state_dict()
    torch.save(state, tmp_path / "fasterrcnn.pth")
    model = ours(80)
    warm_start(model, tmp_path / "fasterrcnn.pth")
    rows = coco_rows()
    assert rows[0] == 0 and len(rows) == len(COCO_CATEGORIES) + 1
    theirs_rows = state["roi_heads.box_predictor.bbox_pred.bias"].view(91, 4)[rows]
    assert torch.equal(model.roi_heads.box_predictor.bbox_pred.bias.view(81, 4), theirs_rows)
    assert torch.equal(
        model.roi_heads.box_predictor.cls_score.weight,
        state["roi_heads.box_predictor.cls_score.weight"][rows],
    )


@pytest.mark.slow
def test_names_of_older_files(tmp_path: Path) -> None:
    theirs = torchvision.models.detection.fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None
    )
    old = {
        k.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        .replace("_blocks.0.0.", "_blocks.0.")
        .replace("_blocks.1.0.", "_blocks.1.")
        .replace("_blocks.2.0.", "_blocks.2.")
        .replace("_blocks.3.0.", "_blocks.3."): v
        for k, v in theirs.state_dict().items()
    }
    assert "backbone.fpn.inner_blocks.3.weight" in old and "rpn.head.conv.weight" in old
    torch.save(old, tmp_path / "old.pth")
    model = ours(80)
    warm_start(model, tmp_path / "old.pth")
    wanted = theirs.state_dict()["backbone.fpn.layer_blocks.2.0.weight"]
    assert torch.equal(model.state_dict()["pyramid.fpn.layer_blocks.2.0.weight"], wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnext101_64x4d"])
def test_imagenet_backbones(name: str, tmp_path: Path) -> None:
    network = torchvision.models.get_model_builder(name)(weights=None).eval()
    state = published_form(network)
    network.load_state_dict(state)
    torch.save(state, tmp_path / "imagenet.pth")
    model = DynaMask(preset(f"{name}_fpn")).eval()
    assert warm_start(model, tmp_path / "imagenet.pth") == ["backbone"]
    x = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        y = network.maxpool(network.relu(network.bn1(network.conv1(x))))
        y = network.layer4(network.layer3(network.layer2(network.layer1(y))))
        found = model.pyramid.backbone(x)[-1]
    assert relative_error(found, y) < 2e-5


def test_other_tensors_are_refused(tmp_path: Path) -> None:
    model = DynaMask(preset("effnet_lite0_fpn"))
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="torchvision"):
        warm_start(model, tmp_path / "a.pth")
    torch.save({"layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "b.pth")
    with pytest.raises(WeightsError, match="another network"):
        warm_start(model, tmp_path / "b.pth")
    torch.save({"roi_heads.box_predictor.cls_score.weight": torch.zeros(4, 8)}, tmp_path / "c.pth")
    with pytest.raises(WeightsError, match="91"):
        warm_start(model, tmp_path / "c.pth")
