"""From a patch to the inspector: both look at the pixels that the boxes are meant for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tab_helpers import build_tab

from analysis.patches import SIDE, draw
from analysis.synthetic import write_run
from app.dataset_behind import Behind
from app.dataset_filters import FIRST
from app.dataset_runs import Shelf
from app.session import Session
from app.tabs.inspect import InspectTab
from app.uploads import in_frame
from dynamask.coco_read import CocoImage, read_photo, read_rgb
from dynamask.errors import InputError
from dynamask.images import is_turned, read_image
from dynamask.predictor import Predictor

CONTROLS = ("msm", 0.1, 0.5, 0.05)
WIDTH, HEIGHT = 200, 120
BOX = (20.0, 10.0, 40.0, 30.0)  # x, y, w, h of a green thing, off the middle
CENTRE = (25, 40)  # row, column
GREEN = (10, 200, 30)
TURNS = range(1, 9)  # what EXIF can ask for


@pytest.fixture(scope="module")
def tab(tiny_predictor: Predictor) -> InspectTab:
    return build_tab(Session(load=lambda: tiny_predictor))


def turned(path: Path, orientation: int, **how: object) -> Path:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    x, y, w, h = map(int, BOX)
    pixels[y : y + h, x : x + w] = GREEN
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **how)
    return path


def near_green(pixel: np.ndarray) -> bool:
    return bool(np.abs(pixel.astype(int) - GREEN).max() < 12)


@pytest.mark.parametrize("orientation", TURNS)
def test_patch_and_inspector_show_the_same_region(
    tab: InspectTab, tiny_predictor: Predictor, tmp_path: Path, orientation: int
) -> None:
    path = turned(tmp_path / "a.jpg", orientation, quality=95)
    patch = draw(
        read_photo(tmp_path, CocoImage(1, path.name, WIDTH, HEIGHT)),
        None,
        BOX,
        (WIDTH, HEIGHT),
        28,
    )
    assert near_green(patch[SIDE // 2, SIDE // 2])
    state = tab.show_photo(path, (HEIGHT, WIDTH), CONTROLS)[2]
    assert state["name"] == "a.jpg"
    shown = tab.session.reopen(state["key"]).pixels
    assert shown.shape == (HEIGHT, WIDTH, 3) and near_green(shown[CENTRE])
    # also after the photo has left the memory
    fresh = Session(load=lambda: tiny_predictor)
    assert near_green(fresh.reopen(state["key"], state["path"]).pixels[CENTRE])


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_a_copy_as_stored_has_the_same_pixels(tmp_path: Path, ending: str) -> None:
    plain = turned(tmp_path / f"plain.{ending}", 1)
    assert not is_turned(plain)
    path = turned(tmp_path / f"turned.{ending}", 6)
    assert is_turned(path) and read_image(path).pixels.shape == (WIDTH, HEIGHT, 3)
    copy = in_frame(path, (HEIGHT, WIDTH), str(tmp_path / "cache"))
    assert copy != path and in_frame(plain, (HEIGHT, WIDTH), str(tmp_path / "cache")) == plain
    assert not is_turned(copy)
    assert np.array_equal(read_image(copy).pixels, read_rgb(path))


def test_boxes_that_were_drawn_upright_keep_the_photo_upright(
    tab: InspectTab, tmp_path: Path
) -> None:
    path = turned(tmp_path / "a.jpg", 6, quality=95)
    seen = read_photo(tmp_path, CocoImage(1, path.name, HEIGHT, WIDTH))
    assert in_frame(path, seen.shape[:2], str(tmp_path / "cache")) == path
    state = tab.show_photo(path, seen.shape[:2], CONTROLS)[2]
    shown = tab.session.reopen(state["key"]).pixels
    assert np.abs(shown.astype(int) - seen).max() < 12


def test_a_photo_of_another_size_is_another_photo(tab: InspectTab, tmp_path: Path) -> None:
    path = turned(tmp_path / "a.jpg", 6)
    with pytest.raises(InputError, match=r"Expected a\.jpg at 30 x 20 px"):
        tab.show_photo(path, (20, 30), CONTROLS)


def test_a_background_error_says_why_it_has_no_objects(tmp_path: Path) -> None:
    """They are detections that fit no object; other empty marks say only that they are empty."""
    write_run(tmp_path / "mine", 20, 4)
    behind = Behind()
    behind.shelf = Shelf(tmp_path)
    for part in ("behind", "gallery", "behind_line", "more", "facts", "chosen", "inspect"):
        setattr(behind, part, part)
    state = {"run": "own/mine", "photos": ""}
    for kind, said in (("background", "detections that fit no object"), ("missed", "No object")):
        event = SimpleNamespace(_data={"kind": "click", "mark": {"error": kind}})
        answer = behind.on_mark(event, "", state, None, *FIRST.values(), False, None)
        assert said in answer["behind_line"] and not answer["behind"]["rows"]
