"""Annotation files as LVIS, Cityscapes converters, Label Studio and CVAT write them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from factories import SHARED_DATA, TinyCoco, tiny_coco
from run_compare import tables

from analysis.coco_io import read_dataset
from analysis.coco_names import Photos, plain_name
from analysis.run import RunConfig, run_dataset
from dynamask.coco_read import decode_mask, read_coco, read_photo
from dynamask.predictor import Predictor


@pytest.fixture
def coco(tmp_path: Path) -> TinyCoco:
    return tiny_coco(tmp_path, photos=2)


def move(coco: TinyCoco, names: list[str]) -> None:
    """Put the photos where a set keeps them."""
    for entry, name in zip(coco.data["images"], names, strict=True):
        target = coco.images / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(coco.images / entry["file_name"], target)


def read_whole(coco: TinyCoco, objects: int = 6) -> Any:
    """Read; every photo opens and every mask lies on a bright shape."""
    coco.rewrite()
    dataset = read_dataset(coco.annotations, coco.images)
    assert dataset.coco.annotation_count == objects and not dataset.skipped
    for image in dataset.coco.images:
        pixels = read_photo(coco.images, image)
        for annotation in dataset.coco.by_image[image.id]:
            mask = decode_mask(annotation, image.height, image.width)
            assert pixels[mask].mean() > pixels[~mask].mean() + 20
    return dataset


def test_lvis(coco: TinyCoco) -> None:
    """No file_name and no iscrowd; classes named as absent; photos in two folders of COCO."""
    data = coco.data
    for k, image in enumerate(data["images"]):
        part = ("train2017", "val2017")[k]
        image["coco_url"] = f"http://images.cocodataset.org/{part}/{image['file_name']}"
        image["not_exhaustive_category_ids"] = [3]
        image["neg_category_ids"] = [18] if k else [1, 18]
    names = [i["coco_url"].split("org/")[1] for i in data["images"]]
    move(coco, names)
    for image in data["images"]:
        del image["file_name"]
    kept = []
    for annotation in data["annotations"]:
        del annotation["iscrowd"]
        if annotation["category_id"] != 18:
            kept.append(annotation)
    data["annotations"] = kept
    for k, category in enumerate(data["categories"]):
        category |= {"synset": f"a.n.0{k}", "synonyms": ["a"], "frequency": "f", "def": "a thing"}
    dataset = read_whole(coco, objects=4)
    assert [i.file_name for i in dataset.coco.images] == names
    assert dict(dataset.verified) == {1: (1, 3, 18), 2: (1, 3, 18)}
    assert dataset.problems == ()


def test_lvis_photos_in_one_folder(coco: TinyCoco) -> None:
    for image in coco.data["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/train2017/{image.pop('file_name')}"
    dataset = read_whole(coco)
    assert [i.file_name for i in dataset.coco.images] == ["000000000001.png", "000000000002.png"]
    assert "another path than 2" in dataset.problems[0]["reason"]


def test_lvis_detections_of_unchecked_classes_are_left_out(
    coco: TinyCoco, tiny_predictor: Predictor, tmp_path: Path
) -> None:
    data = coco.data
    data["annotations"] = [a for a in data["annotations"] if a["category_id"] == 1]
    data["images"][0]["neg_category_ids"] = [3]
    coco.rewrite()
    results = [
        {"image_id": i, "category_id": c, "bbox": [10, 30, 20, 20], "score": 0.5}
        for i in (1, 2)
        for c in (1, 3, 18)
    ]
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results))
    config = RunConfig(
        coco.annotations, coco.images, tmp_path / "run", ("msm",), detector=f"coco:{file}"
    )
    assert run_dataset(config, predictor=tiny_predictor).state == "done"
    found = tables(tmp_path / "run")["detections"].groupby("image_id")["category_id"].agg(set)
    assert found.to_dict() == {1: {1, 3}, 2: {1, 3, 18}}


def test_cityscapes_converted(coco: TinyCoco) -> None:
    """File names with folders, of which the photo folder may hold only the last."""
    for k, image in enumerate(coco.data["images"]):
        image["seg_file_name"] = "x_gtFine_instanceIds.png"
        city = f"frankfurt/frankfurt_000000_00{k}_leftImg8bit.png"
        move_one(coco, image, city)
        image["file_name"] = f"leftImg8bit/val/{city}"
    dataset = read_whole(coco)
    assert dataset.coco.images[0].file_name == "frankfurt/frankfurt_000000_000_leftImg8bit.png"


def move_one(coco: TinyCoco, image: dict[str, Any], name: str) -> None:
    target = coco.images / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(coco.images / image["file_name"], target)


def test_label_studio(coco: TinyCoco) -> None:
    """Ids from 0, area 0 or absent, no iscrowd, an upload's name with a prefix, Windows paths."""
    data = coco.data
    new = {c["id"]: k for k, c in enumerate(data["categories"])}
    for category in data["categories"]:
        category["id"] = new[category["id"]]
    for k, annotation in enumerate(data["annotations"]):
        annotation |= {"id": k, "category_id": new[annotation["category_id"]], "ignore": 0}
        annotation["image_id"] -= 1
        del annotation["iscrowd"]
        annotation["area"] = 0
        if k % 2:
            del annotation["area"]
    for image, name in zip(
        data["images"],
        ("upload/3/1a2b3c4d-000000000001.png", "..\\..\\data\\upload\\9f8e7d6c-000000000002.png"),
        strict=True,
    ):
        image |= {"id": image["id"] - 1, "file_name": name}
    dataset = read_whole(coco)
    assert dataset.coco.category_ids == (0, 1, 2)
    assert [i.file_name for i in dataset.coco.images] == ["000000000001.png", "000000000002.png"]
    notes = [p["reason"] for p in dataset.problems if p["place"] == "annotation"]
    assert len(notes) == 6 and all("has no area; measured" in n for n in notes)
    first = dataset.coco.by_image[0][0]
    assert first.area == decode_mask(first, 96, 128).sum()


