"""Weights files: what is written comes back; what is wrong is refused in a sentence."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dynamask.checkpoint import load_checked, load_weights, save_weights
from dynamask.config import DynaMaskConfig, preset
from dynamask.errors import InputError, WeightsError
from dynamask.model.detector import DynaMask


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[DynaMask, Path]:
    torch.manual_seed(0)
    model = DynaMask(preset("effnet_lite0_fpn"))
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(model, path, categories=("person", "dog"), metadata={"seed": 3})
    return model, path


def test_round_trip(written: tuple[DynaMask, Path]) -> None:
    model, path = written
    loaded = load_weights(path, preset="effnet_lite0_fpn")
    assert loaded.categories == ("person", "dog")
    assert loaded.metadata == {"seed": 3}
    assert len(loaded.sha256) == 64
    assert loaded.model.config == model.config
    assert not loaded.model.training
    for name, tensor in loaded.model.state_dict().items():
        expected = model.state_dict()[name]
        if tensor.is_floating_point():
            expected = expected.half().float()
        assert torch.equal(tensor, expected), name


def test_no_temporary_file_stays(written: tuple[DynaMask, Path]) -> None:
    assert [p.name for p in written[1].parent.iterdir()] == ["w.safetensors"]


def test_other_preset(written: tuple[DynaMask, Path]) -> None:
    with pytest.raises(WeightsError, match=r"preset 'resnet50_fpn', got w\.safetensors of preset"):
        load_weights(written[1], preset="resnet50_fpn")


def test_shapes_and_names_are_checked(written: tuple[DynaMask, Path]) -> None:
    model, path = written
    tensors = load_file(path)
    first = next(k for k in tensors if tensors[k].ndim == 4)
    with pytest.raises(WeightsError, match="is \\(1,\\) instead of"):
        load_checked(model, {**tensors, first: torch.zeros(1)}, source="x")
    with pytest.raises(WeightsError, match="unexpected extra"):
        load_checked(model, {**tensors, "extra": torch.zeros(1)}, source="x")
    missing = dict(list(tensors.items())[20:])
    with pytest.raises(WeightsError, match="and 10 more"):
        load_checked(model, missing, source="x")


def test_nan_is_refused(written: tuple[DynaMask, Path], tmp_path: Path) -> None:
    model, _ = written
    state = {k: t.clone() for k, t in model.state_dict().items()}
    state["mask_switch.fc2.bias"][0] = float("nan")
    save_weights(model, tmp_path / "nan.safetensors", categories=("a",), state=state)
    with pytest.raises(WeightsError, match=r"NaN or infinity in mask_switch\.fc2\.bias"):
        load_weights(tmp_path / "nan.safetensors")


def test_config_that_builds_no_model(written: tuple[DynaMask, Path], tmp_path: Path) -> None:
    header = {"format": "dynamask-1", "categories": "[]", "metadata": "{}"}
    for text in ("{", '{"preset": 1}', "[]", json.dumps({"preset": "x", "surprise": 2})):
        path = tmp_path / "c.safetensors"
        save_file({"a": torch.zeros(1)}, path, metadata={**header, "config": text})
        with pytest.raises(WeightsError):
            load_weights(path)


@pytest.mark.parametrize("name", ["resnet50_fpn", "effnet_lite2_fpn"])
def test_config_json_round_trip(name: str) -> None:
    config = preset(name)
    assert DynaMaskConfig.from_json(config.to_json()) == config
    with pytest.raises(InputError, match="Expected a preset, one of"):
        preset("resnet18")
