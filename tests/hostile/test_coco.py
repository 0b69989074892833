"""Annotation files that lie, break and kill: a sentence or a row in the report, never a crash."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import REPOSITORY, TinyCoco, tiny_coco
from hostile.coco_corpus import HEIGHT, IMAGES, KEPT, QUIET, SKIPPED, WIDTH

from analysis.coco_io import Dataset, read_dataset
from analysis.schema import to_arrow
from dynamask.coco_read import decode_mask
from dynamask.errors import DataError

pytestmark = pytest.mark.hostile

OBJECTS = 8


@pytest.fixture
def coco(tmp_path: Path) -> TinyCoco:
    made = tiny_coco(tmp_path, photos=2, crowd=True)
    made.data["categories"] = copy.deepcopy(made.data["categories"])
    for annotation in made.data["annotations"]:
        annotation["area"] = area_of(annotation)
    made.rewrite()
    return made


def area_of(annotation: dict[str, Any]) -> float:
    from pycocotools import mask as mask_api

    rle = mask_api.frPyObjects(annotation["segmentation"], HEIGHT, WIDTH)
    return float(mask_api.area(mask_api.merge(rle) if isinstance(rle, list) else rle))


def read(coco: TinyCoco) -> Dataset:
    coco.rewrite()
    dataset = read_dataset(coco.annotations, coco.images)
    to_arrow(dataset.problems, "problems")  # what is reported can be stored
    for image in dataset.coco.images:
        for annotation in dataset.coco.by_image[image.id]:
            mask = decode_mask(annotation, image.height, image.width)
            assert mask.shape == (image.height, image.width)
            x, y, w, h = annotation.bbox
            assert w > 0 and h > 0 and np.isfinite([x, y, w, h, annotation.area]).all()
            assert annotation.area > 0
    return dataset


def test_a_sound_file_has_no_problem(coco: TinyCoco) -> None:
    dataset = read(coco)
    assert dataset.problems == () and dataset.coco.annotation_count == OBJECTS


@pytest.mark.parametrize("case", SKIPPED)
def test_left_out_with_the_reason(coco: TinyCoco, case: str) -> None:
    change, words = SKIPPED[case]
    change(coco.data["annotations"][0])
    dataset = read(coco)
    assert dataset.coco.annotation_count == OBJECTS - 1
    rows = [p for p in dataset.problems if p["outcome"] == "skipped"]
    assert len(rows) == 1 and rows[0]["place"] == "annotation"
    assert words in rows[0]["reason"]
    assert rows[0]["id"] in (1, 2)


@pytest.mark.parametrize("case", KEPT)
def test_put_right_and_reported(coco: TinyCoco, case: str) -> None:
    change, words = KEPT[case]
    change(coco.data["annotations"][0])
    dataset = read(coco)
    assert dataset.coco.annotation_count == OBJECTS, dataset.problems
    assert [p["outcome"] for p in dataset.problems] == ["kept"]
    assert re.search(words, dataset.problems[0]["reason"])


def test_what_is_put_right_has_the_right_value(coco: TinyCoco) -> None:
    first, crowd = coco.data["annotations"][0], coco.data["annotations"][3]
    true_area, true_box = first["area"], first["bbox"]
    first["area"] = first["bbox"] = None
    crowd["bbox"] = None
    dataset = read(coco)
    fixed = dataset.coco.by_image[1][0]
    assert fixed.area == true_area
    assert np.allclose(fixed.bbox, true_box, atol=1e-6)
    assert dataset.coco.by_image[1][3].bbox == (0.0, 0.0, 10.0, 10.0)


@pytest.mark.parametrize("case", QUIET)
def test_kept_without_a_word(coco: TinyCoco, case: str) -> None:
    QUIET[case](coco.data["annotations"][0])
    dataset = read(coco)
    assert dataset.problems == () and dataset.coco.annotation_count == OBJECTS


@pytest.mark.parametrize("case", IMAGES)
def test_images_left_out(coco: TinyCoco, case: str) -> None:
    change, words = IMAGES[case]
    before = len(coco.data["images"])
    change(coco.data)
    dataset = read(coco)
    added = len(coco.data["images"]) - before
    assert len(dataset.coco.images) == before - (not added)
    rows = [p for p in dataset.problems if p["place"] == "image"]
    assert [r["outcome"] for r in rows] == ["skipped"] and words in rows[0]["reason"]
    lost = [p for p in dataset.problems if "unknown image" in p["reason"]]
    assert len(lost) == (0 if added else OBJECTS // 2), "its annotations are reported one by one"


@pytest.mark.parametrize("entry", [None, 5, "x", [], True])
def test_an_annotation_that_is_no_object(coco: TinyCoco, entry: object) -> None:
    coco.data["annotations"].append(entry)
    dataset = read(coco)
    assert [p["reason"] for p in dataset.problems] == ["is no JSON object"]
    assert dataset.coco.annotation_count == OBJECTS


def test_duplicates_are_named(coco: TinyCoco) -> None:
    coco.data["annotations"].append({**coco.data["annotations"][0], "id": 77})
    dataset = read(coco)
    assert dataset.problems[0]["reason"] == "is the same object as annotation 1"


@pytest.mark.parametrize("categories", [None, [], {}, "x", [None], [{"name": "a"}]])
def test_missing_categories_are_named_after_their_ids(coco: TinyCoco, categories: Any) -> None:
    coco.data["categories"] = categories
    dataset = read(coco)
    assert dataset.coco.category_names == ("class 1", "class 3", "class 18")
    assert "named after their ids" in dataset.problems[-1]["reason"]
    assert dataset.coco.annotation_count == OBJECTS


def test_odd_categories(coco: TinyCoco) -> None:
    coco.data["categories"] += [{"id": 1, "name": "again"}, {"id": "9", "name": "\ud800<b>"}, {}]
    coco.data["categories"][1]["name"] = None
    dataset = read(coco)
    assert dataset.coco.category_names == ("person", "class 3", "?<b>", "dog")
    assert [p["outcome"] for p in dataset.problems] == ["kept", "skipped", "kept", "skipped"]


FILES: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"images": [',
    "list": b"[]",
    "null": b"null",
    "number": b"1e999",
    "no text": b"\x80\x81\xff",
    "nested deep": b"[" * 200_000,
    "nested deep inside": b'{"images": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no images": b'{"annotations": [], "categories": []}',
    "images no list": b'{"images": {}, "annotations": []}',
    "no annotations": b'{"images": [{"id": 1}]}',
    "only empty lists": b'{"images": [], "annotations": [], "categories": []}',
    "no usable image": b'{"images": [{}], "annotations": []}',
    "gzip": b"\x1f\x8b\x08\x00",
    "pickle": b"\x80\x04\x95",
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_annotations(tmp_path: Path, case: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(FILES[case])
    with pytest.raises(DataError, match=r"x\.json") as error:
        read_dataset(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_too_large(coco: TinyCoco) -> None:
    with pytest.raises(DataError, match="at most 0 MB"):
        read_dataset(coco.annotations, max_bytes=100)


def test_other_encodings_of_json(coco: TinyCoco) -> None:
    text = json.dumps(coco.data)
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        coco.annotations.write_bytes(text.encode(encoding))
        assert read_dataset(coco.annotations).coco.annotation_count == OBJECTS


# -- in a child process, since these are known to kill ---------------------------------------

CHILD = """
import json, resource, sys
path, how = sys.argv[1:]
# on a machine with much memory the same mistake fills that before it crashes
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
if how == "plain":
    from pycocotools import mask
    for a in json.load(open(path))["annotations"]:
        s = a["segmentation"]
        mask.decode(mask.merge(mask.frPyObjects(s, 96, 128)) if isinstance(s, list) else
                    mask.frPyObjects(s, 96, 128))
