"""Checkpoints of the released code (mmdet 2.3 key names) to ours, and the parity check.

The released code has no weights of its own; whoever trained with it can bring theirs here.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dynamask.checkpoint import load_checked, save_weights
from dynamask.config import GRIDS, MaskHeadConfig, SwitchConfig, preset
from dynamask.errors import WeightsError
from dynamask.model.detector import DynaMask
from dynamask.model.mask_switch import MaskSwitch
from dynamask.model.region_fpn import RegionFPN
from dynamask.targets import edge_target

PREFIXES: tuple[tuple[str, str], ...] = (
    ("backbone.", "pyramid.backbone.body."),
    ("neck.lateral_convs.", "pyramid.fpn.inner_blocks."),
    ("neck.fpn_convs.", "pyramid.fpn.layer_blocks."),
    ("rpn_head.rpn_conv.", "rpn.head.conv.0.0."),
    ("rpn_head.rpn_cls.", "rpn.head.cls_logits."),
    ("rpn_head.rpn_reg.", "rpn.head.bbox_pred."),
    ("roi_head.bbox_head.shared_fcs.0.", "roi_heads.box_head.fc6."),
    ("roi_head.bbox_head.shared_fcs.1.", "roi_heads.box_head.fc7."),
    ("roi_head.bbox_head.fc_cls.", "roi_heads.box_predictor.cls_score."),
    ("roi_head.bbox_head.fc_reg.", "roi_heads.box_predictor.bbox_pred."),
    ("roi_head.mask_head.", "mask_head."),
    ("roi_head.mask_predictor.", "mask_switch."),
)


def convert_released(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename released keys to ours; keys that are no part of the model are dropped.

    mmdet has the background last among the classes and no box regression for it; torchvision has
    it first, with a (never read) regression of its own.
    """
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for old, new in PREFIXES:
            if not name.startswith(old):
                continue
            key = new + name[len(old) :]
            if old.startswith("neck."):
                key = key.replace(".conv.", ".0.")
            if "cls_score" in key:
                tensor = torch.cat((tensor[-1:], tensor[:-1]))
            elif "box_predictor.bbox_pred" in key:
                tensor = torch.cat((torch.zeros_like(tensor[:4]), tensor))
            if key.startswith("pyramid.backbone.body.") and key.endswith("num_batches_tracked"):
                break  # frozen batch norm keeps no count
            out[key] = tensor
            break
    return out


def read_state(path: Path) -> dict[str, Tensor]:
    """Read tensors of a foreign checkpoint without running code from it.

    Raises:
        WeightsError: missing, damaged, or a pickle with more than tensors in it.
    """
    if not path.is_file():
        raise WeightsError(f"Expected a checkpoint, found none at {path}; check the path.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"Expected only tensors in {path.name}, got a pickle with other objects, which could "
            "run code and was not opened; save its state_dict alone (torch.save of "
            "checkpoint['state_dict']) on a machine where you trust it."
        ) from error
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(
            f"Expected a whole checkpoint in {path.name}, got one that cannot be read; "
            "fetch it again."
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    if not tensors:
        raise WeightsError(f"Expected tensors by name in {path.name}, got none; give a state_dict.")
    return tensors


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the convert command."""
    parser.add_argument("checkpoint", help="state_dict of the released code (.pth or .safetensors)")
    parser.add_argument("--preset", default="resnet50_fpn")
    parser.add_argument("--categories", help="JSON list of class names; default COCO's 80")
    parser.add_argument("--out", required=True, help="the .safetensors file to write")


def run_convert(args: argparse.Namespace) -> int:
    """Convert a released checkpoint; returns the exit status."""
    from dynamask.categories import COCO_CATEGORIES

    model = DynaMask(preset(args.preset))
    state = convert_released(read_state(Path(args.checkpoint)))
    load_checked(model, state, source=Path(args.checkpoint).name)
    names = COCO_CATEGORIES
    if args.categories:
        names = tuple(json.loads(Path(args.categories).read_text()))
    facts = {"converted_from": Path(args.checkpoint).name}
    save_weights(model, args.out, categories=names, metadata=facts)
    sys.stdout.write(f"wrote {args.out}\n")
    return 0


def relative_error(ours: Tensor, reference: Tensor) -> float:
    """Largest absolute difference over the largest reference value."""
    return float((ours - reference).abs().max() / reference.abs().max().clamp(min=1e-12))


def parity(path: str | Path) -> dict[str, float]:
    """Load the released head through the converter and compare every output.

    Args:
        path: ``released_head.npz`` with ``head.*``, ``msm.*``, ``in.*`` and ``out.*``.

    Returns:
        Name of each output to its relative error (edge targets: 0.0 where exactly equal).

    Raises:
        WeightsError: the file is missing or is not such an archive.
    """
    golden = _read_golden(Path(path))
    released = {f"roi_head.mask_head.{k[5:]}": v for k, v in golden.items() if k[:5] == "head."}
    released |= {
        f"roi_head.mask_predictor.{k[4:]}": v for k, v in golden.items() if k[:4] == "msm."
    }
    ours = convert_released(released)
    head, switch = RegionFPN(MaskHeadConfig()).eval(), MaskSwitch(SwitchConfig()).eval()
    for module, prefix in ((head, "mask_head."), (switch, "mask_switch.")):
        part = {k.removeprefix(prefix): v for k, v in ours.items() if k.startswith(prefix)}
        load_checked(module, part, source=Path(path).name)
    pyramid = {name: golden[f"in.{name}"] for name in ("p2", "p3", "p4", "p5")}
    errors: dict[str, float] = {}
    with torch.no_grad():
        logits = head.all_grids(
            pyramid, golden["in.rois"], golden["in.labels"], roi_features=golden["in.roi_feats"]
        )
        for grid in GRIDS:
            for kind, tensor in zip(("mask", "edge"), logits[grid], strict=True):
                name = f"{kind}_logits_{grid}"
                errors[name] = relative_error(tensor, golden[f"out.{name}"])
        errors["msm_logits"] = relative_error(
            switch.classify(golden["in.msm_crop"]), golden["out.msm_logits"]
        )
        for grid in GRIDS:
            name = f"edge_target_{grid}"
            target = edge_target(golden[f"in.mask_{grid}"])
            errors[name] = relative_error(target, golden[f"out.{name}"])
    return errors


def _read_golden(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"Expected golden values, found no file at {path}; check the path.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: torch.from_numpy(np.array(archive[name])) for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, KeyError) as error:
        raise WeightsError(
            f"Expected an .npz of arrays in {path.name}, got a file that cannot be read; "
            "fetch it again."
        ) from error
    if "in.rois" not in arrays or not any(n.startswith("out.") for n in arrays):
        raise WeightsError(f"Expected head.*, msm.*, in.* and out.* in {path.name}, got others.")
    integers = {"in.labels"}
    return {
        name: array.long() if name in integers or name.endswith("tracked") else array.float()
        for name, array in arrays.items()
    }
