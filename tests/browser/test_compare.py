"""The Compare tab in a real Chromium: the line, the zoom, the table, other policies."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dataset_page import choose_tab
from looks import LOOKS, every_look
from page_helpers import overflow, serious
from playwright.sync_api import Locator, Page, expect
from serving import serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Iterator[str]:
    """An app on the bundled weights, with a second file to compare."""
    options = ("--compare-weights", str(tiny_weights))
    with serving(tmp_path_factory.mktemp("app"), *options) as url:
        yield url


def to_tab(page: Page) -> Page:
    choose_tab(page, "Compare")
    expect(page.locator("#dm-compare-photo")).to_be_visible()
    return page


@pytest.fixture
def page(open_page: Callable[..., Page], look: str) -> Page:
    return to_tab(open_page(*LOOKS[look]))


def viewer(page: Page) -> Locator:
    return page.get_by_test_id("compare-viewer")


def choose(page: Page, side: str, label: str) -> None:
    box = page.locator(f"#dm-compare-policy-{side} label").filter(has_text=label)
    box.first.click()


def same_weights(page: Page) -> None:
    """B's weights are the second file at first, since one was given."""
    page.locator("#dm-compare-weights-b label").first.click()


def compare(page: Page, photo: Path) -> None:
    same_weights(page)
    choose(page, "b", "All 14")
    page.locator("#dm-compare-every input").check()
    page.locator("#dm-compare-photo input[type=file]").set_input_files(photo)
    expect(viewer(page)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)


def clip(page: Page, side: str) -> tuple[float, float]:
    """Left edge and width of what is shown of a side, in the picture's own pixels."""
    return tuple(
        float(page.locator(f"#cv-{side} rect").get_attribute(name)) for name in ("x", "width")
    )


def smallest(page: Page) -> Locator:
    rows = page.get_by_test_id("compare-row")
    areas = rows.evaluate_all(
        "rows => rows.map(r => Number(r.cells[5].textContent.replace(/\\D/g, '')))"
    )
    return rows.nth(areas.index(min(areas)))


@every_look
def test_two_weight_files_then_two_policies(
    page: Page, look: str, picture: Callable[..., None], astronaut: Path, tmp_path: Path
) -> None:
    expect(page.locator("#dm-compare-note")).to_contain_text("same ones")
    picture(page, "empty")
    serious(page)
    other_weights(page, astronaut, look)
    picture(page, "two weight files")
    serious(page)

    same_weights(page)
    choose(page, "b", "All 14")
    every = page.locator("#dm-compare-every input")
    before = viewer(page).get_attribute("data-seq")
    every.check()
    expect(viewer(page)).not_to_have_attribute("data-seq", before, timeout=PATIENCE_MS)
    line_zoom_table_and_file(page, picture, tmp_path)


def other_weights(page: Page, photo: Path, look: str) -> None:
    """B has the second file at first; on a phone, what decides is above the picture."""
    page.locator("#dm-compare-photo input[type=file]").set_input_files(photo)
    expect(viewer(page)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)
    rows = page.get_by_test_id("compare-totals").locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("bundled weights")
    expect(rows.nth(1)).to_contain_text("tiny.safetensors")
    assert int(viewer(page).get_attribute("data-changed")) > 0
    expect(page.get_by_test_id("compare-row").first).to_contain_text("person")
    places = [
        page.locator(name).first.bounding_box()
        for name in ("#dm-compare-policy-b", ".cv-frame", ".cv-totals", "#dm-compare-threshold")
    ]
    if look == "phone":  # what decides, the picture, the numbers, the rest
        assert [place["y"] for place in places] == sorted(place["y"] for place in places)
    assert places[1]["width"] > 300


