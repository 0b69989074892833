"""Puts one annotation right where its meaning is plain, before it is checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dynamask.coco_read import CocoImage, OddAnnotation

REACH_PX = 1.0
"""How far a box may reach out of its photo by rounding alone."""
MAX_ID = 2**62


@dataclass
class Repair:
    """An annotation with its repairs.

    Attributes:
        entry: with numbers as numbers, an ``iscrowd`` and a box.
        area: as the file has it; None where it has none.
        notes: what was repaired, each to follow "the annotation".
    """

    entry: dict[str, Any]
    area: float | None = None
    notes: list[str] = field(default_factory=list)


def whole(value: Any) -> int | None:
    """A whole number of JSON, also as text or with ``.0``; None for anything else."""
    if isinstance(value, str) and len(value) <= 24:
        try:
            value = float(value) if "." in value or "e" in value.lower() else int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        if not math.isfinite(value) or value != int(value):
            return None
        value = int(value)
    return value if abs(value) < MAX_ID else None


def real(value: Any) -> float | None:
    """A finite number of JSON, also as text; None for anything else."""
    if isinstance(value, str) and len(value) <= 40:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def text_number(value: Any) -> bool:
    """Whether a number is written as text."""
    return isinstance(value, str) and real(value) is not None


def repair_annotation(
    entry: Any, images: Mapping[int, CocoImage], *, brushed: bool = False
) -> Repair:
    """Return an annotation whose every part has the type it should have.

    Args:
        entry: of the file.
        images: by id.
        brushed: the file marks every brush mask as a crowd, see :func:`brush_masks`.

    Raises:
        OddAnnotation: it is no object, or of no known image.
    """
    if not isinstance(entry, dict):
        raise OddAnnotation("is no JSON object")
    repair = Repair(dict(entry))
    out, notes = repair.entry, repair.notes
    asked = ("image_id", "category_id", "area", "iscrowd")
    if any(text_number(entry.get(k)) for k in ("id", *asked)):
        notes.append("has numbers as text")
    out["image_id"] = whole(entry.get("image_id"))
    image = images.get(out["image_id"]) if out["image_id"] is not None else None
    if image is None:
        raise OddAnnotation("of an unknown image")
    out["category_id"] = whole(entry.get("category_id"))
    out["iscrowd"] = _crowd(entry.get("iscrowd", 0), notes)
    repair.area = real(entry.get("area"))
    if repair.area is not None and repair.area <= 0:
        repair.area = None
    out["segmentation"] = _segmentation(entry.get("segmentation"), image, notes)
    if brushed and out["iscrowd"] and _cvat_mask(entry):
        out["iscrowd"] = 0
        notes.append("is a mask of CVAT, which marks all as crowd regions; taken as one object")
    out["bbox"] = _box(entry.get("bbox"), out["segmentation"], image, notes)
    return repair


def _crowd(value: Any, notes: list[str]) -> int:
    number = whole(value) if not isinstance(value, bool) else int(value)
    if number not in (0, 1):
        if value is not None:
            notes.append("has an iscrowd that is neither 0 nor 1; taken as 0")
        return 0
    return number


def brush_masks(entries: Sequence[Any]) -> tuple[bool, str]:
    """Whether a file's crowds of run lengths are objects that were drawn with CVAT's brush.

    CVAT writes COCO through Datumaro, which sets ``iscrowd`` for every mask that is not made of
    polygons, and gives every annotation CVAT's attribute ``occluded``. One annotation alone may be
    a true crowd, so that the file as a whole has to look like this.

    Args:
        entries: annotations as the file has them.

    Returns:
        The answer and what to report of the file, which is nothing where there is no such mask.
    """
    known = [e for e in entries if isinstance(e, dict)]
    masks = sum(_cvat_mask(e) and _crowd(e.get("iscrowd", 0), []) for e in known)
    if not masks:
        return False, ""
    why = ""
    if not all(_of_cvat(e) for e in known):
        why = "not every annotation has that attribute"
    elif any(_crowd(e.get("iscrowd", 0), []) != _runs_given(e) for e in known):
        why = "it does not mark all masks of run lengths, and only those, as crowd regions"
    if why:
        return (
            False,
            f"has {masks} crowd regions with CVAT's attribute; they stay such, since {why}",
        )
    return True, (
        f"marks every mask of run lengths ({masks}) as a crowd region and has CVAT's attribute on "
        "every annotation, as CVAT exports brush masks; they are taken as objects"
    )


def _cvat_mask(entry: Mapping[str, Any]) -> bool:
    return _runs_given(entry) and _of_cvat(entry)


def _runs_given(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry.get("segmentation"), dict)


def _of_cvat(entry: Mapping[str, Any]) -> bool:
    attributes = entry.get("attributes")
    return isinstance(attributes, dict) and "occluded" in attributes


def _segmentation(value: Any, image: CocoImage, notes: list[str]) -> Any:
    if isinstance(value, dict):
        return _runs(value, image)
    if not isinstance(value, list):
        return value
    if not value:
        raise OddAnnotation("has a box but no mask")
    if all(not isinstance(v, list) for v in value):
        notes.append("has one polygon that is not in a list of polygons")
        value = [value]
    parts = [_polygon(part, notes) for part in value]
    kept = [p for p in parts if not (isinstance(p, list) and len(p) < 6 and len(p) % 2 == 0)]
    if kept and len(kept) < len(parts):
        notes.append(f"has {len(parts) - len(kept)} parts of fewer than three points; left out")
        return kept
    return parts


def _polygon(part: Any, notes: list[str]) -> Any:
    if not isinstance(part, list) or not any(isinstance(v, str) for v in part):
        return part
    numbers = [real(v) for v in part]
    if None in numbers:
        return part
    if "has numbers as text" not in notes:
        notes.append("has numbers as text")
    return numbers


def _runs(value: dict[str, Any], image: CocoImage) -> dict[str, Any]:
    size, counts = value.get("size"), value.get("counts")
    if isinstance(size, list):
        size = [whole(v) for v in size]
        if size == [image.width, image.height] != [image.height, image.width]:
            raise OddAnnotation("has run lengths with width and height exchanged")
    if isinstance(counts, list):
        counts = [whole(c) if isinstance(c, str | float) else c for c in counts]
    return {"size": size, "counts": counts}


def _box(value: Any, segmentation: Any, image: CocoImage, notes: list[str]) -> Any:
    """The box as four numbers; from the mask's outline where the file has no usable one."""
    numbers = [real(v) for v in value] if isinstance(value, list) else []
    usable = len(numbers) == 4 and None not in numbers and min(numbers[2:]) > 0
    if usable and max(map(abs, numbers)) <= 2 * max(image.width, image.height):
        if any(isinstance(v, str) for v in value) and "has numbers as text" not in notes:
            notes.append("has numbers as text")
        return numbers
    if usable:  # far too large: what of it lies in the photo
        x1, y1 = max(0.0, numbers[0]), max(0.0, numbers[1])
        x2 = min(float(image.width), numbers[0] + numbers[2])
        y2 = min(float(image.height), numbers[1] + numbers[3])
        if x2 <= x1 or y2 <= y1:
            raise OddAnnotation("lies outside its photo")
        notes.append("has a box that reaches far out of the photo; clipped")
        return [x1, y1, x2 - x1, y2 - y1]
    found = mask_box(segmentation, image)
    if found is None:
        return value
    notes.append("has no usable box; taken from its mask")
    return found


