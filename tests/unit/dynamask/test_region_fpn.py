"""The region-level FPN: lazy decoding equals the full one, and runs no stage for nothing."""

import pytest
import torch

from dynamask.config import GRIDS, MaskHeadConfig, preset
from dynamask.model.region_fpn import RegionFPN, label_logits, sample_image_branch
from dynamask.model.roi import pyramid_roi_align, roi_levels

CONFIG = MaskHeadConfig(in_channels=8, stage_channels=(32, 16, 8), num_classes=5)


def make_pyramid(batch: int = 1, channels: int = 8) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    return {
        f"p{i}": torch.randn(batch, channels, 256 // 2**i, 384 // 2**i, generator=g)
        for i in range(2, 6)
    }


def make_head(config: MaskHeadConfig = CONFIG) -> RegionFPN:
    torch.manual_seed(5)
    head = RegionFPN(config).eval()
    for stage in head.stages:  # offsets of zero would hide a wrong offset layout
        torch.nn.init.normal_(stage.fuse_conv[1].conv_offset.weight, std=0.05)
    return head


ROIS = torch.tensor(
    [
        [0, 4.0, 8.0, 60.0, 70.0],
        [0, 20.5, 3.0, 380.0, 250.0],
        [0, 100.0, 50.0, 131.0, 190.0],
        [0, 0, 0, 9, 9],
    ]
)
LABELS = torch.tensor([0, 4, 2, 1])


@pytest.mark.parametrize(
    "grids", [(14, 28, 56, 112), (112, 14, 112, 14), (28, 28, 28, 28), (56, 14, 28, 56)]
)
@torch.no_grad()
def test_lazy_decode_equals_all_grids(grids: tuple[int, ...]) -> None:
    head, pyramid = make_head(), make_pyramid()
    full = head.all_grids(pyramid, ROIS, LABELS)
    masks, edges = head.decode(pyramid, ROIS, LABELS, torch.tensor(grids))
    for i, grid in enumerate(grids):
        assert masks[i].shape == (grid, grid)
        assert torch.allclose(masks[i], full[grid][0][i], atol=1e-5)
        assert torch.allclose(edges[i], full[grid][1][i], atol=1e-5)


@torch.no_grad()
def test_order_and_neighbours_do_not_matter() -> None:
    head, pyramid = make_head(), make_pyramid()
    grids = torch.tensor([56, 112, 14, 28])
    masks, _ = head.decode(pyramid, ROIS, LABELS, grids)
    order = torch.tensor([2, 0, 3, 1])
    shuffled, _ = head.decode(pyramid, ROIS[order], LABELS[order], grids[order])
    for place, i in enumerate(order.tolist()):
        assert torch.allclose(shuffled[place], masks[i], atol=1e-5)


def test_stages_run_only_for_the_rois_that_need_them() -> None:
    head, pyramid = make_head(), make_pyramid()
    seen: dict[str, list[int]] = {"stage": [], "image": []}
    for stage in head.stages:
        stage.register_forward_hook(lambda _m, args, _o: seen["stage"].append(len(args[0])))
        stage.semantic_transform_in.register_forward_hook(lambda *_: seen["image"].append(1))
    with torch.no_grad():
        head.decode(pyramid, ROIS, LABELS, torch.tensor([14, 14, 14, 14]))
        assert seen == {"stage": [], "image": []}
        head.decode(pyramid, ROIS, LABELS, torch.tensor([14, 112, 56, 28]))
    assert seen["stage"] == [3, 2, 1]
    assert len(seen["image"]) == 3


@torch.no_grad()
def test_no_rois() -> None:
    masks, edges = make_head().decode(make_pyramid(), torch.zeros(0, 5), LABELS[:0], LABELS[:0])
    assert masks == [] and edges == []


def test_label_logits_is_one_channel_of_the_convolution() -> None:
    torch.manual_seed(0)
    conv, x = torch.nn.Conv2d(8, 5, 1), torch.randn(4, 8, 14, 14)
    expected = conv(x)[torch.arange(4), LABELS]
    assert torch.allclose(label_logits(conv, x, LABELS), expected, atol=1e-5)


def test_image_branch_is_read_at_the_bin_centres() -> None:
    # a map whose value is its own x coordinate in pixels makes the centres visible
    stride, width = 8, 40
    columns = (torch.arange(width) + 0.5) * stride
    feature = columns.expand(1, 1, 20, width).clone()
    roi = torch.tensor([[0, 32.0, 16.0, 144.0, 128.0]])
    sampled = sample_image_branch(feature, roi, 14, stride)
    centres = 32 + (torch.arange(14) + 0.5) / 14 * 112
    assert torch.allclose(sampled[0, 0, 3], centres, atol=1e-3)


def test_image_branch_in_a_batch_reads_each_rois_own_photo() -> None:
    feature = torch.stack([torch.zeros(1, 20, 40), torch.ones(1, 20, 40)])
    rois = torch.tensor([[1, 10.0, 10, 90, 90], [0, 10, 10, 90, 90], [1, 20, 20, 60, 70]])
    sampled = sample_image_branch(feature, rois, 14, 8)
    assert sampled.mean(dim=(1, 2, 3)).tolist() == pytest.approx([1, 0, 1])


def test_level_rule() -> None:
    sides = [10.0, 111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 5000.0]
    rois = torch.tensor([[0, 0, 0, s, s] for s in sides])
    assert roi_levels(rois).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_roi_align_picks_the_level_and_keeps_the_order() -> None:
    pyramid = {f"p{i}": torch.full((1, 1, 512 // 2**i, 512 // 2**i), float(i)) for i in range(2, 6)}
    rois = torch.tensor([[0, 40.0, 40, 460, 500], [0, 100, 100, 140, 140], [0, 100, 100, 230, 230]])
    crops = pyramid_roi_align(pyramid, rois, 7, aligned=True)
    assert crops.mean(dim=(1, 2, 3)).tolist() == pytest.approx([4, 2, 3])


def test_gradient_reaches_every_parameter() -> None:
    head, pyramid = make_head(), make_pyramid()
    logits = head.all_grids(pyramid, ROIS, LABELS)
    sum(t.square().mean() for pair in logits.values() for t in pair).backward()
    without = [n for n, p in head.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_released_parameter_count() -> None:
    head = RegionFPN(preset("resnet50_fpn").mask)
    assert sum(p.numel() for p in head.parameters()) == 2_502_632
    assert GRIDS == (14, 28, 56, 112)
