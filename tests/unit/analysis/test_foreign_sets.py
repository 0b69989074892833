"""Exports that Label Studio, CVAT's Datumaro, MMDetection's Cityscapes tool and LVIS's form really
have: written by the tools themselves from invented annotations, see tests/exports/make_exports.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from export_photos import HEIGHT, PHOTOS, WIDTH, car_in_parts, drawn, photo, shapes
from factories import REPOSITORY
from PIL import Image
from run_compare import tables

from analysis.coco_io import Dataset, read_dataset
from analysis.report import write_report
from analysis.run import RunConfig, run_dataset
from analysis.store import open_run
from dynamask.coco_read import decode_mask, read_coco, read_photo
from dynamask.errors import DataError
from dynamask.predictor import Predictor

EXPORTS = REPOSITORY / "tests" / "exports"
CITY = "frankfurt_000000_00000{}_leftImg8bit.png"

# where people have the photos, against what the export calls them
PLACES: dict[str, dict[str, int]] = {
    "label_studio": {
        "1a2b3c4d-first_photo.png": 0,
        "Straße_2.png": 1,  # their own names, without the upload's prefix
        "set one/third.png": 2,
        "deep/below/set one/fourth.png": 3,
        "without.png": 0,
    },
    "label_studio_brush": {"first_photo.png": 0, "images/5e6f7a8b-Straße_2.png": 1},
    "cvat_datumaro": {
        "first.png": 0,
        "folder/second.png": 1,
        "Straße 3.png": 2,
        "frame_000003.png": 3,
    },
    "cityscapes_mmdet": {f"frankfurt/{CITY.format(k)}": k for k in (0, 1)},
    "lvis": {"train2017/000000000000.jpg": 0, "val2017/000000000001.jpg": 1},
}
SKIPPED = {  # annotation ids and why; all else is used
    "label_studio": dict.fromkeys((2, 3, 6, 9, 12), "has a box but no mask"),
    "label_studio_brush": {},
    "cvat_datumaro": dict.fromkeys((3, 5, 9, 11, 14), "has a box but no mask"),
    "cityscapes_mmdet": {},
    "lvis": {},
}


@pytest.fixture(params=PLACES)
def export(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, Path]:
    """(tool, its annotation file, folder of the photos)."""
    name = request.param
    for place, number in PLACES[name].items():
        target = tmp_path / "photos" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        photo(number).save(target)
    return name, EXPORTS / f"{name}.json", tmp_path / "photos"


def number_of(dataset: Dataset, image_id: int, name: str) -> int:
    """Which of the invented photos an entry is."""
    found = next(i.file_name for i in dataset.coco.images if i.id == image_id)
    return PLACES[name][found]


def test_every_mask_lies_on_its_shape(export: tuple[str, Path, Path]) -> None:
    name, file, photos = export
    dataset = read_dataset(file, photos)
    data = json.loads(file.read_text())
    assert {i.file_name for i in dataset.coco.images} == set(PLACES[name])
    left_out = {p["id"]: p["reason"] for p in dataset.problems if p["outcome"] == "skipped"}
    assert left_out == SKIPPED[name], "a row for everything that is left out"
    assert dataset.coco.annotation_count == len(data["annotations"]) - len(left_out)
    compared = 0
    for image in dataset.coco.images:
        assert read_photo(photos, image).shape == (HEIGHT, WIDTH, 3)
        number = number_of(dataset, image.id, name)
        truth = {category: drawn(points) for category, points in shapes(number)}
        if image.file_name == "folder/second.png":
            truth["car"] = drawn(*car_in_parts(number))
        for annotation in dataset.coco.by_image[image.id]:
            category = dataset.coco.category_names[annotation.label].replace("_", " ")
            if category not in truth or annotation.crowd:
                continue
            mask = decode_mask(annotation, HEIGHT, WIDTH)
            both = mask & truth[category]
            shared = both.sum() / (mask | truth[category]).sum()
            assert shared > 0.85, "tools draw edges differently, by up to a pixel"
            assert abs(annotation.area - mask.sum()) < 0.06 * mask.sum() + 60
            compared += 1
    assert compared >= 4


def test_a_run_over_an_export(
    export: tuple[str, Path, Path], tiny_predictor: Predictor, tmp_path: Path
) -> None:
    name, file, photos = export
    config = RunConfig(file, photos, tmp_path / "run", ("msm", "fixed:28"))
    info = run_dataset(config, predictor=tiny_predictor)
    made = tables(tmp_path / "run")
    assert (info.state, info.photos_done) == ("done", len(PLACES[name]))
    assert set(made["photos"]["state"]) == {"done"}
    dataset = read_dataset(file, photos)
    ids = {a.id for a in sum(dataset.coco.by_image.values(), ())}
    assert set(made["objects"]["annotation_id"]) == ids
    rows = made["problems"]
    assert set(rows[rows["outcome"] == "skipped"]["id"]) == set(SKIPPED[name])


def test_rectangles_alone_end_in_a_report(tmp_path: Path, tiny_predictor: Predictor) -> None:
    """Label Studio's export of a project with boxes only: every entry has its row, the run ends."""
    data = json.loads((EXPORTS / "label_studio.json").read_text())
    data["annotations"] = [a for a in data["annotations"] if not a["segmentation"]]
    (tmp_path / "a.json").write_text(json.dumps(data))
    photo(0).save(tmp_path / "first_photo.png")
    config = RunConfig(tmp_path / "a.json", tmp_path, tmp_path / "run", ("msm",), limit=1)
    info = run_dataset(config, predictor=tiny_predictor)
    assert (info.state, info.photos_done, info.objects) == ("done", 1, 0)
    rows = tables(tmp_path / "run")["problems"]
    told = rows[rows["place"] == "annotation"]
    assert set(told["id"]) == {2, 3, 6, 9, 12}
    assert set(told["reason"]) == {"has a box but no mask"}
    write_report(open_run(tmp_path / "run"), tmp_path / "report.html")