def line_zoom_table_and_file(page: Page, picture: Callable[..., None], tmp_path: Path) -> None:
    expect(page.get_by_test_id("compare-summary")).to_contain_text("changed; mean IoU")
    totals = page.get_by_test_id("compare-totals").locator("tbody tr")
    expect(totals).to_have_count(2)
    expect(totals.nth(0)).to_contain_text("Switch")
    expect(totals.nth(1)).to_contain_text("All 14")

    # the line: by pointer and by keyboard, and both sides meet there
    page.get_by_test_id("compare-stage").scroll_into_view_if_needed()
    stage = page.get_by_test_id("compare-stage").bounding_box()
    page.mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] / 4, stage["y"] + 40, steps=4)
    page.mouse.up()
    assert float(viewer(page).get_attribute("data-split")) == pytest.approx(25, abs=1)
    left, right = clip(page, "left"), clip(page, "right")
    assert left[0] + left[1] == pytest.approx(right[0]) and left[1] < right[1]
    page.get_by_test_id("compare-split").focus()
    page.keyboard.press("End")
    expect(viewer(page)).to_have_attribute("data-split", "100")
    assert clip(page, "right")[1] == 0

    # a row: closer, and both versions beside each other
    whole = page.locator(".cv-svg").get_attribute("viewBox")
    row = smallest(page)
    chosen = row.get_attribute("data-id")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    row.focus()
    page.keyboard.press("Enter")
    expect(viewer(page)).to_have_attribute("data-selected", chosen)
    detail = page.get_by_test_id("compare-detail")
    expect(detail).to_have_attribute("data-selected", chosen, timeout=PATIENCE_MS)
    expect(page.get_by_test_id("compare-b")).to_have_attribute("data-grid", "14")
    assert page.locator(".cv-svg").get_attribute("viewBox") != whole
    asked.clear()
    page.get_by_test_id("compare-marks").click()
    expect(page.locator(".cv-difference")).to_have_css("visibility", "visible")
    page.mouse.move(stage["x"] + 40, stage["y"] + 60)
    assert asked == []  # marks and the pointer stay in the browser
    picture(page, "one object closely, marked")
    page.wait_for_timeout(400)  # colours fade
    serious(page)
    assert overflow(page) <= 0
    for name in ("compare-marks", "compare-out", "compare-new"):
        button = page.get_by_test_id(name).bounding_box()
        assert button["x"] >= 0 and button["x"] + button["width"] <= page.viewport_size["width"]
    page.keyboard.press("Escape")
    expect(viewer(page)).to_have_attribute("data-selected", "")
    assert page.locator(".cv-svg").get_attribute("viewBox") == whole

    # a crop selects as its row does
    page.get_by_test_id("compare-crops").locator("button").first.click()
    expect(viewer(page)).not_to_have_attribute("data-selected", "")

    with page.expect_download() as info:
        page.locator("#dm-compare-save").click()
    info.value.save_as(tmp_path / "table.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert len(rows) == int(viewer(page).get_attribute("data-objects"))
    assert {row["grid_b"] for row in rows} == {"14"}


def test_policies_follow_and_equal_ones_say_so(page: Page, astronaut: Path) -> None:
    compare(page, astronaut)
    before = viewer(page).get_attribute("data-seq")
    choose(page, "b", "Switch")
    expect(viewer(page)).not_to_have_attribute("data-seq", before, timeout=PATIENCE_MS)
    expect(page.get_by_test_id("compare-summary")).to_contain_text("equal, pixel by pixel")
    expect(page.get_by_test_id("compare-summary")).to_contain_text("Both cost the same")
    expect(page.get_by_test_id("compare-row")).to_have_count(0)
    page.get_by_test_id("compare-all").click()
    objects = int(viewer(page).get_attribute("data-objects"))
    expect(page.get_by_test_id("compare-row")).to_have_count(objects)
    choose(page, "a", "Budget")
    expect(page.locator("#dm-compare-budget-a")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("#dm-compare-budget-b")).to_be_hidden()
    choose(page, "a", "Oracle")
    expect(page.get_by_text("Expected ground truth for the oracle")).to_be_visible()


@every_look
def test_the_photo_of_the_inspect_tab(
    page: Page, picture: Callable[..., None], astronaut: Path
) -> None:
    page.locator("#dm-compare-take").click()
    expect(page.get_by_test_id("compare-alert")).to_contain_text("got none")
    choose_tab(page, "Inspect")
    page.locator("#dm-photo input[type=file]").set_input_files(astronaut)
    expect(page.get_by_test_id("mask-viewer")).to_have_attribute(
        "data-ready", "true", timeout=PATIENCE_MS
    )
    # another grid by hand comes along, and the side that has it says so
    page.get_by_test_id("row").first.click()
    expect(page.locator("#dm-by-hand")).to_be_visible(timeout=PATIENCE_MS)
    page.locator("#dm-by-hand label").filter(has_text="14").first.click()
    expect(page.get_by_test_id("detail")).to_contain_text("set by hand", timeout=PATIENCE_MS)
    to_tab(page)
    same_weights(page)
    choose(page, "b", "Switch")
    page.locator("#dm-compare-take").click()
    expect(viewer(page)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("compare-alert")).to_have_count(0)
    rows = page.get_by_test_id("compare-totals").locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("As in Inspect: Switch, 1 by hand")
    expect(page.locator("#dm-compare-policy-a label.selected")).to_have_text("As in Inspect")
    expect(page.get_by_test_id("compare-row")).to_have_count(1)
    expect(page.get_by_test_id("compare-row")).to_contain_text("14 by hand")
    picture(page, "grids by hand")
    page.wait_for_timeout(400)  # colours fade
    serious(page)
    page.get_by_test_id("compare-new").click()
    expect(page.locator("#dm-compare-policy-a label").filter(has_text="As in")).to_have_count(0)
    expect(page.locator("#dm-compare-photo")).to_be_visible()
    expect(viewer(page)).to_be_hidden()


@pytest.mark.hostile
def test_a_damaged_photo_is_a_sentence(page: Page) -> None:
    name = "<img src=x onerror=document.title='hacked'>.png"
    bad = {"name": name, "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n"}
    page.locator("#dm-compare-photo input[type=file]").set_input_files(bad)
    expect(page.get_by_test_id("compare-alert")).to_contain_text("Expected", timeout=PATIENCE_MS)
    assert page.title() == "DynaMask Studio"


def test_examples_have_names(page: Page) -> None:
    buttons = page.locator("#dm-compare-examples button.gallery-item")
    expect(buttons.first).to_be_visible()
    for button in buttons.all():
        expect(button).to_have_attribute("aria-label", re.compile("^Example: "))
