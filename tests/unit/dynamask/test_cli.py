"""The command line: its outputs, and one sentence for each kind of bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pycocotools.mask as coco_mask
import pytest
from cli_helpers import files_of, sentence
from factories import REPOSITORY, SHARED, tiny_coco

import dynamask
from dynamask import batch, cli
from dynamask.cli import main
from dynamask.overlay import draw_overlay
from dynamask.predictor import Predictor

GRID_NAMES = {"14", "28", "56", "112"}


# -- predict -------------------------------------------------------------------------------


def test_predict_writes_picture_and_json(
    photo: Path, tmp_path: Path, tiny_weights: Path, tiny_predictor: Predictor
) -> None:
    out = tmp_path / "deep" / "out"
    arguments = ["predict", str(photo), "--out", str(out), "--json", "--min-score", "0"]
    assert main([*arguments, "--weights", str(tiny_weights), "--device", "cpu"]) == 0
    assert files_of(out) == ["shapes.json", "shapes.png"]
    result = json.loads((out / "shapes.json").read_text())
    assert set(result) == {"image", "policy", "cost", "objects"}
    assert result["image"] == {"file_name": "shapes.png", "width": 160, "height": 120}
    assert result["policy"] == "msm"
    assert len(result["objects"]) > 0
    for one in result["objects"]:
        check_object(one)
    cost = result["cost"]
    assert set(cost) == {"gmac_total", "gmac_per_roi", "share_of_112", "image_branch_gmac"}
    own = sum(o["gmac"] for o in result["objects"])
    assert cost["gmac_total"] == pytest.approx(own + cost["image_branch_gmac"])
    assert cost["gmac_per_roi"] == pytest.approx(cost["gmac_total"] / len(result["objects"]))
    assert 0 < cost["share_of_112"] < 1.2

    pixels = cv2.imread(str(photo))[..., ::-1]
    expected = draw_overlay(pixels, tiny_predictor.predict(pixels))
    assert (cv2.imread(str(out / "shapes.png"))[..., ::-1] == expected).all()


def check_object(one: dict[str, Any]) -> None:
    keys = "bbox category score area_px2 grid probabilities gmac segmentation"
    assert set(one) == set(keys.split())
    mask = coco_mask.decode(one["segmentation"])
    assert mask.shape == (120, 160)
    assert mask.sum() == one["area_px2"]
    assert set(one["probabilities"]) == GRID_NAMES
    assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-9)
    assert str(one["grid"]) in GRID_NAMES
    x, y, width, height = one["bbox"]
    assert 0 <= x <= x + width <= 160.01 and 0 <= y <= y + height <= 120.01


def test_policy_threshold_and_score_reach_the_model(
    photo: Path, tmp_path: Path, tiny_weights: Path
) -> None:
    def run(name: str, *options: str) -> list[dict[str, Any]]:
        out = tmp_path / name
        fixed = ["predict", str(photo), "--out", str(out), "--json", "--weights", str(tiny_weights)]
        assert main([*fixed, *options]) == 0
        return json.loads((out / "shapes.json").read_text())["objects"]

    low = run("low", "--policy", "fixed:14", "--min-score", "0", "--threshold", "0.2")
    high = run("high", "--policy", "fixed:14", "--min-score", "0", "--threshold", "0.8")
    assert {o["grid"] for o in low} == {14}
    assert sum(o["area_px2"] for o in low) > sum(o["area_px2"] for o in high)
    best = max(o["score"] for o in low)
    assert best < 0.3, "random weights are never sure"
    assert run("default") == []


def test_a_bad_photo_does_not_stop_the_others(
    photo: Path, tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corrupt = photo.with_name("corrupt.png")
    corrupt.write_bytes(photo.read_bytes()[:200])
    missing = photo.with_name("missing.jpg")
    out = tmp_path / "out"
    names = [str(p) for p in (corrupt, missing, photo)]
    status = main(["predict", *names, "--out", str(out), "--json", "--weights", str(tiny_weights)])
    assert status == 2
    assert files_of(out) == ["shapes.json", "shapes.png"]
    err = capsys.readouterr().err
    errors = [line for line in err.splitlines() if line.startswith("dynamask: error: ")]
    assert len(errors) == 2 and "Traceback" not in err
    assert "corrupt.png" in errors[0] and "missing.jpg" in errors[1]
    assert "[3/3] shapes.png: " in err


def test_two_photos_of_one_name_are_refused_before_any_work(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    # the weights do not exist: were they looked at first, that would be the error
    other = str(tmp_path / "elsewhere" / "Shapes.jpg")
    status = main(["predict", str(photo), other, "--out", str(out), "--weights", "none"])
    assert status == 2
    assert "different names" in sentence(capsys)
    assert not out.exists()


def test_a_photo_is_never_overwritten(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = photo.read_bytes()
    assert main(["predict", str(photo), "--out", str(photo.parent)]) == 2
    assert "overwrite" in sentence(capsys)
    assert photo.read_bytes() == before


def test_a_failure_while_drawing_leaves_nothing(
    photo: Path,
    tmp_path: Path,
    tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("made\nup")

    monkeypatch.setattr(batch, "result_dict", explode)
    second = photo.with_name("second.png")
    second.write_bytes(photo.read_bytes())
    out = tmp_path / "out"
    arguments = ["predict", str(photo), str(second), "--out", str(out), "--json"]
    assert main([*arguments, "--weights", str(tiny_weights)]) == 1
    err = capsys.readouterr().err
    assert "unexpected ZeroDivisionError: made up; run the command again with --debug" in err
    assert "[2/2]" in err and "Traceback" not in err
    assert files_of(out) == []
    assert main([*arguments, "--weights", str(tiny_weights), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_leaves_no_temporary_file(
    photo: Path,
    tmp_path: Path,
    tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / "out"
    assert main(["predict", str(photo), "--out", str(out), "--weights", str(tiny_weights)]) == 2
    assert "No space left on device" in sentence(capsys)
    assert files_of(out) == []


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["predict"], ["predict", "a.png"]])
def test_typing_errors_end_with_status_two(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


# -- evaluate, parity, help ----------------------------------------------------------------


def test_evaluate_writes_a_list_and_prints_a_table(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = tiny_coco(tmp_path, photos=2)
    out = tmp_path / "metrics" / "m.json"
    status = main(
        [
            *("evaluate", "--coco", str(coco.annotations), "--images", str(coco.images)),
            *("--policy", "msm", "fixed:14", "--boxes", "gt", "--out", str(out)),
            *("--weights", str(tiny_weights)),
        ]
    )
    assert status == 0
    rows = json.loads(out.read_text())
    assert [r["policy"] for r in rows] == ["msm", "fixed:14"]
    names = "boxes AP AP50 AP75 APS APM APL boundary_AP mean_iou mean_boundary_iou gmac_per_roi"
    for row in rows:
        assert {*names.split(), "share", "seconds_per_image"} <= set(row)
        assert set(row["share"]) == GRID_NAMES
    assert rows[1]["share"]["14"] == 1
    captured = capsys.readouterr()
    table = captured.out.splitlines()
    assert len(table) == 3 and len({len(line) for line in table}) == 1
    assert f"{rows[1]['mean_iou']:.3f}" in table[2]
    assert "2 of 2 photos" in captured.err
    assert files_of(out.parent) == ["m.json"]


def test_table_shows_what_was_not_measured() -> None:
    row: dict[str, Any] = dict.fromkeys(cli.TABLE) | {"policy": "msm"}
    row["share"] = dict.fromkeys(("14", "28", "56", "112"), 0.25)
    assert cli.evaluation_table([row]).splitlines()[1].split() == [
        "msm",
        *"-------",
        *["0.250"] * 4,
    ]


@pytest.mark.parametrize("wrong", [2e-4, float("nan")])
def test_parity_fails_above_its_limit(
    wrong: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dynamask.convert.parity", lambda _: {"good": 1e-5, "bad": wrong})
    assert main(["parity", "any.npz"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["good"] == 1e-5
    assert captured.err == "above 0.0001: bad\n"


@pytest.mark.skipif(not (SHARED / "golden").is_dir(), reason="golden values are not here")
def test_parity_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", str(SHARED / "golden" / "released_head.npz")]) == 0
    errors = json.loads(capsys.readouterr().out)
    assert len(errors) >= 13 and max(errors.values()) <= cli.PARITY_LIMIT


@pytest.mark.parametrize("command", ["predict", "evaluate", "parity", "doctor", *cli.HEAVY])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "--debug" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    """In a fresh process, through ``python -m dynamask`` as users start it."""
    code = (
        "import runpy, sys\n"
        "sys.argv = ['dynamask', '--help']\n"
        "try:\n    runpy.run_module('dynamask', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'cv2', 'numpy', 'PIL', 'gradio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for command in ("predict", "evaluate", "parity", "doctor", *cli.HEAVY):
        assert command in done.stdout


# -- the package ---------------------------------------------------------------------------


def test_public_names() -> None:
    assert len(dynamask.__all__) <= 15
    for name in dynamask.__all__:
        assert getattr(dynamask, name) is not None
    assert set(dynamask.__all__) <= set(dir(dynamask))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        dynamask.Nothing  # noqa: B018
