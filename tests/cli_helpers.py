"""What tests of command lines share."""

from __future__ import annotations

from pathlib import Path

import pytest


def files_of(folder: Path) -> list[str]:
    """Everything below a folder, hidden files and empty folders included."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The one error line on stderr."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("dynamask: error: ")]
    assert len(lines) == 1, err
    assert lines[0].endswith(".")
    return lines[0]
