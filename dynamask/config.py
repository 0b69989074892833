"""Configuration of the model as frozen dataclasses, and the named presets.

Sizes are in pixels, channels are counts. The published presets follow the released layer
shapes (DynaMask, CVPR 2023); the compact presets scale the same design down for CPUs.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from dynamask.errors import InputError

GRIDS: tuple[int, ...] = (14, 28, 56, 112)
"""The mask grids (side in cells) that the switch chooses from, coarse to fine."""

PYRAMID_LEVELS: tuple[str, ...] = ("p2", "p3", "p4", "p5")
"""Image-level FPN maps that RoIs read from; strides 4, 8, 16, 32."""

STRIDES: dict[str, int] = {"p2": 4, "p3": 8, "p4": 16, "p5": 32, "p6": 64}

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class MaskHeadConfig:
    """Region-level FPN. ``num_classes == 1`` means class-agnostic mask and edge logits."""

    in_channels: int = 256
    stage_channels: tuple[int, int, int] = (256, 128, 64)
    num_classes: int = 80
    stem_convs: int = 2
    offset_groups: int = 2

    @property
    def class_agnostic(self) -> bool:
        """Whether any box, of any class or none, can be masked."""
        return self.num_classes == 1


@dataclass(frozen=True)
class SwitchConfig:
    """Mask Switch Module: RoI crop side and layer widths."""

    in_channels: int = 256
    crop: int = 56
    channels: tuple[int, int] = (128, 16)
    hidden: int = 512


@dataclass(frozen=True)
class DetectorConfig:
    """Faster R-CNN parts from torchvision; one anchor size per pyramid level, three ratios."""

    box_head_channels: int = 1024
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    aligned: bool = True  # torchvision's own Mask R-CNN weights were trained with False
    score_threshold: float = 0.05
    nms_threshold: float = 0.5
    max_detections: int = 100
    box_batch: int = 512  # proposals per photo in the box loss
    proposals_train: int = 1000
    proposals_test: int = 500
    before_nms_test: int = 0  # per level; 0 is twice proposals_test


@dataclass(frozen=True)
class LossConfig:
    """Weights of the training loss (MODEL: losses, and departures 1, 2, 5, 7, 8)."""

    mask_weights: tuple[float, float, float, float] = (0.5, 0.75, 0.75, 1.0)
    edge_weight: float = 1.0
    budget_weight: float = 0.3
    budget_fraction: float = 0.6  # C_t as a fraction of the cost of grid 112
    edge_common_grid: int = 112  # 0 compares each grid with its own edge target
    edge_every_grid: float = 0.0  # extra edge BCE at every grid, chosen or not; 0 is the paper
    temperature: float = 0.5
    entropy_weight: float = 0.0
    # "paper": edge and budget loss through the drawn switch; "gain": the switch regresses each
    # grid's measured mask IoU, and a price per MAC, fitted afterwards, meets the budget
    switch_loss: str = "paper"
    gain_scale: float = 0.02  # mask IoU per unit of switch logit under "gain"


@dataclass(frozen=True)
class DynaMaskConfig:
    """Everything needed to rebuild a model; stored as JSON in the weights file."""

    preset: str
    backbone: str
    backbone_channels: tuple[int, int, int, int]
    fpn_channels: int = 256
    num_classes: int = 80
    pixel_mean: tuple[float, float, float] = IMAGENET_MEAN
    pixel_std: tuple[float, float, float] = IMAGENET_STD
    short_side: int = 800
    long_side: int = 1333
    mask: MaskHeadConfig = field(default_factory=MaskHeadConfig)
    switch: SwitchConfig = field(default_factory=SwitchConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    # sqrt(box area) in photo pixels where the `size` policy moves to the next grid
    size_thresholds_px: tuple[float, float, float] = (32.0, 96.0, 224.0)

    def to_json(self) -> str:
        """Return a JSON text that :meth:`from_json` reads back exactly."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> DynaMaskConfig:
        """Rebuild a config; raises InputError where the text is not one."""
        try:
            return _build(cls, json.loads(text))
        except (AttributeError, TypeError, ValueError, KeyError) as error:
            raise InputError(
                f"Expected a model configuration in JSON, got one that cannot be read ({error}); "
                "use weights written by this version of dynamask."
            ) from error

    def replace(self, **changes: Any) -> DynaMaskConfig:
        """Return a copy with fields changed."""
        return dataclasses.replace(self, **changes)


_PARTS = {
    "mask": MaskHeadConfig,
    "switch": SwitchConfig,
    "detector": DetectorConfig,
    "loss": LossConfig,
}


def _build(cls: type, values: dict[str, Any]) -> Any:
    built = {}
    for name, value in values.items():
        if name in _PARTS and isinstance(value, dict):
            value = _build(_PARTS[name], value)
        elif isinstance(value, list):
            value = tuple(value)
        built[name] = value
    return cls(**built)


def _resnet(preset: str, backbone: str) -> DynaMaskConfig:
    return DynaMaskConfig(
        preset=preset, backbone=backbone, backbone_channels=(256, 512, 1024, 2048)
    )


def _lite(preset: str, backbone: str, channels: tuple[int, int, int, int]) -> DynaMaskConfig:
    width = 128
    return DynaMaskConfig(
        preset=preset,
        backbone=backbone,
        backbone_channels=channels,
        fpn_channels=width,
        pixel_mean=(127.0, 127.0, 127.0),  # what the ImageNet Lite weights were trained with
        pixel_std=(128.0, 128.0, 128.0),
        short_side=480,
        long_side=640,
        mask=MaskHeadConfig(in_channels=width, stage_channels=(128, 64, 32), num_classes=1),
        # 28x28 crop, 32 channels: under 15 % of the cost of leaving at grid 14
        switch=SwitchConfig(in_channels=width, crop=28, channels=(32, 16), hidden=128),
        # without this a grid that is never chosen would never learn its edges
        loss=LossConfig(edge_every_grid=0.25),
        detector=DetectorConfig(
            box_head_channels=512,
            anchor_sizes=(24, 48, 96, 192, 384),
            box_batch=128,
            proposals_train=300,
            proposals_test=300,
        ),
    )


PRESETS: dict[str, DynaMaskConfig] = {
    c.preset: c
    for c in (
        _resnet("resnet50_fpn", "resnet50"),
        _resnet("resnet101_fpn", "resnet101"),
        _resnet("resnext101_64x4d_fpn", "resnext101_64x4d"),
        _lite("effnet_lite2_fpn", "tf_efficientnet_lite2", (24, 48, 120, 352)),
        _lite("effnet_lite0_fpn", "tf_efficientnet_lite0", (24, 40, 112, 320)),
    )
}


def preset(name: str) -> DynaMaskConfig:
    """Return a named preset; raises InputError listing the known ones."""
    if name not in PRESETS:
        raise InputError(
            f"Expected a preset, one of {', '.join(PRESETS)}; got {name!r}. Choose one of these."
        )
    return PRESETS[name]
