"""Options reach the code behind a command as they were given, and typing errors stay short."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dynamask import batch, cli
from dynamask.cli import main
from dynamask.config import GRIDS


@pytest.mark.parametrize(
    ("extra", "folder"), [([], "runs/train"), (["--run", "elsewhere"], "elsewhere")]
)
def test_train_keeps_its_own_run_option(
    monkeypatch: pytest.MonkeyPatch, extra: list[str], folder: str
) -> None:
    """`run` is an option of train, so the parser must not use the name for itself."""
    from dynamask.training import train

    seen: list[Any] = []

    def run(args: argparse.Namespace) -> int:
        seen.append((args.run, train.run_options(args)))
        return 0

    monkeypatch.setattr(train, "run", run)
    assert main(["train", "--steps", "7", *extra]) == 0
    (got, options) = seen[0]
    assert got == folder
    # a run can be resumed by its options, so the command line must add none of its own
    plain = argparse.ArgumentParser()
    train.add_arguments(plain)
    assert options == train.run_options(plain.parse_args(["--steps", "7"]))


@pytest.mark.parametrize(
    ("options", "policies"),
    [
        ([], ["msm"]),
        (["--policy", "size"], ["size"]),
        (["--policy", "msm", "fixed:28"], ["msm", "fixed:28"]),
        (["--policy", "msm", "--policy", "size"], ["msm", "size"]),
    ],
)
def test_evaluate_hears_every_policy(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny_weights: Path,
    options: list[str],
    policies: list[str],
) -> None:
    from dynamask.training import evaluate

    def fake(
        predictor: object,
        coco: str,
        images: str,
        specs: list[str],
        boxes: str,
        *_: object,
        **__: object,
    ) -> list[dict[str, Any]]:
        row = {**dict.fromkeys(cli.TABLE), "share": dict.fromkeys(map(str, GRIDS), 0.0)}
        return [{"policy": spec, "boxes": boxes, **row} for spec in specs]

    monkeypatch.setattr(evaluate, "evaluate", fake)
    (tmp_path / "coco.json").write_text("{}")
    out = tmp_path / "new" / "metrics.json"
    paths = ["--coco", f"{tmp_path}/coco.json", "--images", str(tmp_path), "--out", str(out)]
    assert main(["evaluate", *paths, "--weights", str(tiny_weights), *options]) == 0
    rows = json.loads(out.read_text())
    assert [r["policy"] for r in rows] == policies
    assert {r["boxes"] for r in rows} == {"detector"}


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["predict"], ["parity", "a", "b"], ["predict", "a", "--out", "b", "--no"]],
)
def test_typing_errors_are_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("dynamask: error: ")
    assert said.count("\n") == 1
    assert "--help" in said


def test_parity_prints_strict_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dynamask import convert

    monkeypatch.setattr(convert, "parity", lambda path: {"a": float("nan"), "b": 1e-6})
    assert main(["parity", "golden.npz"]) == 1

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    printed = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert printed == {"a": None, "b": 1e-6}


def test_a_typing_error_leaves_no_folder(tmp_path: Path, tiny_weights: Path) -> None:
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    cv2.imwrite(str(photo), np.zeros((64, 64, 3), np.uint8))
    command = ["predict", str(photo), "--out", str(out), "--weights", str(tiny_weights)]
    assert main([*command, "--policy", "nonsense"]) == 2
    assert main([*command, "--device", "abacus"]) == 2
    assert not out.exists()
    assert main(command) == 0
    assert [p.name for p in out.iterdir()] == ["photo.png"]


def test_an_error_that_nobody_foresaw_is_a_sentence_and_status_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(batch, "predict_files", broken)
    assert main(["predict", "a.png", "--out", "b"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "ZeroDivisionError: division by zero" in said
