"""Patches: crops with outlines where the photo is there, silhouettes or boxes where it is not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from analysis import dashboards
from analysis.filters import Filters
from analysis.patches import PAPER, SHAPE, SIDE, draw, patches
from analysis.report import open_run
from analysis.synthetic import write_run
from app.dataset_behind import to_mark
from app.dataset_runs import SHIPPED
from app.plot_events import Picked
from dynamask.errors import InputError


def test_a_silhouette_has_the_masks_place() -> None:
    mask = np.zeros((100, 200), bool)
    mask[40:60, 90:110] = True
    out = draw(None, mask, (90.0, 40.0, 20.0, 20.0), (200, 100), 28)
    assert out.shape == (SIDE, SIDE, 3)
    assert tuple(out[SIDE // 2, SIDE // 2]) == SHAPE and tuple(out[3, 3]) == PAPER


def test_silhouettes_can_be_told_from_their_ground_and_dazzle_on_no_page() -> None:
    lit = [contrast(colour, (255, 255, 255)) for colour in (PAPER, SHAPE)]
    assert lit[0] / lit[1] > 3
    assert all(contrast(PAPER, page) > 1.5 for page in ((255, 255, 255), (24, 24, 27)))


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """WCAG's contrast ratio, 1 to 21."""
    parts = np.array([one, other]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    light = np.sort(linear @ (0.2126, 0.7152, 0.0722)) + 0.05
    return float(light[1] / light[0])


def test_a_photo_is_seen_in_its_place() -> None:
    photo = np.zeros((100, 200, 3), np.uint8)
    photo[40:60, 90:110] = (10, 200, 30)
    out = draw(photo, None, (90.0, 40.0, 20.0, 20.0), (200, 100), 112)
    assert tuple(out[SIDE // 2, SIDE // 2]) == (10, 200, 30) and tuple(out[5, 5]) == (0, 0, 0)


def test_the_shipped_run_draws_silhouettes_and_photos_where_they_are(tmp_path: Path) -> None:
    run = open_run(SHIPPED / "coco_mini_val")
    found = dashboards.objects_behind(run, Filters(), {"grid": 14}, limit=5)
    shown = list(patches(run, found))
    assert [p.annotation_id for p in shown] == [int(i) for i in found["annotation_id"]]
    assert all(p.masked and not p.photo for p in shown)
    row = run.query(
        "SELECT image_width w, image_height h FROM objects WHERE annotation_id = ?",
        [int(found["annotation_id"].iloc[0])],
    ).iloc[0]
    name = found["file_name"].iloc[0]
    cv2.imwrite(str(tmp_path / name), np.full((int(row.h), int(row.w), 3), 99, np.uint8))
    assert next(patches(run, found.head(1), tmp_path)).photo
    # a photo of another size is another photo
    cv2.imwrite(str(tmp_path / name), np.full((9, 9, 3), 99, np.uint8))
    assert not next(patches(run, found.head(1), tmp_path)).photo


def test_a_name_that_leads_out_is_no_photo(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path / "run", 30, 5))
    found = dashboards.objects_behind(run, Filters(), {"grid": 14}, limit=1)
    found["file_name"] = "../../etc/passwd"
    shown = next(patches(run, found, tmp_path))
    assert not shown.photo and not shown.masked


def test_no_objects_are_no_patches(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path / "run", 30, 5))
    columns = ["annotation_id", "image_id", "file_name", "box_x", "box_y", "box_w", "box_h", "grid"]
    assert not list(patches(run, pd.DataFrame(columns=columns)))


def test_a_brush_names_its_objects(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path / "run", 30, 5))
    mark = to_mark(Picked("box", ids=(3, 5, 9)))
    found = dashboards.objects_behind(run, Filters(), mark)
    assert sorted(found["annotation_id"]) == [3, 5, 9]
    many = to_mark(Picked("lasso", more=True, x=(0.0, 9.0), y=(0.0, 1.0)))
    assert len(dashboards.objects_behind(run, Filters(), many)) == 30
    assert to_mark(Picked("clear")) is None and to_mark(Picked("box")) is None


@pytest.mark.parametrize("ids", [[], "3", [None], list(range(5001)), [float("nan")]])
def test_forged_brushes_are_refused(tmp_path: Path, ids: object) -> None:
    run = open_run(write_run(tmp_path / "run", 5, 2))
    with pytest.raises(InputError, match="Click a mark again"):
        dashboards.objects_behind(run, Filters(), {"ids": ids})
