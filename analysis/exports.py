"""A run's tables as one file for other programs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from analysis.filters import Folder
from analysis.store import open_run
from dynamask.errors import InputError

FORMATS = {
    ".csv": "(FORMAT csv, HEADER)",
    ".parquet": "(FORMAT parquet, COMPRESSION zstd)",
    ".json": "(FORMAT json, ARRAY true)",
}
ORDER = {
    "objects": "image_id, annotation_id, boxes, policy",
    "detections": "image_id, detection_id, policy",
    "truths": "image_id, annotation_id",
    "pairs": "detection_id, annotation_id",
    "areas": "detection_id",
    "photos": "image_id",
    "problems": "image_id, id, place",
}
FORMULA = (
    "^[\\s\\v\x1c-\x1f\x85\u00a0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000]*"
    "[=+@\uff1d\uff0b\uff20\uff0d-]"
)
"""Cells that spreadsheets run, blanks before them included (OWASP, CSV injection); read by Python
and by DuckDB alike."""
MASK_COLUMN = "rle"
"""Has no brackets, so it calls nothing; an apostrophe would make another mask of it."""


def export_run(path: str | Path, out: str | Path, table: str = "objects") -> int:
    """Write one table of a run as CSV, Parquet or JSON, by the file's ending.

    In CSV, text that a spreadsheet would run as a formula gets an apostrophe before it.

    Args:
        path: the run folder.
        out: the file; it appears whole or not at all.
        table: ``objects``, ``detections``, ``truths``, ``pairs``, ``areas``, ``photos`` or
            ``problems``.

    Returns:
        How many rows were written.

    Raises:
        InputError: another ending or table, a run without this table, or no place to write.
        DataError: no run.
    """
    out = Path(out)
    kind = FORMATS.get(out.suffix.lower())
    if kind is None:
        raise InputError(
            f"Expected a file that ends in {', '.join(FORMATS)}, got {out.name}; choose one of "
            "these."
        )
    if table not in ORDER:
        raise InputError(f"Expected a table, one of {', '.join(ORDER)}; got {table!r}. Choose one.")
    if not out.parent.is_dir() or out.is_dir():
        raise InputError(
            f"Expected a file in an existing folder, got {out}; make the folder first."
        )
    run = open_run(path)
    return _copy(run, table, out, kind)


def _copy(run: Folder, table: str, out: Path, kind: str) -> int:
    import duckdb

    there = run.query("SELECT table_name FROM information_schema.tables")["table_name"]
    if table not in set(there):
        raise InputError(
            f"Expected a run with the table {table}, got {run.path}, which has none; choose one "
            f"of {', '.join(sorted(set(there) & set(ORDER)))}."
        )
    part = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    target = "'" + str(part).replace("'", "''") + "'"
    columns = _safe_columns(run, table) if out.suffix.lower() == ".csv" else "*"
    rows = f"SELECT {columns} FROM (SELECT * FROM {table} ORDER BY {ORDER[table]})"  # noqa: S608
    sql = f"COPY ({rows}) TO {target} {kind}"
    try:
        count: pd.DataFrame = run.query(sql)
        os.replace(part, out)
    except (OSError, duckdb.Error) as error:
        raise InputError(
            f"Expected to write {out}, which failed ({' '.join(str(error).split())[:120]}); "
            "choose another place or make room."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return int(count.iloc[0, 0])


def _safe_columns(run: Folder, table: str) -> str:
    """Columns of a SELECT in which no text is a formula."""
    have = run.query(f"DESCRIBE {table}")
    texts = have.loc[have["column_type"] == "VARCHAR", "column_name"]
    safe = ", ".join(
        f"CASE WHEN regexp_matches({name}, '{FORMULA}') THEN '''' || {name} ELSE {name} END "
        f"AS {name}"
        for name in ('"' + t.replace('"', '""') + '"' for t in texts if t != MASK_COLUMN)
    )
    return f"* REPLACE ({safe})" if safe else "*"


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as UTF-8 CSV; text that a spreadsheet would run as a formula gets an apostrophe."""
    safe = table.copy()
    for name in safe.columns:
        if not (hasattr(safe[name].dtype, "kind") and safe[name].dtype.kind in "iufb"):
            safe[name] = [_no_formula(value) for value in safe[name]]
    return safe.to_csv(index=False, lineterminator="\n").encode("utf-8")


def _no_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and re.match(FORMULA, value) else value


def write_frame(table: pd.DataFrame, out: str | Path) -> Path:
    """Write a small table as .csv or .json, whole or not at all.

    Raises:
        InputError: another ending, or no place to write.
    """
    from dynamask.batch import write_text

    out = Path(out)
    if out.suffix.lower() not in (".csv", ".json") or out.is_dir():
        raise InputError(f"Expected a file that ends in .csv or .json, got {out.name}; choose one.")
    as_json = out.suffix.lower() == ".json"
    text = (
        table.to_json(orient="records", indent=2) + "\n" if as_json else csv_bytes(table).decode()
    )
    write_text(out, text)
    return out
