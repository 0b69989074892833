"""Training data: label coverage, determinism, resume, and boxes that stay with their masks."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dynamask.coco_read import read_coco
from dynamask.config import preset
from dynamask.errors import DataError, InputError
from dynamask.training.augment import (
    AugmentConfig,
    Raw,
    augment,
    jitter_boxes,
    no_augmentation,
    paste_objects,
)
from dynamask.training.data import (
    CocoSource,
    DataPaths,
    MaskFolderSource,
    MixedDataset,
    MixedSampler,
    SampleKey,
    collate,
    standard_sources,
    worker_init,
)
from tests.factories import SHARED_DATA, tiny_coco, tiny_mask_folder

CONFIG = preset("effnet_lite0_fpn")
STRONG = AugmentConfig(long_side=(64, 160), crop=1.0, crop_range=(0.3, 0.8))


@pytest.fixture
def sources(tmp_path: Path) -> dict:
    full = tiny_coco(tmp_path, photos=4, crowd=True)
    person = tiny_coco(tmp_path, photos=3, objects=1, name="single", seed=5)
    return {
        "coco": CocoSource(full.annotations, full.images),
        "person": CocoSource(person.annotations, person.images, "person_only"),
        "extra": MaskFolderSource(tiny_mask_folder(tmp_path)),
    }


def same(a: dict, b: dict) -> bool:
    assert a.keys() == b.keys()
    return all(
        torch.equal(a[k], b[k]) if isinstance(a[k], torch.Tensor) else a[k] == b[k] for k in a
    )


def test_samples_have_the_promised_form(sources: dict) -> None:
    dataset = MixedDataset(sources, CONFIG, no_augmentation(128))
    sample = dataset[SampleKey("coco", 0)]
    assert sample["image"].shape == (3, 96, 128) and sample["image"].dtype == torch.float32
    assert sample["boxes"].dtype == torch.float32 and sample["labels"].dtype == torch.int64
    assert sample["masks"].shape == (3, 96, 128) and sample["masks"].dtype == torch.uint8
    assert sample["labels"].tolist() == [0, 1, 2]
    assert sample["ignore_boxes"].tolist() == [[0, 0, 10, 10]], "the crowd"
    assert sample["partial"] == "full" and sample["source"] == "coco" and sample["image_id"] == 1
    assert len(dataset) == 9


def test_label_coverage_follows_the_source(sources: dict) -> None:
    dataset = MixedDataset(sources, CONFIG, no_augmentation(128))
    person = dataset[SampleKey("person", 1)]
    assert person["partial"] == "person_only" and person["labels"].tolist() == [0]
    extra = dataset[SampleKey("extra", 1)]
    assert extra["partial"] == "masks_only" and extra["labels"].tolist() == [-1, -1]
    assert extra["image_id"] == "shapes/p1"
    assert extra["ignore"].shape == extra["image"].shape[1:]
    assert 0 < extra["ignore"].float().mean() < 0.1, "the strip of value 255"
    assert not (extra["masks"] & extra["ignore"]).any()


def test_unresized_samples_keep_the_annotations_exactly(sources: dict) -> None:
    sample = MixedDataset(sources, CONFIG, no_augmentation(128))[SampleKey("coco", 2)]
    raw = sources["coco"].load(2)
    assert np.allclose(sample["boxes"], raw.boxes)
    assert (sample["masks"].numpy() == np.stack(raw.masks)).all()
    pixels = sample["image"] * torch.tensor(CONFIG.pixel_std)[:, None, None]
    pixels += torch.tensor(CONFIG.pixel_mean)[:, None, None]
    assert np.allclose(pixels.permute(1, 2, 0), raw.image, atol=1e-3)


def test_the_same_key_gives_the_same_sample(sources: dict) -> None:
    first = MixedDataset(sources, CONFIG, STRONG, seed=3)
    again = MixedDataset(sources, CONFIG, STRONG, seed=3)
    other = MixedDataset(sources, CONFIG, STRONG, seed=4)
    key = SampleKey("coco", 1, step=17, slot=1)
    again[SampleKey("coco", 2, step=5)]  # what was asked before must not matter
    assert same(first[key], again[key])
    assert not torch.equal(first[key]["image"], other[key]["image"])
    assert not torch.equal(first[key]["image"], first[key._replace(slot=2)]["image"])
    assert not torch.equal(first[key]["image"], first[key._replace(step=18)]["image"])


def test_photos_of_one_step_share_their_long_side(sources: dict) -> None:
    dataset = MixedDataset(sources, CONFIG, STRONG)
    sides = [
        {max(dataset[SampleKey(name, i, step, i)]["image"].shape[1:]) for name in sources}
        for step in range(6)
        for i in (0, 1)
    ]
    assert all(len(s) == 1 for s in sides)
    assert len(set.union(*sides)) > 2, "and it changes from step to step"


@pytest.mark.parametrize("seed", range(20))
def test_boxes_stay_with_their_masks(sources: dict, seed: int) -> None:
    raw = sources["coco"].load(seed % 4)
    out = augment(raw, STRONG, np.random.default_rng(seed))
    height, width = out.image.shape[:2]
    assert 64 <= max(height, width) <= 160
    assert len(out.boxes) == len(out.labels) == len(out.masks)
    assert len(out.boxes) >= 1, "a window is chosen so that some object stays"
    for box, mask in zip(out.boxes, out.masks, strict=True):
        assert mask.shape == (height, width) and mask.any()
        assert (box >= 0).all() and (box[2:] <= (width, height)).all()
        ys, xs = np.nonzero(mask)
        tight = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        assert np.abs(tight - box).max() <= 3, (tight, box)
    ignored = out.ignore_boxes
    assert (ignored[:, 2:] > ignored[:, :2]).all()


def test_objects_cut_by_more_than_half_become_ignored() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    masks = [np.zeros((100, 100), np.uint8) for _ in range(2)]
    masks[0][40:60, 40:60] = 1
    masks[1][0:10, 0:100] = 1
    boxes = np.array([[40, 40, 60, 60], [0, 0, 100, 10]], np.float32)
    raw = Raw(image, boxes, np.array([7, 8]), masks)
    config = AugmentConfig((100, 100), 0.0, 1.0, crop_range=(0.45, 0.55))
    met = 0
    for seed in range(30):
        out = augment(raw, config, np.random.default_rng(seed))
        if 8 not in out.labels and len(out.ignore_boxes):
            met += 1
            assert (out.ignore_boxes[:, 1] == 0).all(), "what is left of it touches the top"
        for box, label in zip(out.boxes, out.labels, strict=True):
            if label == 8:
                # the strip is as long as the photo: at most about half can stay
                assert out.image.shape[1] - (box[2] - box[0]) < 3
    assert met > 5


def test_flip_mirrors_boxes_and_masks() -> None:
    mask = np.zeros((50, 80), np.uint8)
    mask[10:20, 5:25] = 1
    raw = Raw(
        np.zeros((50, 80, 3), np.uint8),
        np.array([[5, 10, 25, 20]], np.float32),
        np.array([0]),
        [mask],
        ignore=mask,
    )
    out = augment(raw, AugmentConfig((80, 80), 1.0, 0.0), np.random.default_rng(0))
    assert out.boxes.tolist() == [[55, 10, 75, 20]]
    assert (out.masks[0] == mask[:, ::-1]).all()
    assert (out.ignore == mask[:, ::-1]).all()


def test_colour_changes_leave_shapes_alone(sources: dict) -> None:
    raw = sources["coco"].load(0)
    plain = augment(raw, no_augmentation(128), np.random.default_rng(1))
    config = AugmentConfig((128, 128), 0.0, 0.0, brightness=0.4, contrast=0.4, saturation=0.4)
    vivid = augment(raw, config, np.random.default_rng(1))
    assert vivid.image.dtype == np.uint8
    assert np.abs(vivid.image.astype(int) - plain.image).mean() > 3
    assert (vivid.masks[0] == plain.masks[0]).all() and (vivid.boxes == plain.boxes).all()


def test_jitter_moves_each_side_within_its_bound() -> None:
    boxes = torch.tensor([[10.0, 20.0, 110.0, 60.0]]).repeat(200, 1)
    moved = jitter_boxes(boxes, np.random.default_rng(0), 0.1)
    step = (moved - boxes).abs()
    assert moved.dtype == torch.float32
    assert step[:, [0, 2]].max() <= 10 and step[:, [1, 3]].max() <= 4
    assert step[:, [0, 2]].max() > 8 and step[:, [1, 3]].max() > 3
    assert torch.equal(moved, jitter_boxes(boxes, np.random.default_rng(0), 0.1))
    assert torch.equal(jitter_boxes(boxes, np.random.default_rng(0), 0.0), boxes)
    assert jitter_boxes(torch.zeros((0, 4)), np.random.default_rng(0), 0.1).shape == (0, 4)
    with pytest.raises(InputError, match="jitter"):
        jitter_boxes(boxes, np.random.default_rng(0), 0.5)


def test_pasted_objects_cover_what_lies_below(sources: dict) -> None:
    config = no_augmentation(128)
    base, other = sources["coco"].load(0), sources["coco"].load(1)
    out = next(
        paste_objects(base, other, config, np.random.default_rng(seed))
        for seed in range(20)
        if np.random.default_rng(seed).random() < 0.5
    )
    assert len(out.masks) + len(out.ignore_boxes) > len(base.ignore_boxes) + 3
    fresh = out.masks[-1]
    assert any((fresh == m).all() for m in other.masks)
    core = fresh.astype(bool) & (other.masks[0] >= 0)
    assert np.abs(out.image[core].astype(int) - other.image[core]).mean() < 15
    below = [m for m in out.masks if not any((m == o).all() for o in other.masks)]
    assert all(not (m & fresh).any() for m in below)


def test_copy_paste_through_the_dataset_adds_objects(sources: dict) -> None:
    off = MixedDataset(sources, CONFIG, no_augmentation(128))
    config = AugmentConfig((128, 128), 0.0, 0.0, copy_paste=1.0)
    on = MixedDataset(sources, CONFIG, config)
    keys = [SampleKey("coco", i % 4, step=i) for i in range(8)]
    labels = [len(on[k]["labels"]) + len(on[k]["ignore_boxes"]) for k in keys]
    assert sum(labels) > sum(len(off[k]["labels"]) + len(off[k]["ignore_boxes"]) for k in keys)


def test_every_photo_comes_once_before_any_comes_twice() -> None:
    sampler = MixedSampler({"coco": 7, "person": 11}, {"coco": 2, "person": 1}, 0, 77)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 77
    assert all(Counter(k.source for k in b) == {"coco": 2, "person": 1} for b in batches)
    assert all([k.slot for k in b] == [0, 1, 2] for b in batches)
    coco = [k.index for b in batches for k in b if k.source == "coco"]
    epochs = [tuple(coco[i : i + 7]) for i in range(0, 154, 7)]
    assert all(sorted(e) == list(range(7)) for e in epochs)
    assert len(set(epochs)) > 10, "shuffled anew each time"
    person = Counter(k.index for b in batches for k in b if k.source == "person")
    assert set(person.values()) == {7}


def test_sources_of_half_a_photo_take_turns() -> None:
    sizes = {"coco": 7, "extra": 3, "person": 5}
    plan = {"coco": 1, "extra": 0.5, "person": 0.5}
    batches = list(MixedSampler(sizes, plan, seed=0, steps=40))
    assert {len(b) for b in batches} == {2}
    assert Counter(k.source for b in batches for k in b) == {"coco": 40, "extra": 20, "person": 20}
    assert [b[1].source for b in batches[:4]] in (
        ["extra", "person"] * 2,
        ["person", "extra"] * 2,
    )
    assert batches[25:] == list(MixedSampler(sizes, plan, seed=0, steps=40, start=25))


def test_a_resumed_sampler_goes_on_identically() -> None:
    sizes, plan = {"coco": 343, "person": 1000, "extra": 5}, {"coco": 1, "person": 1, "extra": 0}
    whole = list(MixedSampler(sizes, plan, seed=9, steps=700))
    resumed = list(MixedSampler(sizes, plan, seed=9, steps=700, start=400))
    assert resumed == whole[400:]
    assert resumed != whole[:300]
    assert whole != list(MixedSampler(sizes, plan, seed=10, steps=700))
    assert whole == list(MixedSampler(sizes, dict(reversed(plan.items())), seed=9, steps=700))
    assert not any(k.source == "extra" for b in whole for k in b)


def test_a_resumed_loader_gives_the_same_pixels(sources: dict) -> None:
    dataset = MixedDataset(sources, CONFIG, STRONG, seed=2)
    sizes, plan = {n: len(s) for n, s in sources.items()}, {"coco": 1, "extra": 1}

    def load(start: int, workers: int) -> list[dict]:
        sampler = MixedSampler(sizes, plan, seed=2, steps=5, start=start)
        loader = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=workers,
            worker_init_fn=worker_init,
        )
        return list(loader)

    whole, resumed = load(0, 0), load(3, 1)
    assert len(whole) == 5 and len(resumed) == 2
    for a, b in zip(whole[3:], resumed, strict=True):
        assert torch.equal(a["images"], b["images"])
        assert a["sizes"] == b["sizes"]
        assert all(same(x, y) for x, y in zip(a["targets"], b["targets"], strict=True))


@pytest.mark.parametrize("plan", [{}, {"coco": 0}, {"coco": 0.5}, {"coco": -1}, {"other": 1}])
def test_a_plan_must_name_photos(plan: dict) -> None:
    with pytest.raises(DataError, match="batch plan"):
        MixedSampler({"coco": 5}, plan, 0, 1)


def test_collate_pads_to_a_multiple_of_32(sources: dict) -> None:
    dataset = MixedDataset(sources, CONFIG, no_augmentation(100))
    samples = [dataset[SampleKey("coco", 0)], dataset[SampleKey("extra", 0)]]
    batch = collate(samples)
    assert batch["sizes"] == [(75, 100), (80, 100)]
    assert batch["images"].shape == (2, 3, 96, 128)
    assert torch.equal(batch["images"][0, :, :75, :100], samples[0]["image"])
    assert not batch["images"][0, :, 75:].any() and not batch["images"][0, :, :, 100:].any()
    assert "image" not in batch["targets"][0]
    assert torch.equal(batch["targets"][1]["masks"], samples[1]["masks"])


def test_nothing_named_val_is_trained_on(tmp_path: Path) -> None:
    coco = tiny_coco(tmp_path, photos=1, name="instances_val")
    with pytest.raises(DataError, match="validation"):
        CocoSource(coco.annotations, coco.images)
    root = tiny_mask_folder(tmp_path, sets=("davis16_val", "cats"))
    assert {name for name, _, _ in MaskFolderSource(root).pairs} == {"cats"}
    with pytest.raises(DataError, match="validation"):
        MaskFolderSource(root, sets=("davis16_val",))
    plain = tiny_coco(tmp_path / "valerie" / "deep", photos=1, name="mine")
    assert len(CocoSource(plain.annotations, plain.images)) == 1, "folders further up are free"


def test_sources_refuse_what_they_cannot_use(tmp_path: Path) -> None:
    coco = tiny_coco(tmp_path, photos=2)
    with pytest.raises(DataError, match="categories"):
        CocoSource(coco.annotations, coco.images, "full", ("cat",))
    coco.data["annotations"] = [a for a in coco.data["annotations"] if a["image_id"] == 2]
    coco.rewrite()
    assert len(CocoSource(coco.annotations, coco.images)) == 2, "an empty photo has negatives"
    alone = CocoSource(coco.annotations, coco.images, "person_only")
    assert [alone.image_id(i) for i in range(len(alone))] == [2]
    with pytest.raises(DataError, match="folder of mask sets"):
        MaskFolderSource(tmp_path / "none")
    root = tiny_mask_folder(tmp_path)
    (root / "shapes" / "masks" / "p0.png").unlink()
    with pytest.raises(DataError, match=r"mask p0\.png"):
        MaskFolderSource(root)


def test_a_photo_without_objects_is_a_sample(tmp_path: Path) -> None:
    coco = tiny_coco(tmp_path, photos=1)
    coco.data["annotations"] = []
    coco.rewrite()
    source = {"coco": CocoSource(coco.annotations, coco.images)}
    sample = MixedDataset(source, CONFIG, STRONG)[SampleKey("coco", 0)]
    assert sample["boxes"].shape == (0, 4) and sample["labels"].shape == (0,)
    assert sample["masks"].shape == (0, *sample["image"].shape[1:])


@pytest.mark.parametrize("bad", [{"long_side": (10, 20)}, {"crop_range": (0.0, 1.0)}])
def test_augmentation_settings_are_checked(bad: dict) -> None:
    with pytest.raises(InputError, match="Expected"):
        AugmentConfig(**bad)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs ../shared/data")
def test_the_real_sources() -> None:
    paths = DataPaths(SHARED_DATA)
    sources = standard_sources(paths)
    assert {n: s.partial for n, s in sources.items()} == {
        "coco": "full",
        "person": "person_only",
        "extra": "masks_only",
    }
    assert len(sources["coco"]) == 343 and len(sources["person"]) == 1000
    assert not any("val" in name for name, _, _ in sources["extra"].pairs)
    validation = {i.id for i in read_coco(paths.validation[0]).images}
    trained = {sources[n].image_id(i) for n in ("coco", "person") for i in range(len(sources[n]))}
    assert not validation & trained
    with pytest.raises(DataError, match="validation"):
        CocoSource(*paths.validation)
    dataset = MixedDataset(sources, CONFIG, AugmentConfig())
    started = time.process_time()
    for i in range(20):
        sample = dataset[SampleKey("coco", i, i)]
        assert len(sample["boxes"]) == len(sample["masks"])
    # about 30 ms on one 2020s core; a hundredfold slip would starve training
    assert (time.process_time() - started) / 20 < 1.0
