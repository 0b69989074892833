"""Writes the exports beside this file with the tools themselves, from invented annotations.

In an environment of their own, as none of them is needed by the project::

    pip install label-studio-sdk==2.1.2
    PYTHONPATH=tests python tests/exports/make_exports.py label-studio
    pip install datumaro==1.13.12 lvis==0.5.3 cityscapesScripts==2.3.0 pycocotools
    pip install --no-deps mmdet==3.3.0 mmengine==0.10.7
    PYTHONPATH=tests python tests/exports/make_exports.py datumaro cityscapes lvis
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from export_photos import (
    CLASSES,
    HEIGHT,
    WIDTH,
    car_in_parts,
    drawn,
    photo,
    shapes,
    write_photos,
)

HERE = Path(__file__).resolve().parent


def keep(name: str, data: Any) -> None:
    """Write an export as the tool made it; only the date, which would differ every time, goes."""
    if isinstance(data.get("info"), dict):
        data["info"].pop("date_created", None)
    (HERE / name).write_text(json.dumps(data, ensure_ascii=False) + "\n", "utf-8")
    print(name, len(data["images"]), "images", len(data["annotations"]), "annotations")


# -- Label Studio --------------------------------------------------------------------------

LABELS = "".join(f'<Label value="{name}"/>' for name in CLASSES)
CONFIG = f"""<View><Image name="image" value="$image"/>
<PolygonLabels name="polygon" toName="image">{LABELS}</PolygonLabels>
<RectangleLabels name="box" toName="image">{LABELS}</RectangleLabels>
</View>"""
BRUSH_CONFIG = f"""<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image">{LABELS}</BrushLabels>
<PolygonLabels name="polygon" toName="image">{LABELS}</PolygonLabels>
</View>"""


def region(kind: str, name: str, value: dict[str, Any], number: int) -> dict[str, Any]:
    """One region as Label Studio stores it, in per cent of the photo."""
    tag = {"polygonlabels": "polygon", "rectanglelabels": "box", "brushlabels": "brush"}[kind]
    return {
        "id": f"r{number}",
        "from_name": tag,
        "to_name": "image",
        "type": kind,
        "origin": "manual",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {**value, kind: [name]},
    }


def percent(points: list[tuple[float, float]]) -> list[list[float]]:
    return [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in points]


def task(number: int, image: str, regions: list[dict[str, Any]]) -> dict[str, Any]:
    """A task as the server's JSON export has it."""
    done = {"id": number, "completed_by": 1, "result": regions, "was_cancelled": False}
    done |= {"ground_truth": False, "created_at": "2026-01-01T00:00:00Z", "lead_time": 3.5}
    return {
        "id": number,
        "data": {"image": image},
        "annotations": [done] if regions else [],
        "predictions": [],
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }


