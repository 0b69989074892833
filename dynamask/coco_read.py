"""Reading COCO files without trusting them.

The file's frame (images, annotations, categories) must be whole, else :class:`DataError`. A
single odd annotation is left out and counted instead: large sets hold a few, and pycocotools
crashes the whole process on some of them (a NaN in a polygon, a run length past the photo's
end). Nothing reaches pycocotools here before it has been checked.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dynamask.errors import DataError
from dynamask.stored import read_rgb

logger = logging.getLogger(__name__)

MAX_SIDE = 65_535
"""Longest side in pixels that a photo of a COCO file may claim."""
MAX_PIXELS = 200_000_000
"""Most pixels that a photo of a COCO file may claim."""
POLYGON_REACH = 10
"""Largest coordinate of a polygon, in longest sides of its photo."""
MAX_OUTLINE = 1_000_000
"""Longest outline of one object in pixels; drawing one takes memory in proportion."""


@dataclass(frozen=True)
class CocoImage:
    """One entry of ``images``; width and height in pixels."""

    id: int
    file_name: str
    width: int
    height: int


@dataclass(frozen=True)
class CocoAnnotation:
    """One checked object.

    Attributes:
        id: as in the file.
        image_id: the photo it lies in.
        category_id: as in the file (COCO's run to 90 with gaps).
        label: 0-based index into ``CocoSet.category_names``.
        bbox: (x, y, width, height) in photo pixels.
        area: in square pixels, from the file; the box's area where the file has none.
        crowd: whether it marks a group instead of one object.
        polygons: (K, 2) float64 arrays in photo pixels; empty where ``runs`` is used.
        runs: (R,) int64 run lengths in column order, starting outside the object; or None.
    """

    id: int
    image_id: int
    category_id: int
    label: int
    bbox: tuple[float, float, float, float]
    area: float
    crowd: bool
    polygons: tuple[np.ndarray, ...] = field(default=(), repr=False)
    runs: np.ndarray | None = field(default=None, repr=False)

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """(x1, y1, x2, y2) in photo pixels."""
        x, y, w, h = self.bbox
        return (x, y, x + w, y + h)


@dataclass(frozen=True)
class CocoSet:
    """A checked COCO file.

    Attributes:
        path: where it was read from.
        images: in the order of the file.
        category_ids: sorted; the position is the label.
        category_names: class names by label.
        by_image: image id to its usable annotations, in the order of the file.
        skipped: reason to number of annotations left out.
    """

    path: Path
    images: tuple[CocoImage, ...]
    category_ids: tuple[int, ...]
    category_names: tuple[str, ...]
    by_image: Mapping[int, tuple[CocoAnnotation, ...]] = field(repr=False)
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def annotation_count(self) -> int:
        """Number of usable annotations, crowds included."""
        return sum(len(a) for a in self.by_image.values())


def read_coco(path: str | Path) -> CocoSet:
    """Read and check a COCO instances file.

    Raises:
        DataError: no such file, not JSON, or images or categories without their keys.
    """
    path = Path(path)
    data = load_json(path)
    for key in ("images", "annotations", "categories"):
        if not isinstance(data.get(key), list):
            raise DataError(
                f"Expected a COCO file with a list {key!r}, got {path.name} without one; "
                "pass an instances_*.json file."
            )
    categories = _read_categories(path, data["categories"])
    labels = {cid: i for i, (cid, _) in enumerate(categories)}
    images = {}
    for entry in data["images"]:
        image = _read_image(path, entry)
        if image.id in images:
            raise DataError(
                f"Expected every image id of {path.name} once, got {image.id} twice; "
                "remove one of the two entries."
            )
        images[image.id] = image
    by_image: dict[int, list[CocoAnnotation]] = {i: [] for i in images}
    skipped: Counter[str] = Counter()
    seen: set[int] = set()
    for entry in data["annotations"]:
        try:
            annotation = check_annotation(entry, images, labels)
            if annotation.id in seen:
                raise OddAnnotation("id used twice")
        except OddAnnotation as odd:
            skipped[str(odd)] += 1
            continue
        seen.add(annotation.id)
        by_image[annotation.image_id].append(annotation)
    if skipped:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(skipped.items()))
        logger.warning("%s: left out %d annotations: %s", path.name, skipped.total(), reasons)
    return CocoSet(
        path=path,
        images=tuple(images.values()),
        category_ids=tuple(cid for cid, _ in categories),
        category_names=tuple(name for _, name in categories),
        by_image={i: tuple(a) for i, a in by_image.items()},
        skipped=dict(skipped),
    )


def decode_mask(annotation: CocoAnnotation, height: int, width: int) -> np.ndarray:
    """Return one annotation as a (height, width) bool mask of its photo.

    Raises:
        DataError: run lengths that belong to a photo of another size.
    """
    if annotation.runs is not None:
        if int(annotation.runs.sum()) != height * width:
            raise DataError(
                f"Expected run lengths of {height * width} pixels for annotation "
                f"{annotation.id}, got {int(annotation.runs.sum())}; pass its photo's own size."
            )
        values = np.arange(len(annotation.runs)) % 2 == 1
        return np.repeat(values, annotation.runs).reshape(width, height).T
    from pycocotools import mask as mask_api

    flat = [p.ravel().tolist() for p in annotation.polygons]
    merged = mask_api.merge(mask_api.frPyObjects(flat, height, width))
    return mask_api.decode(merged).astype(bool)


def photo_path(folder: str | Path, image: CocoImage) -> Path:
    """Return where a photo lies; raises DataError where its name points outside ``folder``."""
    folder = Path(folder)
    path = folder / image.file_name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"Expected photos inside {folder.name}, got file_name {image.file_name!r}; "
            "use names relative to the photo folder."
        )
    return path


def read_photo(folder: str | Path, image: CocoImage) -> np.ndarray:
    """Read one photo of a set as (H, W, 3) uint8 RGB, in the frame of its annotations.

    EXIF rotation is ignored on purpose: COCO's coordinates refer to the stored pixels. Only where
    the file exchanges width and height was it annotated upright, as Label Studio and CVAT show it.

    Raises:
        DataError: missing, unreadable, or of another size than the file says.
    """
    path = photo_path(folder, image)
    pixels = read_rgb(path)
    if pixels.shape[:2] == (image.width, image.height) != (image.height, image.width):
        pixels = read_rgb(path, upright=True)
    if pixels.shape[:2] != (image.height, image.width):
        raise DataError(
            f"Expected {path.name} at {image.width}x{image.height} px as its COCO file says, got "
            f"{pixels.shape[1]}x{pixels.shape[0]}; use the photos the annotations were made for."
        )
    return pixels


class OddAnnotation(Exception):
    """Why one annotation is left out, as it would follow 'an annotation'."""


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; raises DataError where there is none."""
    if not os.path.isfile(path):  # False, too, for a name too long for the disk
        raise DataError(f"Expected a COCO file at {path}, got no such file; check the path.")
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"Expected JSON in {path.name}, got text that is not ({str(error)[:80]}); "
            "download or export the file again."
        ) from error
    except OSError as error:
        raise DataError(
            f"Expected to read {path.name}, got {error.strerror}; check its permissions."
        ) from error
    if not isinstance(data, dict):
        raise DataError(
            f"Expected a COCO file with images, annotations and categories in {path.name}, got "
            f"a JSON {type(data).__name__}; pass an instances_*.json file."
        )
    return data