def test_masks_of_cvats_brush_are_objects_and_the_report_says_so(tmp_path: Path) -> None:
    dataset = read_dataset(EXPORTS / "cvat_datumaro.json")
    told = {p["id"] for p in dataset.problems if "marks all as crowd regions" in p["reason"]}
    assert told == {2, 8, 13}
    assert not [a for a in sum(dataset.coco.by_image.values(), ()) if a.crowd]
    # a crowd of any other file stays one
    data = json.loads((EXPORTS / "cvat_datumaro.json").read_text())
    for annotation in data["annotations"]:
        del annotation["attributes"]
    (tmp_path / "plain.json").write_text(json.dumps(data))
    dataset = read_dataset(tmp_path / "plain.json")
    assert {a.id for a in sum(dataset.coco.by_image.values(), ()) if a.crowd} == told


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda a: a[1].update(iscrowd=0), "does not mark all masks"),  # one mask is an object
        (lambda a: a[0].update(iscrowd=1), "does not mark all masks"),  # polygons are a crowd
        (lambda a: a[0].pop("attributes"), "not every annotation"),  # of another tool
    ],
)
def test_a_true_crowd_with_cvats_attribute_stays_one(
    tmp_path: Path, change: Callable[[list[dict]], object], why: str
) -> None:
    data = json.loads((EXPORTS / "cvat_datumaro.json").read_text())
    change(data["annotations"])
    (tmp_path / "a.json").write_text(json.dumps(data))
    dataset = read_dataset(tmp_path / "a.json")
    marked = {a["id"] for a in data["annotations"] if a["iscrowd"]}
    assert {a.id for a in sum(dataset.coco.by_image.values(), ()) if a.crowd} == marked
    (said,) = (p["reason"] for p in dataset.problems if p["place"] == "file")
    assert "they stay such" in said and why in said


def test_cityscapes_groups_stay_crowds() -> None:
    dataset = read_dataset(EXPORTS / "cityscapes_mmdet.json")
    crowds = [a for a in sum(dataset.coco.by_image.values(), ()) if a.crowd]
    assert {dataset.coco.category_names[a.label] for a in crowds} == {"car"} and len(crowds) == 2
    assert dataset.coco.category_ids[0] == 24 and not dataset.problems


def test_lvis_says_what_was_checked() -> None:
    dataset = read_dataset(EXPORTS / "lvis.json")
    assert dict(dataset.verified) == {397133: (1, 2, 3), 397134: (1, 2, 3)}
    assert not dataset.problems


def test_a_photo_without_a_size_is_measured_where_it_is(tmp_path: Path) -> None:
    """Label Studio writes null for photos that it could not open."""
    file = EXPORTS / "label_studio.json"
    reasons = [p["reason"] for p in read_dataset(file).problems if p["place"] == "image"]
    assert reasons == ["has no width and height; its photo tells them"]
    (tmp_path / "9c0d1e2f-without.png").write_bytes(b"no photo")
    assert 4 not in {i.id for i in read_dataset(file, tmp_path).coco.images}
    photo(0).save(tmp_path / "9c0d1e2f-without.png")
    dataset = read_dataset(file, tmp_path)
    assert (dataset.coco.images[4].width, dataset.coco.images[4].height) == (WIDTH, HEIGHT)
    assert "its photo has 128 x 96 px" in next(
        p["reason"] for p in dataset.problems if p["id"] == 4 and p["place"] == "image"
    )


