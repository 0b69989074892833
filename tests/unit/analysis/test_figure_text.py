"""Markup of our own figures stays; whatever else looks like markup is only a name."""

from __future__ import annotations

from analysis.figure_text import neutral, plain_text


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
