"""The examples of docs/api.md, run as they stand against the real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import REPOSITORY
from serving import serving

pytestmark = pytest.mark.timeout(300)
DOCUMENT = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.M | re.S)
DEFAULT = "http://127.0.0.1:7860"
SAYS = (r"grid (14|28|56|112) [\d.]+ GMAC", r"^fixed:112 [\d.]+ \[112", r"IoU to 112: 1\.0")
SAYS += (r"'ready': True[\s\S]*event: complete", r"\['predict', 'decode', 'analyze', 'health'\]")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("app"), "--mcp") as url:
        yield url


def test_there_is_an_example_of_each_kind() -> None:
    assert len(EXAMPLES) == len(SAYS)
    assert all(DEFAULT in example for example in EXAMPLES)


@pytest.mark.parametrize("number", range(len(SAYS)))
def test_example_runs(number: int, server: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(EXAMPLES[number].replace(DEFAULT, server), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(SAYS[number], done.stdout, re.M), done.stdout
