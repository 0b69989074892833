"""The whole model of every preset: shapes of the pyramid, boxes inside the photo."""

import pytest
import torch

from dynamask.config import PRESETS, STRIDES, preset
from dynamask.model.detector import DynaMask, count_parameters
from dynamask.model.pretrained import imagenet_lite_weights


@pytest.mark.parametrize("name", list(PRESETS))
@torch.no_grad()
def test_every_preset_runs(name: str) -> None:
    torch.manual_seed(0)
    model = DynaMask(preset(name)).eval()
    for key, module in model.named_modules():
        if key.endswith("bn3"):  # frozen norm and random layers: 33 residuals would explode
            module.weight.fill_(0.2)
    pyramid = model.extract(torch.randn(1, 3, 128, 160))
    channels = model.config.fpn_channels
    assert {n: tuple(t.shape) for n, t in pyramid.items()} == {
        n: (1, channels, -(-128 // s), -(-160 // s)) for n, s in STRIDES.items()
    }
    model.roi_heads.score_thresh = 0.0
    boxes, labels, scores = model.detect(pyramid, (120, 150))
    assert 0 < len(boxes) <= model.config.detector.max_detections
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 150 and boxes[:, 3].max() <= 120
    assert labels.min() >= 0 and labels.max() < 80
    assert (scores[:-1] >= scores[1:]).all()
    rois = torch.cat((torch.zeros(len(boxes), 1), boxes), dim=1)[:3]
    assert model.mask_switch(pyramid["p2"], rois).shape == (3, 4)
    grids = torch.tensor([14, 56, 112])[: len(rois)]
    masks, _ = model.mask_head.decode(pyramid, rois, labels[:3], grids)
    assert [m.shape[0] for m in masks] == grids.tolist()


def test_published_heads_have_the_published_size() -> None:
    for name in ("resnet50_fpn", "resnet101_fpn", "resnext101_64x4d_fpn"):
        model = DynaMask(preset(name))
        assert count_parameters(model.mask_head) == 2_502_632
        assert count_parameters(model.mask_switch) == 1_659_828


def test_backbone_batch_norm_never_moves() -> None:
    torch.manual_seed(0)
    model = DynaMask(preset("effnet_lite0_fpn")).train()
    before = {k: t.clone() for k, t in model.pyramid.backbone.state_dict().items()}
    model.extract(torch.randn(2, 3, 64, 64) * 5)
    after = model.pyramid.backbone.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnet_lite2"])
def test_imagenet_weights_know_a_cat(name: str) -> None:
    import cv2
    import skimage.data
    import timm

    network = timm.create_model(name, pretrained=False).eval()
    network.load_state_dict(imagenet_lite_weights(name))
    photo = cv2.resize(skimage.data.chelsea()[:, 75:375], (260, 260))
    with torch.no_grad():
        x = (torch.from_numpy(photo).permute(2, 0, 1)[None].float() - 127) / 128
        top = network(x).softmax(dim=1)[0].topk(3).indices.tolist()
    assert {281, 282, 285} & set(top)  # tabby, tiger cat, Egyptian cat
