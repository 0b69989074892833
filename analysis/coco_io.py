"""Datasets as they really come: a COCO file checked, every annotation left out with its reason.

What tools write is put right where it has one meaning (numbers as text, a missing area, box, id or
``iscrowd``, file names as LVIS, Label Studio and CVAT write them), and then has to pass the same
checks as everywhere (dynamask.coco_read). Every repair and everything left out is a row of the
table ``problems``. Nothing reaches pycocotools unchecked: it crashes the process on some files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.coco_names import Photos, plain_name
from analysis.coco_repair import (
    REACH_PX,
    Repair,
    brush_masks,
    repair_annotation,
    text_number,
    whole,
)
from analysis.coco_sizes import Sizes
from analysis.rows import Row, problem_row
from dynamask.coco_read import (
    MAX_PIXELS,
    CocoAnnotation,
    CocoImage,
    CocoSet,
    OddAnnotation,
    check_annotation,
    decode_mask,
    load_json,
)
from dynamask.errors import DataError

MAX_BYTES = 1_000_000_000
"""Largest annotation file; COCO train2017's has 0.45 GB."""
MAX_SIDE = 30_000
"""Longest side in pixels that a photo may claim."""
AREA_TOLERANCE = 0.05
"""An area that is further off its mask than this is measured anew."""
MAX_NAME = 200


@dataclass(frozen=True)
class Dataset:
    """A checked annotation file.

    Attributes:
        coco: its photos, classes and usable annotations.
        problems: rows of the table ``problems`` of analysis.schema, in the order of the file.
        verified: image id to the category ids that were checked on it, as LVIS has them; photos
            that are not there were checked for every class.
        sha256: hash of the file.
        unsized: image id to name of photos that were left out since the file has no size of them;
            it is read from those that are at hand.
    """

    coco: CocoSet
    problems: tuple[Row, ...] = field(repr=False)
    verified: Mapping[int, tuple[int, ...]] = field(repr=False)
    sha256: str
    unsized: Mapping[int, str] = field(repr=False, default_factory=dict)

    @property
    def skipped(self) -> int:
        """How many categories, images and annotations were left out."""
        return sum(p["outcome"] == "skipped" for p in self.problems)


def read_dataset(
    path: str | Path, images_dir: str | Path | None = None, *, max_bytes: int = MAX_BYTES
) -> Dataset:
    """Read and check an annotation file: COCO, LVIS, or an export in COCO's format.

    Args:
        path: the file.
        images_dir: folder of the photos; where it is given, photos that lie there under another
            path than the file says (without a folder or an upload's prefix) are found.
        max_bytes: a larger file is refused.

    Returns:
        What can be used, and a report of everything that cannot.

    Raises:
        DataError: the file as a whole cannot be used: missing, too large, no JSON, no list of
            images or annotations, no usable image. Without a folder, images that only lack their
            size are reason enough to go on: their photos may still tell it.
    """
    path = Path(path)
    if os.path.isfile(path) and path.stat().st_size > max_bytes:
        raise DataError(
            f"Expected an annotation file of at most {max_bytes / 1e6:.0f} MB, got "
            f"{path.stat().st_size / 1e6:.0f} MB in {path.name}; split it into parts."
        )
    data = load_json(path)
    for key in ("images", "annotations"):
        if not isinstance(data.get(key), list):
            raise DataError(
                f"Expected a COCO file with a list {key!r}, got {path.name} without one; "
                "pass an instances_*.json file."
            )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    reader = _Reader(path, None if images_dir is None else Path(images_dir))
    reader.read_categories(data)
    reader.read_images(data["images"], data["annotations"])
    reader.read_annotations(data["annotations"])
    reader.find_photos()
    return reader.dataset(digest)