def is_int(value: object) -> bool:
    """Whether a value of JSON is a whole number (JSON's true is none)."""
    return isinstance(value, int) and not isinstance(value, bool)


def _read_categories(path: Path, entries: list[Any]) -> list[tuple[int, str]]:
    categories: dict[int, str] = {}
    for entry in entries:
        ok = isinstance(entry, dict) and is_int(entry.get("id"))
        if not ok or not isinstance(entry.get("name"), str) or entry["id"] in categories:
            raise DataError(
                f"Expected categories with a name and a whole-number id of their own in "
                f"{path.name}, got {str(entry)[:80]}; correct that entry."
            )
        categories[entry["id"]] = entry["name"]
    if not categories:
        raise DataError(f"Expected at least one category in {path.name}, got none; add them.")
    return sorted(categories.items())


def _read_image(path: Path, entry: Any) -> CocoImage:
    ok = isinstance(entry, dict) and isinstance(entry.get("file_name"), str)
    ok = ok and "\0" not in entry["file_name"]
    ok = ok and all(is_int(entry.get(key)) for key in ("id", "width", "height"))
    if not ok or not all(1 <= entry[key] <= MAX_SIDE for key in ("width", "height")):
        raise DataError(
            f"Expected images with whole-number id, width and height and a file_name in "
            f"{path.name}, got {str(entry)[:80]}; correct that entry."
        )
    if entry["width"] * entry["height"] > MAX_PIXELS:
        raise DataError(
            f"Expected photos of at most {MAX_PIXELS // 10**6} megapixels in {path.name}, got "
            f"{entry['width']}x{entry['height']} px for image {entry['id']}; make it smaller."
        )
    return CocoImage(entry["id"], entry["file_name"], entry["width"], entry["height"])


