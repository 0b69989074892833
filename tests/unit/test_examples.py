"""The example photos: small, readable, without metadata, and each with a licence."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from dynamask.images import read_image

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "examples"
PHOTOS = sorted(FOLDER.glob("*.jpg"))


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_examples", FOLDER / "make_examples.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_there_are_some() -> None:
    assert len(PHOTOS) >= 4


@pytest.mark.parametrize("path", PHOTOS, ids=lambda p: p.stem)
def test_photo(path: Path) -> None:
    assert path.stat().st_size <= 120_000
    photo = read_image(path)
    assert photo.notices == ()
    assert 200 <= min(photo.pixels.shape[:2]) <= max(photo.pixels.shape[:2]) <= 640
    with Image.open(path) as image:
        assert not image.getexif() and "comment" not in image.info


def test_every_photo_names_its_licence(maker: ModuleType) -> None:
    text = (FOLDER / "LICENSES.md").read_text(encoding="utf-8")
    assert text == maker.licences()
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if ".jpg |" in line}
    assert set(rows) == {p.name for p in PHOTOS}
    assert all("CC0" in row or "public domain" in row for row in rows.values())


def test_maker_writes_the_same_pictures(maker: ModuleType, tmp_path: Path) -> None:
    assert maker.main([str(tmp_path)]) == 0
    for path in PHOTOS:  # encoders differ in bytes between versions, hardly in pixels
        ours, again = read_image(path).pixels, read_image(tmp_path / path.name).pixels
        assert ours.shape == again.shape
        assert np.abs(ours.astype(int) - again).mean() < 2
