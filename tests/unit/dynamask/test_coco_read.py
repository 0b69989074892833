"""The COCO reader: what it reads, what it leaves out, what it refuses."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_api

from dynamask.coco_read import decode_mask, read_coco, read_photo
from dynamask.errors import DataError
from tests.factories import SHARED_DATA, TinyCoco, tiny_coco


@pytest.fixture
def coco(tmp_path: Path) -> TinyCoco:
    return tiny_coco(tmp_path, photos=2, crowd=True)


def test_reads_a_whole_file(coco: TinyCoco) -> None:
    got = read_coco(coco.annotations)
    assert [i.id for i in got.images] == [1, 2]
    assert got.category_names == ("person", "car", "dog")
    assert got.category_ids == (1, 3, 18)
    assert got.annotation_count == 8
    assert not got.skipped
    first = got.by_image[1][0]
    assert first.label == 0 and not first.crowd
    assert first.bbox == tuple(coco.data["annotations"][0]["bbox"])
    assert [a.label for a in got.by_image[1]] == [0, 1, 2, 0]
    assert [a.crowd for a in got.by_image[2]] == [False, False, False, True]


def test_masks_equal_pycocotools(coco: TinyCoco) -> None:
    for annotation in read_coco(coco.annotations).by_image[1]:
        entry = next(a for a in coco.data["annotations"] if a["id"] == annotation.id)
        rle = mask_api.frPyObjects(entry["segmentation"], 96, 128)
        expected = mask_api.decode(mask_api.merge(rle) if isinstance(rle, list) else rle)
        got = decode_mask(annotation, 96, 128)
        assert got.dtype == bool and got.any()
        assert (got == expected).all()


def test_compressed_run_lengths(coco: TinyCoco) -> None:
    rng = np.random.default_rng(0)
    for density in (0.0, 0.02, 0.5, 1.0):
        mask = rng.random((96, 128)) < density
        rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
        coco.data["annotations"][0]["segmentation"] = {
            "size": [96, 128],
            "counts": rle["counts"].decode(),
        }
        coco.rewrite()
        assert (decode_mask(read_coco(coco.annotations).by_image[1][0], 96, 128) == mask).all()


def rle(counts: Any, size: Any = (96, 128)) -> dict[str, Any]:
    return {"size": list(size), "counts": counts}


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "nan polygon": lambda a: a["segmentation"][0].__setitem__(0, float("nan")),
    "infinite polygon": lambda a: a["segmentation"][0].__setitem__(3, float("-inf")),
    "huge polygon": lambda a: a["segmentation"][0].__setitem__(0, 1e9),
    "number beyond float": lambda a: a["segmentation"][0].__setitem__(0, 10**400),
    "odd count": lambda a: a["segmentation"][0].append(1.0),
    "four numbers": lambda a: a.update(segmentation=[[1.0, 2.0, 3.0, 4.0]]),
    "text in polygon": lambda a: a["segmentation"][0].__setitem__(0, "1"),
    "truth in polygon": lambda a: a["segmentation"][0].__setitem__(0, True),
    "empty polygon list": lambda a: a.update(segmentation=[]),
    "polygon of polygons": lambda a: a.update(segmentation=[[[1, 2], [3, 4], [5, 6]]]),
    "no segmentation": lambda a: a.pop("segmentation"),
    "null segmentation": lambda a: a.update(segmentation=None),
    "nan box": lambda a: a["bbox"].__setitem__(0, float("nan")),
    "empty box": lambda a: a["bbox"].__setitem__(2, 0),
    "short box": lambda a: a.update(bbox=[1, 2, 3]),
    "far box": lambda a: a.update(bbox=[1e7, 0, 5, 5]),
    "no box": lambda a: a.pop("bbox"),
    "unknown image": lambda a: a.update(image_id=999),
    "unhashable image": lambda a: a.update(image_id=[1]),
    "unknown category": lambda a: a.update(category_id=2),
    "repeated id": lambda a: a.update(id=2),
    "no id": lambda a: a.pop("id"),
    "rle of another size": lambda a: a.update(segmentation=rle([96 * 128], (128, 96))),
    "rle without size": lambda a: a.update(segmentation={"counts": [96 * 128]}),
    "rle too long": lambda a: a.update(segmentation=rle([0, 96 * 128 + 1])),
    "rle too short": lambda a: a.update(segmentation=rle([0, 5])),
    "rle negative": lambda a: a.update(segmentation=rle([-5, 96 * 128 + 5])),
    "rle of floats": lambda a: a.update(segmentation=rle([0.5, 96 * 128 - 0.5])),
    "rle of huge numbers": lambda a: a.update(segmentation=rle([0, 2**80])),
    "rle empty": lambda a: a.update(segmentation=rle([])),
    "compressed garbage": lambda a: a.update(segmentation=rle("\x00\uffff~~~")),
    "compressed cut short": lambda a: a.update(segmentation=rle("PPPPPP")),
    "compressed never ending": lambda a: a.update(segmentation=rle("o" * 50)),
    "counts null": lambda a: a.update(segmentation=rle(None)),
}


@pytest.mark.hostile
@pytest.mark.parametrize("case", HOSTILE)
def test_odd_annotations_are_left_out_and_counted(
    coco: TinyCoco, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    HOSTILE[case](coco.data["annotations"][0])
    coco.rewrite()
    with caplog.at_level(logging.WARNING, logger="dynamask.coco_read"):
        got = read_coco(coco.annotations)
    assert sum(got.skipped.values()) == 1
    assert got.annotation_count == 7
    assert "left out 1 annotations" in caplog.text
    for annotation in got.by_image[1]:
        assert decode_mask(annotation, 96, 128).any()


@pytest.mark.hostile
@pytest.mark.parametrize("entry", [None, 5, "x", [], {}])
def test_an_annotation_that_is_no_object(coco: TinyCoco, entry: object) -> None:
    coco.data["annotations"].append(entry)
    coco.rewrite()
    assert read_coco(coco.annotations).skipped == {"without an id": 1}


def test_missing_area_and_crowd_have_defaults(coco: TinyCoco) -> None:
    entry = coco.data["annotations"][0]
    del entry["area"], entry["iscrowd"]
    coco.rewrite()
    got = read_coco(coco.annotations).by_image[1][0]
    assert got.area == pytest.approx(entry["bbox"][2] * entry["bbox"][3])
    assert not got.crowd


FRAME: dict[str, Callable[[dict[str, Any]], object]] = {
    "no images": lambda d: d.pop("images"),
    "no annotations": lambda d: d.pop("annotations"),
    "categories no list": lambda d: d.update(categories={}),
    "no category": lambda d: d.update(categories=[]),
    "category twice": lambda d: d.update(categories=[{"id": 1, "name": "a"}] * 2),
    "category without name": lambda d: d.update(categories=[{"id": 1}]),
    "image without size": lambda d: d["images"][0].pop("width"),
    "image of no size": lambda d: d["images"][0].update(width=0),
    "image of huge size": lambda d: d["images"][0].update(width=60_000, height=60_000),
    "image id text": lambda d: d["images"][0].update(id="1"),
    "image twice": lambda d: d["images"].append(d["images"][0]),
    "image null": lambda d: d["images"].append(None),
    "file name with a zero byte": lambda d: d["images"][0].update(file_name="a\0b"),
}


@pytest.mark.hostile
@pytest.mark.parametrize("case", FRAME)
def test_a_damaged_frame_is_refused_in_one_sentence(coco: TinyCoco, case: str) -> None:
    FRAME[case](coco.data)
    coco.rewrite()
    with pytest.raises(DataError, match="Expected .* got ") as error:
        read_coco(coco.annotations)
    assert "\n" not in str(error.value)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\x80\x81", b"[" * 100_000, b'{"images": 1'[:-1]]
)
def test_files_that_are_no_coco_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.json"):
        read_coco(path)


def test_a_missing_file_or_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path, tmp_path / ("1" * 300), Path("a\0b")):
        with pytest.raises(DataError, match="no such file"):
            read_coco(path)


def test_photos_are_read_in_the_frame_of_their_annotations(coco: TinyCoco) -> None:
    got = read_coco(coco.annotations)
    pixels = read_photo(coco.images, got.images[0])
    assert pixels.shape == (96, 128, 3) and pixels.dtype == np.uint8
    mask = decode_mask(got.by_image[1][0], 96, 128)
    assert pixels[mask].mean() > pixels[~mask].mean() + 20, "shapes are brighter than the ground"


@pytest.mark.hostile
def test_photos_that_cannot_be_used(coco: TinyCoco, tmp_path: Path) -> None:
    entry = coco.data["images"][0]

    def read() -> None:
        coco.rewrite()
        read_photo(coco.images, read_coco(coco.annotations).images[0])

    entry["width"], entry["height"] = 256, 192
    with pytest.raises(DataError, match="256x192 px .* got 128x96"):
        read()
    entry["file_name"] = "none.png"
    with pytest.raises(DataError, match="no such file"):
        read()
    entry["file_name"] = "../tiny.json"
    with pytest.raises(DataError, match="inside tiny"):
        read()
    (coco.images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    entry["file_name"] = "broken.png"
    with pytest.raises(DataError, match="cannot be decoded"):
        read()


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs ../shared/data")
def test_real_sets_are_read_whole_and_do_not_share_photos() -> None:
    folder = SHARED_DATA / "coco_mini"
    counts, ids = {}, {}
    for name in ("instances_train", "person_single", "instances_val"):
        got = read_coco(folder / f"{name}.json")
        assert len(got.category_names) == 80
        listed = len(json.loads((folder / f"{name}.json").read_text())["annotations"])
        assert got.annotation_count + sum(got.skipped.values()) == listed
        counts[name] = got.annotation_count
        ids[name] = {i.id for i in got.images}
    assert counts == {"instances_train": 2974, "person_single": 1000, "instances_val": 1080}
    assert not ids["instances_val"] & (ids["instances_train"] | ids["person_single"])
