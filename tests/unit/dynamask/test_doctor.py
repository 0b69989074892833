"""The doctor finds what is broken and says what to do."""

from __future__ import annotations

import hashlib
import json
import re
from importlib import metadata
from pathlib import Path

import pytest
import torchvision.ops
from factories import REPOSITORY

from dynamask import doctor
from dynamask.checkpoint import load_weights
from dynamask.cli import main


def test_a_healthy_machine(tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--weights", str(tiny_weights)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
    assert report["packages"]["torch"] == metadata.version("torch")
    assert report["torchvision_ops"] is True
    assert report["devices"][0].startswith("cpu")
    assert report["machine"]["cores"] >= 1 and report["machine"]["disk_free_gb"] > 0
    weights = report["weights"]
    assert weights["preset"] == "effnet_lite0_fpn"
    assert weights["sha256"] == hashlib.sha256(tiny_weights.read_bytes()).hexdigest()
    model = load_weights(tiny_weights).model
    assert weights["parameters"] == sum(p.numel() for p in model.parameters())


def test_text_names_the_same_facts(tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--weights", str(tiny_weights)]) == 0
    out = capsys.readouterr().out
    assert "effnet_lite0_fpn" in out and "all that is needed works" in out
    assert "PROBLEM" not in out and "MISSING" not in out


def test_missing_weights_are_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--weights", str(tmp_path / "none.safetensors")]) == 1
    out = capsys.readouterr().out
    assert "PROBLEM    Expected a weights file, found none" in out
    assert "NOT USABLE" in out and "all that is needed works" not in out


def test_mismatched_builds(monkeypatch: pytest.MonkeyPatch, tiny_weights: Path) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torchvision.ops, "nms", broken)
    report = doctor.examine(tiny_weights)
    assert report["torchvision_ops"] is False
    (problem,) = report["problems"]
    assert "torchvision::nms does not exist" in problem
    assert "torch 2.12.1 with torchvision 0.27.1" in problem


def test_missing_packages(monkeypatch: pytest.MonkeyPatch, tiny_weights: Path) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name in ("timm", "gradio", "opencv-python-headless"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor, "_imports", lambda name: name != "timm")
    report = doctor.examine(tiny_weights)
    assert report["packages"]["timm"] is None
    # cv2 still imports, from another distribution; the page's packages are advice only
    assert [p.split(",")[0] for p in report["problems"]] == ["Expected the package timm"]
    assert any("gradio" in a for a in report["advice"])


def test_what_it_looks_for_is_what_is_required() -> None:
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    required = {line.split("#")[0].strip() for line in lines} - {""}
    names = {re.split(r"[\[<>=]", r)[0] for r in required}
    assert names >= {*doctor.NEEDED, *doctor.FOR_THE_PAGE}
    assert f"torch=={doctor.TESTED_TORCH}" in required
    assert f"torchvision=={doctor.TESTED_TORCHVISION}" in required


def test_memory_is_plausible() -> None:
    total, free = doctor._memory_gb()
    assert total is not None and total > 0.1
    assert free is None or 0 < free <= total
