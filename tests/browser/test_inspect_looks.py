"""The Inspect tab's workflows in every look: light, dark, and with a finger on a phone.

Each walk leaves pictures of what it saw, see looks.py; in each of its states axe finds nothing
serious and nothing is wider than the window.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from looks import LOOKS, every_look
from page_helpers import (
    CONTRASTS,
    PATIENCE_MS,
    analyse,
    coco_file,
    count,
    drag,
    draw,
    drawn_row,
    every_object,
    grids,
    load_coco,
    overflow,
    point_of,
    serious,
    tap,
    viewer,
    visible_row,
)
from PIL import Image
from playwright.sync_api import Locator, Page, Request, expect

from app import text
from dynamask.config import GRIDS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

Looked = Callable[..., None]
FADED_MS = 500  # colours of the state before are gone


@pytest.fixture
def page(open_page: Callable[..., Page], look: str) -> Page:
    return open_page(*LOOKS[look], touch=look == "phone")


@pytest.fixture
def looked(page: Page, picture: Callable[..., None]) -> Looked:
    """``looked("what is shown")``: it is fit to be seen, and a picture of it is left."""

    def check(name: str) -> None:
        page.wait_for_timeout(FADED_MS)
        picture(page, name)
        serious(page)
        assert overflow(page) <= 0

    return check


def card(page: Page) -> Locator:
    return page.get_by_test_id("detail")


def chosen_object(page: Page, object_id: str) -> None:
    for part in (viewer(page), card(page)):
        expect(part).to_have_attribute("data-selected", object_id)


def fits(page: Page, part: Locator) -> None:
    """It is not cut off by the window; what is cut off makes no page wider."""
    box = part.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]


@every_look
def test_an_object_explains_itself(page: Page, looked: Looked, astronaut: Path, look: str) -> None:
    for name in ("#dm-photo-plots", "#dm-inside", "#dm-more", "#dm-edges"):
        expect(page.locator(name)).to_be_hidden()  # before a photo, nothing to do with them
    tall = page.evaluate("document.documentElement.scrollHeight")
    assert tall <= (1300 if look == "phone" else LOOKS[look][1] + 40)
    looked("before a photo")
    analyse(page, astronaut)
    for name in ("#dm-photo-plots", "#dm-inside", "#dm-more"):
        expect(page.locator(name)).to_be_visible()
    every_object(page)
    row = visible_row(page)
    tap(page, *point_of(page, row))
    chosen_object(page, row.get_attribute("data-id"))
    expect(row).to_have_attribute("aria-selected", "true")
    expect(card(page)).to_have_attribute("data-grid", row.get_attribute("data-grid"))
    expect(page.locator("#dm-edges")).to_be_visible()
    canvas = page.get_by_test_id("canvas")
    assert canvas.bounding_box()["width"] > 300
    for name in ("colour-by", "opacity", "draw-box", "new-photo"):
        fits(page, page.get_by_test_id(name))
    bars = card(page).locator("table").first.locator("tr")
    expect(bars).to_have_text([re.compile(rf"^{grid}\s*\d+%$") for grid in GRIDS])
    expect(page.get_by_test_id("flips")).to_contain_text("budget")
    the_film_strip(page)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) >= 14
    assert {name: ratio for name, ratio in contrasts.items() if ratio < 4.5} == {}
    looked("an object")
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))
    edge = page.get_by_test_id("strip").locator("image.edge").first
    expect(edge).to_be_hidden()
    page.locator("#dm-edges input").check()
    expect(edge).to_be_visible()
    assert not [r.url for r in requests if not r.url.startswith(("data:", "blob:"))]
    looked("its edge maps")
    before = canvas.evaluate("c => c.toDataURL()")
    page.get_by_test_id("row").last.click()
    ids = [r.get_attribute("data-id") for r in page.get_by_test_id("row").all()]
    chosen_object(page, ids[-1])
    expect(edge).to_be_visible()  # a new card keeps the choice
    page.wait_for_function(
        "([c, before]) => c.toDataURL() !== before", arg=[canvas.element_handle(), before]
    )
    canvas.focus()
    for key, wanted in (("ArrowRight", ids[0]), ("ArrowDown", ids[1]), ("ArrowLeft", ids[0])):
        page.keyboard.press(key)
        chosen_object(page, wanted)
    page.keyboard.press("Escape")
    chosen_object(page, "")
    expect(page.locator("#dm-edges")).to_be_hidden()


def the_film_strip(page: Page) -> None:
    """Four frames with their numbers; the one that the object has is framed."""
    strip = page.get_by_test_id("strip")
    frames = strip.locator("figure")
    expect(frames).to_have_count(4)
    expect(strip.locator("figure.chosen")).to_have_attribute(
        "data-testid", f"frame-{card(page).get_attribute('data-grid')}"
    )
    ious = [float(f.get_attribute("data-iou")) for f in frames.all()]
    assert all(0 < iou <= 1 for iou in ious) and ious[-1] == 1
    for grid, frame in zip(GRIDS, frames.all(), strict=True):
        quality = "the finest" if grid == GRIDS[-1] else r"IoU \d\.\d\d · boundary \d\.\d\d"
        expect(frame).to_contain_text(
            re.compile(rf"{grid}.*{quality}.*[\d.]+ GMAC · \d+ ms", re.DOTALL)
        )
        assert frame.locator("path").count() >= 3  # vectors: sharp at any zoom


@every_look
def test_every_policy_is_live(
    page: Page, looked: Looked, picture: Looked, astronaut: Path, tmp_path: Path
) -> None:
    policy = page.locator("#dm-policy")

    def choose(words: str) -> None:
        policy.get_by_text(words, exact=True).click()

    choose("Oracle")  # before there is a photo
    expect(page.get_by_text(re.compile("got no photo yet; choose a photo"))).to_be_visible()
    expect(policy.get_by_label("Switch")).to_be_checked()
    analyse(page, astronaut)
    found = every_object(page)
    row = visible_row(page)
    row.click()
    chosen_object(page, row.get_attribute("data-id"))
    for value, words in text.POLICIES.items():
        if value == "oracle":
            continue
        seen = int(viewer(page).get_attribute("data-seq"))
        choose(words)
        expect(policy.get_by_label(words, exact=True)).to_be_checked()
        if value != "msm":  # which it was
            page.wait_for_function(
                "(seen) => Number(document.querySelector('.mv').dataset.seq) > seen", arg=seen
            )
        assert sum(grids(page).values()) == found
        if value.startswith("fixed"):
            assert grids(page)[int(value[6:])] == found
            expect(card(page)).to_have_attribute("data-grid", value[6:])
    page.locator("#dm-by-hand").get_by_text("14", exact=True).click()
    expect(row).to_have_attribute("data-grid", "14")
    expect(card(page)).to_contain_text("set by hand")
    choose("All 56")
    expect(viewer(page)).to_have_attribute("data-grids", f"14:1,28:0,56:{found - 1},112:0")
    looked("one grid by hand")
    page.locator("#dm-by-hand").get_by_text("Auto").click()
    expect(viewer(page)).to_have_attribute("data-grids", f"14:0,28:0,56:{found},112:0")
    budget = page.locator("#dm-budget input[type=number]")
    budget.fill(page.locator("#dm-budget input[type=range]").get_attribute("min"))
    budget.press("Enter")
    expect(viewer(page)).to_have_attribute("data-grids", f"14:{found},28:0,56:0,112:0")
    expect(page.get_by_test_id("reach")).to_contain_text("On this photo")
    choose("Oracle")  # without truth it goes back to what was chosen, and says what to do
    note = page.get_by_test_id("coco-note")
    expect(note).to_contain_text("load a COCO JSON of it under")
    expect(note).to_contain_text("Until then it is Budget.")
    expect(policy.get_by_label("Budget")).to_be_checked()
    expect(page.locator("#dm-load-truth")).to_be_visible()  # the place to do so is open
    picture(page, "an oracle without truth, the window", whole=False)
    for toast in page.get_by_test_id("toast-close").all():
        toast.click()  # Gradio's toasts are a button in a button, which axe finds serious
    looked("an oracle without truth")
    expect(page.get_by_test_id("strip")).not_to_contain_text("true")
    load_coco(page, "#dm-load-truth", coco_file(tmp_path, [box_of(page)]))
    expect(note).to_contain_text("1 object; 1 of those shown match", timeout=PATIENCE_MS)
    strip = page.get_by_test_id("strip")
    expect(strip).to_contain_text("true")
    choose("Oracle")
    expect(policy.get_by_label("Oracle")).to_be_checked()
    best = strip.evaluate(
        """(s) => { const true_iou = (f) => Number(
            f.querySelector('figcaption').innerText.match(/true ([\\d.]+)/)[1]);
          const all = [...s.querySelectorAll('figure')];
          return all.reduce((a, b) => true_iou(b) > true_iou(a) ? b : a).dataset.testid; }"""
    )
    expect(page.get_by_test_id(best)).to_have_class(re.compile("chosen"))
    looked("the oracle with truth")


def box_of(page: Page) -> list[float]:
    """Corners of the selected object's box, as its card says them."""
    told = card(page).locator("dd").nth(1).inner_text()
    return [float(v) for v in re.findall(r"\d+", told)]


