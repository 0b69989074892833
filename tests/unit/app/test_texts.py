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


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_the_fields_own_terms_are_used(path: Path) -> None:
    """Crowd regions (iscrowd), AP50 (box) and ground-truth boxes."""
    ours = r"\bcrowds\b|\bcrowd\b(?! region)|\bbox AP|\btrue (?:box|mask|outline|silhouette)"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    sentences = [s for s in said if isinstance(s, str) and " " in s]
    values = re.compile(r"\{[a-z]+[^}]*\}")  # their names are no words of the page
    assert not [s for s in sentences if re.search(ours, values.sub("", s), re.IGNORECASE)]
