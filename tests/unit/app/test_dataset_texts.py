"""Every string that the dataset pages name exists, and runs are told apart in the list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.synthetic import write_run
from app import text_dataset, text_published, text_runs
from app.dataset_handlers import is_token, label
from app.dataset_runs import SHIPPED, Shelf

APP = Path(text_dataset.__file__).parent
USERS = {
    text_dataset: [
        *APP.glob("dataset_*.py"),
        *(APP / "tabs").glob("dataset*.py"),
    ],
    text_runs: [APP / "run_handlers.py", APP / "run_words.py", APP / "tabs" / "runs.py"],
    text_published: [APP / "tabs" / "published.py"],
}


@pytest.mark.parametrize("texts", USERS, ids=lambda m: m.__name__)
def test_every_named_string_exists(texts: object) -> None:
    named = {
        name
        for path in USERS[texts]
        for name in re.findall(r"\bwords\.([A-Z][A-Z_]+)\b", path.read_text(encoding="utf-8"))
    }
    assert named and not [n for n in named if not hasattr(texts, n)]


def test_labels_say_what_a_run_is(tmp_path: Path) -> None:
    write_run(tmp_path / "mine", 20, 4)
    labels = [label(info) for info in Shelf(tmp_path).runs()]
    assert labels[0] == "mine · 4 photos · finished"
    assert [n for n in labels if n.endswith("shipped")] == labels[1:]
    assert len(labels) == 1 + sum(p.is_dir() for p in SHIPPED.iterdir())


def test_tokens() -> None:
    assert is_token("a" * 32)
    assert not any(map(is_token, (None, "", "short", 5, "é" * 32, "x" * 65)))
