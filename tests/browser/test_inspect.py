"""The Inspect page as a user meets it: the real app, the bundled weights, a real Chromium."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from looks import every_look
from page_helpers import (
    PATIENCE_MS,
    analyse,
    count,
    draw,
    drawn_row,
    grids,
    point_of,
    upload,
    viewer,
    visible_row,
)
from PIL import Image
from playwright.sync_api import Page, Request, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def test_masks_are_found_and_summed_up(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    found = count(page)
    assert found >= 1
    assert sum(grids(page).values()) == found
    expect(page.get_by_test_id("row")).to_have_count(found)
    expect(page.get_by_test_id("cost-line")).to_have_text(
        re.compile(r"^This photo: [\d.]+ GMAC in masks, \d+% of all-112\.$")
    )
    names = page.get_by_test_id("row").locator("th").all_inner_texts()
    assert "person" in [name.strip() for name in names]


@every_look
def test_hovering_shows_a_tooltip_without_any_request(
    page: Page, astronaut: Path, look: str
) -> None:
    analyse(page, astronaut)
    if look != "phone":  # there they are folded away
        drawn = page.locator("#dm-photo-plots .pv[data-ready=true]")
        expect(drawn).to_have_count(3, timeout=PATIENCE_MS)  # the last that analysing asked for
    page.wait_for_timeout(500)  # the queue's stream stays
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))
    x, y = point_of(page, visible_row(page))
    tip = page.get_by_test_id("tooltip")
    expect(tip).to_be_hidden()
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y, steps=5)
    expect(tip).to_be_visible()
    expect(tip).to_contain_text(re.compile(r"grid (14|28|56|112) · 0\.\d+ GMAC"))
    page.mouse.move(5, 5)
    expect(tip).to_be_hidden()
    assert not [r.url for r in requests if not r.url.startswith(("data:", "blob:"))]


def test_clicking_again_goes_through_what_lies_below(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    before = count(page)
    for corner in (0.3, 0.25):  # two boxes, one inside the other: their masks overlap
        draw(page, (corner, corner), (1 - corner, 1 - corner))
        before += 1
        expect(viewer(page)).to_have_attribute("data-objects", str(before))
    row = page.locator("tr[data-testid=row][data-x]").last
    point = point_of(page, row)
    seen = set()
    page.keyboard.press("Escape")
    for _ in range(before + 1):
        page.mouse.click(*point)
        seen.add(viewer(page).get_attribute("data-selected"))
    assert "" not in seen
    assert len(seen) >= 2


def test_policy_and_budget_change_grids_without_a_new_photo(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    found = count(page)
    cost = page.get_by_test_id("cost-line").inner_text()
    page.locator("#dm-policy").get_by_text("All 112").click()
    expect(viewer(page)).to_have_attribute("data-grids", f"14:0,28:0,56:0,112:{found}")
    expect(page.get_by_test_id("cost-line")).not_to_have_text(cost)
    expect(page.get_by_test_id("cost-line")).to_contain_text("100% of all-112")
    budget = page.locator("#dm-budget input[type=number]")
    lowest = page.locator("#dm-budget input[type=range]").get_attribute("min")
    budget.fill(lowest)
    budget.press("Enter")
    expect(viewer(page)).to_have_attribute("data-grids", f"14:{found},28:0,56:0,112:0")
    expect(page.locator("#dm-policy").get_by_label("Budget")).to_be_checked()
    expect(page.locator("#dm-policy")).to_contain_text(re.compile(r"budget below, \d+% of all-112"))


def test_dragging_the_budget_ends_at_its_last_value(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    page.locator("#dm-policy").get_by_text("All 112").click()
    expect(viewer(page)).to_have_attribute("data-grids", re.compile(r"112:[1-9]"))
    slider = page.locator("#dm-budget input[type=range]")
    slider.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")  # the last of many moves is the one that counts
    expect(viewer(page)).to_have_attribute("data-grids", f"14:{count(page)},28:0,56:0,112:0")


def test_score_and_threshold_decode_the_same_photo(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    key = viewer(page).get_attribute("data-key")
    area = visible_row(page).locator("td").nth(1)
    before = area.inner_text()
    threshold = page.locator("#dm-threshold input[type=number]")
    threshold.fill("0.9")
    threshold.press("Enter")
    expect(area).not_to_have_text(before)
    best = float(page.get_by_test_id("row").first.locator("td").first.inner_text())
    score = page.locator("#dm-min-score input[type=number]")
    score.fill("0.95")
    score.press("Enter")
    if best < 0.94:
        expect(page.get_by_test_id("hint")).to_contain_text("draw a box")
    elif best > 0.96:
        expect(page.get_by_test_id("row").first).to_contain_text(f"{best:.2f}")
    assert viewer(page).get_attribute("data-key") == key


def test_nothing_found_says_what_to_do(page: Page, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), (120, 160, 200)).save(tmp_path / "sky.png")
    analyse(page, tmp_path / "sky.png")
    score = page.locator("#dm-min-score input[type=number]")
    score.fill("0.95")
    score.press("Enter")
    expect(page.get_by_test_id("hint")).to_contain_text("score of 0.95 or more")
    expect(page.get_by_test_id("hint")).to_contain_text("draw a box")
    expect(viewer(page)).to_have_attribute("data-objects", "0")
    said = page.get_by_test_id("hint").inner_text()
    for name in ("grids", "odds", "budget"):  # the plots say the same, and offer no tools
        empty = page.locator(f"#dm-plot-{name}")
        expect(empty.get_by_test_id("plot-empty")).to_have_text(said)
        expect(empty.get_by_role("button", name="Lasso")).to_be_hidden()
    draw(page, (0.2, 0.2), (0.8, 0.8))
    expect(viewer(page)).to_have_attribute("data-objects", "1")
    expect(page.get_by_test_id("hint")).to_be_hidden()
    expect(page.locator("#dm-plot-grids").get_by_test_id("plot-empty")).to_be_hidden()


def test_a_drawn_box_gets_a_mask_and_can_be_removed(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    before = count(page)
    draw(page, (0.3, 0.05), (0.65, 0.45))
    row = drawn_row(page, before)
    assert int(row.locator("td").nth(1).inner_text().replace(",", "")) > 100
    expect(page.get_by_test_id("detail")).to_contain_text("drawn box")
    page.locator("#dm-policy").get_by_text("All 56").click()  # drawn boxes stay
    expect(viewer(page)).to_have_attribute("data-grids", f"14:0,28:0,56:{before + 1},112:0")
    row.get_by_role("button").click()
    expect(viewer(page)).to_have_attribute("data-objects", str(before))


def test_legend_fades_the_other_grids(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    present = next(grid for grid, n in grids(page).items() if n)
    chip = page.get_by_test_id(f"legend-{present}")
    chip.click()
    expect(page.get_by_test_id(f"legend-{present}")).to_have_attribute("aria-pressed", "true")
    for row in page.get_by_test_id("row").all():
        faded = row.get_attribute("data-grid") != str(present)
        assert ("faded" in (row.get_attribute("class") or "")) == faded
    page.get_by_test_id(f"legend-{present}").click()
    expect(page.get_by_test_id(f"legend-{present}")).to_have_attribute("aria-pressed", "false")


def test_colours_can_follow_the_class(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    dot = visible_row(page).locator("th i")
    canvas = page.get_by_test_id("canvas")
    by_grid = dot.evaluate("d => d.style.background")
    plain = canvas.evaluate("c => c.toDataURL()")
    page.get_by_test_id("colour-by").select_option("class")
    expect(viewer(page)).to_have_attribute("data-colour", "class")
    assert visible_row(page).locator("th i").evaluate("d => d.style.background") != by_grid
    page.mouse.move(5, 5)
    page.wait_for_function(
        "([c, before]) => c.toDataURL() !== before", arg=[canvas.element_handle(), plain]
    )
    page.get_by_test_id("colour-by").select_option("grid")
    page.wait_for_function(
        "([c, before]) => c.toDataURL() === before", arg=[canvas.element_handle(), plain]
    )


def test_a_corrupt_file_is_a_sentence_and_the_next_photo_works(
    page: Page, astronaut: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8)
    upload(page, broken)
    alert = page.get_by_test_id("alert")
    expect(alert).to_be_visible(timeout=PATIENCE_MS)
    expect(alert).to_have_text(re.compile(r"^Expected .+, got .+; .+\.$"))
    assert "Traceback" not in page.inner_text("body")
    analyse(page, astronaut)
    assert count(page) >= 1
    expect(alert).to_be_hidden()


def test_another_photo_replaces_the_first(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    first = viewer(page).get_attribute("data-key")
    page.get_by_test_id("new-photo").click()
    expect(page.get_by_test_id("canvas")).to_be_hidden()
    expect(page.get_by_test_id("detail")).to_have_attribute("data-selected", "")
    page.locator("#dm-examples img").nth(2).click()
    expect(viewer(page)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("canvas")).to_be_visible()
    assert viewer(page).get_attribute("data-key") != first


def test_a_photo_dropped_on_the_result_replaces_it(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    first = viewer(page).get_attribute("data-key")
    page.evaluate(
        """async () => {
          const canvas = document.createElement('canvas');
          canvas.width = 320; canvas.height = 240;
          canvas.getContext('2d').fillRect(40, 40, 200, 120);
          const blob = await new Promise((done) => canvas.toBlob(done, 'image/png'));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([blob], 'dropped.png', { type: 'image/png' }));
          document.querySelector('.mv-stage').dispatchEvent(
            new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
        }"""
    )
    expect(viewer(page)).not_to_have_attribute("data-key", first, timeout=PATIENCE_MS)
    expect(page.get_by_test_id("canvas")).to_have_attribute(
        "aria-label", re.compile(r"^dropped\.png: ")
    )


def test_file_names_are_only_names(page: Page, astronaut: Path) -> None:
    name = "<img src=x onerror=document.title='hacked'>.png"
    analyse(page, {"name": name, "mimeType": "image/png", "buffer": astronaut.read_bytes()})
    visible_row(page).click()
    expect(page.get_by_test_id("detail")).not_to_have_attribute("data-selected", "")
    assert page.title() == "DynaMask Studio"
    assert page.locator("img[src=x]").count() == 0
