"""Kills: SIGKILL and SIGTERM of a run, a checkpoint of older code, memory that runs out."""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from factories import REPOSITORY, tiny_coco

from dynamask.errors import InputError, WeightsError
from dynamask.training import train
from dynamask.training.state import load_checkpoint
from dynamask.training.trainer import Trainer, start_from_torchvision

OLD_KEYS = {
    *("model", "average", "average_steps", "optimizer"),
    *("step", "seconds", "collapsed_for", "options_hash"),
}
"""What a checkpoint of commit d0961fe holds."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    (root / "coco_mini").mkdir()
    for name, file in (("train", "instances_train.json"), ("person_single", "person_single.json")):
        made = tiny_coco(root / "coco_mini", 4, name=name, seed=len(name))
        shutil.move(made.annotations, root / "coco_mini" / file)
    return root


def words(data: Path, run: Path, *more: str) -> list[str]:
    return [
        *("train", "--preset", "effnet_lite0_fpn", "--data", str(data), "--run", str(run)),
        *("--sides", "96,128", "--rois", "2", "--warmup", "1", "--batch", "coco=1"),
        *("--device", "cpu", "--threads", "1", "--steps", "3", "--checkpoint-seconds", "0", *more),
    ]


def launch(arguments: list[str], self_signal: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    environment["SELF_SIGNAL"] = self_signal
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "tests" / "training_worker.py"), *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def losses(run: Path) -> list[tuple[int, float]]:
    with open(run / "log.csv", newline="") as file:
        return [(int(r["step"]), float(r["loss"])) for r in csv.DictReader(file)]


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    done = launch(words(data, run))
    assert done.returncode == 0, done.stderr[-2000:]
    return run


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_resumes_as_if_nothing_had_happened(
    data: Path, undisturbed: Path, tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    killed = launch(words(data, run), f"0:1:{int(number)}")
    if number == signal.SIGKILL:
        assert killed.returncode == -signal.SIGKILL
        assert load_checkpoint(run / "checkpoint.pt")["step"] == 1
    else:
        assert killed.returncode == 143 and "stopped by SIGTERM after step 2" in killed.stderr
        assert load_checkpoint(run / "checkpoint.pt")["step"] == 2
    again = launch(words(data, run, "--resume"))
    assert again.returncode == 0, again.stderr[-2000:]
    assert losses(run) == losses(undisturbed)
    a, b = (load_checkpoint(r / "checkpoint.pt") for r in (run, undisturbed))
    for part in ("model", "average"):
        assert all(torch.equal(a[part][k], b[part][k]) for k in b[part])
    assert {"checkpoint.pt", "log.csv", "run.json", "curves.html", "tensorboard"} <= {
        p.name for p in run.iterdir()
    }


@pytest.mark.slow
def test_checkpoints_have_the_form_of_older_runs(undisturbed: Path) -> None:
    """Both ways: nothing that an old checkpoint lacks is asked for."""
    assert set(torch.load(undisturbed / "checkpoint.pt", weights_only=True)) == OLD_KEYS


def options(data: Path, run: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args(words(data, run, *more)[1:])


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
    ids=["gpu", "python", "cpu"],
)
def test_memory_that_runs_out_is_one_sentence(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(self: Trainer, *args: object) -> dict[str, float]:
        raise error

    monkeypatch.setattr(Trainer, "one_step", fail)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InputError, match=r"step 0 to fit into main memory.*--batch"):
        train.run(options(data, tmp_path / "run"))
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_errors_of_a_step_pass(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Trainer, *args: object) -> dict[str, float]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Trainer, "one_step", fail)
    with pytest.raises(RuntimeError, match="mat1"):
        train.run(options(data, tmp_path / "run"))


def test_init_from_a_torch_file_that_is_none(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "maskrcnn.pth"
    file.write_bytes(b"no checkpoint")
    with pytest.raises(WeightsError):
        train.build_model(options(data, tmp_path / "run", "--init", str(file)))
    with pytest.raises(WeightsError):
        start_from_torchvision(None, str(tmp_path / "missing.pth"))  # type: ignore[arg-type]
