"""The tab's handlers as plain functions, and the parts that only a server has."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import gradio as gr
import pytest
from PIL import Image

from app import settings, text
from app.main import build_app, launch_settings
from app.session import Session
from app.tabs.inspect import InspectTab, new_state
from app.widgets.mask_viewer import CSS_FILE, MaskViewer
from app.widgets.photo_input import check_uploaded
from dynamask.errors import InputError
from dynamask.predictor import Predictor

ROOT = Path(__file__).resolve().parents[3]
WIDGETS = ROOT / "app" / "widgets"
T = TypeVar("T")
CONTROLS = ("msm", 0.1, 0.5, 0.05)


def in_a_loop(make: Callable[[], T]) -> T:
    """Build Blocks inside an event loop; outside of one, Gradio makes loops that nobody closes."""

    async def run() -> T:
        return make()

    with ThreadPoolExecutor(1) as pool:  # this thread may have a loop: Playwright's
        return pool.submit(lambda: asyncio.run(run())).result()


def build_tab(session: Session) -> InspectTab:
    def make() -> InspectTab:
        with gr.Blocks(analytics_enabled=False) as demo:
            tab = InspectTab(session)
            tab.build(demo)
        return tab

    return in_a_loop(make)


@pytest.fixture
def tab(tiny_predictor: Predictor) -> InspectTab:
    return build_tab(Session(load=lambda: tiny_predictor))


@pytest.fixture
def photo(tmp_path: Path) -> str:
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def event(data: object) -> gr.EventData:
    return gr.EventData(None, data)


def state_of(tab: InspectTab, photo: str) -> dict:
    return tab.on_photo(photo, *CONTROLS)[2]


def test_a_photo_gives_a_state_of_small_things(tab: InspectTab, photo: str) -> None:
    viewer, detail, state, selected, *_ = tab.on_photo(photo, *CONTROLS)
    assert viewer["visible"] is True
    assert viewer["value"]["key"] == state["key"] in tab.session.scenes
    assert Path(viewer["value"]["photo"]).suffix == ".jpg"
    assert "data-testid" in detail and selected is None
    assert {type(v) for v in state.values()} <= {str, tuple, bool}
    assert len(repr(state)) < 1000


def test_a_broken_photo_closes_with_a_sentence(tab: InspectTab, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"<script>")
    viewer, _, state, _, photo, alert, *_ = tab.on_photo(str(tmp_path / "a.png"), *CONTROLS)
    assert state == new_state() and viewer["value"] is None and photo["visible"] is True
    assert "Expected" in alert["value"] and alert["visible"] is True
    assert str(tmp_path) not in alert["value"]


def test_names_in_sentences_are_escaped(tab: InspectTab, tmp_path: Path) -> None:
    path = tmp_path / "<b>.png"
    path.write_bytes(b"")
    alert = tab.on_photo(str(path), *CONTROLS)[5]["value"]
    assert "&lt;b&gt;" in alert and "<b>" not in alert


def test_controls_before_a_photo_do_nothing(tab: InspectTab) -> None:
    for handler in (tab.on_control, tab.on_policy, tab.on_budget):
        assert len(handler(new_state(), None, *CONTROLS)) in (5, 6)


def test_drawing_selecting_removing(tab: InspectTab, photo: str) -> None:
    state = state_of(tab, photo)
    new = tab.on_draw(state, *CONTROLS, event({"box": [200, 200, 20, 30]}))
    viewer, detail, drawn, selected, *_ = new
    assert state["drawn"] == () and drawn["drawn"] == ((20.0, 30.0, 200.0, 200.0),)
    assert viewer["value"]["select"] == selected == viewer["value"]["objects"][-1]["id"]
    assert f'data-selected="{selected}"' in detail
    shown, chosen, *_ = tab.on_select(drawn, *CONTROLS, event({"id": selected}))
    assert chosen == selected and text.DRAWN_NAME in shown
    after = tab.on_remove(drawn, *CONTROLS, event({"id": selected}))
    assert after[2]["drawn"] == () and after[3] is None


@pytest.mark.parametrize(
    "data", [None, [], {}, {"id": "x"}, {"box": "x"}, {"box": [0, 0, 1, 1], "id": -4}]
)
def test_odd_events_are_toasts(tab: InspectTab, photo: str, data: object) -> None:
    state = state_of(tab, photo)
    for handler in (tab.on_select, tab.on_draw, tab.on_move, tab.on_remove):
        with pytest.raises(gr.Error, match="^'?Expected"):
            handler(state, *CONTROLS, event(data))


@pytest.mark.parametrize(
    "controls",
    [
        ("magic", 0.1, 0.5, 0.3),
        (None, 0.1, 0.5, 0.3),
        ("budget", "x", 0.5, 0.3),
        ("budget", 99, 0.5, 0.3),
        ("msm", 0.1, 0.0, 0.3),
        ("msm", 0.1, 0.5, 7),
    ],
)
def test_odd_controls_are_toasts(tab: InspectTab, photo: str, controls: tuple) -> None:
    state = state_of(tab, photo)
    with pytest.raises(gr.Error, match="^'?Expected"):
        tab.on_control(state, None, *controls)


def test_budget_slider_stays_inside_what_policies_accept(tab: InspectTab, photo: str) -> None:
    banner, slider, _ = tab.on_load()
    assert banner["visible"] is False
    state = state_of(tab, photo)
    for budget in (slider["minimum"], slider["value"], slider["maximum"]):
        viewer, _, policy, *_ = tab.on_budget(state, None, "msm", budget, 0.5, 0.05)
        assert policy["value"] == "budget" and viewer["value"]["objects"]
        share = budget * 1e9 / tab.session.predictor().cost_table.exits[-1]
        assert f"{share:.0%} of all-112" in policy["info"]


def test_the_share_is_said_for_budgets_only(tab: InspectTab, photo: str) -> None:
    state = state_of(tab, photo)
    assert "of all-112" in tab.on_policy(state, None, "budget", 0.1, 0.5, 0.3)[2]["info"]
    assert "of all-112" not in tab.on_policy(state, None, "size", 0.1, 0.5, 0.3)[2]["info"]


def test_without_a_model_there_is_a_banner_and_no_crash(tmp_path: Path, photo: str) -> None:
    tab = build_tab(Session(tmp_path / "<i>none.safetensors"))
    banner, slider, _ = tab.on_load()
    assert text.NO_MODEL in banner["value"] and "<i>" not in banner["value"]
    assert "interactive" not in slider
    assert "Expected" in tab.on_photo(photo, *CONTROLS)[5]["value"]


def test_saved_files_are_named_after_the_photo(tab: InspectTab, photo: str) -> None:
    state = {**state_of(tab, photo), "name": "../../<x> y.png"}
    for handler, suffix in ((tab.on_json, ".json"), (tab.on_png, ".png")):
        path = Path(handler(state, *CONTROLS)["value"])
        assert path.name == f"dynamask--x--y{suffix}" and path.stat().st_size > 100
    with pytest.raises(gr.Error, match="choose a photo"):
        tab.on_json(new_state(), *CONTROLS)


def test_scripts_never_write_html() -> None:
    scripts = sorted(WIDGETS.glob("*.js"))
    assert scripts
    for script in scripts:
        source = script.read_text(encoding="utf-8")
        code = "\n".join(line.split("//")[0] for line in source.splitlines())
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ):
            assert forbidden not in code, script.name
        assert len(source.splitlines()) <= 400


def test_nothing_comes_from_other_hosts() -> None:
    for path in [*WIDGETS.glob("*.*s*"), ROOT / "app" / "page.css"]:
        if path.suffix in {".js", ".css", ".html"}:
            links = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert "http" not in links and "@import" not in links, path.name
    fonts = launch_settings()["theme"].font
    assert not any(isinstance(font, gr.themes.GoogleFont) for font in fonts)


def test_styles_survive_gradios_prefix() -> None:
    for path in (CSS_FILE, ROOT / "app" / "page.css"):
        lists = re.findall(r":(?:is|where|not|has)\([^)]*,", path.read_text(encoding="utf-8"))
        assert not lists, f"{path.name}: Gradio splits selectors at every comma"


def test_defining_components_writes_no_files() -> None:
    assert MaskViewer.__name__ == "MaskViewer"
    assert not list((ROOT / "app").rglob("*.pyi"))


def test_limits_reach_gradio(tiny_predictor: Predictor) -> None:
    options = launch_settings()
    assert options["server_name"] == "127.0.0.1"
    assert options["blocked_paths"] == [str(settings.ROOT)]
    assert not (options["show_error"] or options["share"] or options["enable_monitoring"])
    demo = in_a_loop(lambda: build_app(Session(load=lambda: tiny_predictor)))
    assert demo.max_threads and demo._queue.max_size == settings.QUEUE_SIZE
    assert demo.analytics_enabled is False
    public = {fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"}
    assert public == {"predict", "decode", "analyze", "health"}


@pytest.mark.parametrize("path", [None, "", 7, "/etc/passwd", "../x.png", "a\0b"])
def test_only_uploads_are_opened(path: object) -> None:
    with pytest.raises(InputError, match="photo"):
        check_uploaded(path)


def test_bad_weights_end_the_command_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x04pickle")
    done = subprocess.run(
        [sys.executable, "-m", "app", "--weights", str(tmp_path / "bad.safetensors")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Expected") and "Traceback" not in done.stderr
