"""The tab's handlers as plain functions, and the parts that only a server has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image
from tab_helpers import build_tab, event, in_a_loop

from app import settings, text, text_export
from app.inspect_files import STRIPS
from app.main import build_app, launch_settings
from app.session import Ask, Session
from app.tabs.inspect import InspectTab, new_state
from app.widgets.mask_viewer import CSS_FILE, MaskViewer
from app.widgets.photo_input import check_uploaded
from dynamask.errors import InputError
from dynamask.predictor import Predictor

ROOT = Path(__file__).resolve().parents[3]
WIDGETS = ROOT / "app" / "widgets"
CONTROLS = ("msm", 0.1, 0.5, 0.05)
REQUEST = gr.Request()


@pytest.fixture
def tab(tiny_predictor: Predictor) -> InspectTab:
    return build_tab(Session(load=lambda: tiny_predictor))


@pytest.fixture
def photo(tmp_path: Path) -> str:
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def state_of(tab: InspectTab, photo: str) -> dict:
    return tab.on_photo(photo, *CONTROLS)[2]


def test_a_photo_gives_a_state_of_small_things(tab: InspectTab, photo: str) -> None:
    viewer, detail, state, selected, *_ = tab.on_photo(photo, *CONTROLS)
    assert viewer["visible"] is True
    assert viewer["value"]["key"] == state["key"] in tab.session.scenes
    assert Path(viewer["value"]["photo"]).suffix == ".jpg"
    assert "data-testid" in detail and selected is None
    assert {type(v) for v in state.values()} <= {str, tuple, type(None)}
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
        assert len(handler(new_state(), None, *CONTROLS)) in (5, 9)


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
    banner, slider, *_ = tab.on_load(REQUEST)
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
    banner, slider, *_ = tab.on_load(REQUEST)
    assert text.NO_MODEL in banner["value"] and "<i>" not in banner["value"]
    assert "interactive" not in slider
    assert "Expected" in tab.on_photo(photo, *CONTROLS)[5]["value"]


def test_saved_files_are_named_after_the_photo(tab: InspectTab, photo: str) -> None:
    state = {**state_of(tab, photo), "name": "../../<x> y.png"}
    suffixes = set()
    for kind in text_export.EXPORTS:
        made = tab.on_export(state, None, *CONTROLS, event({"kind": kind}))
        path = Path(made["value"])
        assert path.name.startswith("dynamask--x--y") and path.stat().st_size > 100
        suffixes.add(path.name.removeprefix("dynamask--x--y"))
    assert suffixes == {".png", "-ids.png", "-coco.json", ".json", ".csv", ".parquet", ".html"}
    with pytest.raises(gr.Error, match="choose a photo"):
        tab.on_export(new_state(), None, *CONTROLS, event({"kind": "json"}))
    for odd in (None, {}, {"kind": "exe"}, {"kind": ["png"]}):
        with pytest.raises(gr.Error, match="^'?Expected one of"):
            tab.on_export(state, None, *CONTROLS, event(odd))


def test_the_page_of_a_photo_begins_with_the_selected_object(tab: InspectTab, photo: str) -> None:
    state = state_of(tab, photo)
    made = tab.on_export(state, 3, *CONTROLS, event({"kind": "html"}))
    page = Path(made["value"]).read_text(encoding="utf-8")
    shown = re.findall(r"\(object (\d+)\) at every grid", page)
    assert shown[0] == "3" and 1 < len(shown) <= STRIPS
    assert page.count("class=chosen") == len(shown)


def test_an_oracle_without_truth_leaves_it_to_the_switch(tab: InspectTab, photo: str) -> None:
    state = state_of(tab, photo)
    with pytest.warns(UserWarning, match="ground truth"):
        viewer, _, policy, *_ = tab.on_policy(state, None, "oracle", *CONTROLS[1:])
    assert policy["value"] == "msm" and viewer["value"]["query"]["policy"] == "msm"
    with pytest.warns(UserWarning, match="Until then it is Switch"):  # of another photo before
        _, _, state, *rest = tab.on_photo(photo, "oracle", *CONTROLS[1:])
    assert state["key"] and rest[6]["value"] == "msm"


def test_an_oracle_without_truth_goes_back_to_what_was_chosen(tab: InspectTab, photo: str) -> None:
    state, budget = state_of(tab, photo), sum(tab.session.predictor().budget_range()) / 2
    controls = (budget, 0.5, 0.3)
    assert tab.on_policy(state, None, "size", *controls, "msm")[6] == "size"
    *_, usual, _, _ = tab.on_budget(state, None, "size", *controls)
    assert usual == "budget"
    with pytest.warns(UserWarning, match="Until then it is Budget"):
        viewer, _, policy, *_, usual, files, note = tab.on_policy(
            state, None, "oracle", *controls, usual
        )
    assert policy["value"] == usual == viewer["value"]["query"]["policy"] == "budget"
    assert files["open"] is True and "load a COCO JSON" in note
    with pytest.warns(UserWarning, match="got no photo yet"):
        viewer, _, policy, *_ = tab.on_policy(new_state(), None, "oracle", *controls, "size")
    assert policy["value"] == "size" and viewer == gr.skip()


def test_an_answer_that_was_overtaken_is_not_given(tab: InspectTab, photo: str) -> None:
    state = state_of(tab, photo)
    decode, slow, go = tab.session.decode, threading.Event(), threading.Event()

    def delayed(opened: object, ask: Ask) -> object:
        if ask.policy == "fixed:14":
            slow.set()
            assert go.wait(20)
        return decode(opened, ask)

    tab.session.decode = delayed
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tab.on_policy, state, None, "fixed:14", *CONTROLS[1:])
        assert slow.wait(20)
        second = tab.on_control(state, None, "fixed:112", *CONTROLS[1:])
        go.set()
        late = first.result(30)
    assert {o["grid"] for o in second[0]["value"]["objects"]} == {112}
    assert len(late) == 9 and all(answer == gr.skip() for answer in late)
    newest = tab.on_policy(state, None, "fixed:28", *CONTROLS[1:])
    assert {o["grid"] for o in newest[0]["value"]["objects"]} == {28}


def test_the_photo_is_sent_once(tab: InspectTab, photo: str) -> None:
    state = state_of(tab, photo)
    first, second = (tab.on_control(state, None, *CONTROLS)[0]["value"]["photo"] for _ in range(2))
    assert first == second
    Path(first).unlink()  # as Gradio's own clearing does
    assert Path(tab.on_control(state, None, *CONTROLS)[0]["value"]["photo"]).is_file()


def test_the_pictures_value_travels_as_one_string(tab: InspectTab, photo: str) -> None:
    value = tab.on_photo(photo, *CONTROLS)[0]["value"]
    sent = tab.viewer.postprocess(value)
    assert set(sent) == {"packed", "photo"} and sent["photo"]["path"] == value["photo"]
    unpacked = json.loads(sent["packed"])
    assert unpacked["objects"] == json.loads(json.dumps(value["objects"]))
    assert unpacked["seq"] == value["seq"] and unpacked["key"] == value["key"]
    assert tab.viewer.postprocess(None) is None
    look = {"prefs": {"colour": "class", "fill": 3}}  # before a photo: small, as it is
    assert tab.viewer.postprocess(look) == look


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
