"""Every file that a user can take away, read back by the programs that such files are made for."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skimage.data
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from unit.app.test_picture import NASTY, make, opened

from analysis.exports import csv_bytes
from app import export, text_export
from app.export_page import StripFrame, page_html
from app.session import Decoded, Opened
from dynamask.categories import COCO_CATEGORIES
from dynamask.errors import InputError

BOXES = [[20.0, 20.0, 30.0, 30.0], [0.0, 0.0, 80.0, 60.0], [50.0, 5.0, 75.0, 40.0]]


@pytest.fixture
def decoded() -> Decoded:
    return make(BOXES, names=COCO_CATEGORIES)


def load_coco(data: dict, tmp_path: Path) -> COCO:
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(data))
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_id_map_puts_small_objects_on_top(decoded: Decoded) -> None:
    data = export.id_map_png(decoded)
    with Image.open(io.BytesIO(data)) as image:
        assert "largest" in image.text["Description"]
        ids = np.asarray(image)
    assert ids.dtype == np.uint16 and ids.shape == (60, 80)
    assert ids[25, 25] == 1 and ids[10, 60] == 3 and ids[58, 2] == 2
    assert (ids == 1).sum() == 100


def test_id_map_holds_ids_beyond_a_byte() -> None:
    decoded = make([[0, 0, 10, 10]])
    large = Decoded(decoded.instances, np.array([60_001]), first_drawn=60_002)
    with Image.open(io.BytesIO(export.id_map_png(large))) as image:
        assert np.asarray(image)[5, 5] == 60_001


def test_coco_file_is_read_by_pycocotools(decoded: Decoded, tmp_path: Path) -> None:
    data = json.loads(export.coco_json(decoded, file_name="ä.jpg"))
    truth = load_coco(data, tmp_path)
    assert truth.loadImgs(1)[0] == {"id": 1, "file_name": "ä.jpg", "width": 80, "height": 60}
    for row, annotation in enumerate(truth.loadAnns(truth.getAnnIds(imgIds=[1]))):
        mask = truth.annToMask(annotation)
        assert (mask.astype(bool) == decoded.instances.paste(row)).all()
        assert annotation["area"] == mask.sum() and annotation["object_id"] == row + 1
        assert truth.loadCats(annotation["category_id"])[0]["name"] == "person"
    with contextlib.redirect_stdout(io.StringIO()):
        results = truth.loadRes(data["annotations"])
        evaluation = COCOeval(truth, results, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)  # against itself


def test_coco_ids_are_cocos_own(decoded: Decoded) -> None:
    data = json.loads(export.coco_json(decoded, file_name="a.jpg"))
    ids = {c["name"]: c["id"] for c in data["categories"]}
    assert (ids["person"], ids["stop sign"], ids["toothbrush"]) == (1, 13, 90)
    assert len(set(ids.values())) == 81 and ids["object"] == 91


def test_several_photos_share_one_file(decoded: Decoded, tmp_path: Path) -> None:
    truth = load_coco(export.coco_dict([("a.jpg", decoded), ("b.jpg", decoded)]), tmp_path)
    assert sorted(truth.imgs) == [1, 2]
    assert [len(truth.getAnnIds(imgIds=[i])) for i in (1, 2)] == [3, 3]
    assert len(truth.anns) == 6


def test_no_objects_make_valid_files(tmp_path: Path) -> None:
    nothing = make([])
    truth = load_coco(json.loads(export.coco_json(nothing, file_name="a.jpg")), tmp_path)
    assert not truth.anns and len(truth.imgs) == 1
    frame = export.table(nothing, file_name="a.jpg")
    assert len(frame) == 0 and "p_112" in frame.columns
    back = pd.read_parquet(io.BytesIO(export.parquet_bytes(frame)))
    assert list(back.columns) == list(frame.columns)
    assert text_export.PAGE_EMPTY in page_html(opened(), nothing, name="a.jpg").decode()


def test_csv_and_parquet_hold_the_same_rows(decoded: Decoded) -> None:
    frame = export.table(decoded, file_name="a.jpg")
    assert frame["grid"].tolist() == [14, 28, 56] and frame["object_id"].tolist() == [1, 2, 3]
    assert frame["area_px2"].tolist() == [100, 4800, 875]
    assert frame[["x", "y", "width", "height"]].to_numpy()[2].tolist() == [50, 5, 25, 35]
    parquet = pd.read_parquet(io.BytesIO(export.parquet_bytes(frame)))
    pd.testing.assert_frame_equal(parquet, frame, check_dtype=False)
    rows = list(csv.DictReader(io.StringIO(csv_bytes(frame).decode())))
    assert [float(r["p_56"]) for r in rows] == [0.25] * 3
    assert rows[0]["category"] == "person"


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-2", "@SUM(A1)", " =1"])
def test_csv_gives_spreadsheets_no_formula(name: str) -> None:
    frame = export.table(make(BOXES[:1], names=(name,)), file_name=name)
    row = next(csv.DictReader(io.StringIO(csv_bytes(frame).decode())))
    assert row["file_name"] == f"'{name}" and row["category"] == f"'{name}"
    assert frame["category"][0] == name  # Parquet has no such problem


def test_drawn_boxes_are_of_the_extra_category(decoded: Decoded) -> None:
    decoded.instances.labels[2] = -1
    drawn = Decoded(decoded.instances, decoded.ids, first_drawn=3)
    data = json.loads(export.coco_json(drawn, file_name="a.jpg"))
    assert [a["category_id"] for a in data["annotations"]] == [1, 1, 91]
    assert export.table(drawn, file_name="a.jpg")["category"].tolist()[2] == "drawn box"


class Reader(HTMLParser):
    """Collects tags and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_page_has_everything_and_asks_for_nothing(decoded: Decoded) -> None:
    png = export.id_map_png(decoded)
    strips = {1: [StripFrame(g, png, 0.1, 0.9, 0.8, g == 14) for g in (14, 28, 56, 112)]}
    page = page_html(opened(), decoded, name="a.jpg", strips=strips).decode()
    reader = Reader(page)
    assert {g["data-object"] for g in reader.all("g")} == {"1", "2", "3"}
    assert {i["data-toggle"] for i in reader.all("input") if "data-toggle" in i} == {"1", "2", "3"}
    assert len(reader.all("img")) == 4 and "IoU to 112: 0.900" in page
    assert "A notice." in page and "msm" in page
    links = [a.get("src") or a.get("href") for _, a in reader.tags if "src" in a or "href" in a]
    assert links and all(link.startswith("data:") for link in links)
    assert not re.search(r"https?://|@import|url\(", page)
    policy = next(m["content"] for m in reader.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert not any("style" in a or any(k.startswith("on") for k in a) for _, a in reader.tags)


@pytest.mark.hostile
def test_page_shows_names_as_text() -> None:
    page = page_html(opened(), make(BOXES, names=(NASTY,)), name=NASTY).decode()
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;") >= 5


def test_page_of_a_vga_photo_is_under_three_megabytes() -> None:
    pixels = np.ascontiguousarray(np.tile(skimage.data.astronaut(), (1, 2, 1))[:480, :640])
    boxes = [[x, y, x + 60.0, y + 50.0] for x in range(0, 570, 63) for y in range(0, 420, 47)]
    photo = Opened(opened((480, 640)).scene, pixels)
    page = page_html(photo, make(boxes, size=(480, 640)), name="a.jpg")
    assert 30_000 < len(page) < 3_000_000


@pytest.mark.parametrize("kind", list(text_export.EXPORTS))
def test_every_kind_that_is_offered_is_made(kind: str, decoded: Decoded) -> None:
    data, suffix = export.export(kind, opened(), decoded, name="a.jpg")
    starts = {"png": b"\x89PNG", "idmap": b"\x89PNG", "coco": b'{"info', "csv": b"file_name,"}
    starts |= {"json": b"{\n", "parquet": b"PAR1", "html": b"<!doctype html>"}
    assert data.startswith(starts[kind])
    assert re.fullmatch(r"(-[a-z]+)?\.[a-z]+", suffix)


@pytest.mark.parametrize("kind", ["exe", "", None, 3, ["png"]])
def test_other_kinds_are_a_sentence(kind: object, decoded: Decoded) -> None:
    with pytest.raises(InputError, match="^Expected one of png, .*reload"):
        export.export(kind, opened(), decoded, name="a.jpg")
