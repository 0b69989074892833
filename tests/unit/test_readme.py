"""The README prints what its example really prints, and the card names the file it describes."""

import os
import re
import subprocess
import sys
from pathlib import Path

from dynamask.checkpoint import BUNDLED_WEIGHTS, file_sha256

ROOT = Path(__file__).resolve().parents[2]


def test_readme_example_prints_what_the_readme_says() -> None:
    done = subprocess.run(
        [sys.executable, "docs/readme_example.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    shown = re.search(r"```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    assert done.stdout.strip() == shown.group(1).strip()


def test_readme_shows_the_same_code() -> None:
    lines = (ROOT / "docs" / "readme_example.py").read_text().splitlines()
    code = [re.sub(r"\s+#.*", "", line) for line in lines[2:] if line]
    readme = (ROOT / "README.md").read_text()
    for line in code:
        assert line in readme, line


def test_model_card_names_the_bundled_file() -> None:
    card = (BUNDLED_WEIGHTS.parent / "README.md").read_text()
    assert file_sha256(BUNDLED_WEIGHTS) in card
