"""The columns of a run's tables, with types and units: the one truth about a run folder.

``part-*.parquet`` holds OBJECTS, one row per object, kind of box and policy; ``detections-*``,
``truths-*``, ``pairs-*``, ``areas-*``, ``photos-*`` and ``problems-*`` hold the tables named
here. A reader of another schema version refuses a run instead of misreading it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynamask.config import GRIDS
from dynamask.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA_VERSION = 1
SMALL_PX2, LARGE_PX2 = 32.0**2, 96.0**2
"""COCO's edges between small, medium and large; an area of exactly an edge is the larger bin."""
SIZE_BINS = ("small", "medium", "large")
TIMES = ("encode_ms", "switch_ms", "decode_ms", "seconds")
"""Measured times: all that may differ between two runs of one configuration."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: as in the Parquet file.
        kind: Arrow type by name: int32, int64, float, double, bool or string.
        unit: of the numbers; "" where they have none.
        words: what it says, for people.
    """

    name: str
    kind: str
    unit: str
    words: str


def _per_grid(prefix: str, words: str) -> tuple[Column, ...]:
    return tuple(Column(f"{prefix}{g}", "float", "0 to 1", f"{words} {g}") for g in GRIDS)


_PHOTO = (
    Column("image_id", "int64", "", "the photo's id, as in the annotation file"),
    Column("image_width", "int32", "px", "the photo's width"),
    Column("image_height", "int32", "px", "the photo's height"),
)


def _box(kind: str) -> tuple[Column, ...]:
    return (
        Column("box_x", kind, "px", "left edge of the object's box"),
        Column("box_y", kind, "px", "top edge of the object's box"),
        Column("box_w", kind, "px", "width of the object's box"),
        Column("box_h", kind, "px", "height of the object's box"),
    )


OBJECTS: tuple[Column, ...] = (
    *_PHOTO,
    Column("file_name", "string", "", "the photo's file, relative to the photo folder"),
    Column("annotation_id", "int64", "", "the annotated object's id, as in the annotation file"),
    Column("boxes", "string", "", "gt or detector: where the box for the mask came from"),
    Column("policy", "string", "", "who chose the grid"),
    Column("category_id", "int64", "", "the class, as in the annotation file"),
    Column("category", "string", "", "the class's name"),
    Column("crowd", "bool", "", "the annotation marks a group"),
    Column("truncated", "bool", "", "the object touches the photo's edge"),
    Column("area_px2", "float", "px²", "annotated mask area"),
    *_box("float"),
    Column("size_bin", "string", "", "small, medium or large, as COCO cuts areas"),
    Column("boundary_length_px", "float", "px", "length of the annotated outline, holes included"),
    Column("compactness", "float", "0 to 1", "4 pi area / outline squared; 1 for a disc"),
    *_per_grid("p", "the switch's probability of grid"),
    Column("grid", "int32", "", "the grid that the policy chose"),
    Column("gmac", "float", "GMAC", "the object's own stages, and the switch where it was asked"),
    *_per_grid("iou", "mask IoU with the annotation at grid"),
    *_per_grid("biou", "boundary IoU with the annotation at grid"),
    Column("oracle_grid", "int32", "", "grid of the best mask IoU, the cheapest on ties"),
    Column("iou", "float", "0 to 1", "mask IoU at the chosen grid"),
    Column("biou", "float", "0 to 1", "boundary IoU at the chosen grid"),
    Column("regret", "float", "IoU", "mask IoU lost against the oracle's grid"),
    Column("matched", "bool", "", "a detection of its class has its box (box IoU at least 0.5)"),
    Column("detection_id", "int64", "", "that detection"),
    Column("match_iou", "float", "0 to 1", "box IoU with it"),
    Column("score", "float", "0 to 1", "its score"),
    Column("error", "string", "", "why no detection is right about it; empty where one is"),
    Column("encode_ms", "float", "ms", "backbone, FPN and detector of the whole photo"),
    Column("switch_ms", "float", "ms", "the object's share of the switch's time"),
    Column("decode_ms", "float", "ms", "the object's share of the mask stages up to its grid"),
)

DETECTIONS: tuple[Column, ...] = (
    Column("detection_id", "int64", "", "the same for one box under all policies"),
    Column("policy", "string", "", "who chose the grid"),
    *_PHOTO,
    Column("category_id", "int64", "", "the class found, as in the annotation file"),
    Column("category", "string", "", "the class's name"),
    Column("score", "double", "0 to 1", "the detector's score"),
    *_box("double"),
    Column("rle", "string", "", "the mask: counts of the compressed COCO RLE of the whole photo"),
    *_per_grid("p", "the switch's probability of grid"),
    Column("grid", "int32", "", "the grid that the policy chose"),
    Column("gmac", "float", "GMAC", "its own stages, and the switch where it was asked"),
    Column("annotation_id", "int64", "", "the object that it is right about or that it misses"),
    Column("mask_iou", "float", "0 to 1", "mask IoU with that object"),
    Column("error", "string", "", "what is wrong with it; empty where it is right"),
)