def mask_box(segmentation: Any, image: CocoImage) -> list[float] | None:
    """[x, y, w, h] around polygons or plain run lengths; None where they make no box."""
    if isinstance(segmentation, dict):
        return _runs_box(segmentation, image)
    if not isinstance(segmentation, list):
        return None
    flat = [real(v) for part in segmentation if isinstance(part, list) for v in part]
    if len(flat) < 6 or None in flat or len(flat) % 2:
        return None
    xs, ys = flat[0::2], flat[1::2]
    x1, x2 = max(0.0, min(xs)), min(float(image.width), max(xs))
    y1, y2 = max(0.0, min(ys)), min(float(image.height), max(ys))
    return [x1, y1, x2 - x1, y2 - y1] if x2 > x1 and y2 > y1 else None


def _runs_box(segmentation: Mapping[str, Any], image: CocoImage) -> list[float] | None:
    from dynamask.coco_read import read_runs

    try:
        runs = read_runs(dict(segmentation), image)
    except OddAnnotation:
        return None
    # in column order: ends of the runs inside the object, as columns and rows
    ends = runs.cumsum()
    columns: list[int] = []
    rows: list[int] = []
    for start, stop in zip(ends[0::2], ends[1::2], strict=False):
        if stop > start:
            first, last = int(start) // image.height, (int(stop) - 1) // image.height
            columns += [first, last]
            if first == last:
                rows += [int(start) % image.height, (int(stop) - 1) % image.height]
            else:  # it goes over the end of a column
                rows += [0, image.height - 1]
    if not columns:
        return None
    x, y = min(columns), min(rows)
    return [float(x), float(y), float(max(columns) - x + 1), float(max(rows) - y + 1)]
