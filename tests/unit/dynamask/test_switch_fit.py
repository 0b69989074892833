"""Teaching the switch from measured gains: the measure, the fit, the file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from factories import tiny_coco
from torch import Tensor

from dynamask.checkpoint import load_weights, save_weights
from dynamask.config import GRIDS, LossConfig, SwitchConfig
from dynamask.errors import DataError, InputError
from dynamask.metrics import boundary_iou, mask_iou
from dynamask.model.mask_switch import MaskSwitch
from dynamask.paste import paste_mask
from dynamask.predictor import Predictor
from dynamask.training.augment import no_augmentation
from dynamask.training.data import CocoSource
from dynamask.training.history import training_stages
from dynamask.training.switch_data import SwitchData, collect_gains, quality_at_grids
from dynamask.training.switch_fit import (
    FitOptions,
    expected_quality,
    fit_switch,
    held_out_report,
    run_fit,
    switch_logits,
)


def disc(side: int) -> Tensor:
    y, x = np.mgrid[:side, :side] + 0.5
    return torch.from_numpy(0.45 * side - np.hypot(x - side / 2, y - side / 2)).float()


def test_quality_is_what_evaluation_measures() -> None:
    logits = {g: disc(g) * 112 / g for g in GRIDS}
    box = torch.tensor([20.3, 8.0, 75.0, 61.5])
    y, x = np.mgrid[:90, :120] + 0.5
    truth = np.hypot((x - 48) / 26, (y - 36) / 22) < 1
    got = quality_at_grids(logits, box, truth)
    for value, grid in zip(got, GRIDS, strict=True):
        mask = paste_mask(logits[grid], box, (90, 120))
        assert value == pytest.approx((mask_iou(mask, truth) + boundary_iou(mask, truth)) / 2)
    assert got[3] > got[0]


def test_pixels_that_the_photo_does_not_tell_do_not_count() -> None:
    logits = {g: torch.full((g, g), 9.0) for g in GRIDS}  # the whole box
    box = torch.tensor([10.0, 10.0, 50.0, 50.0])
    truth = np.zeros((60, 60), dtype=bool)
    truth[10:50, 10:30] = True
    known = np.ones((60, 60), dtype=bool)
    known[:, 30:] = False
    assert quality_at_grids(logits, box, truth)[0] < 0.6
    masked = quality_at_grids(logits, box, truth, known)[0]
    # the truth's own rim where the unknown begins still counts
    assert masked > 0.8, "the half that is unknown was the error"


MAC = np.array([0.3, 0.5, 0.7, 1.0])
SMALL = SwitchConfig(in_channels=4, crop=12, channels=(8, 4), hidden=16)
GAIN = LossConfig(switch_loss="gain")


def bright_or_dark(count: int, seed: int) -> SwitchData:
    """Bright crops gain from the finest grid, dark ones lose by it; edges say so too."""
    rng = np.random.default_rng(seed)
    bright = torch.from_numpy(rng.random(count) < 0.5)
    crops = torch.from_numpy(rng.normal(0, 0.3, (count, 4, 12, 12))).to(torch.float16)
    crops[bright] += 1
    gain = torch.tensor([[0.0, -0.02, -0.03, -0.04], [0.0, 0.02, 0.05, 0.08]])[bright.long()]
    return SwitchData(crops, 0.7 + gain, 0.5 - 4 * gain, torch.arange(count))


def taught(loss: LossConfig, epochs: int = 25) -> MaskSwitch:
    torch.manual_seed(0)
    switch = MaskSwitch(SMALL)
    options = FitOptions(epochs=epochs, lr=3e-3, weight_decay=0.01)
    history = fit_switch(switch, bright_or_dark(400, 0), loss, MAC, options)
    assert history[-1] < history[0]
    return switch


def test_the_switch_learns_what_gains() -> None:
    switch, test = taught(GAIN), bright_or_dark(200, 1)
    logits = switch_logits(switch, test.crops)
    choice = logits.argmax(dim=1)
    assert (choice == test.quality.argmax(dim=1)).float().mean() > 0.95
    # gains come out in units of gain_scale
    told = GAIN.gain_scale * (logits[:, 3] - logits[:, 0])
    assert torch.allclose(told, test.quality[:, 3] - test.quality[:, 0], atol=0.03)
    chosen = expected_quality(logits, test.quality, MAC, 0.65)
    one_for_all = float(np.interp(0.65, MAC, test.quality.mean(dim=0).numpy()))
    assert chosen > one_for_all + 0.01
    report = held_out_report(logits, test, MAC, [0.65])
    at = report["at_fraction"]["0.65"]
    assert at["mixture"] < at["switch"] <= at["oracle"] <= report["best_choice"]
    assert sum(report["argmax"]["share"].values()) == pytest.approx(1, abs=1e-3)


def test_the_papers_loss_keeps_its_budget_where_the_hinge_is_heavy() -> None:
    test = bright_or_dark(200, 1)
    free = LossConfig(switch_loss="paper", budget_weight=0.0)
    tight = LossConfig(switch_loss="paper", budget_weight=10.0, budget_fraction=0.5)
    spent = {}
    for name, loss in (("free", free), ("tight", tight)):
        report = held_out_report(switch_logits(taught(loss), test.crops), test, MAC, [])
        spent[name] = report["argmax"]["fraction"]
    assert spent["tight"] < spent["free"]
    assert spent["tight"] < 0.56


def test_one_object_is_too_few() -> None:
    with pytest.raises(InputError, match="at least 2"):
        fit_switch(MaskSwitch(SMALL), bright_or_dark(1, 0), GAIN, MAC, FitOptions(epochs=1))


def test_measurements_survive_a_file(tmp_path: Path) -> None:
    data = bright_or_dark(5, 0)
    data.save(tmp_path / "gains.safetensors")
    again = SwitchData.load(tmp_path / "gains.safetensors")
    assert all(torch.equal(again.tensors()[k], v) for k, v in data.tensors().items())
    (tmp_path / "gains.safetensors").write_bytes(b"no")
    with pytest.raises(DataError, match="measurements"):
        SwitchData.load(tmp_path / "gains.safetensors")


@pytest.mark.slow
def test_fit_leaves_the_masks_alone_and_tells_its_story(
    tiny_predictor: Predictor, tmp_path: Path
) -> None:
    made = tiny_coco(tmp_path, 8, objects=3, name="shapes")
    source = CocoSource(made.annotations, made.images)
    before, after = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    told = {"command": "python -m dynamask train", "options": {"init": None}, "steps": 3}
    save_weights(tiny_predictor.model, before, categories=tiny_predictor.categories, metadata=told)

    def measure(predictor: Predictor, switch: MaskSwitch) -> SwitchData:
        return collect_gains(
            predictor,
            {"coco": source},
            {"coco": 10},
            augmentation=no_augmentation(128),
            switch=switch,
        )

    options = FitOptions(epochs=2)
    facts = run_fit(before, after, measure, loss=GAIN, options=options, command="fit")
    assert facts["taught_on"] > facts["held_out"]["objects"] > 0
    old, new = load_weights(before), load_weights(after)
    changed = [
        name
        for name, value in old.model.state_dict().items()
        if not torch.equal(value, new.model.state_dict()[name])
    ]
    assert changed and all(name.startswith("mask_switch.") for name in changed)
    assert new.model.config.loss.switch_loss == "gain"
    stages = training_stages(new.metadata)
    assert [s["command"] for s in stages] == ["python -m dynamask train", "fit"]


@pytest.mark.slow
def test_measuring_is_the_same_every_time(tiny_predictor: Predictor, tmp_path: Path) -> None:
    made = tiny_coco(tmp_path, 3, objects=3, name="shapes")
    sources = {"coco": CocoSource(made.annotations, made.images)}
    options = {"augmentation": no_augmentation(128), "seed": 4}
    one, two = (collect_gains(tiny_predictor, sources, {"coco": 3}, **options) for _ in range(2))
    assert torch.equal(one.crops, two.crops)
    assert torch.equal(one.quality, two.quality)
    assert torch.equal(one.edges, two.edges)
    assert bool((one.edges > 0).all())
    assert set(one.photos.tolist()) == {0, 1, 2}
    assert float(one.quality.min()) >= 0 and float(one.quality.max()) <= 1


def test_no_objects(tiny_predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="with objects"):
        collect_gains(tiny_predictor, {}, {}, augmentation=no_augmentation(128))


def test_stages_follow_the_starting_file(tiny_predictor: Predictor, tmp_path: Path) -> None:
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    categories = tiny_predictor.categories
    account = {"command": "one", "options": {"init": None}}
    save_weights(tiny_predictor.model, first, categories=categories, metadata=account)
    account = {"command": "two", "options": {"init": str(first)}}
    save_weights(tiny_predictor.model, second, categories=categories, metadata=account)
    told = training_stages(load_weights(second).metadata)
    assert [s["command"] for s in told] == ["one", "two"]
    first.unlink()
    assert [s["command"] for s in training_stages(load_weights(second).metadata)] == ["two"]
    assert training_stages({}) == []
