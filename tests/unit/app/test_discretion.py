"""Sentences for strangers name no folder of the server, and stay the same otherwise."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from tab_helpers import build_tab, in_a_loop

from app import api, headers
from app.batch_job import BatchJob, Feed, Picture
from app.compare_handlers import CompareHandlers
from app.discretion import DISCRETION, Discretion, sentence_of
from app.inspect_parts import new_state
from app.inspect_plots import PhotoPlots
from app.session import Session
from app.tabs.batch import BatchTab
from dynamask.errors import DataError, WeightsError

ROOT = Path(__file__).resolve().parents[3]
SECRET = "/srv/secret/a.png"  # where a file lies on the server

SAID = [
    (
        "Expected a readable manifest.json at /srv/runs/mine, got none.",
        "Expected a readable manifest.json at mine, got none.",
    ),
    ("… (/home/a b/runs/x.parquet) …", "… (x.parquet) …"),
    ("got '/tmp/gradio/0f/a.json'; check it.", "got 'a.json'; check it."),
    ("C:\\Users\\me\\runs\\a failed", "a failed"),
    ("Expected IoU/boundary of 1/2, and/or 3 px/s.", None),
    ("See http://127.0.0.1:7860/docs/run for it.", None),
    ("</div> and a/b/c.jpg of shipped/sample", None),
]


@pytest.mark.parametrize(("sentence", "expected"), SAID)
def test_paths_are_cut_down(sentence: str, expected: str | None) -> None:
    discretion = Discretion()
    assert discretion.told(sentence) == sentence
    discretion.begin([Path("/home/a b/runs")])
    assert discretion.told(sentence) == (expected or sentence)
    discretion.end()
    assert discretion.told(ValueError(sentence)) == sentence


@pytest.fixture
def public() -> Iterator[None]:
    """This process serves strangers."""
    DISCRETION.begin([])
    yield
    DISCRETION.end()


def fails(*_: object, **__: object) -> None:
    raise DataError(f"Expected a photo at {SECRET}, got none; choose another.")


def check(answer: object) -> None:
    assert "at a.png, got none" in str(answer) and "secret" not in str(answer)


@pytest.mark.usefixtures("public")
def test_a_photo_that_inspect_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(load=fails)
    tab = build_tab(session)
    monkeypatch.setattr(session, "open", fails)
    check(tab.on_photo(SECRET, "msm", 0.1, 0.5, 0.05))


@pytest.mark.usefixtures("public")
def test_a_photo_that_compare_cannot_use() -> None:
    tab = CompareHandlers.__new__(CompareHandlers)
    closed = []
    tab._closed = lambda sentence, controls: closed.append(sentence)  # type: ignore[assignment]
    tab._opened(fails, {}, (), 0)  # type: ignore[arg-type]
    check(closed)


@pytest.mark.usefixtures("public")
def test_an_object_that_cannot_be_seen_from_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    plots = PhotoPlots(Session(load=fails))
    monkeypatch.setattr(plots, "_reopen", fails)
    asked = gr.EventData(None, {"id": 1})
    check(plots.on_inside({**new_state(), "key": "a"}, "msm", 0.1, 0.5, 0.05, asked))


@pytest.mark.usefixtures("public")
def test_a_batch_and_a_photo_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = SimpleNamespace(encode_pixels=fails)
    feed = Feed(1, iter([("a.png", lambda: Picture(None, ()))]))  # type: ignore[arg-type]
    ask = SimpleNamespace(everything=None)
    job = BatchJob(session, feed, ask, tmp_path, threading.Event())  # type: ignore[arg-type]
    list(job.run())
    check(job.problems)
    tab = BatchTab(Session(load=fails))
    monkeypatch.setattr("app.tabs.batch._named", fails)
    request = SimpleNamespace(session_hash="s")
    *_, last = tab.on_start([], "msm", 0.05, 10, [], request)  # type: ignore[arg-type]
    check(last)


@pytest.mark.usefixtures("public")
def test_why_there_is_no_model() -> None:
    session = Session(load=fails)
    tab = build_tab(session)
    with pytest.raises(WeightsError):
        session.predictor()
    check(session.problem)
    check(headers.readiness(session)[1])
    check(tab.on_load(gr.Request())[0])

    def health() -> object:
        with gr.Blocks() as demo:
            api.add_endpoints(session)
        return next(f.fn() for f in demo.fns.values() if f.fn and f.api_name == "health")

    check(in_a_loop(health))


@pytest.mark.usefixtures("public")
def test_errors_of_others_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    assert "secret" not in sentence_of(OSError(SECRET), "in a test")
    assert sentence_of(OSError(SECRET), "in a test", "It failed.") == "It failed."
    assert "in a test" in caplog.text and SECRET in caplog.text  # the log has it


def test_no_error_reaches_the_page_past_discretion() -> None:
    raw = re.compile(r"str\(error\)|\{error\}")
    found = {
        path.relative_to(ROOT / "app").as_posix()
        for path in (ROOT / "app").rglob("*.py")
        if raw.search(path.read_text("utf-8"))
    }
    # the terminal of who starts the program; and the session, which keeps it and tells it itself
    assert found == {"__main__.py", "session.py"}