else:
    from analysis.coco_io import read_dataset
    from dynamask.coco_read import decode_mask
    dataset = read_dataset(path)
    for annotations in dataset.coco.by_image.values():
        for a in annotations:
            decode_mask(a, 96, 128)
    print(dataset.coco.annotation_count, dataset.skipped)
"""


def child(path: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(path), how],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_a_file_that_kills_pycocotools_is_only_reported(coco: TinyCoco) -> None:
    coco.data["annotations"][0]["segmentation"][0][0] = float("nan")
    coco.rewrite()
    plain = child(coco.annotations, "plain")
    assert plain.returncode < 0, "the danger is real: plain decoding ends in a signal"
    ours = child(coco.annotations, "ours")
    assert (ours.returncode, ours.stdout.split()) == (0, ["7", "1"]), ours.stderr[-500:]


def test_all_dangers_in_one_file(coco: TinyCoco) -> None:
    template = json.dumps(coco.data["annotations"][0])
    for number, (change, _) in enumerate(SKIPPED.values()):
        annotation = {**json.loads(template), "id": 1000 + number}
        change(annotation)
        coco.data["annotations"].append(annotation)
    coco.rewrite()
    ours = child(coco.annotations, "ours")
    assert (ours.returncode, ours.stdout.split()) == (0, [str(OBJECTS), str(len(SKIPPED))])


def test_seeded_damage_of_every_kind(coco: TinyCoco) -> None:
    """2,000 files with a byte, a number or a value changed: read, or refused in a sentence."""
    rng = np.random.default_rng(11)
    text = json.dumps(coco.data)
    values = ["null", "NaN", "-1", "1e999", '"1"', "[]", "{}", "true", "0", "9" * 30, "0.5"]
    numbers = [m.span() for m in re.finditer(r"-?\d+\.?\d*", text)]
    outcomes = {"read": 0, "refused": 0}
    for _ in range(2000):
        if rng.random() < 0.3:
            data = bytearray(text.encode())
            data[rng.integers(len(data))] = rng.integers(256)
            coco.annotations.write_bytes(bytes(data))
        else:
            start, stop = numbers[rng.integers(len(numbers))]
            value = values[rng.integers(len(values))]
            coco.annotations.write_text(text[:start] + value + text[stop:])
        try:
            dataset = read_dataset(coco.annotations)
        except DataError:
            outcomes["refused"] += 1
            continue
        for image in dataset.coco.images:
            if image.width * image.height < 10**6:
                for annotation in dataset.coco.by_image[image.id]:
                    decode_mask(annotation, image.height, image.width)
        outcomes["read"] += 1
    assert min(outcomes.values()) > 100, outcomes
