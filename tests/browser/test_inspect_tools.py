"""What the Inspect tab does beyond showing masks, in a real Chromium with the bundled weights:
address and memory, downloads, truth and boxes from files, filters, the card of an object."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pandas as pd
import pycocotools.mask as coco_mask
import pytest
from looks import every_look
from page_helpers import (
    PATIENCE_MS,
    analyse,
    count,
    viewer,
    visible_row,
)
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app import query
from app.text_export import EXPORTS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

EXAMPLES = [p.stem for p in (Path(__file__).parents[2] / "assets" / "examples").glob("*.jpg")]


def address(page: Page) -> query.PageView:
    """What the page's address says; nothing in it may be strange to the reader."""
    sent = dict(parse_qsl(urlsplit(page.url).query))
    view, ignored = query.decode(sent, examples=EXAMPLES, tabs=["batch"])
    assert not ignored
    return view


def wait_for_address(page: Page, wanted: Callable[[query.PageView], bool]) -> query.PageView:
    for _ in range(100):
        if wanted(address(page)):
            return address(page)
        page.wait_for_timeout(100)
    raise AssertionError(page.url)


@pytest.fixture
def visit(server: str, browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Opens addresses in one browser profile, as a visitor who comes back."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})

    def opened(parameters: str = "") -> Page:
        page = context.new_page()
        page.goto(f"{server}/?{parameters}")
        expect(page.locator("#dm-budget input[type=number]")).to_be_enabled(timeout=PATIENCE_MS)
        return page

    yield opened
    context.close()


def save(page: Page, kind: str) -> tuple[str, bytes]:
    """Choose a file of the download menu; its name and what is in it."""
    page.get_by_test_id("save").locator("summary").click()
    with page.expect_download() as download:
        page.get_by_test_id(f"save-{kind}").click()
    expect(page.get_by_test_id("save").locator("summary")).to_have_text("Download")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


@every_look
def test_every_file_can_be_taken_away(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    found = count(page)
    files = {kind: save(page, kind) for kind in EXPORTS}
    assert files["png"][0] == "dynamask-astronaut.png"
    picture = Image.open(io.BytesIO(files["png"][1]))
    assert picture.width == 512 and picture.height > 512  # a legend below the photo
    ids = np.asarray(Image.open(io.BytesIO(files["idmap"][1])))
    assert ids.shape == (512, 512) and 1 <= len(np.unique(ids)) - 1 <= found
    result = json.loads(files["json"][1])
    assert result["image"] == {"file_name": "astronaut.png", "width": 512, "height": 512}
    coco = json.loads(files["coco"][1])
    assert len(result["objects"]) == len(coco["annotations"]) == found
    for told, annotation in zip(result["objects"], coco["annotations"], strict=True):
        assert coco_mask.area(told["segmentation"]) == told["area_px2"] == annotation["area"]
    table = pd.read_csv(io.BytesIO(files["csv"][1]))
    assert len(table) == found
    assert pd.read_parquet(io.BytesIO(files["parquet"][1]))["grid"].tolist() == list(table["grid"])
    html = files["html"][1].decode()
    assert files["html"][0].endswith(".html") and "every grid" in html
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", html)


def test_the_download_menu_by_keyboard(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    menu = page.get_by_test_id("save").locator("summary")
    menu.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_test_id("save-png")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("save-png")).to_be_hidden()
    expect(menu).to_be_focused()


def test_an_address_brings_everything_back(visit: Callable[[str], Page]) -> None:
    page = visit()
    page.locator("#dm-examples img").first.click()
    expect(viewer(page)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)
    budget = page.locator("#dm-budget input[type=number]")
    budget.fill("0.1")
    budget.press("Enter")
    view = wait_for_address(page, lambda v: v.budget == 100)
    assert (view.policy, view.example) == ("budget", sorted(EXAMPLES)[0])
    page.get_by_test_id("filter").locator("summary").click()
    page.get_by_test_id("filter-classes").first.uncheck()
    view = wait_for_address(page, lambda v: bool(v.filters.classes))
    shown, seen = viewer(page).get_attribute("data-shown"), viewer(page).get_attribute("data-grids")
    page.get_by_role("tab", name="Batch").click()
    view = wait_for_address(page, lambda v: v.tab == "batch")
    again = visit(urlsplit(page.url).query)
    expect(again.get_by_role("tab", name="Batch")).to_have_attribute("aria-selected", "true")
    again.get_by_role("tab", name="Inspect").click()
    expect(viewer(again)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)
    expect(viewer(again)).to_have_attribute("data-shown", shown)
    expect(viewer(again)).to_have_attribute("data-grids", seen)
    expect(again.locator("#dm-policy").get_by_label("Budget")).to_be_checked()
    expect(again.locator("#dm-budget input[type=number]")).to_have_value("0.1")
    assert again.get_by_test_id("notice").count() == 0
    expect(again.get_by_test_id("filter").locator("summary")).to_contain_text("left out")
    after = wait_for_address(again, lambda v: v.tab == "")
    assert (after.policy, after.budget, after.filters) == (view.policy, 100, view.filters)
    again.get_by_test_id("new-photo").click()
    wait_for_address(again, lambda v: v == query.PageView())


def test_a_hostile_address_is_a_notice(visit: Callable[[str], Page]) -> None:
    page = visit("policy=%3Cimg%20src%3Dx%3E&example=..%2F..%2Fetc&budget=1e9&tab=%22&hide-grid=9")
    notice = page.get_by_test_id("notice")
    expect(notice).to_contain_text("tab, example, policy, budget, hide-grid")
    expect(page.locator("#dm-policy").get_by_label("Switch")).to_be_checked()
    expect(viewer(page)).to_have_attribute("data-ready", "false")
    expect(page.get_by_role("tab", name="Inspect")).to_have_attribute("aria-selected", "true")
    assert page.locator("img[src=x]").count() == 0


def test_the_browser_remembers_choices(visit: Callable[[str], Page]) -> None:
    page = visit()
    page.locator("#dm-policy").get_by_text("Size").click()
    threshold = page.locator("#dm-threshold input[type=number]")
    page.locator("#dm-examples img").first.click()
    expect(viewer(page)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)
    threshold.fill("0.7")
    threshold.press("Enter")
    page.get_by_test_id("colour-by").select_option("class")
    page.get_by_test_id("opacity").fill("80")
    page.wait_for_timeout(1500)  # what is remembered is written behind the user's back
    stored = page.evaluate("Object.keys(localStorage)")
    assert "dynamask-ui-v1" in stored
    assert "astronaut" not in page.evaluate("localStorage['dynamask-ui-v1']")
    again = visit()
    expect(again.locator("#dm-policy").get_by_label("Size")).to_be_checked()
    expect(again.get_by_test_id("colour-by")).to_have_value("class")
    expect(again.get_by_test_id("opacity")).to_have_value("80")
    expect(again.locator("#dm-threshold input[type=number]")).to_have_value("0.7")
    again.evaluate("localStorage['dynamask-ui-v1'] = 'garbage'")
    odd = visit()
    expect(odd.locator("#dm-policy").get_by_label("Switch")).to_be_checked()


def test_plots_and_picture_select_the_same_object(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    page.evaluate(
        """() => { window.heard = [];
          for (const name of ['dm-select', 'dm-visible']) document.addEventListener(
            name, ({ detail }) => detail && window.heard.push([name, detail.id, detail.ids])); }"""
    )
    row = visible_row(page)
    wanted = int(row.get_attribute("data-id"))
    row.click()
    assert page.evaluate("window.heard") == [["dm-select", wanted, None]]
    expect(page.get_by_test_id("detail")).to_have_attribute("data-selected", str(wanted))
    said = "document.dispatchEvent(new CustomEvent('dm-select', {detail: %s}))"
    page.evaluate(said % "{id: null}")
    expect(viewer(page)).to_have_attribute("data-selected", "")
    expect(page.get_by_test_id("detail")).to_have_attribute("data-selected", "")
    page.evaluate(said % f"{{id: {wanted}}}")
    expect(viewer(page)).to_have_attribute("data-selected", str(wanted))
    expect(page.get_by_test_id("detail")).to_have_attribute("data-selected", str(wanted))
    for odd in ('{id: "<b>"}', "{id: 60000}", "null", "{}"):
        page.evaluate(said % odd)
    expect(viewer(page)).to_have_attribute("data-selected", str(wanted))
    page.get_by_test_id("filter").locator("summary").click()
    page.get_by_test_id("filter-classes").first.uncheck()
    heard = page.evaluate("window.heard.filter(([name]) => name === 'dm-visible')")
    assert len(heard[-1][2]) == int(viewer(page).get_attribute("data-shown")) < count(page)
    assert page.locator("tr[data-testid=row]:visible").count() == len(heard[-1][2])
    expect(viewer(page)).to_have_attribute("data-selected", "")  # what is hidden is not selected
