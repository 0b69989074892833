"""Small COCO sets drawn on the spot: shapes with known polygons, no photo from elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
SHARED_DATA = SHARED / "data"

CATEGORIES = [
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 3, "name": "car", "supercategory": "vehicle"},
    {"id": 18, "name": "dog", "supercategory": "animal"},
]
"""COCO's own ids, which have gaps."""


@dataclass(frozen=True)
class TinyCoco:
    """A COCO set on disk: annotation file, photo folder, and what was written to the file."""

    annotations: Path
    images: Path
    data: dict[str, Any]

    def rewrite(self) -> None:
        """Write ``data`` again after a test changed it."""
        self.annotations.write_text(json.dumps(self.data))


def polygon_bbox(polygon: list[float]) -> list[float]:
    """COCO bbox [x, y, width, height] of a flat polygon."""
    points = np.array(polygon).reshape(-1, 2)
    low, high = points.min(0), points.max(0)
    return [float(v) for v in (*low, *(high - low))]


def draw_shapes(
    rng: np.random.Generator, height: int, width: int, count: int
) -> tuple[np.ndarray, list[list[float]]]:
    """Draw ``count`` convex shapes side by side; (H, W, 3) uint8 RGB and their flat polygons."""
    image = np.full((height, width, 3), 90, np.uint8)
    image += rng.integers(0, 20, image.shape, dtype=np.uint8)
    polygons = []
    cell = width / count
    for i in range(count):
        cx, cy = cell * (i + 0.5), height * rng.uniform(0.4, 0.6)
        rx, ry = cell * rng.uniform(0.3, 0.45), height * rng.uniform(0.2, 0.35)
        corners = int(rng.integers(4, 9))
        angles = 2 * np.pi * (np.arange(corners) + rng.uniform(0, 0.5)) / corners
        points = np.stack([cx + rx * np.cos(angles), cy + ry * np.sin(angles)], axis=1)
        points = np.round(points, 2)
        colour = [int(v) for v in rng.integers(150, 256, 3)]
        cv2.fillPoly(image, [np.round(points).astype(np.int32)], colour)
        polygons.append([float(v) for v in points.ravel()])
    return image, polygons


def tiny_coco(
    tmp_path: Path,
    photos: int = 3,
    *,
    objects: int = 3,
    size: tuple[int, int] = (96, 128),
    crowd: bool = False,
    name: str = "tiny",
    seed: int = 0,
) -> TinyCoco:
    """Write a COCO set of drawn shapes.

    Args:
        tmp_path: where to write ``name.json`` and the folder ``name``.
        photos: number of PNG photos (ids from 1).
        objects: shapes per photo; categories go round.
        size: (height, width) in pixels.
        crowd: add one crowd region, an uncompressed RLE of the top-left corner, per photo.
        name: of the file and the folder.
        seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    folder = tmp_path / name
    folder.mkdir(parents=True)
    data: dict[str, Any] = {"images": [], "annotations": []}
    data["categories"] = [dict(c) for c in CATEGORIES]  # tests change what they are given
    for image_id in range(1, photos + 1):
        image, polygons = draw_shapes(rng, height, width, objects)
        file_name = f"{image_id:012d}.png"
        cv2.imwrite(str(folder / file_name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        data["images"].append(
            {"id": image_id, "file_name": file_name, "width": width, "height": height}
        )
        for i, polygon in enumerate(polygons):
            box = polygon_bbox(polygon)
            data["annotations"].append(
                {
                    "id": len(data["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": CATEGORIES[i % len(CATEGORIES)]["id"],
                    "segmentation": [polygon],
                    "bbox": box,
                    "area": box[2] * box[3] * 0.75,
                    "iscrowd": 0,
                }
            )
        if crowd:
            data["annotations"].append(
                _crowd(len(data["annotations"]) + 1, image_id, height, width)
            )
    coco = TinyCoco(tmp_path / f"{name}.json", folder, data)
    coco.rewrite()
    return coco


def tiny_mask_folder(tmp_path: Path, sets: tuple[str, ...] = ("shapes",), photos: int = 2) -> Path:
    """Write sets of ``images/*.jpg`` with ``masks/*.png`` (two objects, one unknown strip)."""
    root = tmp_path / "masks"
    rng = np.random.default_rng(1)
    for name in sets:
        for part in ("images", "masks"):
            (root / name / part).mkdir(parents=True)
        for i in range(photos):
            image, polygons = draw_shapes(rng, 80, 100, 2)
            mask = np.zeros((80, 100), np.uint8)
            for value, polygon in enumerate(polygons, start=1):
                points = np.round(np.array(polygon).reshape(-1, 2)).astype(np.int32)
                cv2.fillPoly(mask, [points], value)
            mask[:4] = 255
            cv2.imwrite(str(root / name / "images" / f"p{i}.jpg"), image[..., ::-1])
            cv2.imwrite(str(root / name / "masks" / f"p{i}.png"), mask)
    return root


def _crowd(annotation_id: int, image_id: int, height: int, width: int) -> dict[str, Any]:
    """The 10x10 top-left corner as uncompressed RLE (column order, first run is background)."""
    counts = [0]
    for _ in range(10):
        counts += [10, height - 10]
    counts[-1] += height * (width - 10)
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "segmentation": {"size": [height, width], "counts": counts},
        "bbox": [0.0, 0.0, 10.0, 10.0],
        "area": 100.0,
        "iscrowd": 1,
    }
