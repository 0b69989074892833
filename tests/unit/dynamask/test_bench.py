"""The bench: pairing and ratios by hand, and one whole run on random weights."""

from __future__ import annotations

import argparse
import dataclasses
import json

import numpy as np
import pytest
import torch

from dynamask import bench
from dynamask.checkpoint import save_weights
from dynamask.config import GRIDS, MaskHeadConfig, preset
from dynamask.errors import InputError
from dynamask.model.detector import DynaMask


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(DynaMask(preset("effnet_lite0_fpn")), path, categories=("thing",) * 80)
    return str(path)


def test_rounds_are_interleaved_and_the_first_is_not_counted() -> None:
    calls: list[str] = []
    jobs = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    times = bench.interleaved(jobs, 3)
    assert "".join(calls) == "baabbaab"
    assert [len(t) for t in times.values()] == [3, 3]


def test_ratio_is_of_pairs_not_of_medians() -> None:
    # a machine that slows down tenfold half-way does not change a ratio of 2
    assert bench.median_ratio([2.0, 4.0, 20.0], [1.0, 2.0, 10.0]) == 2.0
    assert bench.median_ratio([1.0, 9.0, 3.0], [1.0, 3.0, 3.0]) == 1.0


def test_fast_deformable_convolution_equals_the_reference() -> None:
    config = preset("effnet_lite0_fpn").replace(
        mask=MaskHeadConfig(in_channels=16, stage_channels=(16, 8, 4), num_classes=1)
    )
    rows = bench.bench_deform(config, repeats=1, rois=2)
    assert [(r["grid"], r["channels"]) for r in rows] == [(14, 16), (28, 8), (56, 4)]
    for row in rows:
        assert row["max_relative_error"] < 1e-4
        assert row["speedup"] > 0


def test_pattern_boxes_lie_inside_the_photo() -> None:
    boxes = bench.grid_boxes(120, 200)
    assert boxes.shape == (16, 4)
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes <= [200, 120, 200, 120]).all()
    assert len({tuple(b[2:] - b[:2]) for b in boxes.round(3)}) == 3


@pytest.mark.parametrize("repeats", [0, -3, 10**6])
def test_repeats_out_of_range_is_a_sentence(repeats: int) -> None:
    with pytest.raises(InputError, match="1 to 1000 repeats"):
        bench.main(["--repeats", str(repeats)])


def test_run_prints_json_and_text(weights: str, tmp_path, capsys) -> None:
    from PIL import Image

    photo = tmp_path / "photo.png"
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photo)
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    options = ["--weights", weights, "--image", str(photo), "--device", "cpu", "--repeats", "1"]
    assert bench.run(parser.parse_args([*options, "--json"])) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["input"]["objects"] > 0
    assert [d["policy"] for d in result["decode"]] == [*bench.POLICIES, bench.BASELINE]
    by_policy = {d["policy"]: d for d in result["decode"]}
    assert by_policy["fixed:112"]["time_ratio"] == 1.0
    assert by_policy["fixed:112"]["cost_ratio"] == 1.0
    for grid in GRIDS:
        grids = by_policy[f"fixed:{grid}"]["grids"]
        assert grids == {str(g): result["input"]["objects"] * (g == grid) for g in GRIDS}
    costs = [by_policy[f"fixed:{grid}"]["cost_ratio"] for grid in GRIDS]
    assert costs == sorted(costs)
    assert result["shares"]["encode"] + result["shares"]["decode"] == pytest.approx(1.0)

    text = bench.as_text(result)
    for spec in by_policy:
        assert spec in text


def test_the_timed_switch_is_the_predictors(weights: str) -> None:
    from dynamask.predictor import Predictor

    predictor = Predictor.from_weights(weights, device="cpu")
    photo = np.random.default_rng(1).integers(0, 255, (70, 150, 3), dtype=np.uint8)
    scene = predictor.encode(photo, bench.grid_boxes(70, 150))
    timed = bench._run_switch(predictor, scene)
    assert torch.allclose(timed, scene.probabilities, atol=1e-5)


def test_a_photo_without_objects_gets_a_pattern_of_boxes(tmp_path) -> None:
    from dynamask.predictor import Predictor

    config = preset("effnet_lite0_fpn")
    strict = dataclasses.replace(config.detector, score_threshold=1.0)
    torch.manual_seed(0)
    path = tmp_path / "strict.safetensors"
    save_weights(DynaMask(config.replace(detector=strict)), path, categories=("thing",) * 80)
    predictor = Predictor.from_weights(str(path), device="cpu")
    result = bench.run_bench(predictor, np.zeros((64, 96, 3), dtype=np.uint8), repeats=1)
    assert result["input"]["objects"] == 16
    assert "nothing was found" in result["input"]["boxes"]
