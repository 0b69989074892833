"""Every string of the text modules is shown somewhere: no word stays behind when its place goes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from factories import REPOSITORY

TEXTS = sorted((REPOSITORY / "app").glob("text*.py"))


def constants(path: Path) -> list[str]:
    """Names that a module assigns at its top."""
    targets: list[ast.expr] = []
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, ast.AnnAssign):
            targets.append(node.target)
    return [t.id for t in targets if isinstance(t, ast.Name)]


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_every_string_is_used(path: Path) -> None:
    sources = [p for p in (REPOSITORY / "app").rglob("*.py") if "__pycache__" not in p.parts]
    words = re.findall(r"\w+", "\n".join(p.read_text("utf-8") for p in sources))
    assert [name for name in constants(path) if words.count(name) < 2] == []
