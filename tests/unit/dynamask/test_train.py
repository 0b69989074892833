"""Training: a killed and resumed run ends where an uninterrupted one does."""

import argparse
import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import tiny_coco

from dynamask.checkpoint import load_weights
from dynamask.errors import InputError, WeightsError
from dynamask.training import train
from dynamask.training.state import CsvLog, WeightAverage, learning_rate_factor, load_checkpoint


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """coco_mini's layout with drawn shapes."""
    root = tmp_path_factory.mktemp("data")
    coco = root / "coco_mini"
    coco.mkdir()
    for name, file in (("train", "instances_train.json"), ("person_single", "person_single.json")):
        made = tiny_coco(coco, 4, name=name, seed=len(name))
        shutil.move(made.annotations, coco / file)
    return root


def make_args(data: Path, run: Path, **changes: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    args = parser.parse_args([])
    values = {
        "preset": "effnet_lite0_fpn",
        "data": str(data),
        "run": str(run),
        "steps": 4,
        "warmup": 1,
        "sides": "96,128",
        "rois": 3,
        "backbone_lr": 1e-4,
        "device": "cpu",
        "threads": 1,
        **changes,
    }
    for name, value in values.items():
        assert hasattr(args, name), name
        setattr(args, name, value)
    return args


def final_state(run: Path) -> dict[str, torch.Tensor]:
    state = load_checkpoint(run / "checkpoint.pt")
    return {**state["model"], **{f"average.{k}": v for k, v in state["average"].items()}}


@pytest.mark.slow
def test_resume_equals_never_having_stopped(data: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train.run(make_args(data, whole)) == 0
    assert train.run(make_args(data, parts, stop_after=2)) == 0
    weights = tmp_path / "w.safetensors"
    assert train.run(make_args(data, parts, resume=True, export=str(weights))) == 0
    a, b = final_state(whole), final_state(parts)
    assert a.keys() == b.keys()
    worst = max(float((a[k].float() - b[k].float()).abs().max()) for k in a)
    assert worst < 1e-6
    logs = [list(csv.DictReader((r / "log.csv").read_text().splitlines())) for r in (whole, parts)]
    assert [r["step"] for r in logs[1]] == ["0", "1", "2", "3"]
    for x, y in zip(*logs, strict=True):
        assert float(x["loss"]) == pytest.approx(float(y["loss"]), rel=1e-4)
    loaded = load_weights(weights)
    assert loaded.categories == ("person", "car", "dog")
    assert loaded.metadata["steps"] == 4


@pytest.mark.slow
def test_training_changes_what_it_should_and_nothing_else(data: Path, tmp_path: Path) -> None:
    args = make_args(data, tmp_path / "run", only="switch", stop_after=2)
    before = {k: t.clone() for k, t in train.build_model(args).state_dict().items()}
    train.run(args)
    after = load_checkpoint(tmp_path / "run" / "checkpoint.pt")["model"]
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed
    assert {k.split(".")[0] for k in changed} == {"mask_switch"}


def test_run_folder_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"x")
    with pytest.raises(InputError, match="add --resume"):
        train.Trainer(make_args(data, tmp_path))
    with pytest.raises(WeightsError, match="damaged"):
        train.Trainer(make_args(data, tmp_path, resume=True))
    with pytest.raises(WeightsError, match="found none"):
        train.Trainer(make_args(data, tmp_path / "none", resume=True))


def test_collapsed_switch_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    class Watched:
        collapsed_for = 0

    watched = Watched()
    facts = {"share_14": 0.0, "share_28": 0.0, "share_56": 0.01, "share_112": 0.99}
    for _ in range(600):
        train.Trainer.watch_switch(watched, facts)  # type: ignore[arg-type]
    assert sum("collapsed" in r.message for r in caplog.records) == 1
    assert "grid 112" in caplog.text
    train.Trainer.watch_switch(watched, {**facts, "share_112": 0.5})  # type: ignore[arg-type]
    assert watched.collapsed_for == 0


@pytest.mark.parametrize(
    "text", ["coco", "coco=-1", "cats=1", "", "coco=0", "coco=0.5", "coco=1;person=1"]
)
def test_bad_batch_plan(text: str) -> None:
    with pytest.raises(InputError, match="--batch"):
        train.parse_batch(text)


@pytest.mark.parametrize("text", ["500", "a,b", "600,500", "1,2,3"])
def test_bad_sides(text: str) -> None:
    with pytest.raises(InputError, match="--sides"):
        train.parse_sides(text)


def test_learning_rate_warms_up_and_falls() -> None:
    factors = [learning_rate_factor(s, total=100, warmup=10) for s in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == pytest.approx(1.0)
    assert (np.diff(factors[10:]) <= 0).all()
    assert factors[-1] < 0.03


def test_average_follows_a_constant() -> None:
    layer = torch.nn.Linear(2, 2)
    average = WeightAverage(layer, decay=0.9)
    with torch.no_grad():
        layer.weight.fill_(3.0)
    for _ in range(200):
        average.update(layer)
    assert torch.allclose(average.tensors["weight"], torch.full((2, 2), 3.0), atol=1e-3)


def test_log_drops_rows_after_the_checkpoint_and_takes_new_columns(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv")
    for step in range(4):
        log.write({"step": step, "loss": 1.0})
    log = CsvLog(tmp_path / "log.csv", last_step=1)
    log.write({"step": 2, "loss": 2.0, "extra": 5})
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [r["step"] for r in rows] == ["0", "1", "2"]
    assert rows[0]["extra"] == "" and rows[2]["extra"] == "5"
    assert json.dumps(rows[1]["loss"]) == '"1.0"'
