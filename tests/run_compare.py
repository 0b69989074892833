"""Two run folders table by table, measured times aside."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.schema import TIMES
from analysis.store import open_run

TABLES = ("objects", "detections", "truths", "pairs", "areas", "photos", "problems")


def tables(path: Path) -> dict[str, pd.DataFrame]:
    """Every table of a run, in the order of its shards."""
    run = open_run(path)
    names = set(run.query("SELECT table_name FROM information_schema.tables")["table_name"])
    found = [name for name in TABLES if name in names]
    return {name: run.query(f"SELECT * FROM {name}") for name in found}  # noqa: S608


def assert_same_run(first: Path, second: Path) -> None:
    """Equal files by name, and in them equal tables, row by row and to the last bit."""
    names = [sorted(p.name for p in path.iterdir()) for path in (first, second)]
    assert names[0] == names[1]
    one, two = tables(first), tables(second)
    assert set(one) == set(two)
    for name, table in one.items():
        left, right = (t.drop(columns=list(TIMES), errors="ignore") for t in (table, two[name]))
        pd.testing.assert_frame_equal(left, right, check_exact=True, obj=name)
