"""Ground truth, or another detector's boxes, of one photo from a COCO file that a user uploads."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from app import settings, text
from app.dataset_reading import DESK
from dynamask.coco_read import CocoAnnotation, CocoImage, CocoSet, decode_mask, read_coco
from dynamask.errors import DataError

Rows = list[tuple[tuple[float, float, float, float], str, float]]


@dataclass(frozen=True, eq=False)
class Truth:
    """The true objects of one photo.

    Attributes:
        key: hash of the file and the photo's name in it.
        file: the file's name.
        image_size: (height, width) of the photo in pixels.
        annotations: its objects, crowds left out.
        names: class name of each.
        skipped: annotations of the file that could not be used.
    """

    key: str
    file: str
    image_size: tuple[int, int]
    annotations: tuple[CocoAnnotation, ...] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    skipped: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes held by polygons and run lengths."""
        return 500 + sum(
            500 + sum(p.nbytes for p in a.polygons) + (0 if a.runs is None else a.runs.nbytes)
            for a in self.annotations
        )

    @property
    def boxes(self) -> np.ndarray:
        """(T, 4) float64 xyxy in photo pixels."""
        return np.array([a.box_xyxy for a in self.annotations], dtype=np.float64).reshape(-1, 4)

    def count_matches(self, boxes_xyxy_px: np.ndarray) -> int:
        """How many of the (N, 4) boxes have a true object."""
        from dynamask.strip import match_truth

        return int((match_truth(boxes_xyxy_px, self.boxes) >= 0).sum())

    def masks_of(self, boxes_xyxy_px: np.ndarray) -> list[np.ndarray | None]:
        """For each box the (H, W) bool mask of the true object in it; None where there is none."""
        from dynamask.strip import match_truth

        matched = match_truth(boxes_xyxy_px, self.boxes)
        return [
            decode_mask(self.annotations[index], *self.image_size) if index >= 0 else None
            for index in matched
        ]


def read_truth(path: str | Path, image_size: tuple[int, int], name: str) -> Truth:
    """Read the true objects of a photo.

    The photo is looked for by its file name; a file of one photo may call it as it likes.

    Args:
        path: the COCO file.
        image_size: (height, width) of the photo.
        name: the photo's file name.

    Raises:
        DataError: no COCO file, or it does not have this photo.
        InputError: too many large files wait to be read.
    """
    path = Path(path)
    _check_size(path)
    coco, digest = DESK.take(path, lambda: (read_coco(path), hashlib.sha256(path.read_bytes())))
    image = _find(coco, image_size, name)
    kept = tuple(a for a in coco.by_image[image.id] if not a.crowd)
    digest.update(f"{image.id}".encode())
    return Truth(
        key=digest.hexdigest(),
        file=path.name,
        image_size=image_size,
        annotations=kept,
        names=tuple(coco.category_names[a.label] for a in kept),
        skipped=sum(coco.skipped.values()),
    )


def read_boxes(path: str | Path, image_size: tuple[int, int], name: str) -> Rows:
    """Boxes, class names and scores of a photo, from annotations or a results list.

    Returns:
        The best ``settings.MAX_DRAWN`` of them, best first.

    Raises:
        DataError: the file cannot be used, or has no box for this photo.
        InputError: too many large files wait to be read.
    """
    from dynamask.detectors import ResultsDetector, inside

    path = Path(path)
    _check_size(path)
    rows: Rows
    if _is_list(path):
        results = DESK.take(path, lambda: ResultsDetector(path))
        found = results(np.zeros((*image_size, 3), dtype=np.uint8), name)
        rows = [
            (tuple(map(float, box)), label, float(score))
            for box, label, score in zip(found.boxes, found.names, found.scores, strict=True)
        ]
    else:
        truth = read_truth(path, image_size, name)
        boxes = inside(truth.boxes, image_size)
        rows = [
            (tuple(map(float, box)), label, 1.0)
            for box, label in zip(boxes, truth.names, strict=True)
        ]
    if not rows:
        raise DataError(text.BOXES_NONE.format(file=path.name, name=name))
    return rows[: settings.MAX_DRAWN]


def _find(coco: CocoSet, image_size: tuple[int, int], name: str) -> CocoImage:
    named = [i for i in coco.images if Path(i.file_name).name == name]
    candidates = named or (list(coco.images) if len(coco.images) == 1 else [])
    if not candidates:
        raise DataError(
            text.TRUTH_OTHER.format(name=name, file=coco.path.name, count=len(coco.images))
        )
    image = candidates[0]
    if (image.height, image.width) != image_size:
        raise DataError(
            text.TRUTH_SIZE.format(
                w=image.width, h=image.height, width=image_size[1], height=image_size[0]
            )
        )
    return image


def _check_size(path: Path) -> None:
    if os.path.isfile(path) and path.stat().st_size > settings.TRUTH_FILE_BYTES:
        raise DataError(text.TRUTH_LARGE.format(most=settings.TRUTH_FILE_BYTES // 1_000_000))


def _is_list(path: Path) -> bool:
    """Whether a file holds a JSON list, without parsing it twice."""
    with path.open("rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith(b"[")


def label_of(name: str, categories: tuple[str, ...]) -> int:
    """Index of a class name, -1 where the model does not have it."""
    return categories.index(name) if name in categories else -1
