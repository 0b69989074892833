"""Backbone and image-level FPN: a photo in, P2..P6 out.

ResNets come from torchvision, EfficientNet-Lite from timm. Batch norm never learns here: photos
per step are few, so its ImageNet statistics stay (``FrozenBatchNorm2d`` for ResNets, evaluation
mode for timm's).
"""

from __future__ import annotations

from collections import OrderedDict

import torchvision
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from dynamask.config import PYRAMID_LEVELS, DynaMaskConfig
from dynamask.errors import InputError

TORCHVISION_BACKBONES = ("resnet50", "resnet101", "resnext101_64x4d")


class LiteBackbone(nn.Module):
    """A timm network as four maps of strides 4, 8, 16, 32, its batch norm always frozen."""

    def __init__(self, name: str) -> None:
        super().__init__()
        import timm

        self.body = timm.create_model(
            name, features_only=True, pretrained=False, out_indices=(1, 2, 3, 4)
        )
        self.train(False)

    def train(self, mode: bool = True) -> LiteBackbone:
        """Keep batch norm (and the whole body) in evaluation mode, whatever the parent does."""
        return super().train(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> four (B, c_i, H / s_i, W / s_i)."""
        return self.body(x)


class ResNetBackbone(nn.Module):
    """torchvision's ResNet or ResNeXt up to layer4, batch norm frozen."""

    def __init__(self, name: str) -> None:
        super().__init__()
        network = getattr(torchvision.models, name)(weights=None, norm_layer=FrozenBatchNorm2d)
        layers = {f"layer{i + 1}": PYRAMID_LEVELS[i] for i in range(4)}
        self.body = IntermediateLayerGetter(network, return_layers=layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> four (B, c_i, H / s_i, W / s_i)."""
        return list(self.body(x).values())


def build_backbone(config: DynaMaskConfig) -> nn.Module:
    """Return the backbone of a config with random weights; raises InputError for unknown names."""
    if config.backbone in TORCHVISION_BACKBONES:
        return ResNetBackbone(config.backbone)
    if config.backbone.startswith("tf_efficientnet_lite"):
        return LiteBackbone(config.backbone)
    raise InputError(
        f"Expected a backbone from {', '.join(TORCHVISION_BACKBONES)} or timm's "
        f"tf_efficientnet_lite0..4, got {config.backbone!r}; choose one of these."
    )


class ImagePyramid(nn.Module):
    """Backbone plus FPN (Lin et al., CVPR 2017), P6 by max-pooling P5."""

    def __init__(self, config: DynaMaskConfig) -> None:
        super().__init__()
        self.backbone = build_backbone(config)
        self.fpn = FeaturePyramidNetwork(
            list(config.backbone_channels), config.fpn_channels, extra_blocks=LastLevelMaxPool()
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W), sides multiples of 32 -> p2..p6, each (B, C, H / s, W / s)."""
        maps = OrderedDict(zip(PYRAMID_LEVELS, self.backbone(images), strict=True))
        pyramid = self.fpn(maps)
        pyramid["p6"] = pyramid.pop("pool")
        return dict(pyramid)
