"""Figures on their way to the page, and the script that draws them."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.headers import app_settings
from app.plotly_js import SCRIPT, script_file
from app.widgets.plotly_view import PlotlyView, plot_value

HOSTILE = "<img src=x onerror=alert(1)>"


def test_a_bare_figure_and_a_full_value_are_the_same() -> None:
    figure = {"data": [{"x": np.array([1.0, 2.0]), "y": [3, np.int64(4)]}], "layout": {}}
    bare, full = plot_value(figure), plot_value({"figure": figure})
    assert bare == full
    assert json.loads(json.dumps(bare))["figure"]["data"][0] == {"x": [1.0, 2.0], "y": [3, 4]}
    assert bare["seq"] == 0 and bare["selected"] is None and not bare["again"]
    told = plot_value({"figure": figure, "seq": 5, "selected": np.int64(3), "alt": "a", "title": 7})
    assert (told["seq"], told["selected"], told["alt"], told["title"]) == (5, [3], "a", "7")
    assert plot_value(None) is None


@pytest.mark.parametrize("value", [3, "figure", {"figure": None}, {"data": "x"}, {"layout": {}}])
def test_what_is_no_figure_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="Expected a figure"):
        plot_value(value)


def test_names_reach_plotly_as_words_and_marks_as_they_are() -> None:
    trace = {"x": [HOSTILE], "name": HOSTILE, "hovertext": [f"<b>{HOSTILE}</b><br>14"]}
    figure = {
        "data": [{**trace, "customdata": [{"category": HOSTILE}]}],
        "layout": {"annotations": [{"text": '<a href="javascript:alert(1)">go</a>'}]},
    }
    sent = plot_value(figure)["figure"]
    assert sent["data"][0]["customdata"] == [{"category": HOSTILE}]
    assert sent["data"][0]["x"] == ["&lt;img src=x onerror=alert(1)>"]
    assert sent["data"][0]["name"] == "&lt;img src=x onerror=alert(1)>"
    assert sent["data"][0]["hovertext"] == ["<b>&lt;img src=x onerror=alert(1)></b><br>14"]
    assert "<" not in sent["layout"]["annotations"][0]["text"]


def test_the_component_shows_what_it_is_given() -> None:
    view = PlotlyView({"data": [{"y": [1]}]}, link=True, render=False)
    assert view.get_config()["props"]["linked"] is True
    assert view.value["figure"]["data"] == [{"y": [1]}]
    assert view.preprocess({"figure": "forged"}) is None


def test_the_script_comes_from_the_installed_package() -> None:
    app = Starlette(routes=app_settings()["routes"])
    with TestClient(app) as client:
        answer = client.get(f"/{SCRIPT}", headers={"accept-encoding": "identity"})
        zipped = client.get(f"/{SCRIPT}", headers={"accept-encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.content == script_file().read_bytes()
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.content == answer.content  # the client has unzipped it
    assert int(zipped.headers["content-length"]) < len(gzip.compress(answer.content, 1))
