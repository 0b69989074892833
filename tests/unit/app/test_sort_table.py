"""SortTable's markup: what is sorted how, even decimals, and text that stays text."""

from __future__ import annotations

import re

from app.tabs.published import table_rows
from app.text_published import HEADS
from app.widgets.sort_table import sort_table_html


def test_kinds_and_decimals() -> None:
    rows = [["b", ("3x", 36), 42, None], ["a", ("18e", 18), 1.25, 3.0]]
    made = sort_table_html("Title", ["n", "s", "v", "w"], rows, by=2)
    assert re.findall(r'data-kind="(\w+)"', made) == ["text", "number", "number", "number"]
    assert made.count("aria-sort") == 1 and 'aria-sort="descending"><button type="button">v' in made
    assert ">42.0<" in made and ">1.2<" in made and ">3.0<" in made
    assert '<td data-sort="36.0">3x</td>' in made
    assert "<td class=number></td>" in made


def test_everything_is_escaped() -> None:
    nasty = "<img src=x onerror=alert(1)>"
    made = sort_table_html(nasty, [nasty, nasty], [[nasty, (nasty, 1)]])
    assert "<img" not in made and made.count("&lt;img") >= 5


def test_the_published_table_has_one_decimal() -> None:
    made = sort_table_html("t", list(HEADS.values()), table_rows())
    numbers = re.findall(r"<td class=number>([^<]*)</td>", made)
    assert len(numbers) > 90 and all(re.fullmatch(r"(\d\d\.\d)?", n) for n in numbers)