def test_cvat(coco: TinyCoco) -> None:
    """Run lengths as lists, all under iscrowd 1, attributes, boxes with an empty mask."""
    data = coco.data
    plain = read_coco(coco.annotations)
    for annotation in data["annotations"]:
        annotation["attributes"] = {"occluded": False, "track_id": 3}
    for number in (0, 1):
        entry = data["annotations"][number]
        mask = decode_mask(plain.by_image[1][number], 96, 128).T.reshape(-1)
        counts, last, length = [], False, 0
        for value in mask:
            if value != last:
                counts.append(length)
                last, length = value, 0
            length += 1
        entry["segmentation"] = {"counts": [*counts, length], "size": [96, 128]}
        entry["iscrowd"] = 1
        entry["area"] = float(mask.sum())
    data["annotations"].append(
        {
            "id": 99,
            "image_id": 1,
            "category_id": 1,
            "segmentation": [],
            "area": 100.0,
            "bbox": [5.0, 5.0, 10.0, 10.0],
            "iscrowd": 0,
            "attributes": {"occluded": False},
        }
    )
    coco.rewrite()
    dataset = read_dataset(coco.annotations, coco.images)
    assert dataset.coco.annotation_count == 6
    crowd = "is a mask of CVAT, which marks all as crowd regions; taken as one object"
    said = (
        "marks every mask of run lengths (2) as a crowd region and has CVAT's attribute on every "
        "annotation, as CVAT exports brush masks; they are taken as objects"
    )
    assert [(p["id"], p["reason"]) for p in dataset.problems] == [
        (None, said),
        (1, crowd),
        (2, crowd),
        (99, "has a box but no mask"),
    ]
    for number in (0, 1):
        ours = decode_mask(dataset.coco.by_image[1][number], 96, 128)
        assert (ours == decode_mask(plain.by_image[1][number], 96, 128)).all()
    assert not any(a.crowd for a in dataset.coco.by_image[1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("./x/../a.jpg", "x/a.jpg"),
        ("../../etc/passwd", "etc/passwd"),
        ("/abs/a.jpg", "abs/a.jpg"),
        ("C:\\photos\\a b.jpg", "photos/a b.jpg"),
        ("http://host:8080/data/upload/1/a%20b.jpg?d=1", "data/upload/1/a b.jpg"),
        ("s3://bucket/dir/a.jpg", "dir/a.jpg"),
        ("100%.jpg", "100%.jpg"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert plain_name({"file_name": name}) == expected


def test_two_photos_never_become_one(coco: TinyCoco) -> None:
    (coco.images / "000000000001.png").rename(coco.images / "same.png")
    for k, image in enumerate(coco.data["images"]):
        image["file_name"] = f"{k}/same.png"
    coco.rewrite()
    dataset = read_dataset(coco.annotations, coco.images)
    assert [i.file_name for i in dataset.coco.images] == ["0/same.png", "1/same.png"]
    assert [p["id"] for p in dataset.problems] == [1, 2]
    assert all("same.png only shares its last name" in p["reason"] for p in dataset.problems)


@pytest.mark.parametrize(
    ("name", "there", "expected"),
    [
        # another folder than the name gives, or more than one photo: none
        ("val/1.jpg", ["train/1.jpg"], None),
        ("set/val/a/1.jpg", ["set/train/a/1.jpg"], None),
        ("1.jpg", ["train/1.jpg", "val/1.jpg"], None),
        ("images/1.jpg", ["train/1.jpg", "val/1.jpg"], None),
        ("val/1a2b3c4d-1.jpg", ["train/1.jpg"], None),
        ("val/a%20b.jpg", ["train/a b.jpg"], None),
        # no folder, or only those of an export, contradicts
        ("1.jpg", ["train/1.jpg"], "train/1.jpg"),
        ("val/1.jpg", ["1.jpg"], "1.jpg"),
        ("val/1.jpg", ["set/val/1.jpg", "set/train/1.jpg"], "set/val/1.jpg"),
        ("val/1.jpg", ["images/1.jpg"], "images/1.jpg"),
        ("images/val/1.jpg", ["set/val/1.jpg"], "set/val/1.jpg"),
        ("data/upload/7/1a2b3c4d-1.jpg", ["set one/1.jpg"], "set one/1.jpg"),
        ("upload/7/1a2b3c4d-1.jpg", ["x/1a2b3c4d-1.jpg", "y/1.jpg"], "x/1a2b3c4d-1.jpg"),
        ("images/1a2b3c4d-a%20b.jpg", ["val/a b.jpg"], "val/a b.jpg"),
    ],
)
def test_the_last_name_alone_is_no_photo_of_another_folder(
    name: str, there: list[str], expected: str | None
) -> None:
    photos = Photos.among(there)
    assert photos.one(name) == expected
    assert photos.find({1: name}) == ({} if expected is None else {1: expected})
    assert set(photos.doubtful.get(1, [])) == (set(there) if expected is None else set())


def test_a_photo_that_is_not_taken_has_its_row(coco: TinyCoco) -> None:
    image = coco.data["images"][0]
    move_one(coco, image, f"train/{image['file_name']}")
    image["file_name"] = f"val/{image['file_name']}"
    coco.rewrite()
    dataset = read_dataset(coco.annotations, coco.images)
    assert dataset.coco.images[0].file_name == "val/000000000001.png"
    (row,) = dataset.problems
    assert (row["place"], row["id"], row["outcome"]) == ("image", 1, "kept")
    assert "train/000000000001.png only shares its last name" in row["reason"]


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs ../shared/data")
def test_real_sets_are_read_as_training_reads_them() -> None:
    folder = SHARED_DATA / "coco_mini"
    for name in ("instances_val", "instances_train", "person_single"):
        ours, plain = read_dataset(folder / f"{name}.json"), read_coco(folder / f"{name}.json")
        assert ours.problems == ()
        assert ours.coco.category_ids == plain.category_ids
        for image in plain.images:
            for a, b in zip(ours.coco.by_image[image.id], plain.by_image[image.id], strict=True):
                assert (a.id, a.area, a.bbox, a.crowd) == (b.id, b.area, b.bbox, b.crowd)


@pytest.mark.timeout(400)
def test_a_large_file_is_read_in_time(tmp_path: Path) -> None:
    """As many objects as COCO val2017 has, in well under the 20 s and 1 GB that are promised."""
    import resource
    import time

    coco = tiny_coco(tmp_path, photos=1)
    first = coco.data["annotations"][0]
    image = coco.data["images"][0]
    data = {**coco.data, "images": [], "annotations": []}
    for k in range(5000):
        data["images"].append({**image, "id": k})
    polygon = first["segmentation"][0] * 3
    for k in range(36_781):
        shifted = [v + (k % 7) for v in polygon]
        data["annotations"].append(
            {**first, "id": k, "image_id": k % 5000, "segmentation": [shifted]}
        )
    coco.annotations.write_text(json.dumps(data))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    dataset = read_dataset(coco.annotations)
    assert dataset.coco.annotation_count + dataset.skipped == 36_781
    assert time.process_time() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000
