"""RPN and box head that respect partial labels; everything else is torchvision's own.

Where a photo is only partly labelled, a region without a label is not background: it must give no
gradient. torchvision's samplers skip anchors and proposals labelled -1, so that is what such
regions become here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_area, box_iou

Target = dict[str, Tensor]
"""``boxes`` (M, 4), ``labels`` (M,) 1-based, ``ignore_boxes`` (K, 4), ``negatives`` () bool."""

CROWD_OVERLAP = 0.5  # share of a region inside a crowd box from which it is ignored


def unlabelled(regions: Tensor, target: Target) -> Tensor:
    """Which regions may not serve as background.

    Args:
        regions: (N, 4) boxes.
        target: one photo's target; ``negatives`` False means that only positives may be used.

    Returns:
        (N,) bool.
    """
    if not bool(target["negatives"]):
        return torch.ones(len(regions), dtype=torch.bool, device=regions.device)
    crowds = target["ignore_boxes"]
    if not len(crowds):
        return torch.zeros(len(regions), dtype=torch.bool, device=regions.device)
    top_left = torch.maximum(regions[:, None, :2], crowds[None, :, :2])
    bottom_right = torch.minimum(regions[:, None, 2:], crowds[None, :, 2:])
    overlap = (bottom_right - top_left).clamp(min=0).prod(dim=2)
    inside = overlap / box_area(regions).clamp(min=1e-6)[:, None]
    return (inside > CROWD_OVERLAP).any(dim=1)


class PartialRPN(RegionProposalNetwork):
    """torchvision's RPN, with unlabelled anchors left out of the loss."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[Target]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """As torchvision's, then background in unlabelled regions becomes -1 (not sampled)."""
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for own, regions, target in zip(labels, anchors, targets, strict=True):
            own[(own == 0) & unlabelled(regions, target)] = -1
        return labels, matched


class PartialRoIHeads(RoIHeads):
    """torchvision's box heads, with unlabelled proposals left out of the loss."""

    def select_training_samples(
        self, proposals: list[Tensor], targets: list[Target]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """Sample proposals per photo.

        Returns:
            Per photo: boxes (n, 4), matched ground-truth index (n,), labels (n,) with 0 for
            background, and box regression targets (n, 4).
        """
        boxes, indices, labels, matched_boxes = [], [], [], []
        for regions, target in zip(proposals, targets, strict=True):
            truth = target["boxes"].to(regions.dtype)
            regions = torch.cat((regions, truth))
            if len(truth):
                matches = self.proposal_matcher(box_iou(truth, regions))
                index = matches.clamp(min=0)
                label = target["labels"][index].clone()
                label[matches == self.proposal_matcher.BELOW_LOW_THRESHOLD] = 0
                label[matches == self.proposal_matcher.BETWEEN_THRESHOLDS] = -1
                reference = truth[index]
            else:
                index = torch.zeros(len(regions), dtype=torch.int64, device=regions.device)
                label = torch.zeros_like(index)
                reference = regions
            label[(label == 0) & unlabelled(regions, target)] = -1
            boxes.append(regions)
            indices.append(index)
            labels.append(label)
            matched_boxes.append(reference)
        # all photos in one call: processes that train together sample in step
        for i, picked in enumerate(self.subsample(labels)):
            for values in (boxes, indices, labels, matched_boxes):
                values[i] = values[i][picked]
        regression = self.box_coder.encode(matched_boxes, boxes)
        return boxes, indices, labels, regression
