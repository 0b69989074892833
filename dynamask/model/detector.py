"""The whole model: pyramid -> proposals -> boxes -> (switch) -> masks.

The detector is torchvision's Faster R-CNN taken apart: its RPN, anchors, box head and NMS, fed by
our pyramid. ``detect`` and the mask branch are separate, so boxes may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RPNHead

from dynamask.config import PYRAMID_LEVELS, DynaMaskConfig
from dynamask.model.backbone import ImagePyramid
from dynamask.model.mask_switch import MaskSwitch
from dynamask.model.partial_labels import PartialRoIHeads, PartialRPN, Target
from dynamask.model.region_fpn import RegionFPN
from dynamask.model.roi import PyramidRoIAlign

BOX_HEAD_SIZE = 7


class DynaMask(nn.Module):
    """Image-level FPN, Faster R-CNN parts, region-level FPN and Mask Switch Module.

    Attributes:
        config: what the model was built from.
        pyramid: backbone and FPN.
        rpn, roi_heads: torchvision's detector parts.
        mask_head: :class:`RegionFPN`.
        mask_switch: :class:`MaskSwitch`.
    """

    def __init__(self, config: DynaMaskConfig) -> None:
        super().__init__()
        self.config = config
        self.pyramid = ImagePyramid(config)
        self.rpn = _build_rpn(config)
        self.roi_heads = _build_box_heads(config)
        self.mask_head = RegionFPN(config.mask)
        self.mask_switch = MaskSwitch(config.switch)

    def extract(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) normalised, sides multiples of 32 -> p2..p6."""
        return self.pyramid(images)

    def detect(
        self, pyramid: Mapping[str, Tensor], image_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Find objects in one photo (evaluation mode).

        Args:
            pyramid: p2..p6 of a batch of one.
            image_size: (height, width) of the photo inside the padded input, in pixels.

        Returns:
            boxes (N, 4) xyxy in network-input pixels, labels (N,) int64 from 0, scores (N,) in
            falling order; N is at most ``config.detector.max_detections``.
        """
        features, images = self._as_torchvision(pyramid, [image_size])
        proposals, _ = self.rpn(images, features)
        (found,), _ = self.roi_heads(features, proposals, [image_size])
        return found["boxes"], found["labels"] - 1, found["scores"]

    def detection_losses(
        self,
        pyramid: Mapping[str, Tensor],
        image_sizes: list[tuple[int, int]],
        targets: list[Target],
    ) -> dict[str, Tensor]:
        """RPN and box-head losses of a batch (training mode).

        Args:
            pyramid: p2..p6 of a batch of B.
            image_sizes: B times (height, width) in pixels.
            targets: see :data:`~dynamask.model.partial_labels.Target`; labels from 1.

        Returns:
            ``loss_objectness``, ``loss_rpn_box_reg``, ``loss_classifier``, ``loss_box_reg``.
        """
        features, images = self._as_torchvision(pyramid, image_sizes)
        proposals, rpn_losses = self.rpn(images, features, targets)
        _, box_losses = self.roi_heads(features, proposals, image_sizes, targets)
        return {**rpn_losses, **box_losses}

    @staticmethod
    def _as_torchvision(
        pyramid: Mapping[str, Tensor], image_sizes: list[tuple[int, int]]
    ) -> tuple[dict[str, Tensor], ImageList]:
        # anchors need the padded size only; an expanded zero stands in for the pixels
        p2 = pyramid["p2"]
        padded = p2.new_zeros(1).expand(len(image_sizes), 3, p2.shape[2] * 4, p2.shape[3] * 4)
        # float32: RoIAlign, the box coder and NMS lose pixels in half precision
        features = {name: level.float() for name, level in pyramid.items()}
        return features, ImageList(padded.float(), image_sizes)

    def level_shapes(self, pyramid: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
        """Height and width in cells of p2..p5: what the image branches are charged for."""
        return {n: (pyramid[n].shape[2], pyramid[n].shape[3]) for n in PYRAMID_LEVELS}


def _build_rpn(config: DynaMaskConfig) -> PartialRPN:
    detector = config.detector
    anchors = AnchorGenerator(
        sizes=tuple((s,) for s in detector.anchor_sizes),
        aspect_ratios=(detector.aspect_ratios,) * len(detector.anchor_sizes),
    )
    return PartialRPN(
        anchors,
        RPNHead(config.fpn_channels, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={
            "training": 2 * detector.proposals_train,
            "testing": detector.before_nms_test or 2 * detector.proposals_test,
        },
        post_nms_top_n={"training": detector.proposals_train, "testing": detector.proposals_test},
        nms_thresh=0.7,
    )


def _build_box_heads(config: DynaMaskConfig) -> PartialRoIHeads:
    detector = config.detector
    classes = config.num_classes + 1  # torchvision keeps index 0 for the background
    head = TwoMLPHead(config.fpn_channels * BOX_HEAD_SIZE**2, detector.box_head_channels)
    return PartialRoIHeads(
        PyramidRoIAlign(BOX_HEAD_SIZE, aligned=detector.aligned, sampling=2),
        head,
        FastRCNNPredictor(detector.box_head_channels, classes),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=detector.box_batch,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=detector.score_threshold,
        nms_thresh=detector.nms_threshold,
        detections_per_img=detector.max_detections,
    )


def count_parameters(module: nn.Module) -> int:
    """Number of learnable values."""
    return sum(p.numel() for p in module.parameters())


__all__ = ["DynaMask", "Target", "count_parameters"]
