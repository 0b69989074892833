"""The predictor: encode once, decode often; boxes from anywhere; memory runs out politely."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dynamask.config import GRIDS, preset
from dynamask.errors import InputError, PolicyError
from dynamask.model.detector import DynaMask
from dynamask.predictor import Predictor, check_boxes


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)


def many_boxes(n: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    low = rng.uniform(0, 60, (n, 2))
    return np.concatenate([low, low + rng.uniform(10, 60, (n, 2))], axis=1)


def test_encode_and_decode(tiny_predictor: Predictor, photo: np.ndarray) -> None:
    scene = tiny_predictor.encode(photo)
    assert 0 < len(scene) <= 100
    assert scene.image_size == (120, 160)
    assert torch.allclose(scene.probabilities.sum(dim=1), torch.ones(len(scene)), atol=1e-5)
    found = tiny_predictor.decode(scene, "msm")
    assert np.array_equal(
        found.selection.grids, np.array(GRIDS)[scene.probabilities.argmax(1).numpy()]
    )
    mask = found.paste(0)
    assert mask.shape == (120, 160) and mask.dtype == bool


def test_redecoding_never_encodes(
    tiny_predictor: Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = tiny_predictor.encode(photo)

    def forbidden(*_: object) -> None:
        raise AssertionError("the backbone ran again")

    monkeypatch.setattr(tiny_predictor.model, "extract", forbidden)
    monkeypatch.setattr(tiny_predictor.model, "detect", forbidden)
    for policy in ("msm", "fixed:14", "fixed:112", "size", "budget:0.1"):
        found = tiny_predictor.decode(scene, policy, threshold=0.4)
        assert len(found) == len(scene)
    assert len(tiny_predictor.add_boxes(scene, [[1, 2, 50, 60]])) == len(scene) + 1


def test_given_boxes_keep_their_order_and_frame(
    tiny_predictor: Predictor, photo: np.ndarray
) -> None:
    boxes = many_boxes(5)
    scene = tiny_predictor.encode(photo, boxes=boxes)
    assert np.allclose(scene.boxes_xyxy_px.numpy(), boxes, atol=1e-4)
    assert scene.box_source == "given"
    assert scene.labels.tolist() == [-1] * 5
    found = tiny_predictor.decode(scene, "fixed:28")
    assert found.category(0) == "object"
    outside = found.paste(2).copy()
    x1, y1, x2, y2 = boxes[2]
    outside[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1] = False
    assert not outside.any()


def test_drawn_box_equals_the_same_box_given_at_once(
    tiny_predictor: Predictor, photo: np.ndarray
) -> None:
    boxes = many_boxes(4)
    whole = tiny_predictor.encode(photo, boxes=boxes)
    added = tiny_predictor.add_boxes(tiny_predictor.encode(photo, boxes=boxes[:3]), boxes[3:])
    assert torch.allclose(whole.probabilities, added.probabilities, atol=1e-5)
    a = tiny_predictor.decode(whole, "fixed:56").mask_logits[3]
    b = tiny_predictor.decode(added, "fixed:56").mask_logits[3]
    assert torch.allclose(a, b, atol=1e-4)


def test_counted_operations_agree_beyond_one_chunk(
    tiny_predictor: Predictor, photo: np.ndarray
) -> None:
    scene = tiny_predictor.encode(photo, boxes=many_boxes(70))
    with FlopCounterMode(display=False) as counter:
        found = tiny_predictor.decode(scene, "fixed:112")
    counted = counter.get_total_flops() / 2 / 1e9
    assert counted == pytest.approx(found.selection.total_gmac, rel=0.02)


def test_min_score_leaves_objects_out_and_they_cost_nothing(
    tiny_predictor: Predictor, photo: np.ndarray
) -> None:
    scene = tiny_predictor.encode(photo)
    bar = float(scene.scores.median())
    found = tiny_predictor.decode(scene, "fixed:14", min_score=bar)
    assert 0 < len(found) < len(scene)
    assert float(found.scores.min()) >= bar
    assert len(tiny_predictor.decode(scene, "msm", min_score=1.1)) == 0


def test_oracle_takes_the_best_grid(tiny_predictor: Predictor, photo: np.ndarray) -> None:
    scene = tiny_predictor.encode(photo, boxes=many_boxes(3))
    ious = np.array([[0.5, 0.9, 0.9, 0.2], [0.1, 0.2, 0.3, 0.4], [0.8, 0.1, 0.1, 0.1]])
    found = tiny_predictor.decode(scene, "oracle", ious=ious)
    assert found.selection.grids.tolist() == [28, 112, 14]
    with pytest.raises(PolicyError):
        tiny_predictor.decode(scene, "oracle")


def test_all_grids_of_no_objects(tiny_predictor: Predictor, photo: np.ndarray) -> None:
    scene = tiny_predictor.encode(photo, np.zeros((0, 4)))
    grids = tiny_predictor.decode_all_grids(scene)
    assert {g: tuple(m.shape) for g, (m, _) in grids.items()} == {g: (0, g, g) for g in GRIDS}


def test_all_grids_agree_with_decode(tiny_predictor: Predictor, photo: np.ndarray) -> None:
    scene = tiny_predictor.encode(photo, boxes=many_boxes(40))
    strips = tiny_predictor.decode_all_grids(scene)
    one = tiny_predictor.decode_all_grids(scene, 37)
    for grid in GRIDS:
        found = tiny_predictor.decode(scene, f"fixed:{grid}")
        assert torch.allclose(strips[grid][0][37], found.mask_logits[37], atol=1e-4)
        assert torch.allclose(one[grid][0][0], found.mask_logits[37], atol=1e-4)


def test_many_threads_one_predictor(tiny_predictor: Predictor) -> None:
    rng = np.random.default_rng(3)
    photos = [rng.integers(0, 255, (90 + 7 * i, 120, 3), dtype=np.uint8) for i in range(4)]

    def work(i: int) -> list[np.ndarray]:
        found = tiny_predictor.predict(photos[i % 4], "fixed:28", boxes=many_boxes(6)[:, :] * 0.7)
        return [found.paste(k) for k in range(6)]

    alone = [work(i) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(12)))
    for i, masks in enumerate(together):
        assert all(np.array_equal(a, b) for a, b in zip(masks, alone[i % 4], strict=True))


def test_key_depends_on_pixels(tiny_predictor: Predictor, photo: np.ndarray) -> None:
    other = photo.copy()
    other[0, 0, 0] ^= 1
    keys = {tiny_predictor.encode(p, boxes=many_boxes(1)).key for p in (photo, photo, other)}
    assert len(keys) == 2


@pytest.mark.parametrize(("failures", "words"), [(1, "60% of the usual size"), (2, "CPU was used")])
def test_out_of_memory_falls_back_with_a_notice(
    tiny_predictor: Predictor,
    photo: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    words: str,
) -> None:
    real, calls = tiny_predictor.model.extract, []

    def extract(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(tuple(batch.shape))
        if len(calls) <= failures:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(batch)

    monkeypatch.setattr(tiny_predictor.model, "extract", extract)
    scene = tiny_predictor.encode(photo, boxes=many_boxes(2))
    assert len(scene.notices) == 1 and words in scene.notices[0]
    assert calls[1] < calls[0]
    assert len(tiny_predictor.decode(scene)) == 2


@pytest.mark.parametrize(
    "boxes",
    [
        [[0, 0, float("nan"), 5]],
        [[5, 5, 5, 9]],
        [[9, 9, 5, 5]],
        [[500, 500, 600, 600]],
        [[1, 2, 3]],
        "box",
        [[-10, -10, 0.5, 50]],
    ],
)
def test_bad_boxes(boxes: object) -> None:
    with pytest.raises(InputError, match="Expected"):
        check_boxes(boxes, (120, 160))  # type: ignore[arg-type]


def test_boxes_are_clipped_and_may_be_none() -> None:
    assert check_boxes([[-5, -5, 500, 60]], (120, 160)).tolist() == [[0, 0, 160, 60]]
    assert check_boxes(np.zeros((0, 4)), (120, 160)).shape == (0, 4)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3)),
        np.zeros((0, 5, 3), np.uint8),
        "photo.jpg",
    ],
)
def test_bad_images(tiny_predictor: Predictor, image: object) -> None:
    with pytest.raises(InputError, match="Expected an RGB photo"):
        tiny_predictor.encode(image)  # type: ignore[arg-type]


def test_class_specific_masks_need_labels(photo: np.ndarray) -> None:
    from dynamask.checkpoint import LoadedWeights

    torch.manual_seed(0)
    base = preset("effnet_lite0_fpn")
    from dataclasses import replace

    config = base.replace(mask=replace(base.mask, num_classes=80))
    loaded = LoadedWeights(DynaMask(config).eval(), tuple(str(i) for i in range(80)), {}, "0" * 64)
    predictor = Predictor(loaded, device="cpu")
    with pytest.raises(InputError, match="Expected a class for each box"):
        predictor.encode(photo, boxes=many_boxes(2))
    scene = predictor.encode(photo, boxes=many_boxes(2), labels=[3, 79])
    assert predictor.decode(scene, "fixed:28").category(1) == "79"
    with pytest.raises(InputError, match="Expected category indices"):
        predictor.encode(photo, boxes=many_boxes(2), labels=[3, 80])


def test_decode_survives_running_out_of_memory(
    tiny_predictor: Predictor, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = tiny_predictor.encode(photo, boxes=many_boxes(3))
    expected = tiny_predictor.decode(scene, "fixed:56").mask_logits
    real, calls = tiny_predictor.model.mask_head.decode, []

    def decode(*args: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(*args, **options)

    monkeypatch.setattr(tiny_predictor.model.mask_head, "decode", decode)
    found = tiny_predictor.decode(scene, "fixed:56").mask_logits
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))