def test_cityscapes_as_detectron_names_it(tmp_path: Path) -> None:
    """The last name alone, with the photos in folders of cities."""
    data = json.loads((EXPORTS / "cityscapes_mmdet.json").read_text())
    for image in data["images"]:
        image["file_name"] = image["file_name"].rsplit("/", 1)[-1]
        image["seg_file_name"] = image.pop("segm_file")
    (tmp_path / "d.json").write_text(json.dumps(data))
    for k in (0, 1):
        place = tmp_path / "leftImg8bit" / "val" / "frankfurt" / CITY.format(k)
        place.parent.mkdir(parents=True, exist_ok=True)
        photo(k).save(place)
    dataset = read_dataset(tmp_path / "d.json", tmp_path / "leftImg8bit")
    assert [i.file_name for i in dataset.coco.images] == [
        f"val/frankfurt/{CITY.format(k)}" for k in (1, 0)
    ]
    # the same name in two folders says nothing
    shutil.copytree(tmp_path / "leftImg8bit" / "val", tmp_path / "leftImg8bit" / "train")
    dataset = read_dataset(tmp_path / "d.json", tmp_path / "leftImg8bit")
    assert [i.file_name for i in dataset.coco.images] == [CITY.format(k) for k in (1, 0)]


def test_a_turned_photo_is_read_as_it_was_annotated(tmp_path: Path) -> None:
    """Browsers show photos upright, so that is how Label Studio and CVAT have their sizes."""
    upright = photo(0)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "a.png", exif=exif)
    entry = {"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}
    for width, height, expected in ((WIDTH, HEIGHT, upright), (HEIGHT, WIDTH, stored)):
        entry |= {"width": width, "height": height}
        data = {"images": [entry], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
        (tmp_path / "a.json").write_text(json.dumps(data))
        image = read_coco(tmp_path / "a.json").images[0]
        assert (read_photo(tmp_path, image) == np.array(expected)).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp"])
@pytest.mark.parametrize("turn", [None, 1, 3, 6, 8])
def test_a_size_that_is_measured_is_upright(tmp_path: Path, turn: int | None, suffix: str) -> None:
    """Tools that write no size show photos upright."""
    exif = Image.Exif()
    if turn is not None:
        exif[0x0112] = turn
    back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}.get(turn or 0)
    stored = photo(0) if back is None else photo(0).transpose(back)
    how = {"quality": 100} if suffix in ("jpg", "webp") else {}
    stored.save(tmp_path / f"a.{suffix}", exif=exif, **how)
    dataset = unsized(tmp_path, f"a.{suffix}", {"segmentation": [[2, 2, 30, 2, 30, 30]]})
    image = dataset.coco.images[0]
    assert (image.width, image.height) == (WIDTH, HEIGHT)
    pixels = read_photo(tmp_path, image).astype(int)
    assert np.abs(pixels - np.array(photo(0))).mean() < 6, "and so the photo is read"
    assert ("turned upright" in dataset.problems[0]["reason"]) == (turn in (6, 8))


@pytest.mark.parametrize(
    ("of", "size"),
    [
        ({"segmentation": [[2, 2, 30, 2, 30, HEIGHT + 20]]}, (HEIGHT, WIDTH)),
        ({"segmentation": [[2, 2, HEIGHT + 20, 2, 30, 30]]}, (WIDTH, HEIGHT)),
        (
            {
                "bbox": [0, 0, 9, 9],
                "segmentation": {"size": [WIDTH, HEIGHT], "counts": [0, WIDTH * HEIGHT]},
            },
            (HEIGHT, WIDTH),
        ),
        ({"segmentation": [], "bbox": [0, HEIGHT, 4, WIDTH - HEIGHT]}, (HEIGHT, WIDTH)),
        ({"segmentation": ["x", [None, {}, [], "9"]], "bbox": [1, "x", None, 2]}, (WIDTH, HEIGHT)),
    ],
)
def test_annotations_tell_whether_a_photo_was_turned(
    tmp_path: Path, of: dict, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(0).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", exif=exif)
    image = unsized(tmp_path, "a.jpg", of).coco.images[0]
    assert (image.width, image.height) == size
    assert read_photo(tmp_path, image).shape[:2] == size[::-1]


def unsized(folder: Path, name: str, annotation: dict) -> Dataset:
    """A set of one photo whose file has no size of it."""
    data = {
        "images": [{"id": 1, "file_name": name, "width": None, "height": None}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **annotation}],
        "categories": [{"id": 1, "name": "a"}],
    }
    (folder / "a.json").write_text(json.dumps(data))
    return read_dataset(folder / "a.json", folder)


def test_a_file_without_any_size_is_measured_or_says_what_to_do(tmp_path: Path) -> None:
    photo(0).save(tmp_path / "a.png")
    shape = {"segmentation": [[2, 2, 30, 2, 30, 30]]}
    assert unsized(tmp_path, "a.png", shape).coco.annotation_count == 1
    dataset = read_dataset(tmp_path / "a.json")  # before the photos are at hand
    assert (dataset.coco.images, dict(dataset.unsized)) == ((), {1: "a.png"})
    assert [p["reason"] for p in dataset.problems] == [
        "has no width and height; its photo tells them",
        "of an image without width and height",
    ]
    with pytest.raises(DataError, match="b.png; add both numbers, or choose the folder"):
        unsized(tmp_path, "b.png", shape)


def test_the_exports_are_of_four_photos_at_most() -> None:
    assert set(PLACES) == {p.stem for p in EXPORTS.glob("*.json")}
    assert max(k for place in PLACES.values() for k in place.values()) < PHOTOS
