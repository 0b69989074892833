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
from page_helpers import (
    PATIENCE_MS,
    analyse,
    count,
    grids,
    viewer,
    visible_row,
)
from PIL import Image
from playwright.sync_api import Browser, Page, Request, expect

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


def coco_file(tmp_path: Path, boxes: list[list[float]]) -> Path:
    """Ground truth of the astronaut: filled boxes, of class person."""
    annotations = [
        {
            "id": i,
            "image_id": 7,
            "category_id": 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
            "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
        }
        for i, (x1, y1, x2, y2) in enumerate(boxes, 1)
    ]
    facts = {
        "images": [{"id": 7, "file_name": "astronaut.png", "width": 512, "height": 512}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(facts))
    return path


def test_truth_brings_the_oracle_and_true_ious(page: Page, astronaut: Path, tmp_path: Path) -> None:
    analyse(page, astronaut)
    page.locator("#dm-policy").get_by_text("Oracle").click()
    expect(page.get_by_text(re.compile("ground truth for the oracle"))).to_be_visible()
    expect(page.locator("#dm-policy").get_by_label("Switch")).to_be_checked()
    row = page.get_by_test_id("row").filter(has_text="person").first
    row.click()
    expect(page.get_by_test_id("detail")).not_to_have_attribute("data-selected", "")
    strip = page.get_by_test_id("strip")
    expect(strip).not_to_contain_text("true")
    told = page.get_by_test_id("detail").locator("dd").nth(1).inner_text()
    x1, y1, x2, y2 = (float(v) for v in re.findall(r"\d+", told))
    truth = coco_file(tmp_path, [[x1, y1, x2, y2]])
    page.locator("#dm-coco").get_by_role("button", name="Ground truth").click()
    with page.expect_file_chooser() as chooser:
        page.locator("#dm-load-truth").click()
    chooser.value.set_files(truth)
    note = page.get_by_test_id("coco-note")
    expect(note).to_contain_text("1 objects, 1 of those shown match", timeout=PATIENCE_MS)
    expect(strip).to_contain_text("true")
    page.locator("#dm-policy").get_by_text("Oracle").click()
    expect(page.locator("#dm-policy").get_by_label("Oracle")).to_be_checked()
    best = strip.evaluate(
        """(s) => { const true_iou = (f) => Number(
            f.querySelector('figcaption').innerText.match(/true ([\\d.]+)/)[1]);
          const all = [...s.querySelectorAll('figure')];
          return all.reduce((a, b) => true_iou(b) > true_iou(a) ? b : a).dataset.testid; }"""
    )
    expect(page.get_by_test_id(best)).to_have_class(re.compile("chosen"))


def test_boxes_of_a_file_can_be_moved_labelled_and_removed(
    page: Page, astronaut: Path, tmp_path: Path
) -> None:
    analyse(page, astronaut)
    before = count(page)
    boxes = coco_file(tmp_path, [[150, 20, 330, 220], [20, 300, 120, 400]])
    page.locator("#dm-coco").get_by_role("button", name="Ground truth").click()
    with page.expect_file_chooser() as chooser:
        page.locator("#dm-load-boxes").click()
    chooser.value.set_files(boxes)
    expect(viewer(page)).to_have_attribute("data-objects", str(before + 2), timeout=PATIENCE_MS)
    expect(page.get_by_test_id("coco-note")).to_contain_text("2 boxes from truth.json")
    row = page.get_by_test_id("row").nth(before)
    expect(row).to_contain_text("person")
    row.click()
    facts = page.get_by_test_id("detail").locator("dd").nth(1)
    expect(facts).to_have_text("150, 20 to 330, 220 px")
    page.locator("#dm-label input").click()
    page.get_by_role("option", name="dog", exact=True).click()
    expect(row).to_contain_text("dog")
    canvas = page.get_by_test_id("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    scale = box["width"] / 512
    page.mouse.move(box["x"] + 330 * scale, box["y"] + 220 * scale)  # its corner
    page.mouse.down()
    page.mouse.move(box["x"] + 300 * scale, box["y"] + 260 * scale, steps=4)
    page.mouse.up()
    expect(facts).to_have_text(re.compile(r"^150, 20 to (299|300|301), (259|260|261) px$"))
    canvas.focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(facts).to_have_text(re.compile(r"^15[56], 20 to "))
    expect(row).to_contain_text("dog")  # it keeps its class
    page.keyboard.press("Delete")
    expect(viewer(page)).to_have_attribute("data-objects", str(before + 1))


def test_a_grid_by_hand_holds_under_every_policy(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    row = visible_row(page)
    now = row.get_attribute("data-grid")
    other = "14" if now != "14" else "112"
    row.click()
    card = page.get_by_test_id("detail")
    expect(card).not_to_have_attribute("data-selected", "")
    page.locator("#dm-by-hand").get_by_text(other, exact=True).click()
    expect(row).to_have_attribute("data-grid", other)
    expect(card).to_have_attribute("data-grid", other)
    expect(card).to_contain_text("set by hand")
    page.locator("#dm-policy").get_by_text("All 56").click()
    found = count(page)
    expect(viewer(page)).to_have_attribute("data-grids", re.compile(f"56:{found - 1},"))
    expect(row).to_have_attribute("data-grid", other)
    page.locator("#dm-by-hand").get_by_text("Auto").click()
    expect(row).to_have_attribute("data-grid", "56")
    assert grids(page)[56] == found


def test_the_film_strip_shows_all_grids_and_edges_on_demand(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    requests: list[Request] = []
    visible_row(page).click()
    card = page.get_by_test_id("detail")
    frames = page.get_by_test_id("strip").locator("figure")
    expect(frames).to_have_count(4)
    chosen = page.get_by_test_id("strip").locator("figure.chosen")
    expect(chosen).to_have_count(1)
    expect(chosen).to_have_attribute("data-testid", f"frame-{card.get_attribute('data-grid')}")
    ious = [float(f.get_attribute("data-iou")) for f in frames.all()]
    assert all(0 < iou <= 1 for iou in ious) and ious[-1] == 1
    expect(page.get_by_test_id("flips")).to_contain_text("budget")
    for grid, frame in zip((14, 28, 56, 112), frames.all(), strict=True):
        expect(frame).to_contain_text(re.compile(rf"{grid}.*GMAC · \d+ ms", re.DOTALL))
        assert frame.locator("path").count() >= 3  # vectors: sharp at any zoom
    edge = frames.first.locator("image.edge")
    expect(edge).to_be_hidden()
    page.on("request", lambda request: requests.append(request))
    page.locator("#dm-edges input").check()
    expect(edge).to_be_visible()
    assert not [r.url for r in requests if not r.url.startswith(("data:", "blob:"))]
    page.locator("#dm-policy").get_by_text("All 14").click()
    expect(page.get_by_test_id("frame-14")).to_have_class(re.compile("chosen"))
    expect(edge).to_be_visible()  # a new card keeps the choice


def test_masks_only_and_a_grids_own_dashes(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    canvas = page.get_by_test_id("canvas")
    page.mouse.move(5, 5)
    corner = "c => [...c.getContext('2d').getImageData(3, 3, 1, 1).data].slice(0, 3)"
    assert canvas.evaluate(corner) != [43, 47, 56]
    page.get_by_test_id("masks-only").click()
    page.wait_for_timeout(300)
    assert canvas.evaluate(corner) == [43, 47, 56]
    dashes = (
        page.get_by_test_id("legend")
        .locator("rect")
        .evaluate_all("all => all.map((r) => r.getAttribute('stroke-dasharray'))")
    )
    assert len(set(dashes)) == 4
