"""Schedules: the published numbers, scaling with the batch, sizes, temperature, estimates."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import SHARED_DATA, tiny_coco

from dynamask.errors import DataError, InputError
from dynamask.training import train
from dynamask.training.augment import AugmentConfig, Raw, augment
from dynamask.training.options import make_plan, open_sources
from dynamask.training.schedule import (
    SCHEDULES,
    cosine_factor,
    pick_schedule,
    step_factor,
    temperature_at,
    training_hours,
)
from dynamask.training.state import load_checkpoint


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args(list(words))


@pytest.mark.parametrize(
    ("name", "steps", "milestones", "sides"),
    [
        ("1x", 90_000, (60_000, 80_000), {800}),
        ("3x", 270_000, (210_000, 250_000), {640, 672, 704, 736, 768, 800}),
    ],
)
def test_published_numbers(
    name: str, steps: int, milestones: tuple[int, int], sides: set[int]
) -> None:
    schedule = SCHEDULES[name]
    assert (schedule.steps, schedule.milestones) == (steps, milestones)
    assert set(schedule.short_sides) == sides and schedule.long_side == 1333
    assert (schedule.lr, schedule.batch, schedule.warmup) == (0.02, 16, 1000)
    assert (schedule.momentum, schedule.weight_decay) == (0.9, 1e-4)


def test_rate_follows_the_published_steps() -> None:
    plan = make_plan(
        options("--preset", "resnet50_fpn", "--schedule", "1x", "--data-coco", "a", "b"),
        processes=8,
    )
    assert plan.photos == {"coco": 2.0} and plan.steps == 90_000 and plan.clip == math.inf
    rate = [plan.lr * plan.factor(step) for step in (0, 500, 1000, 59_999, 60_000, 80_000, 89_999)]
    expected = [2e-5, 0.01, 0.02, 0.02, 0.002, 2e-4, 2e-4]
    assert rate == pytest.approx(expected, rel=2e-3)
    assert plan.backbone_lr == plan.lr and plan.backbone_from == 2
    assert plan.augmentation.short_sides == (800,) and plan.augmentation.crop == 0


def test_smaller_batches_take_more_and_smaller_steps() -> None:
    steps, milestones, lr = SCHEDULES["3x"].for_batch(4)
    assert (steps, milestones, lr) == (1_080_000, (840_000, 1_000_000), 0.005)
    words = ("--preset", "resnet101_fpn", "--schedule", "3x", "--data-coco", "a", "b")
    assert make_plan(options(*words, "--batch", "coco=4")).steps == steps
    assert make_plan(options(*words, "--batch", "coco=4"), processes=4).steps == 270_000


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--schedule", "1x"), "resnet50_fpn"),
        (("--data-coco", "a", "b", "--batch", "coco=1,extra=1"), "only source"),
        (("--temperature", "0"), "--temperature"),
        (("--temperature-end", "-1"), "--temperature-end"),
        (("--estimate", "1"), "--estimate"),
    ],
)
def test_contradictions_are_errors(words: tuple[str, ...], match: str) -> None:
    with pytest.raises(InputError, match=match):
        make_plan(options(*words))


def test_unknown_schedule() -> None:
    with pytest.raises(InputError, match="1x, 3x"):
        pick_schedule("9x")


def test_factors_at_their_corners() -> None:
    fall = [
        step_factor(s, milestones=(10, 20), warmup=4, warmup_start=0.1) for s in (0, 2, 4, 10, 20)
    ]
    assert fall == pytest.approx([0.1, 0.55, 1, 0.1, 0.01])
    assert cosine_factor(0, total=10, warmup=0) == pytest.approx(1)
    assert cosine_factor(10, total=10, warmup=0) == pytest.approx(0.02)


def test_temperature_falls_geometrically() -> None:
    found = [temperature_at(s, total=5, start=1.6, end=0.1) for s in range(5)]
    assert found == pytest.approx([1.6, 0.8, 0.4, 0.2, 0.1])
    assert temperature_at(3, total=5, start=0.5, end=None) == 0.5


def test_hours() -> None:
    assert training_hours(0.5, 90_000, 8) == pytest.approx((12.5, 100.0))


@pytest.mark.parametrize(("size", "expected"), [((60, 80), (800, 1067)), ((30, 90), (444, 1333))])
def test_short_side_with_a_cap_on_the_long_one(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    raw = Raw(np.zeros((*size, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    config = AugmentConfig((800, 1333), crop=0.0, short_sides=(800,))
    assert augment(raw, config, np.random.default_rng(0)).image.shape[:2] == expected


def test_a_short_side_is_one_of_those_given() -> None:
    config = AugmentConfig((640, 1333), short_sides=SCHEDULES["3x"].short_sides)
    drawn = {config.draw_side(np.random.default_rng(i)) for i in range(100)}
    assert drawn == set(SCHEDULES["3x"].short_sides)
    with pytest.raises(InputError, match="short_sides"):
        AugmentConfig(short_sides=(8,))


def test_own_coco_set_is_the_only_source_and_never_validation(tmp_path: Path) -> None:
    coco = tiny_coco(tmp_path, photos=2)
    sources = open_sources(options("--data-coco", str(coco.annotations), str(coco.images)))
    assert set(sources) == {"coco"} and len(sources["coco"]) == 2
    val = tiny_coco(tmp_path / "other", photos=1, name="instances_val2017")
    with pytest.raises(DataError, match="validation"):
        open_sources(options("--data-coco", str(val.annotations), str(val.images)))


def rehearsal(run: Path) -> list[str]:
    coco = SHARED_DATA / "coco_mini"
    return [
        *("--preset", "resnet50_fpn", "--schedule", "1x", "--batch", "coco=1", "--rois", "2"),
        *("--data-coco", str(coco / "instances_train.json"), str(coco / "train")),
        *("--sides", "128,128", "--device", "cpu", "--threads", "1", "--run", str(run)),
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs ../shared/data")
def test_published_preset_rehearsed_on_coco_mini(tmp_path: Path) -> None:
    """The real ResNet-50 preset, its real schedule, two steps of one small photo."""
    args = options(*rehearsal(tmp_path / "run"), "--stop-after", "2")
    before = {k: t.clone() for k, t in train.build_model(args).state_dict().items()}
    assert train.run(args) == 0
    state = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert state["step"] == 2
    assert all(t.isfinite().all() for t in state["model"].values() if t.is_floating_point())
    moved = {k for k in before if not torch.equal(before[k], state["model"][k])}
    body = "pyramid.backbone.body."
    assert any(k.startswith(f"{body}layer2") for k in moved)
    assert not any(k.startswith((f"{body}conv1", f"{body}layer1", f"{body}bn1")) for k in moved)
    assert {"rpn", "roi_heads", "mask_head", "mask_switch"} <= {k.split(".")[0] for k in moved}
    assert "momentum_buffer" in next(iter(state["optimizer"]["state"].values()))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs ../shared/data")
def test_estimate_prints_hours_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.run(options(*rehearsal(tmp_path / "run"), "--estimate", "2")) == 0
    out = capsys.readouterr().out
    assert "1440000 steps" in out, "90,000 at batch 16 are 1,440,000 at batch 1"
    seconds = float(out.split(" s/step")[0])
    hours = float(out.split("CPU hours")[0].split()[-1])
    assert hours == pytest.approx(seconds * 1_440_000 / 3600, rel=0.02)
    assert not (tmp_path / "run").exists()
