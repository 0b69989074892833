"""``python -m analysis``: what it prints, and one sentence with status 2 for bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from factories import TinyCoco, tiny_coco
from run_compare import tables

from analysis import cli
from analysis.synthetic import write_run


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> TinyCoco:
    return tiny_coco(tmp_path_factory.mktemp("set"), 4, objects=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "one", 300, 20, seed=3)


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert err.startswith("dynamask: error: Expected ") and err.count("\n") == 1, err
    return err


def test_a_run_from_the_command_line(
    coco: TinyCoco, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    base = ["run", "--out", str(out)]
    given = ["--coco", str(coco.annotations), "--images", str(coco.images)]
    given += ["--weights", str(tiny_weights), "--limit", "3", "--processes", "1"]
    status = cli.main([*base, *given, "--policy", "msm", "--policy", "size", "--no-detector"])
    said = capsys.readouterr()
    assert status == 0, said.err
    assert "3 of 3 photos (0 could not be used), 6 objects, 12 rows" in said.out
    assert set(tables(out)["objects"]["policy"]) == {"msm", "size"}
    assert cli.main([*base, *given]) == 2
    assert "holds a run" in sentence(capsys)
    assert cli.main([*base, "--resume"]) == 0  # its own options, nothing left to do
    capsys.readouterr()
    assert cli.main([*base, "--resume", "--limit", "2"]) == 2
    assert "different: photos" in sentence(capsys)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "no --coco and no --images"),
        (["--coco", "none.json", "--images", "."], "no such file"),
        (["--coco", "none.json", "--images", "nowhere"], "a folder of photos"),
        (["--coco", "a", "--images", ".", "--limit", "0"], "limit of at least 1"),
        (["--coco", "a", "--images", ".", "--no-detector", "--detector", "own"], "leave one out"),
        (["--coco", "a", "--images", ".", "--processes", "-1"], "processes of at least 1"),
    ],
)
def test_bad_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    out = tmp_path / "run"
    assert cli.main(["run", "--out", str(out), *more]) == 2
    assert words in sentence(capsys)
    assert not out.exists(), "nothing half-written"


def test_usage_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["fly"], ["run"], ["run", "--out", "x", "--workers", "cloud"], ["report"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(argv)
        assert stop.value.code == 2
        err = capsys.readouterr().err
        assert err.startswith("dynamask: error: ") and err.count("\n") == 1


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".json"])
def test_exports_are_whole(folder: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"rows{ending}"
    assert cli.main(["export", str(folder), "--out", str(out)]) == 0
    read = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".json": pd.read_json}[ending]
    got, expected = read(out), tables(folder)["objects"]
    assert len(got) == len(expected)
    assert list(got.columns) == list(expected.columns)
    key = ["image_id", "annotation_id", "boxes", "policy"]
    expected = expected.sort_values(key).reset_index(drop=True)
    assert (got["category"] == expected["category"]).all()
    assert got["iou56"].to_numpy() == pytest.approx(expected["iou56"].to_numpy(), abs=1e-6)
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


def test_bad_exports(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv, words in (
        ([str(folder), "--out", str(tmp_path / "x.xlsx")], ".csv, .parquet, .json"),
        ([str(folder), "--out", str(tmp_path / "no" / "x.csv")], "existing folder"),
        ([str(folder), "--out", str(tmp_path / "x.csv"), "--table", "people"], "people"),
        ([str(folder), "--out", str(tmp_path / "x.csv"), "--table", "truths"], "which has none"),
        ([str(tmp_path), "--out", str(tmp_path / "x.csv")], "manifest.json"),
    ):
        assert cli.main(["export", *argv]) == 2
        assert words in sentence(capsys)
    assert not list(tmp_path.iterdir())


def test_comparisons(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_run(tmp_path / "two", 300, 20, seed=4)
    out = tmp_path / "c.json"
    assert cli.main(["compare", str(folder), str(other), "--out", str(out)]) == 0
    assert "mean mask IoU" in capsys.readouterr().out
    rows = json.loads(out.read_text())
    assert rows[0]["metric"] == "mean mask IoU" and rows[0]["photos"] == 20
    assert cli.main(["compare", str(folder), str(other), "--policy", "none"]) == 2
    assert "photos in common" in sentence(capsys)


def test_reports(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.html"
    assert cli.main(["report", str(folder), "--out", str(out)]) == 0
    assert out.read_text("utf-8").startswith("<!doctype html>")
    capsys.readouterr()
    assert cli.main(["report", str(tmp_path), "--out", str(out)]) == 2
    assert "manifest.json" in sentence(capsys)
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "part-00000.parquet").write_bytes(b"PAR1 no")
    assert cli.main(["report", str(broken), "--out", str(tmp_path / "b.html")]) == 2
    assert "cannot be read" in sentence(capsys)
    assert not (tmp_path / "b.html").exists()