@every_look
def test_boxes_can_be_drawn_moved_labelled_and_removed(
    page: Page, looked: Looked, astronaut: Path, tmp_path: Path, look: str
) -> None:
    analyse(page, astronaut)
    before = count(page)
    draw(page, (0.3, 0.1), (0.6, 0.4))
    row = drawn_row(page, before)
    expect(card(page)).to_contain_text("class of a drawn box is not known")
    near(box_of(page), [154, 51, 307, 205])
    fits(page, row.get_by_role("button", name="Remove this drawn box"))
    looked("a drawn box")
    pull(page, (230, 130), (281, 181))  # all of it
    expect(card(page)).not_to_contain_text("307, 205 px")
    near(box_of(page), [205, 102, 358, 256])
    pull(page, (358, 256), (410, 410))  # its corner
    expect(card(page)).to_contain_text(re.compile(r"to 4(0[89]|1[012]), 4"))
    near(box_of(page), [205, 102, 410, 410])
    page.get_by_test_id("canvas").focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(card(page)).to_contain_text(re.compile(r"to 41[3-7], 4"))
    page.locator("#dm-label input").click()
    if look == "phone":
        fits(page, page.get_by_role("listbox"))
    page.get_by_role("option", name="dog", exact=True).click()
    expect(row).to_contain_text("dog")
    expect(card(page).locator("h3")).to_contain_text("dog")
    looked("a moved box that is called dog")
    row.get_by_role("button", name="Remove this drawn box").click()
    expect(viewer(page)).to_have_attribute("data-objects", str(before))
    load_coco(
        page, "#dm-load-boxes", coco_file(tmp_path, [[150, 20, 330, 220], [20, 300, 120, 400]])
    )
    expect(viewer(page)).to_have_attribute("data-objects", str(before + 2), timeout=PATIENCE_MS)
    expect(page.get_by_test_id("coco-note")).to_contain_text("2 boxes from truth.json")
    row = page.get_by_test_id("row").nth(before)
    expect(row).to_contain_text("person")  # the file's word
    row.click()
    expect(card(page)).to_contain_text("150, 20 to 330, 220 px")
    looked("boxes of a file")
    page.get_by_test_id("canvas").focus()
    page.keyboard.press("Delete")
    expect(viewer(page)).to_have_attribute("data-objects", str(before + 1))


