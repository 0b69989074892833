"""Files for spreadsheets and other programs hold the rows, and nothing that runs."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from analysis.exports import export_run, write_frame
from analysis.schema import to_arrow
from analysis.synthetic import write_run

FORMULAS = ["=1+1", "+cmd", "-2", "@SUM(A1)", " =1", "\t=1", "\u00a0=1", "\uff1d1"]
HARMLESS = ["person", "a=b", "'=1", "", "1-2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose classes and photos have names like formulas."""
    run = write_run(tmp_path_factory.mktemp("runs") / "odd", 26, 5)
    shard = run / "part-00000.parquet"
    rows = pd.read_parquet(shard)
    names = FORMULAS + HARMLESS
    rows["category"] = [names[i % len(names)] for i in rows["annotation_id"]]
    rows["file_name"] = rows["category"]
    pq.write_table(to_arrow(rows, "part"), shard)
    return run


@pytest.mark.hostile
def test_csv_of_a_run_gives_spreadsheets_no_formula(folder: Path, tmp_path: Path) -> None:
    count = export_run(folder, tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count == 26 * 7
    names = FORMULAS + HARMLESS
    for row in rows:
        name = names[int(row["annotation_id"]) % len(names)]
        expected = f"'{name}" if name in FORMULAS else name
        assert row["category"] == row["file_name"] == expected
    keys = [(int(r["image_id"]), int(r["annotation_id"]), r["policy"]) for r in rows]
    assert keys == sorted(keys)


@pytest.mark.parametrize("ending", ["parquet", "json"])
def test_other_formats_keep_names_as_they_are(folder: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"rows.{ending}"
    export_run(folder, out)
    rows = pd.read_parquet(out) if ending == "parquet" else pd.read_json(out)
    assert set(rows["category"]) == set(FORMULAS + HARMLESS)


@pytest.mark.hostile
def test_small_tables_hold_no_formula_either(tmp_path: Path) -> None:
    table = pd.DataFrame({"name": ["=1", "b"], "value": [-1.5, 2.0]})
    out = write_frame(table, tmp_path / "t.csv")
    assert out.read_text() == "name,value\n'=1,-1.5\nb,2.0\n"
