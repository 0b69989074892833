"""Paths that the owner of this machine typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.typed import typed_folder, typed_path
from dynamask.errors import InputError

BAD = ["a\0b", "~nobody-of-that-name/x", "lone \ud800"]


def test_a_home_is_filled_in_and_blanks_are_cut_off() -> None:
    assert typed_path("  ~/coco.json ") == Path.home() / "coco.json"
    assert typed_path("coco/../a.json") == Path("coco/../a.json")


@pytest.mark.parametrize("text", BAD)
def test_what_no_disk_can_hold_is_said(text: str) -> None:
    with pytest.raises(InputError, match="Expected a path of this machine"):
        typed_path(text)


@pytest.mark.parametrize("text", [None, "", "  ", "nowhere", "1" * 300, "x/" * 3000, 10**300])
def test_no_folder_is_said(text: object) -> None:
    with pytest.raises(InputError, match="Expected a folder of this machine"):
        typed_folder(text)


def test_a_folder(tmp_path: Path) -> None:
    assert typed_folder(f" {tmp_path} ") == tmp_path
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Expected a folder"):
        typed_folder(tmp_path / "file")