def near(found: list[float], wanted: list[float]) -> None:
    """Corners in photo pixels, a pixel of the window apart at most (and a rounding)."""
    assert found == pytest.approx(wanted, abs=3)


def pull(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag from one pixel of the astronaut to another, on the picture."""
    canvas = page.get_by_test_id("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    k = box["width"] / 512
    drag(page, *[(box["x"] + k * x, box["y"] + k * y) for x, y in (start, end)])


@every_look
def test_the_picture_as_one_likes_it(page: Page, looked: Looked, astronaut: Path) -> None:
    analyse(page, astronaut)
    found = every_object(page)
    canvas = page.get_by_test_id("canvas")
    seen = set()
    for colour in ("grid", "class", "score", "size", "instance"):
        page.get_by_test_id("colour-by").select_option(colour)
        expect(viewer(page)).to_have_attribute("data-colour", colour)
        page.wait_for_timeout(150)  # it is drawn in the browser's next frame
        seen.add(canvas.evaluate("c => c.toDataURL()"))
        if colour in ("score", "size"):
            expect(page.get_by_test_id("colour-key")).to_be_visible()
    assert len(seen) == 5
    dashes = page.get_by_test_id("legend").locator("rect")
    patterns = dashes.evaluate_all("all => all.map((r) => r.getAttribute('stroke-dasharray'))")
    assert len(set(patterns)) == 4
    looked("one colour an object")
    corner = "c => [...c.getContext('2d').getImageData(3, 3, 1, 1).data].slice(0, 3)"
    page.get_by_test_id("opacity").fill("80")
    page.get_by_test_id("masks-only").click()
    page.wait_for_function(
        "c => c.getContext('2d').getImageData(3, 3, 1, 1).data[2] === 56",
        arg=canvas.element_handle(),
    )
    assert canvas.evaluate(corner) == [43, 47, 56]
    present = next(grid for grid, n in grids(page).items() if n)
    page.get_by_test_id(f"legend-{present}").click()
    expect(page.get_by_test_id(f"legend-{present}")).to_have_attribute("aria-pressed", "true")
    looked("masks only, one grid bright")
    page.get_by_test_id(f"legend-{present}").click()
    page.get_by_test_id("masks-only").click()
    page.get_by_test_id("colour-by").select_option("grid")
    page.get_by_test_id("filter").locator("summary").click()
    page.get_by_test_id("filter-score").fill("0.3")
    bright = int(viewer(page).get_attribute("data-shown"))
    assert 0 < bright < found
    expect(page.locator("tr[data-testid=row]:visible")).to_have_count(bright)
    page.get_by_test_id("filter-sizes").first.uncheck()
    looked("filters")
    page.get_by_test_id("filter-reset").click()
    expect(viewer(page)).to_have_attribute("data-shown", str(found))
    area = visible_row(page).locator("td").nth(1)
    before = area.inner_text()
    threshold = page.locator("#dm-threshold input[type=number]")
    threshold.fill("0.9")
    threshold.press("Enter")
    expect(area).not_to_have_text(before)


@every_look
def test_take_it_away_and_come_back(page: Page, looked: Looked, look: str) -> None:
    page.locator("#dm-examples img").first.click()
    expect(viewer(page)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)
    page.locator("#dm-policy").get_by_text("All 28").click()
    expect(viewer(page)).to_have_attribute("data-grids", re.compile(r"14:0,28:\d+,56:0,112:0"))
    page.get_by_test_id("colour-by").select_option("class")
    menu = page.get_by_test_id("save")
    menu.locator("summary").click()
    expect(page.get_by_test_id("save-html")).to_be_visible()
    fits(page, menu.locator(".mv-files"))
    looked("the download menu")
    with page.expect_download() as download:
        page.get_by_test_id("save-png").click()
    saved = Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert saved.format == "PNG" and saved.width == 512
    expect(menu.locator("summary")).to_have_text("Download")
    page.get_by_test_id("filter").locator("summary").click()
    page.get_by_test_id("filter-grids").first.uncheck()
    page.wait_for_function("location.search.includes('hide-grid')")
    page.wait_for_timeout(1000)  # what is remembered is written behind the user's back
    again = page.context.new_page()
    parts = urlsplit(page.url)
    again.goto(f"{parts.scheme}://{parts.netloc}/?{parts.query}&__theme={LOOKS[look][2]}")
    expect(viewer(again)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)
    expect(viewer(again)).to_have_attribute("data-shown", "0")  # the filter came with the address
    expect(again.locator("#dm-policy").get_by_label("All 28")).to_be_checked()
    expect(again.get_by_test_id("colour-by")).to_have_value("class")  # the browser's memory
    expect(again.get_by_test_id("hint")).to_contain_text("Press “Show all”")
    again.close()
