"""torchvision's published weights as a start: Mask R-CNN on COCO, ResNets on ImageNet.

Our ``resnet50_fpn`` has the same backbone, FPN, RPN and box head under other names, so these
weights give the same boxes; the region-level FPN and the switch still have to be trained.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights
from torchvision.ops import FrozenBatchNorm2d

from dynamask.categories import COCO_CATEGORIES
from dynamask.convert import read_state
from dynamask.errors import WeightsError
from dynamask.model.detector import DynaMask

RENAMES: tuple[tuple[str, str], ...] = (
    # files from before torchvision 0.13 lack the indices inside each block
    (r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
    (r"^backbone\.fpn\.(inner|layer)_blocks\.(\d)\.(weight|bias)$", r"fpn.\1_blocks.\2.0.\3"),
    (r"^backbone\.fpn\.", r"fpn."),
    (r"^fpn\.", r"pyramid.fpn."),
    (r"^backbone\.body\.", r"pyramid.backbone.body."),
)
UNUSED = ("roi_heads.mask_head.", "roi_heads.mask_predictor.")
BATCH_NORM_EPS = 1e-5


def coco_rows() -> list[int]:
    """Rows of torchvision's 91 classes that are the background and our 80, in our order."""
    names = list(MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"])
    return [0, *(names.index(name) for name in COCO_CATEGORIES)]


def rename_detector(state: dict[str, Tensor], classes: int) -> dict[str, Tensor]:
    """A torchvision Faster or Mask R-CNN (resnet*_fpn) under our names.

    Args:
        state: torchvision's tensors, 91 classes.
        classes: 80 keeps the rows of COCO's classes (the softmax then lacks ten classes that
            no object has); 90 keeps every row, and the outputs are torchvision's exactly.

    Returns:
        Tensors for :class:`DynaMask` without the mask head and the switch. torchvision runs the
        published weights with a batch norm epsilon of 0, so the scales make up for ours.
    """
    rows = torch.tensor(coco_rows()) if classes == len(COCO_CATEGORIES) else torch.arange(91)
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith(UNUSED) or name.endswith("num_batches_tracked"):
            continue
        stem = name.removesuffix("weight")
        variance = state.get(f"{stem}running_var") if stem != name else None
        for pattern, new in RENAMES:
            name = re.sub(pattern, new, name)
        if ".cls_score." in name:
            tensor = tensor[rows]
        elif "box_predictor.bbox_pred." in name:
            tensor = tensor.unflatten(0, (91, 4))[rows].flatten(0, 1)
        elif variance is not None:
            tensor = _without_epsilon(tensor, variance)
        out[name] = tensor
    return out


def _without_epsilon(scale: Tensor, variance: Tensor) -> Tensor:
    """The scale that gives with our epsilon what ``scale`` gives with none.

    Taking epsilon off the variance instead would cancel to 0 for channels that hardly vary.
    """
    wide = variance.double()
    factor = ((wide + BATCH_NORM_EPS) / wide).sqrt()
    return (scale.double() * torch.where(wide > 0, factor, 1.0)).to(scale.dtype)


def rename_backbone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A torchvision ResNet or ResNeXt classifier under our names, without its last layer."""
    return {
        f"pyramid.backbone.body.{name}": tensor
        for name, tensor in state.items()
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    }


def warm_start(model: DynaMask, path: str | Path) -> list[str]:
    """Fill what a torchvision checkpoint has, in place.

    Args:
        model: of a ResNet preset; its ``config`` follows where torchvision's detector differs
            (RoIAlign without the half-pixel shift).
        path: state_dict as torchvision publishes it, .pth or .safetensors.

    Returns:
        Names of the parts that were filled: ``backbone``, and for a detector ``fpn``, ``rpn`` and
        ``roi_heads``.

    Raises:
        WeightsError: no such checkpoint, or one of another network.
    """
    path = Path(path)
    state = read_state(path)
    if "layer1.0.conv1.weight" in state:
        tensors, parts = rename_backbone(state), ["backbone"]
    elif "roi_heads.box_predictor.cls_score.weight" in state:
        if len(state["roi_heads.box_predictor.cls_score.weight"]) != 91:
            raise WeightsError(
                f"Expected torchvision's 91 COCO classes in {path.name}, got "
                f"{len(state['roi_heads.box_predictor.cls_score.weight'])}; "
                "give weights trained on COCO."
            )
        tensors = rename_detector(state, model.config.num_classes)
        parts = ["backbone", "fpn", "rpn", "roi_heads"]
    else:
        raise WeightsError(
            f"Expected a torchvision ResNet, Faster R-CNN or Mask R-CNN in {path.name}, got other "
            "tensors; for weights of the released code use `python -m dynamask convert`."
        )
    own = model.state_dict()
    wanted = [k for k in own if k.startswith(_prefixes(parts))]
    bad = [k for k in wanted if k not in tensors or tensors[k].shape != own[k].shape]
    bad += [k for k in tensors if k not in own]
    if bad:
        raise WeightsError(
            f"Expected the layers of {model.config.preset} in {path.name}, got another network "
            f"({len(bad)} tensors differ, first {bad[0]}); choose the preset of these weights."
        )
    model.load_state_dict({**own, **tensors})
    if "roi_heads" in parts:
        detector = replace(model.config.detector, aligned=False)
        model.config = model.config.replace(detector=detector)
        model.roi_heads.box_roi_pool.aligned = False
    return parts


def _prefixes(parts: list[str]) -> tuple[str, ...]:
    place = {"backbone": "pyramid.backbone.", "fpn": "pyramid.fpn."}
    return tuple(place.get(part, f"{part}.") for part in parts)


def set_epsilon(module: torch.nn.Module, value: float) -> None:
    """Give every batch norm this epsilon; torchvision's first COCO weights want 0.

    Built without weights, torchvision's detectors have plain batch norm, not the frozen one.
    """
    for part in module.modules():
        if isinstance(part, (FrozenBatchNorm2d, torch.nn.BatchNorm2d)):
            part.eps = value
