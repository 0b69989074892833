"""Markup of our own figures stays; whatever else looks like markup is only a name."""

from __future__ import annotations

import pandas as pd

from analysis.figure_text import neutral, plain_text
from analysis.figures import share_by_class
from analysis.figures_cost import regret
from dynamask.config import GRIDS


def test_plain_text_leaves_nothing_to_read_as_markup() -> None:
    assert plain_text("<b>a</b> & b") == "&lt;b&gt;a&lt;/b&gt; &amp; b"
    assert plain_text(3) == "3"


def test_our_tags_stay_and_others_become_words() -> None:
    ours = "<b>n</b><br>1<span style='font-size:0.75em'>x</span><extra></extra><sup>2</sup>"
    assert neutral(ours) == ours
    assert neutral("a<b and <a href='x'>y</a>") == "a&lt;b and &lt;a href='x'>y&lt;/a>"
    assert neutral("<span style='color:red'>") == "&lt;span style='color:red'>"
    assert neutral("<B>") == "&lt;B>"


def test_numbers_and_marks_are_passed_through() -> None:
    numbers = [1, 2.5, None]
    figure = {"x": numbers, "customdata": ["<i>"], "y": ("<u>", 1)}
    out = neutral(figure)
    assert out == {"x": numbers, "customdata": ["<i>"], "y": ["&lt;u>", 1]}
    assert out["x"] is numbers


def test_class_names_in_figures_are_words_and_their_marks_are_not_changed() -> None:
    name = '<a href="https://example.org">&amp; <b>zebra</b></a>'
    shown = '&lt;a href="https://example.org"&gt;&amp;amp; &lt;b&gt;zebra&lt;/b&gt;&lt;/a&gt;'
    shares = pd.DataFrame(
        [
            {"bin": name, "grid": g, "share": 0.25, "share_low": 0.2, "share_high": 0.3}
            | {"upto": 0.5, "upto_low": 0.4, "upto_high": 0.6, "count": 1, "n": 4}
            for g in GRIDS
        ]
    )
    figure = share_by_class(shares, note="only <b>zebra</b>")
    assert {x for t in figure["data"] for x in t["x"]} == {shown}
    assert figure["data"][0]["customdata"] == [{"category": name, "grid": 14}]
    assert "only &lt;b&gt;zebra&lt;/b&gt;" in figure["layout"]["title"]["text"]
    lost = pd.DataFrame([{"bin": name, "mean": 0.1, "low": 0.0, "high": 0.2, "n": 4}])
    figure = regret(lost, by="class")
    assert figure["data"][0]["x"] == [shown]
    assert figure["data"][0]["customdata"] == [{"category": name}]
