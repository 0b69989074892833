"""One inspected photo as files to take away; every function returns the bytes of a file.

Objects keep the ids that the page shows: 1 + their place in the scene, so that a row of the table,
a pixel of the id map and an annotation of the COCO file belong together.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from analysis.exports import csv_bytes
from app import text_export as words
from app.picture import encode, object_name
from app.session import Decoded, Opened
from dynamask.batch import result_dict
from dynamask.categories import COCO_CATEGORIES
from dynamask.config import GRIDS
from dynamask.errors import InputError
from dynamask.paste import crop_mask

if TYPE_CHECKING:
    import pandas as pd

COCO_GAPS = frozenset((12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
"""Ids from 1 to 90 that COCO announced and never used."""

JSON_OPTIONS: dict[str, Any] = {"allow_nan": False, "ensure_ascii": False}


def overlay_png(opened: Opened, decoded: Decoded) -> bytes:
    """The photo at its own size with masks and legend, as an RGB PNG."""
    from dynamask.overlay import draw_overlay

    return encode(draw_overlay(opened.pixels, decoded.instances)[..., ::-1], ".png")


def id_map(decoded: Decoded) -> np.ndarray:
    """Ids by pixel of the photo: (H, W) uint16, 0 where there is no object.

    Overlap order: objects are painted from the largest mask to the smallest (of equal ones, the
    first one first), so the smallest stays on top: the same as in the picture.
    """
    instances = decoded.instances
    crops = [
        crop_mask(logits, box, instances.image_size, instances.threshold)
        for logits, box in zip(instances.mask_logits, instances.boxes_xyxy_px, strict=True)
    ]
    areas = np.array([int(mask.sum()) for mask, _ in crops], dtype=np.int64)
    ids = np.zeros(instances.image_size, dtype=np.uint16)
    for row in np.argsort(-areas, kind="stable"):
        mask, (x, y) = crops[row]
        ids[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = int(decoded.ids[row])
    return ids


def id_map_png(decoded: Decoded) -> bytes:
    """:func:`id_map` as a 16-bit grey PNG; its ``Description`` text says the overlap order."""
    about = PngInfo()
    about.add_text("Description", words.ID_MAP_ABOUT)
    out = io.BytesIO()
    Image.fromarray(id_map(decoded)).save(out, "PNG", pnginfo=about, compress_level=6)
    return out.getvalue()


class CocoFile:
    """A COCO dataset that photos are added to one at a time.

    ``annotations`` is a list of COCO results too: ``COCO.loadRes`` takes it as it is. Categories
    have COCO's own ids where the names are COCO's, else 1 + index; a drawn box of unknown class
    is of an additional last category, ``object``.

    Args:
        categories: class names by label.
    """

    def __init__(self, categories: Sequence[str] = COCO_CATEGORIES) -> None:
        self._ids = _category_ids(categories)
        self._unknown = max(self._ids, default=0) + 1
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.categories = [{"id": i, "name": n} for i, n in zip(self._ids, categories, strict=True)]
        self.categories.append({"id": self._unknown, "name": "object"})

    def add(self, file_name: str, decoded: Decoded, found: list[dict[str, Any]]) -> None:
        """Append a photo; image and annotation ids count from 1.

        Args:
            file_name: of the photo.
            decoded: its objects.
            found: the same as :meth:`Instances.to_coco` has them.
        """
        height, width = decoded.instances.image_size
        image_id = len(self.images) + 1
        self.images.append(
            {"id": image_id, "file_name": file_name, "width": width, "height": height}
        )
        for row, one in enumerate(found):
            label = int(decoded.instances.labels[row])
            known = 0 <= label < len(self._ids)
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": image_id,
                    "category_id": self._ids[label] if known else self._unknown,
                    "bbox": one["bbox"],
                    "area": one["area_px2"],
                    "iscrowd": 0,
                    "segmentation": one["segmentation"],
                    "score": one["score"],
                    "object_id": int(decoded.ids[row]),
                    "grid": one["grid"],
                    "probabilities": one["probabilities"],
                    "gmac": one["gmac"],
                }
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with ``info``, ``images``, ``annotations`` and ``categories``."""
        return {
            "info": {"description": words.COCO_ABOUT},
            "images": self.images,
            "annotations": self.annotations,
            "categories": self.categories,
        }


def coco_dict(parts: Sequence[tuple[str, Decoded]]) -> dict[str, Any]:
    """Photos, as (file name, objects), as one COCO dataset; see :class:`CocoFile`."""
    file = CocoFile(parts[0][1].instances.categories if parts else COCO_CATEGORIES)
    for file_name, decoded in parts:
        file.add(file_name, decoded, decoded.instances.to_coco())
    return file.to_dict()