PAIRS: tuple[Column, ...] = (
    Column("detection_id", "int64", "", "as in detections"),
    Column("annotation_id", "int64", "", "an object of its photo, as in truths"),
    *(
        Column(f"{prefix}{g}", "double", "0 to 1", f"{words} at grid {g}")
        for prefix, words in (
            ("iou", "mask IoU (with a crowd: the detection's part that lies on it)"),
            ("rim", "the smaller of mask IoU and boundary IoU; empty where classes differ"),
        )
        for g in GRIDS
    ),
)
"""Pairs of one class that overlap at no grid are left out, and those of two classes that overlap at
none by half; crowds of another class as well."""

AREAS: tuple[Column, ...] = (
    Column("detection_id", "int64", "", "as in detections"),
    *(Column(f"area{g}", "float", "px²", f"area of its mask at grid {g}") for g in GRIDS),
)

TRUTHS: tuple[Column, ...] = (
    Column("annotation_id", "int64", "", "as in the annotation file"),
    *_PHOTO,
    Column("category_id", "int64", "", "as in the annotation file"),
    Column("category", "string", "", "the class's name"),
    Column("crowd", "bool", "", "the annotation marks a group"),
    Column("area_px2", "double", "px²", "annotated mask area"),
    *_box("double"),
    Column("rle", "string", "", "the mask: counts of the compressed COCO RLE of the whole photo"),
)

PHOTOS: tuple[Column, ...] = (
    *_PHOTO,
    Column("file_name", "string", "", "relative to the photo folder"),
    Column("state", "string", "", "done, or skipped where the photo cannot be used"),
    Column("objects", "int32", "", "annotated objects measured, crowds included"),
    Column("detections", "int32", "", "boxes that the detector found, of classes of the set"),
    Column("encode_ms", "float", "ms", "backbone, FPN and detector"),
    Column("seconds", "float", "s", "everything, files and metrics included"),
)

PROBLEMS: tuple[Column, ...] = (
    Column("place", "string", "", "file, category, image, annotation or photo"),
    Column("id", "int64", "", "its id; empty where it has none"),
    Column("image_id", "int64", "", "the photo it belongs to, where that is known"),
    Column("outcome", "string", "", "skipped, or repaired and kept"),
    Column("reason", "string", "", "what is wrong with it"),
)

TABLES: Mapping[str, tuple[Column, ...]] = {
    "part": OBJECTS,
    "detections": DETECTIONS,
    "truths": TRUTHS,
    "pairs": PAIRS,
    "areas": AREAS,
    "photos": PHOTOS,
    "problems": PROBLEMS,
}
"""Beginning of the shards' names to columns; ``part`` is the table ``objects``."""


def arrow_schema(table: str) -> pa.Schema:
    """The Arrow schema of one of TABLES, every column nullable, units in the fields' metadata."""
    import pyarrow as pa

    types = {
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "string": pa.string(),
    }
    fields = [
        pa.field(c.name, types[c.kind], metadata={"unit": c.unit, "words": c.words})
        for c in TABLES[table]
    ]
    return pa.schema(fields, metadata={"schema_version": str(SCHEMA_VERSION)})


def to_arrow(rows: Sequence[Mapping[str, Any]] | pd.DataFrame, table: str) -> pa.Table:
    """Rows as an Arrow table in the order and types of the schema.

    Args:
        rows: dicts, or a frame; a column that is missing is a mistake of ours, one too many too.
        table: one of TABLES.

    Raises:
        DataError: rows whose columns are not the schema's.
    """
    import pyarrow as pa

    schema = arrow_schema(table)
    frame = hasattr(rows, "columns")
    names = list(rows.columns) if frame else list(rows[0]) if len(rows) else schema.names
    if set(names) != set(schema.names):
        odd = sorted(set(names) ^ set(schema.names))
        raise DataError(
            f"Expected the columns of schema {SCHEMA_VERSION} for {table}, got others "
            f"({', '.join(odd)}); write rows with the names of analysis.schema."
        )
    if frame:
        arrow = pa.Table.from_pandas(rows[schema.names], preserve_index=False)
        return arrow.replace_schema_metadata(None).cast(schema)
    columns = {name: [row[name] for row in rows] for name in schema.names}
    return pa.table(columns, schema=schema)


def size_bin(area_px2: float) -> str:
    """``small``, ``medium`` or ``large``."""
    return SIZE_BINS[(area_px2 >= SMALL_PX2) + (area_px2 >= LARGE_PX2)]


def check_version(manifest: Mapping[str, Any], place: str) -> None:
    """Refuse a run that was written with another schema.

    Raises:
        DataError: the version is another one, or none.
    """
    found = manifest.get("schema_version")
    if found != SCHEMA_VERSION:
        raise DataError(
            f"Expected a run of schema version {SCHEMA_VERSION} in {place}, got {found!r}; make "
            "the run again with python -m analysis run."
        )