def label_studio() -> None:
    """Polygons, brushes and (rotated) boxes; uploads, local files and cloud storage."""
    from label_studio_sdk.converter import Converter, brush

    os.environ["LOCAL_FILES_SERVING_ENABLED"] = "true"
    uploads = ["1a2b3c4d-first_photo.png", "5e6f7a8b-Straße_2.png"]
    box = {"x": 10.0, "y": 20.0, "width": 25.0, "height": 50.0}
    tasks = []
    images = [
        f"/data/upload/1/{uploads[0]}",
        "/data/upload/1/5e6f7a8b-Stra%C3%9Fe_2.png",
        "/data/local-files/?d=set%20one/third.png",
        "s3://bucket/set one/fourth.png",
    ]
    for k, image in enumerate(images):
        regions = [
            region("polygonlabels", name, {"points": percent(points), "closed": True}, 10 * k + i)
            for i, (name, points) in enumerate(shapes(k))
        ]
        regions += [
            region("rectanglelabels", "traffic light", {**box, "rotation": r}, 10 * k + 5 + r)
            for r in ((0, 30) if k == 0 else (0,))
        ]
        tasks.append(task(k + 1, image, regions))
    tasks.append(task(9, "/data/upload/1/9c0d1e2f-without.png", []))
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        write_photos(root / "media" / "upload" / "1", uploads)
        write_photos(root / "files" / "set one", ["third.png"])
        os.environ["LOCAL_FILES_DOCUMENT_ROOT"] = str(root / "files")
        source = root / "tasks.json"
        source.write_text(json.dumps(tasks))
        converter = Converter(CONFIG, str(root), upload_dir=str(root / "media" / "upload"))
        converter.convert_to_coco(str(source), str(root / "out"), is_dir=False)
        text = (root / "out" / "result.json").read_text("utf-8")
        keep("label_studio.json", json.loads(text))
        tasks = []
        for k, image in enumerate(images[:2]):
            regions = [
                region("brushlabels", name, {"format": "rle", "rle": rle(brush, points)}, i)
                for i, (name, points) in enumerate(shapes(k))
            ]
            # two strokes of one brush, and a dot: one object for the user
            two = np.zeros((HEIGHT, WIDTH), np.uint8)
            two[4:12, 60:72] = two[4:12, 90:102] = two[2, 80] = 255
            two_rle = brush.mask2rle(two)
            regions.append(
                region("brushlabels", "traffic light", {"format": "rle", "rle": two_rle}, 7)
            )
            name, points = shapes(k)[0]
            regions.append(region("polygonlabels", name, {"points": percent(points)}, 8))
            tasks.append(task(k + 1, image, regions))
        source.write_text(json.dumps(tasks))
        converter = Converter(BRUSH_CONFIG, str(root), upload_dir=str(root / "media" / "upload"))
        out = root / "brush"
        from label_studio_sdk.converter.exports.brush_to_coco import convert_to_coco

        convert_to_coco(list(converter.iter_from_json_file(str(source))), str(out))
        data = json.loads(next(out.glob("*.json")).read_text("utf-8"))
        for category in data["categories"]:
            category["color"] = "#123456"  # drawn by lot
        keep("label_studio_brush.json", data)


def rle(brush: Any, points: list[tuple[float, float]]) -> list[int]:
    return brush.mask2rle(drawn(points).astype(np.uint8) * 255)


# -- CVAT, which writes COCO with Datumaro -------------------------------------------------


def datumaro() -> None:
    """Polygons, grouped parts, brush masks, boxes, an ellipse and tracks, with attributes."""
    from datumaro.components.annotation import (
        AnnotationType,
        Bbox,
        Ellipse,
        LabelCategories,
        Mask,
        Polygon,
    )
    from datumaro.components.dataset import Dataset
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.media import Image as Media

    def facts(**more: Any) -> dict[str, Any]:
        return {"occluded": False, "rotation": 0.0, **more}

    items = []
    for k, name in enumerate(["first", "folder/second", "Straße 3", "frame_000003"]):
        (_, person), (_, car) = shapes(k)
        flat = [v for p in person for v in p]
        marks: list[Any] = [Polygon(flat, label=0, attributes=facts(), group=0, z_order=0)]
        mask = Mask(drawn(car), label=1, attributes=facts(), z_order=1)
        if k == 1:  # two parts of one object
            marks += [
                Polygon([v for p in part for v in p], label=1, group=5, attributes=facts())
                for part in car_in_parts(k)
            ]
        else:
            marks.append(mask)
        turned = facts(rotation=33.0)
        marks.append(Bbox(5.5, 4.25, 20, 10, label=2, attributes=turned))
        if k == 2:
            marks.append(Ellipse(84, 74, 124, 94, label=2, attributes=facts()))
            marks.append(Bbox(60, 2, 12, 9, label=2, attributes=facts(track_id=4, keyframe=True)))
        media = Media.from_numpy(np.array(photo(k)), ext=".png")
        items.append(DatasetItem(id=name, subset="default", media=media, annotations=marks))
    names = LabelCategories()
    for name in CLASSES:
        names.add(name)
    dataset = Dataset.from_iterable(items, categories={AnnotationType.label: names})
    with tempfile.TemporaryDirectory() as place:
        # as CVAT's exporter calls it
        dataset.export(place, "coco_instances", save_media=False, merge_images=False)
        text = (Path(place) / "annotations" / "instances_default.json").read_text("utf-8")
    keep("cvat_datumaro.json", json.loads(text))


