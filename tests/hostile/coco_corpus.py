"""Damaged and unusual annotation files, made by code: what each changes, and what must happen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

HEIGHT, WIDTH = 96, 128
PIXELS = HEIGHT * WIDTH

Change = Callable[[dict[str, Any]], object]


def rle(counts: Any, size: Any = (HEIGHT, WIDTH)) -> dict[str, Any]:
    return {"size": list(size), "counts": counts}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def put(**fields: Any) -> Change:
    return lambda a: a.update(fields)


def in_polygon(value: Any, place: int = 0) -> Change:
    return lambda a: a["segmentation"][0].__setitem__(place, value)


SKIPPED: dict[str, tuple[Change, str]] = {
    "nan polygon": (in_polygon(float("nan")), "finite"),
    "infinite polygon": (in_polygon(float("inf"), 3), "finite"),
    "polygon beyond float": (in_polygon(10**400), "finite"),
    "polygon of 1e9": (in_polygon(1e9), "far outside"),
    "all of a polygon at 1e9": (put(segmentation=[[1e9, 1e9, 1e9 + 5, 1e9, 1e9, 1e9 + 5]]), "far"),
    "outline without end": (
        put(segmentation=[[0, 0, 1200, 1200] * 1000]),
        "outline too long",
    ),
    "half a point": (lambda a: a["segmentation"][0].append(1.0), "half a point"),
    "two points": (put(segmentation=[[1.0, 2.0, 3.0, 4.0]]), "fewer than three"),
    "a word in a polygon": (in_polygon("left"), "finite"),
    "true in a polygon": (in_polygon(True), "finite"),
    "polygon of pairs": (put(segmentation=[[[1, 2], [3, 4], [5, 6]]]), "finite"),
    "polygon nested deep": (put(segmentation=nested(300)), "finite"),
    "no mask, as boxes are exported": (put(segmentation=[]), "box but no mask"),
    "mask null": (put(segmentation=None), "without a segmentation"),
    "mask a word": (put(segmentation="[[1,2]]"), "without a segmentation"),
    "no mask at all": (lambda a: a.pop("segmentation"), "without a segmentation"),
    "a line": (put(segmentation=[[10, 10, 20, 10, 30, 10]], bbox=[10, 10, 20, 1]), "any area"),
    "one point three times": (put(segmentation=[[9, 9] * 3], bbox=[9, 9, 1, 1]), "any area"),
    "box outside": (put(bbox=[500, 500, 10, 10]), "outside its photo"),
    "box far outside": (put(bbox=[1e7, 0, 5, 5]), "outside its photo"),
    "nothing usable as a box": (put(bbox=None, segmentation=rle([PIXELS])), "box"),
    "unknown image": (put(image_id=999), "unknown image"),
    "image id a list": (put(image_id=[1]), "unknown image"),
    "no image id": (lambda a: a.pop("image_id"), "unknown image"),
    "unknown category": (put(category_id=2), "unknown category"),
    "category null": (put(category_id=None), "unknown category"),
    "category of half": (put(category_id=1.5), "unknown category"),
    "id of another": (put(id=2), "used before"),
    "size exchanged": (put(segmentation=rle([PIXELS], (WIDTH, HEIGHT))), "exchanged"),
    "another size": (put(segmentation=rle([100], (10, 10))), "another photo size"),
    "size of terabytes": (put(segmentation=rle([4 * 10**10], (200_000, 200_000))), "another photo"),
    "no size": (put(segmentation={"counts": [PIXELS]}), "another photo size"),
    "size null": (put(segmentation=rle([PIXELS]) | {"size": None}), "another photo size"),
    "size of nan": (put(segmentation=rle([PIXELS], (float("nan"), WIDTH))), "another photo size"),
    "counts too long": (put(segmentation=rle([0, PIXELS + 1])), "damaged run lengths"),
    "counts too short": (put(segmentation=rle([0, 5])), "damaged run lengths"),
    "counts negative": (put(segmentation=rle([-5, PIXELS + 5])), "damaged run lengths"),
    "counts of halves": (put(segmentation=rle([0.5, PIXELS - 0.5])), "damaged run lengths"),
    "counts huge": (put(segmentation=rle([0, 2**80])), "damaged run lengths"),
    "counts that overflow to fit": (
        put(segmentation=rle([2**32, PIXELS])),
        "damaged run lengths",
    ),
    "counts empty": (put(segmentation=rle([])), "damaged run lengths"),
    "counts empty text": (put(segmentation=rle("")), "damaged run lengths"),
    "counts null": (put(segmentation=rle(None)), "damaged run lengths"),
    "counts a number": (put(segmentation=rle(PIXELS)), "damaged run lengths"),
    "counts nested": (put(segmentation=rle([[PIXELS]])), "damaged run lengths"),
    "compressed garbage": (put(segmentation=rle("\x00\uffff~~~")), "damaged run lengths"),
    "compressed cut short": (put(segmentation=rle("PPPPPP")), "damaged run lengths"),
    "compressed without end": (put(segmentation=rle("o" * 50)), "damaged run lengths"),
    "compressed, far too long": (put(segmentation=rle("0" * 100_000)), "damaged run lengths"),
}
"""One annotation changed: it is left out for a reason that says these words."""


def crowd_polygon(a: dict[str, Any]) -> None:
    a["iscrowd"] = 1


def two_parts(a: dict[str, Any]) -> None:
    a["segmentation"].append([5, 5, 12, 5, 12, 12, 5, 12])
    a.pop("area")


KEPT: dict[str, tuple[Change, str]] = {
    "ids as text": (lambda a: a.update(image_id="1", category_id="1"), "numbers as text"),
    "own id as text": (lambda a: a.update(id=str(a["id"])), "numbers as text"),
    "box as text": (lambda a: a.update(bbox=[str(v) for v in a["bbox"]]), "numbers as text"),
    "polygon as text": (
        lambda a: a.update(segmentation=[[str(v) for v in a["segmentation"][0]]]),
        "numbers as text",
    ),
    "area as text": (lambda a: a.update(area="1000"), "numbers as text"),
    "no area": (lambda a: a.pop("area"), "no area"),
    "area 0, as Label Studio": (put(area=0), "no area"),
    "area nan": (put(area=float("nan")), "no area"),
    "area far off": (put(area=5e5), "measured"),
    "no box": (lambda a: a.pop("bbox"), "taken from its mask"),
    "box null": (put(bbox=None), "taken from its mask"),
    "box of nan": (lambda a: a["bbox"].__setitem__(0, float("nan")), "taken from its mask"),
    "box without width": (lambda a: a["bbox"].__setitem__(2, 0), "taken from its mask"),
    "box of three": (put(bbox=[1, 2, 3]), "taken from its mask"),
    "box over the edge": (lambda a: a["bbox"].__setitem__(2, 300.0), "far out|reaches"),
    "no id": (lambda a: a.pop("id"), "no whole number as id"),
    "id null": (put(id=None), "no whole number as id"),
    "iscrowd a word": (put(iscrowd="maybe"), "neither 0 nor 1"),
    "iscrowd 7": (put(iscrowd=7), "neither 0 nor 1"),
    "one polygon, not in a list": (
        lambda a: a.update(segmentation=a["segmentation"][0]),
        "not in a list",
    ),
    "a stray part of two points": (
        lambda a: a["segmentation"].append([1, 2, 3, 4]),
        "fewer than three points",
    ),
    "two parts without an area": (two_parts, "no area"),
}
"""One annotation changed: it is kept, and the report says these words (a regular expression)."""

QUIET: dict[str, Change] = {
    "ids as 1.0": lambda a: a.update(image_id=1.0, category_id=1.0),
    "no iscrowd": lambda a: a.pop("iscrowd"),
    "iscrowd null": put(iscrowd=None),
    "iscrowd true": put(iscrowd=True),
    "crowd as polygon": crowd_polygon,
    "attributes, as CVAT": put(attributes={"occluded": False, "rotation": 0.0}),
    "score and extra fields": put(score=0.5, extra=[{"a": None}], ignore=0),
    "box out by rounding": lambda a: a["bbox"].__setitem__(0, -0.4),
    "area off by little": lambda a: a.update(area=a["area"] * 1.0),
}
"""One annotation changed: it is kept without a word."""


def bad_image(**fields: Any) -> Change:
    return lambda d: d["images"][0].update(fields)


IMAGES: dict[str, tuple[Change, str]] = {
    "id twice": (lambda d: d["images"].append(copy.deepcopy(d["images"][1])), "used before"),
    "id a word": (bad_image(id="one"), "no whole number as id"),
    "id null": (bad_image(id=None), "no whole number as id"),
    "id beyond 64 bits": (bad_image(id=10**30), "no whole number as id"),
    "image null": (lambda d: d["images"].append(None), "no whole number as id"),
    "no width": (lambda d: d["images"][0].pop("width"), "width and height"),
    "width 0": (bad_image(width=0), "side"),
    "width negative": (bad_image(width=-5), "side"),
    "width nan": (bad_image(width=float("nan")), "width and height"),
    "side of 40,000": (bad_image(width=40_000), "side"),
    "400 megapixels": (bad_image(width=20_000, height=20_000), "megapixels"),
    "no name": (lambda d: d["images"][0].pop("file_name"), "file_name"),
    "name empty": (bad_image(file_name=" "), "file_name"),
    "name a number": (bad_image(file_name=5), "file_name"),
    "name with a zero byte": (bad_image(file_name="a\0b.png"), "file_name"),
    "name of half a character": (bad_image(file_name="a\ud800.png"), "file_name"),
    "name of 300 letters": (bad_image(file_name="a" * 300 + ".png"), "file_name"),
    "name only upwards": (bad_image(file_name="../.."), "file_name"),
}
"""The file changed: an image is left out for this reason, the others stay."""
