"""A photo that is only partly labelled gives no gradient from what it does not label."""

import torch
from torch import Tensor

from dynamask.config import preset
from dynamask.model.detector import DynaMask
from dynamask.model.partial_labels import unlabelled

PERSON = torch.tensor([[64.0, 48.0, 160.0, 208.0]])


def make_target(*, negatives: bool, ignore: Tensor | None = None) -> dict[str, Tensor]:
    return {
        "boxes": PERSON,
        "labels": torch.tensor([1]),
        "ignore_boxes": torch.zeros(0, 4) if ignore is None else ignore,
        "negatives": torch.tensor(negatives),
    }


def make_model() -> DynaMask:
    torch.manual_seed(0)
    return DynaMask(preset("effnet_lite0_fpn")).train()


def make_pyramid() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(1)
    return {
        f"p{i}": torch.randn(1, 128, 256 // 2**i, 320 // 2**i, generator=g).requires_grad_()
        for i in range(2, 7)
    }


def losses_and_gradient(*, negatives: bool) -> tuple[dict[str, Tensor], Tensor]:
    model, pyramid = make_model(), make_pyramid()
    torch.manual_seed(2)
    losses = model.detection_losses(pyramid, [(256, 320)], [make_target(negatives=negatives)])
    sum(losses.values()).backward()
    gradients = [level.grad for level in pyramid.values()]
    assert any(g is not None for g in gradients)
    return losses, pyramid["p2"].grad


def test_person_only_photo_gives_no_gradient_from_elsewhere() -> None:
    far = (slice(None), slice(None), slice(None), slice(52, None))  # p2 cells from x = 208 px on
    losses, gradient = losses_and_gradient(negatives=False)
    assert all(torch.isfinite(v) for v in losses.values())
    assert gradient is None or not gradient[far].any()
    _, full = losses_and_gradient(negatives=True)
    assert full[far].any()  # the same photo, fully labelled, teaches the background there


def test_objectness_of_unlabelled_anchors_is_not_trained() -> None:
    model, pyramid = make_model(), make_pyramid()
    features, images = model._as_torchvision(pyramid, [(256, 320)])
    anchors = model.rpn.anchor_generator(images, list(features.values()))
    labels, _ = model.rpn.assign_targets_to_anchors(anchors, [make_target(negatives=False)])
    assert not (labels[0] == 0).any()
    assert (labels[0] == 1).any()
    labels, _ = model.rpn.assign_targets_to_anchors(anchors, [make_target(negatives=True)])
    assert (labels[0] == 0).sum() > 100


def test_box_head_samples_only_the_person() -> None:
    model = make_model()
    proposals = torch.tensor(
        [[60.0, 50.0, 158.0, 200.0], [200, 20, 300, 240], [0, 0, 40, 40], [66, 40, 150, 210]]
    )
    _, _, labels, _ = model.roi_heads.select_training_samples(
        [proposals], [make_target(negatives=False)]
    )
    assert labels[0].tolist() == [1, 1, 1]  # two proposals on the person and the truth itself
    _, _, labels, _ = model.roi_heads.select_training_samples(
        [proposals], [make_target(negatives=True)]
    )
    assert sorted(labels[0].tolist()) == [0, 0, 1, 1, 1]


def test_crowds_are_no_background() -> None:
    crowd = torch.tensor([[200.0, 0.0, 320.0, 256.0]])
    regions = torch.tensor([[210.0, 10, 300, 200], [0, 0, 50, 50], [150, 0, 250, 100]])
    target = make_target(negatives=True, ignore=crowd)
    assert unlabelled(regions, target).tolist() == [True, False, False]


def test_photo_without_any_object() -> None:
    model, pyramid = make_model(), make_pyramid()
    target = make_target(negatives=True)
    target["boxes"], target["labels"] = PERSON[:0], target["labels"][:0]
    losses = model.detection_losses(pyramid, [(256, 320)], [target])
    assert all(torch.isfinite(v) for v in losses.values())
