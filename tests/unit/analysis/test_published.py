"""The published table is shown as it was published."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from factories import SHARED

from analysis.published import (
    CSV_FILE,
    NOT_REPRODUCED,
    epochs,
    published_figure,
    published_table,
    read_published,
)
from dynamask.config import PRESETS
from dynamask.errors import DataError


def test_numbers_are_those_of_the_file() -> None:
    with CSV_FILE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = read_published()
    assert len(table) == len(rows)
    for ours, theirs in zip(table.to_dict("records"), rows, strict=True):
        for name in ("AP", "AP50", "AP75", "APS", "APM", "APL"):
            if theirs[name]:
                assert ours[name] == float(theirs[name])
            else:
                assert ours[name] != ours[name]


def test_copy_is_exact() -> None:
    source = SHARED / "published_results.csv"
    if not source.exists():
        pytest.skip("the shared data is not here")
    assert CSV_FILE.read_bytes() == source.read_bytes()


def test_our_presets_are_marked() -> None:
    table = read_published()
    own = table[table["preset"] != ""]
    assert set(own["method"]) == {"DynaMask"}
    assert set(own["preset"]) <= set(PRESETS)
    assert set(own["status"]) == {NOT_REPRODUCED}
    assert set(table.loc[table["preset"] == "", "status"]) == {""}


@pytest.mark.parametrize("falling", [True, False])
def test_sorting_puts_unpublished_last(falling: bool) -> None:
    column = published_table("AP50", falling)["AP50"]
    known = column.dropna()
    assert known.is_monotonic_decreasing if falling else known.is_monotonic_increasing
    assert column.iloc[len(known) :].isna().all()
    with pytest.raises(DataError, match="to sort by"):
        published_table("nothing")


def test_chart_holds_every_row() -> None:
    figure = published_figure("dark")
    assert sum(len(t["x"]) for t in figure["data"]) == len(read_published())
    assert NOT_REPRODUCED in figure["data"][1]["name"]
    assert all(NOT_REPRODUCED in text for text in figure["data"][1]["hovertext"])


def test_the_chart_goes_from_short_to_long_training() -> None:
    shown = published_figure()["layout"]["xaxis"]["categoryarray"]
    place = [(name.startswith("ResNeXt"), epochs(name.rpartition(" ")[2])) for name in shown]
    assert place == sorted(place) and len(set(place)) == len(place)
    assert [epochs(s) for s in ("1x", "3x", "18e", "", "x", "3y", "-1x")] == [
        12,
        36,
        18,
        0,
        0,
        0,
        0,
    ]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="published table"):
        read_published(tmp_path / "none.csv")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="published table"):
        read_published(wrong)


def test_labels_of_close_marks_go_to_different_sides() -> None:
    figure = published_figure()
    marks = [m for t in figure["data"] for m in zip(t["x"], t["y"], t["textposition"], strict=True)]
    for one in marks:
        for two in marks:
            if one is not two and one[0] == two[0] and abs(one[1] - two[1]) < 0.3:
                assert one[2] != two[2]
    assert figure["layout"]["xaxis"]["range"][1] > len({x for x, _, _ in marks}) - 0.5