# -- Cityscapes ----------------------------------------------------------------------------


def cityscapes() -> None:
    """Polygons drawn to instance ids by cityscapesScripts, converted by MMDetection's tool."""
    from importlib.util import find_spec

    from cityscapesscripts.preparation.json2instanceImg import json2instanceImg

    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for split in ("train", "val", "test"):
            for k in range(2):
                stem = f"frankfurt_000000_00{k:04d}"
                folder = root / "leftImg8bit" / split / "frankfurt"
                folder.mkdir(parents=True, exist_ok=True)
                photo(k).save(folder / f"{stem}_leftImg8bit.png")
                marks = [{"label": "road", "polygon": [[0, 84], [127, 84], [127, 95], [0, 95]]}]
                marks += [{"label": n, "polygon": [list(p) for p in s]} for n, s in shapes(k)]
                marks.append({"label": "cargroup", "polygon": [[2, 2], [30, 2], [30, 9], [2, 9]]})
                truth = root / "gtFine" / split / "frankfurt"
                truth.mkdir(parents=True, exist_ok=True)
                source = truth / f"{stem}_gtFine_polygons.json"
                source.write_text(
                    json.dumps({"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": marks})
                )
                for kind in ("instanceIds", "labelIds"):
                    made = truth / f"{stem}_gtFine_{kind}.png"
                    json2instanceImg(str(source), str(made), "ids")
        # the tool needs one function of the large package mmcv
        shim = root / "mmcv.py"
        shim.write_text("import cv2\n\ndef imread(path, flag):\n    return cv2.imread(path, -1)\n")
        package = Path(next(iter(find_spec("mmdet").submodule_search_locations)))
        tool = next(package.rglob("dataset_converters/cityscapes.py"))
        subprocess.run(
            [sys.executable, str(tool), str(root)],
            check=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        made = root / "instancesonly_filtered_gtFine_val.json"
        keep("cityscapes_mmdet.json", json.loads(made.read_text()))


# -- LVIS ----------------------------------------------------------------------------------


def lvis() -> None:
    """LVIS v1's form, which nothing but LVIS itself writes; its own package has to read it."""
    from lvis import LVIS

    images, annotations = [], []
    for k in range(2):
        part = ("train2017", "val2017")[k]
        images.append(
            {
                "license": 4,
                "flickr_url": "",
                "coco_url": f"http://images.cocodataset.org/{part}/{k:012d}.jpg",
                "height": HEIGHT,
                "width": WIDTH,
                "date_captured": "2013-11-14 17:02:52",
                "not_exhaustive_category_ids": [2] if k else [],
                "neg_category_ids": [3],
                "id": 397133 + k,
            }
        )
        for number, (_, points) in enumerate(shapes(k)):
            x, y = np.array(points).T
            around = np.roll(x, -1) * y - np.roll(y, -1) * x
            annotations.append(
                {
                    "bbox": [float(v) for v in (x.min(), y.min(), np.ptp(x), np.ptp(y))],
                    "category_id": number + 1,
                    "image_id": 397133 + k,
                    "id": len(annotations) + 1,
                    "segmentation": [[float(v) for p in points for v in p]],
                    "area": float(abs(around.sum()) / 2),
                }
            )
    categories = [
        {
            "image_count": 2,
            "synonyms": [name],
            "def": f"an invented {name}",
            "id": k + 1,
            "synset": f"{name.replace(' ', '_')}.n.01",
            "name": name.replace(" ", "_"),
            "frequency": "rcf"[k],
            "instance_count": 2,
        }
        for k, name in enumerate(CLASSES)
    ]
    data = {"info": {"description": "LVIS's form, invented", "version": "v1.0"}, "licenses": []}
    data |= {"images": images, "annotations": annotations, "categories": categories}
    keep("lvis.json", data)
    assert len(LVIS(str(HERE / "lvis.json")).get_ann_ids()) == 4


TOOLS = {
    "label-studio": label_studio,
    "datumaro": datumaro,
    "cityscapes": cityscapes,
    "lvis": lvis,
}

if __name__ == "__main__":
    for asked in sys.argv[1:] or TOOLS:
        TOOLS[asked]()
