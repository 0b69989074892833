"""Sentences for strangers name no folder of the server, and stay the same otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.discretion import Discretion

SAID = [
    (
        "Expected a readable manifest.json at /srv/runs/mine, got none.",
        "Expected a readable manifest.json at mine, got none.",
    ),
    ("… (/home/a b/runs/x.parquet) …", "… (x.parquet) …"),
    ("got '/tmp/gradio/0f/a.json'; check it.", "got 'a.json'; check it."),
    ("C:\\Users\\me\\runs\\a failed", "a failed"),
    ("Expected IoU/boundary of 1/2, and/or 3 px/s.", None),
    ("See http://127.0.0.1:7860/docs/run for it.", None),
    ("</div> and a/b/c.jpg of shipped/sample", None),
]


@pytest.mark.parametrize(("sentence", "expected"), SAID)
def test_paths_are_cut_down(sentence: str, expected: str | None) -> None:
    discretion = Discretion()
    assert discretion.told(sentence) == sentence
    discretion.begin([Path("/home/a b/runs")])
    assert discretion.told(sentence) == (expected or sentence)
    discretion.end()
    assert discretion.told(ValueError(sentence)) == sentence
