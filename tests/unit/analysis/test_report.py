"""The report is one file that needs nothing else, and its sentences are computed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_factory import invent_detections, write_detections

from analysis import dashboards
from analysis.compare import compare, verdict
from analysis.filters import PHOTO_BUCKETS, Filters, Folder
from analysis.report import EMPTY, METHOD, _table, main, render, write_report
from analysis.summary import summarise
from analysis.synthetic import write_run
from dynamask.errors import DataError, InputError


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("runs")
    first = write_run(base / "first", 1200, 60, seed=1)
    second = write_run(base / "second", 1200, 60, seed=2)
    write_detections(first, *invent_detections(photos=10, seed=1), policy="msm")
    write_detections(second, *invent_detections(photos=10, seed=2), policy="msm")
    dashboards.forget()
    return first, second


@pytest.fixture(scope="module")
def text(folders: tuple[Path, Path]) -> str:
    out = folders[0].parent / "report.html"
    main([str(folders[0]), str(folders[1])], str(out))
    return out.read_text("utf-8")


def rows(folder: Path, policy: str = "msm") -> pd.DataFrame:
    table = pd.concat([pd.read_parquet(p) for p in sorted(folder.glob("part-*.parquet"))])
    return table[table["policy"] == policy]


def test_one_file_that_fetches_nothing(text: str) -> None:
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", outside)
    assert "<link" not in outside
    assert text.count('id="figures"') == 1
    assert text.count("plotly.js v") == 1  # the library once


def test_figures_are_in_it(text: str) -> None:
    data = re.search(r'id="figures">(.*?)</script>', text, flags=re.DOTALL)
    assert data
    figures = json.loads(data.group(1))
    assert set(figures) == set(dashboards.FIGURES)
    for name in figures:
        assert f'id="plot-{name}"' in text


def test_words_begin_at_the_left_and_numbers_end_at_the_right() -> None:
    table = pd.DataFrame({"kind": ["missed"], "n": [3], "meaning": ["no detection fits"]})
    assert _table(table).endswith(
        '<tr><td>missed</td><td>3</td><td class="words">no detection fits</td></tr></tbody></table>'
    )


def test_tables_name_policies_and_columns_for_people(folders: tuple[Path, Path]) -> None:
    page = render(Folder(folders[0]), None, Filters())
    tables = page[page.index("Policies on the same objects") : page.index("<h2>Figures")]
    one = tables[: tables.index("<h2>", 9)]
    policies = re.findall(r"<tr><td>(.*?)</td>", one)
    assert policies == [
        *("all 14", "all 28", "all 56", "all 112"),
        *("size rule", "switch", "oracle", "random"),
    ]
    heads = re.findall(r"<th>(.*?)</th>", tables)
    assert {"GMAC per object", "AP (95 %)", "cases", "chosen grid (cells a side)"} <= set(heads)
    assert not [head for head in heads if "_" in head]
    msm = rows(folders[0])
    cells = re.search(r"<td>switch</td><td>(.*?)</td><td>.*?</td><td>(.*?)</td>", one)
    assert cells and cells[1] == f"{msm['gmac'].mean():.4f}"
    assert cells[2].startswith(f"{msm['iou'].mean():.4f} (0.")


def test_summary_says_what_pandas_says(folders: tuple[Path, Path]) -> None:
    said = " ".join(summarise(Folder(folders[0]), Filters()))
    msm = rows(folders[0])
    assert f"{len(msm):,} objects on {msm['image_id'].nunique()} photos" in said
    assert f"mean mask IoU of {msm['iou'].mean():.4f}" in said
    for grid in (14, 28, 56, 112):
        assert f"{(msm['grid'] == grid).mean():.0%} grid {grid}" in said
    best = msm[["iou14", "iou28", "iou56", "iou112"]].max(axis=1).mean()
    assert f"would reach {best:.4f}" in said
    p = msm[["p14", "p28", "p56", "p112"]].to_numpy()
    right = (np.array([14, 28, 56, 112])[p.argmax(1)] == msm["oracle_grid"]).mean()
    assert f"best one for {right:.0%} of the objects" in said


def test_differences_equal_pandas(folders: tuple[Path, Path]) -> None:
    table = compare(Folder(folders[0]), Folder(folders[1]), Filters()).set_index("metric")
    first, second = rows(folders[0]), rows(folders[1])
    for metric, column in (
        ("mean mask IoU", "iou"),
        ("mean boundary IoU", "biou"),
        ("mean regret", "regret"),
        ("mean cost of an object", "gmac"),
    ):
        gap = second[column].mean() - first[column].mean()
        assert table.loc[metric, "difference"] == pytest.approx(gap, abs=1e-6)
        assert table.loc[metric, "low"] <= gap <= table.loc[metric, "high"]
    assert {"AP", "boundary AP"} <= set(table.index)


def test_a_run_does_not_differ_from_itself(folders: tuple[Path, Path]) -> None:
    table = compare(Folder(folders[0]), Folder(folders[0]), Filters())
    assert (table[["difference", "low", "high"]].abs().to_numpy() < 1e-12).all()
    assert {verdict(r) for _, r in table.iterrows()} == {"no clear difference"}


def test_a_true_difference_is_found(folders: tuple[Path, Path]) -> None:
    msm, fixed = Filters(), Filters(policy="fixed:14")
    run = Folder(folders[0])

    class Fixed:
        manifest = run.manifest

        def query(self, sql: str, params: list | None = None) -> pd.DataFrame:
            return run.query(sql, [fixed.policy if p == msm.policy else p for p in params or []])

    table = compare(run, Fixed(), msm).set_index("metric")
    assert verdict(table.loc["mean mask IoU"]) == "lower"
    assert verdict(table.loc["mean regret"]) == "higher"
    assert verdict(table.loc["mean cost of an object"]) == "lower"


def test_empty_and_partial_runs(folders: tuple[Path, Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "manifest.json").write_text(json.dumps({"state": "running", "preset": "x"}))
    page = render(Folder(empty), None, Filters())
    assert EMPTY in page
    assert EMPTY in render(Folder(folders[0]), Folder(empty), Filters())
    run = Folder(folders[0])
    run.manifest = {**run.manifest, "photos": 100, "photos_done": 60, "state": "running"}
    assert "60 of 100 photos are done" in render(run, None, Filters())
    page = render(run, None, Filters(categories=("no such class",)))
    assert "No object of this run passes the filters" in page


def test_names_are_escaped(folders: tuple[Path, Path]) -> None:
    run = Folder(folders[0])
    run.manifest = {**run.manifest, "name": "</title><script>alert(1)</script>"}
    page = render(run, None, Filters(categories=("</script><b>",)))
    assert "<script>alert" not in page
    assert "</script><b>" not in page


def test_bad_paths(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run folder"):
        main([str(tmp_path)], str(tmp_path / "r.html"))
    with pytest.raises(InputError, match="one run folder or two"):
        main([], str(tmp_path / "r.html"))
    with pytest.raises(InputError, match="existing folder"):
        write_report(Folder(folders[0]), tmp_path / "none" / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_the_method_names_the_bootstraps_own_groups() -> None:
    said = next(line for line in METHOD if "bootstrap" in line)
    assert f"over {PHOTO_BUCKETS} equal groups" in said
