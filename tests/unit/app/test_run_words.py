"""The Runs tab's words and what it offers for a comparison, as plain functions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.compare import compare, verdict
from analysis.filters import Filters
from analysis.store import open_run
from analysis.summary import summarise_difference
from analysis.synthetic import write_run
from app import text_runs as words
from app.dataset_job import Board
from app.dataset_runs import SHIPPED, Shelf
from app.run_handlers import RunHandlers
from app.run_words import differences_html, problems_html, sentences


@pytest.fixture
def tab(tmp_path: Path) -> RunHandlers:
    made = RunHandlers(None, Shelf(tmp_path), Board())  # type: ignore[arg-type]
    made.boxes, made.policy = "boxes", "policy"  # keys of answers are components
    return made


def offered(answer: dict[Any, Any]) -> tuple[list[str], Any, list[str], Any]:
    boxes, policy = answer["boxes"], answer["policy"]
    names = [[name for _, name in part["choices"]] for part in (boxes, policy)]
    return names[0], boxes["value"], names[1], policy["value"]


def test_only_what_both_runs_hold_can_be_compared(tab: RunHandlers, tmp_path: Path) -> None:
    write_run(tmp_path / "all", 30, 5)
    write_run(tmp_path / "some", 30, 5, policies=("oracle", "fixed:56"))
    write_run(tmp_path / "other", 30, 5, policies=("msm",))
    shutil.copytree(SHIPPED / "coco_mini_val", tmp_path / "copy")
    pair = tab.on_pair("", "own/all", "own/some", "gt", "oracle")
    assert offered(pair) == (["gt"], "gt", ["fixed:56", "oracle"], "oracle")
    # a choice that is not there any more gives way
    pair = tab.on_pair("", "own/all", "own/some", "detector", "msm")
    assert offered(pair) == (["gt"], "gt", ["fixed:56", "oracle"], "fixed:56")
    assert offered(tab.on_pair("", "own/some", "own/other", "gt", None)) == ([], None, [], None)
    boxes, _, _, value = offered(
        tab.on_pair("", "own/copy", "shipped/coco_mini_val", "detector", "msm")
    )
    assert boxes == ["gt", "detector"] and value == "msm"


@pytest.mark.parametrize("key", [None, 7, "own/none", "own/broken"])
def test_a_run_that_cannot_be_read_offers_nothing(
    tab: RunHandlers, tmp_path: Path, key: object
) -> None:
    write_run(tmp_path / "all", 30, 5)
    (write_run(tmp_path / "broken", 30, 5) / "manifest.json").write_text("{")
    assert offered(tab.on_pair("", "own/all", key, "gt", "msm")) == ([], None, [], None)


def test_no_list_of_problems_is_not_a_list_of_none() -> None:
    nothing = pd.DataFrame()
    assert words.PROBLEMS_UNKNOWN in problems_html(nothing, None)
    assert words.PROBLEMS_NONE in problems_html(nothing, 0)


@pytest.mark.parametrize(
    ("crowds", "said"), [(0, "photos."), (1, "photos; one of them"), (12, "photos; 12 of them")]
)
def test_crowds_are_told(tmp_path: Path, crowds: int, said: str) -> None:
    write_run(tmp_path / "a", 30, 5)
    info = Shelf(tmp_path).find("own/a")
    assert said in " ".join(sentences(info, public=False, crowds=crowds))


def test_one_photo_has_no_interval(tmp_path: Path) -> None:
    runs = [open_run(write_run(tmp_path / n, 20, 1, seed=s)) for n, s in (("a", 0), ("b", 1))]
    found = compare(*runs, Filters())
    assert {verdict(row) for _, row in found.iterrows()} == {"not known"}
    made = differences_html(found, ("a", "<b>"), "msm", "gt")
    assert words.COMPARE_NO_INTERVAL in made and "nan" not in made
    assert "&lt;b&gt; against a, policy switch" in made
    assert all("nan" not in s for s in summarise_difference(*runs, Filters()))