class _Reader:
    """Collects what is usable, and the report."""

    def __init__(self, path: Path, folder: Path | None) -> None:
        self.path, self.folder = path, folder
        self.photos = None if folder is None else Photos.in_folder(folder)
        self.problems: list[Row] = []
        self.categories: dict[int, str] = {}
        self.images: dict[int, CocoImage] = {}
        self.unsized: dict[int, str] = {}
        self.by_image: dict[int, list[CocoAnnotation]] = {}
        self.named: dict[int, tuple[int, ...]] = {}  # LVIS: classes said to be absent

    def report(
        self, place: str, number: int | None, image_id: int | None, outcome: str, reason: str
    ) -> None:
        self.problems.append(problem_row(place, number, image_id, outcome, reason))

    # -- categories ------------------------------------------------------------------------

    def read_categories(self, data: Mapping[str, Any]) -> None:
        entries = data.get("categories")
        if not isinstance(entries, list) or not entries:
            self._invent_categories(data["annotations"])
            return
        for entry in entries:
            number = whole(entry.get("id")) if isinstance(entry, dict) else None
            if number is None:
                self.report("category", None, None, "skipped", "has no whole number as id")
                continue
            name = entry.get("name")
            if not isinstance(name, str) or not name.strip():
                name = f"class {number}"
                self.report("category", number, None, "kept", f"has no name; called {name!r}")
            name = clean(name)[:MAX_NAME]
            if number in self.categories:
                self.report("category", number, None, "skipped", "has an id that is used before")
                continue
            if text_number(entry.get("id")):
                self.report("category", number, None, "kept", "has its id as text")
            self.categories[number] = name
        if not self.categories:
            self._invent_categories(data["annotations"])

    def _invent_categories(self, annotations: Sequence[Any]) -> None:
        ids = {whole(a.get("category_id")) for a in annotations if isinstance(a, dict)}
        self.categories = {i: f"class {i}" for i in sorted(i for i in ids if i is not None)}
        reason = f"has no usable categories; {len(self.categories)} are named after their ids"
        self.report("file", None, None, "kept", reason)

    # -- images ----------------------------------------------------------------------------

    def read_images(self, entries: Sequence[Any], annotations: Sequence[Any]) -> None:
        sizes = None
        if self.folder is not None and self.photos is not None:
            sizes = Sizes(self.folder, self.photos, annotations)
        for entry in entries:
            number = whole(entry.get("id")) if isinstance(entry, dict) else None
            if number is None:
                self.report("image", None, None, "skipped", "has no whole number as id")
                continue
            reason = self._image_problem(entry, number, sizes)
            if reason:
                self.report("image", number, number, "skipped", reason)
        if self.images or (self.unsized and sizes is None):
            return
        if self.unsized:
            raise DataError(
                f"Expected images with a width and a height in {self.path.name}, or their photos "
                f"to measure, got {len(self.unsized)} of {len(entries)} without either, such as "
                f"{clean(next(iter(self.unsized.values())))}; add both numbers, or choose the "
                "folder of the photos."
            )
        raise DataError(
            f"Expected at least one usable image in {self.path.name}, got none of "
            f"{len(entries)}; every image needs an id, a width, a height and a file_name."
        )

    def _image_problem(self, entry: Mapping[str, Any], number: int, sizes: Sizes | None) -> str:
        """Add an image; why it cannot be, or nothing."""
        if number in self.images:
            return "has an id that is used before"
        name = plain_name(entry)
        if name is None:
            return "has neither a usable file_name nor a coco_url"
        width, height = whole(entry.get("width")), whole(entry.get("height"))
        if entry.get("width") in (None, 0) and entry.get("height") in (None, 0):
            # so Label Studio and Datumaro write photos that they could not open
            found = None if sizes is None else sizes.find(number, name)
            if found is None:
                self.unsized[number] = name
                more = (
                    "its photo tells them" if sizes is None else "no photo that is there tells them"
                )
                return f"has no width and height; {more}"
            (width, height), turned = found
            said = f"has no size; its photo has {width} x {height} px"
            said += ", turned upright as its EXIF asks" if turned else ""
            self.report("image", number, number, "kept", said)
        if width is None or height is None:
            return "has no whole numbers as width and height"
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            return f"has a side that is not 1 to {MAX_SIDE} px"
        if width * height > MAX_PIXELS:
            return f"claims more than {MAX_PIXELS // 10**6} megapixels"
        if any(text_number(entry.get(k)) for k in ("id", "width", "height")):
            self.report("image", number, number, "kept", "has numbers as text")
        self.images[number] = CocoImage(number, name, width, height)
        absent = entry.get("neg_category_ids")
        if isinstance(absent, list):
            self.named[number] = tuple(i for i in map(whole, absent) if i is not None)
        return ""

    # -- annotations -----------------------------------------------------------------------

    def read_annotations(self, entries: Sequence[Any]) -> None:
        labels = {number: label for label, number in enumerate(sorted(self.categories))}
        self.by_image = {i: [] for i in self.images}
        used = {whole(e.get("id")) for e in entries if isinstance(e, dict)}
        following = max((i for i in used if i is not None), default=0) + 1
        seen: set[int] = set()
        shapes: dict[bytes, int] = {}
        brushed, said = brush_masks(entries)
        if said:
            self.report("file", None, None, "kept", said)
        for entry in entries:
            number = whole(entry.get("id")) if isinstance(entry, dict) else None
            image_id = whole(entry.get("image_id")) if isinstance(entry, dict) else None
            try:
                repair = repair_annotation(entry, self.images, brushed=brushed)
                if number is None:
                    number, following = following, following + 1
                    repair.notes.append(f"has no whole number as id; called {number}")
                if number in seen:
                    raise OddAnnotation("has an id that is used before")
                checked = check_annotation({**repair.entry, "id": number}, self.images, labels)
                checked = self._within(checked, repair)
                checked = self._measured(checked, repair)
                twin = shapes.setdefault(_fingerprint(checked), number)
                if twin != number:
                    raise OddAnnotation(f"is the same object as annotation {twin}")
            except OddAnnotation as odd:
                waits = image_id in self.unsized
                said = "of an image without width and height" if waits else str(odd)
                self.report("annotation", number, image_id, "skipped", said)
                continue
            seen.add(number)
            self.by_image[checked.image_id].append(checked)
            if repair.notes:
                self.report("annotation", number, image_id, "kept", "; ".join(repair.notes))

    def _within(self, annotation: CocoAnnotation, repair: Repair) -> CocoAnnotation:
        """Clip a box that reaches out of the photo by more than rounding."""
        image = self.images[annotation.image_id]
        x1, y1, x2, y2 = annotation.box_xyxy
        if min(x2, y2) <= 0 or x1 >= image.width or y1 >= image.height:
            raise OddAnnotation("lies outside its photo")
        beyond = max(-x1, -y1, x2 - image.width, y2 - image.height)
        if beyond <= REACH_PX:
            return annotation
        x1, y1 = max(0.0, x1), max(0.0, y1)
        x2, y2 = min(float(image.width), x2), min(float(image.height), y2)
        repair.notes.append(f"has a box that reaches {beyond:.0f} px out of the photo; clipped")
        return replace(annotation, bbox=(x1, y1, x2 - x1, y2 - y1))

    def _measured(self, annotation: CocoAnnotation, repair: Repair) -> CocoAnnotation:
        """Measure the area anew where it is missing or far from the mask's."""
        image = self.images[annotation.image_id]
        known = repair.area
        if annotation.crowd and known is not None:
            return replace(annotation, area=known)  # COCO's own crowds have other areas
        rough, slack = rough_area(annotation)
        if known is not None and abs(known - rough) <= AREA_TOLERANCE * rough + slack:
            return annotation
        exact = float(np.count_nonzero(decode_mask(annotation, image.height, image.width)))
        if not exact and rough < 1e-6:
            raise OddAnnotation("has a mask without any area")
        if known is not None and abs(known - exact) <= max(AREA_TOLERANCE * exact, slack):
            return annotation
        area = exact or rough
        was = "no area" if known is None else f"an area of {known:.6g} px²"
        repair.notes.append(f"has {was}; measured {area:.6g} px²")
        return replace(annotation, area=area)

    # -- photos ----------------------------------------------------------------------------

    def find_photos(self) -> None:
        if self.photos is None:
            return
        found = self.photos.find({i: image.file_name for i, image in self.images.items()})
        for number, name in found.items():
            self.images[number] = replace(self.images[number], file_name=name)
        if found:
            first = next(iter(found.values()))
            reason = f"names photos by another path than {len(found)} have here, such as {first}"
            self.report("file", None, None, "kept", reason)
        for number, alike in self.photos.doubtful.items():
            more = "" if len(alike) == 1 else f" and {len(alike) - 1} more"
            reason = (
                f"names no photo that is there; {clean(alike[0])}{more} only shares its last name, "
                "which is too little to take it; put the photo where the file names it"
            )
            self.report("image", number, number, "kept", reason)

    def dataset(self, digest: str) -> Dataset:
        order = sorted(self.categories)
        there = {i: {a.category_id for a in self.by_image[i]} for i in self.named}
        skipped: dict[str, int] = {}
        for problem in self.problems:
            if problem["outcome"] == "skipped" and problem["place"] == "annotation":
                skipped[problem["reason"]] = skipped.get(problem["reason"], 0) + 1
        coco = CocoSet(
            path=self.path,
            images=tuple(self.images.values()),
            category_ids=tuple(order),
            category_names=tuple(self.categories[i] for i in order),
            by_image={i: tuple(a) for i, a in self.by_image.items()},
            skipped=skipped,
        )
        verified = {i: tuple(sorted({*absent, *there[i]})) for i, absent in self.named.items()}
        return Dataset(coco, tuple(self.problems), verified, digest, self.unsized)


def clean(text: str) -> str:
    """Text without half characters (lone surrogates) and zero bytes, which no file can hold."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def rough_area(annotation: CocoAnnotation) -> tuple[float, float]:
    """(area of a mask in px², how far its pixels may be off it) without drawing it.

    The parts of a polygon are added up; where they overlap or cross themselves the sum is wrong,
    which is then found out by drawing.
    """
    if annotation.runs is not None:
        return float(annotation.runs[1::2].sum()), 0.0
    area = length = 0.0
    for points in annotation.polygons:
        following = np.roll(points, -1, axis=0)
        crossed = points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]
        area += abs(float(crossed.sum())) / 2
        length += float(np.hypot(*(following - points).T).sum())
    return area, length / 2


def _fingerprint(annotation: CocoAnnotation) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{annotation.image_id} {annotation.category_id} {annotation.bbox}".encode())
    for part in annotation.polygons if annotation.runs is None else (annotation.runs,):
        digest.update(part.tobytes())
    return digest.digest()
