"""A million objects, two million detections, eight policies: bounded memory, small payloads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from factories import REPOSITORY

from analysis.dashboards import FIGURES, GROUPS

OBJECTS = 1_000_000


def bench(*arguments: str) -> str:
    """Run the benchmark in a process of its own, so that its peak memory is its own."""
    done = subprocess.run(
        [sys.executable, "-m", "analysis.bench", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_million_objects(tmp_path: Path) -> None:
    bench("--objects", str(OBJECTS), "--write-only", str(tmp_path / "run"))
    report = json.loads(bench("--run", str(tmp_path / "run")))
    assert set(report["bytes"]) == set(FIGURES)
    assert max(report["bytes"].values()) < 1_500_000
    assert report["peak_mb"] < 2_000


def test_the_benchmark_reports_every_figure() -> None:
    report = json.loads(bench("--objects", "400"))
    assert set(report["bytes"]) == set(report["figure_s"]) == set(FIGURES)
    occasions = {"first", "filter", "other filter", "score filter", "class filter"}
    occasions |= {"budget", "budget moved"}
    assert set(report["redraw_s"]) == set(report["group_s"]) == occasions
    for groups in report["group_s"].values():
        assert set(groups) == set(GROUPS)
