"""Calibration: the price meets the target cost; the size rule spends the same."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from factories import tiny_coco

from dynamask.checkpoint import load_weights, save_weights
from dynamask.cost import cost_table
from dynamask.errors import InputError
from dynamask.predictor import Predictor
from dynamask.training import calibrate as calibrate_module
from dynamask.training.calibrate import calibrate, collect, fit_price
from dynamask.training.data import CocoSource

MAC = np.array([0.231, 0.395, 0.576, 0.789])


@pytest.mark.parametrize("fraction", [0.4, 0.6, 0.8])
def test_price_meets_the_target(fraction: float) -> None:
    rng = np.random.default_rng(0)
    gains = np.cumsum(rng.exponential(0.5, (4000, 4)) * [0, 1, 0.6, 0.3], axis=1)
    price = fit_price(gains, MAC, fraction)
    choice = (gains - price * MAC / MAC[-1]).argmax(axis=1)
    assert (MAC[choice] / MAC[-1]).mean() == pytest.approx(fraction, abs=0.005)


def test_switch_that_spends_too_little_is_paid_to_spend() -> None:
    gains = np.tile([1.0, 0.5, 0.2, 0.1], (100, 1)) + np.linspace(0, 1, 100)[:, None] * [0, 0, 0, 1]
    assert fit_price(gains, MAC, 0.9) < 0


@pytest.mark.slow
def test_calibrated_weights_spend_the_target_on_the_same_photos(
    tiny_predictor: Predictor, tmp_path: Path
) -> None:
    made = tiny_coco(tmp_path, 12, objects=4, name="shapes")
    source = CocoSource(made.annotations, made.images)
    before, after = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_weights(tiny_predictor.model, before, categories=tiny_predictor.categories)
    facts = calibrate(before, after, [source], photos=12, fraction=0.6, price_switch=True)
    assert facts["objects"] == 48
    predictor = Predictor.from_weights(after, device="cpu")
    sample = collect(predictor, [source], 12)
    exits = cost_table(predictor.config).exit_macs()
    spent = exits[sample.log_probabilities.argmax(axis=1)].mean() / exits[-1]
    # float16 on disk moves logits a little, and one object in 48 is 2 %
    assert spent == pytest.approx(facts["realised_fraction"], abs=0.05)
    assert predictor.config.loss.budget_fraction == 0.6
    assert list(predictor.config.size_thresholds_px) == sorted(predictor.config.size_thresholds_px)
    assert load_weights(after).metadata["calibration"]["photos"] == 12


@pytest.mark.slow
def test_several_budgets_from_one_look(
    tiny_predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tiny_coco(tmp_path, 6, objects=3, name="shapes")
    source = CocoSource(made.annotations, made.images)
    monkeypatch.setattr(calibrate_module, "standard_sources", lambda _: {"coco": source})
    before = tmp_path / "a.safetensors"
    save_weights(tiny_predictor.model, before, categories=tiny_predictor.categories)
    parser = argparse.ArgumentParser()
    calibrate_module.add_arguments(parser)
    command = ["--weights", str(before), "--photos", "6", "--fraction", "0.4", "0.8", "--out"]
    with pytest.raises(InputError, match="fraction"):
        calibrate_module.run(parser.parse_args([*command, str(tmp_path / "one.safetensors")]))
    calibrate_module.run(parser.parse_args([*command, str(tmp_path / "{fraction}.safetensors")]))
    for fraction in (0.4, 0.8):
        loaded = load_weights(tmp_path / f"{fraction}.safetensors")
        assert loaded.model.config.loss.budget_fraction == fraction
        assert loaded.metadata["calibration"]["objects"] == 18
