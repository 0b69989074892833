"""Sizes of photos that an annotation file has none of, in the frame of its annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from analysis.coco_names import Photos
from analysis.coco_repair import REACH_PX, real, whole

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)
_UNREADABLE = (OSError, ValueError, SyntaxError, UnidentifiedImageError)

Size = tuple[int, int]


@dataclass(frozen=True)
class PhotoSize:
    """(width, height) in px of a photo as its file stores it and as EXIF turns it."""

    stored: Size
    upright: Size

    def of(self, annotations: Iterable[Mapping[str, Any]]) -> Size:
        """The size in whose frame a photo's annotations are.

        It is the one that all of them fit into. Where both do it is the upright one: the tools
        that write no size (Label Studio, Datumaro) show photos upright.
        """
        own = list(annotations)
        fits = [all(_fits(a, size) for a in own) for size in (self.stored, self.upright)]
        return self.stored if fits == [True, False] else self.upright


class Sizes:
    """Sizes of the photos of a folder, as the annotations of a file need them.

    Args:
        folder: of the photos.
        photos: which of them a name means.
        annotations: of the file; anything.
    """

    def __init__(self, folder: Path, photos: Photos, annotations: Sequence[Any]) -> None:
        self._folder, self._photos, self._annotations = folder, photos, annotations
        self._by_image: dict[int | None, list[dict[str, Any]]] | None = None

    def find(self, number: int, name: str) -> tuple[Size, bool] | None:
        """((width, height) in px, whether EXIF turned it); None where there is no such photo.

        Args:
            number: image id of its annotations.
            name: of the photo.
        """
        size = photo_size(self._folder, self._photos, name)
        if size is None or size.stored == size.upright:
            return None if size is None else (size.stored, False)
        found = size.of(self._of(number))
        return found, found == size.upright

    def _of(self, number: int) -> list[dict[str, Any]]:
        if self._by_image is None:
            self._by_image = {}
            for entry in self._annotations:
                if isinstance(entry, dict):
                    self._by_image.setdefault(whole(entry.get("image_id")), []).append(entry)
        return self._by_image.get(number, [])


def photo_size(folder: Path, photos: Photos, name: str) -> PhotoSize | None:
    """The sizes of a photo from its head; None where there is no such photo."""
    place = photos.one(name)
    if place is None or not (folder / place).resolve().is_relative_to(folder.resolve()):
        return None
    try:
        with Image.open(folder / place, formats=FORMATS) as image:
            width, height = image.size
            sideways = image.getexif().get(_ORIENTATION) in _SIDEWAYS
            turned_already = image.format == "TIFF"  # Pillow gives a TIFF's upright size
    except (*_UNREADABLE, Image.DecompressionBombError):
        return None
    other = (height, width) if sideways else (width, height)
    return PhotoSize(*((other, image.size) if turned_already else (image.size, other)))


def _fits(entry: Mapping[str, Any], size: Size) -> bool:
    """Whether an annotation may be of a photo of this size."""
    shape = entry.get("segmentation")
    if isinstance(shape, dict) and isinstance(shape.get("size"), list):
        return [whole(v) for v in shape["size"]] == [size[1], size[0]]
    parts = [p for p in shape if isinstance(p, list)] if isinstance(shape, list) else []
    box = entry.get("bbox")
    if isinstance(box, list) and len(box) == 4:
        x, y, w, h = (real(v) or 0.0 for v in box)
        parts.append([x + w, y + h])
    return all(
        (real(v) or 0.0) <= size[k % 2] + REACH_PX for part in parts for k, v in enumerate(part)
    )