def coco_json(decoded: Decoded, *, file_name: str) -> bytes:
    """One photo as a COCO dataset; see :func:`coco_dict`."""
    return json.dumps(coco_dict([(file_name, decoded)]), **JSON_OPTIONS).encode()


def result_json(decoded: Decoded, *, file_name: str) -> bytes:
    """The same JSON as ``python -m dynamask predict --json``."""
    facts = result_dict(decoded.instances, file_name=file_name)
    return json.dumps(facts, indent=1, **JSON_OPTIONS).encode()


def table(
    decoded: Decoded, *, file_name: str, found: list[dict[str, Any]] | None = None
) -> pd.DataFrame:
    """One row per object, flat: no lists or dicts in cells.

    Columns: ``file_name``, ``object_id``, ``category``, ``score``, ``x``, ``y``, ``width`` and
    ``height`` in photo pixels, ``area_px2``, ``grid``, ``p_14`` .. ``p_112``, ``gmac``,
    ``policy``. All of them are there also where there is no object.

    Args:
        decoded: the objects.
        file_name: of the photo.
        found: what ``decoded.instances.to_coco()`` gave, to save making it again.
    """
    import pandas as pd

    found = decoded.instances.to_coco() if found is None else found
    count = len(found)
    boxes = np.array([one["bbox"] for one in found], dtype=np.float64).reshape(-1, 4)
    columns: dict[str, Any] = {
        "file_name": _texts([file_name] * count),
        "object_id": decoded.ids.astype(np.int64),
        "category": _texts([object_name(decoded, row) for row in range(count)]),
        "score": _numbers(found, "score", np.float64),
        **{name: boxes[:, k] for k, name in enumerate(("x", "y", "width", "height"))},
        "area_px2": _numbers(found, "area_px2", np.int64),
        "grid": _numbers(found, "grid", np.int64),
        **{
            f"p_{g}": np.array([one["probabilities"][str(g)] for one in found], dtype=np.float64)
            for g in GRIDS
        },
        "gmac": _numbers(found, "gmac", np.float64),
        "policy": _texts([decoded.instances.selection.policy] * count),
    }
    return pd.DataFrame(columns)


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """A table as Parquet."""
    out = io.BytesIO()
    frame.to_parquet(out, index=False)
    return out.getvalue()


def export(
    kind: str,
    opened: Opened,
    decoded: Decoded,
    *,
    name: str,
    strips: Mapping[int, Sequence[Any]] | None = None,
) -> tuple[bytes, str]:
    """Any of the files by its key in ``text_export.EXPORTS``.

    Args:
        kind: png, idmap, coco, json, csv, parquet or html.
        opened: the photo.
        decoded: its objects.
        name: the photo's file name.
        strips: for the page, see :func:`app.export_page.page_html`.

    Returns:
        The bytes, and the suffix that a download's name gets, such as ``-ids.png``.

    Raises:
        InputError: no such kind.
    """
    from app.export_page import page_html

    makers: dict[str, tuple[Callable[[], bytes], str]] = {
        "png": (lambda: overlay_png(opened, decoded), ".png"),
        "idmap": (lambda: id_map_png(decoded), "-ids.png"),
        "coco": (lambda: coco_json(decoded, file_name=name), "-coco.json"),
        "json": (lambda: result_json(decoded, file_name=name), ".json"),
        "csv": (lambda: csv_bytes(table(decoded, file_name=name)), ".csv"),
        "parquet": (lambda: parquet_bytes(table(decoded, file_name=name)), ".parquet"),
        "html": (lambda: page_html(opened, decoded, name=name, strips=strips), ".html"),
    }
    if not isinstance(kind, str) or kind not in makers:
        raise InputError(words.EXPORT_ODD.format(known=", ".join(makers)))
    make, suffix = makers[kind]
    return make(), suffix


def _category_ids(names: Sequence[str]) -> list[int]:
    if tuple(names) == tuple(COCO_CATEGORIES):
        return [i for i in range(1, 91) if i not in COCO_GAPS]
    return list(range(1, len(names) + 1))


def _numbers(found: list[dict[str, Any]], name: str, dtype: type) -> np.ndarray:
    return np.array([one[name] for one in found], dtype=dtype)


def _texts(values: list[str]) -> pd.Series:
    import pandas as pd

    return pd.Series(values, dtype="str")