def _numbers(values: Any) -> np.ndarray | None:
    """Return a float64 array where ``values`` is a list of finite numbers, else None."""
    if not isinstance(values, list):
        return None
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return None
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        return None
    return array if np.isfinite(array).all() else None


def check_annotation(
    entry: Any, images: Mapping[int, CocoImage], labels: Mapping[int, int]
) -> CocoAnnotation:
    """Check one entry of ``annotations``.

    Args:
        entry: as in the file.
        images: by id.
        labels: category id to label.

    Raises:
        OddAnnotation: why it cannot be used.
    """
    if not isinstance(entry, dict) or not is_int(entry.get("id")):
        raise OddAnnotation("without an id")
    image_id, category_id = entry.get("image_id"), entry.get("category_id")
    if not is_int(image_id) or image_id not in images:
        raise OddAnnotation("of an unknown image")
    if not is_int(category_id) or category_id not in labels:
        raise OddAnnotation("of an unknown category")
    image = images[image_id]
    box = _numbers(entry.get("bbox"))
    if box is None or len(box) != 4 or box[2] <= 0 or box[3] <= 0:
        raise OddAnnotation("without a box of positive size")
    reach = max(image.width, image.height)
    if np.abs(box).max() > 2 * reach:
        raise OddAnnotation("with a box far outside the photo")
    segmentation = entry.get("segmentation")
    polygons: tuple[np.ndarray, ...] = ()
    runs = None
    if isinstance(segmentation, list):
        polygons = _read_polygons(segmentation, image)
    elif isinstance(segmentation, dict):
        runs = read_runs(segmentation, image)
    else:
        raise OddAnnotation("without a segmentation")
    area = entry.get("area")
    if not isinstance(area, (int, float)) or not math.isfinite(area) or area <= 0:
        area = box[2] * box[3]
    return CocoAnnotation(
        id=entry["id"],
        image_id=image_id,
        category_id=category_id,
        label=labels[category_id],
        bbox=tuple(float(v) for v in box),  # type: ignore[arg-type]
        area=float(area),
        crowd=entry.get("iscrowd", 0) in (1, True),
        polygons=polygons,
        runs=runs,
    )


def _read_polygons(segmentation: list[Any], image: CocoImage) -> tuple[np.ndarray, ...]:
    polygons = []
    length = 0.0
    for part in segmentation:
        flat = _numbers(part)
        if flat is None:
            raise OddAnnotation("with a polygon that is no list of finite numbers")
        # pycocotools reads four numbers as a box and drops the last of an odd count
        if len(flat) < 6 or len(flat) % 2:
            raise OddAnnotation("with a polygon of fewer than three points or half a point")
        points = flat.reshape(-1, 2)
        # it also allocates memory by the length of the outline, so far-off points are refused
        if np.abs(points).max() > POLYGON_REACH * max(image.width, image.height):
            raise OddAnnotation("with a polygon far outside the photo")
        length += float(np.abs(np.diff(points, axis=0, append=points[:1])).max(axis=1).sum())
        polygons.append(points)
    if length > MAX_OUTLINE:
        raise OddAnnotation("with an outline too long to draw")
    if not polygons:
        raise OddAnnotation("with an empty segmentation")
    return tuple(polygons)


def read_runs(segmentation: dict[str, Any], image: CocoImage) -> np.ndarray:
    """(R,) int64 run lengths that fill the photo; raises OddAnnotation where they do not."""
    if segmentation.get("size") != [image.height, image.width]:
        raise OddAnnotation("with run lengths of another photo size")
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        values = _decompress(counts, image.height * image.width)
    elif isinstance(counts, list) and all(is_int(c) and c >= 0 for c in counts):
        values = counts
    else:
        values = []
    if not values or min(values) < 0 or sum(values) != image.height * image.width:
        raise OddAnnotation("with damaged run lengths")
    return np.array(values, dtype=np.int64)


def _decompress(text: str, pixels: int) -> list[int]:
    """Run lengths of COCO's compressed text; an empty list where it is damaged.

    Each number is written in 5-bit groups, low first, in characters from code 48; bit 6 says
    that more follow; from the fourth number on, the difference to the number two before.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 30:
            return []
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        if len(counts) > 2:
            value += counts[-2]
        if not 0 <= value <= pixels:
            return []
        counts.append(value)
        value = shift = 0
    return counts if shift == 0 else []
