"""The Inspect tab for everybody: by keyboard, on a phone, and what axe finds in both themes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from page_helpers import analyse, draw, overflow, point_of, serious, viewer, visible_row
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def test_everything_can_be_reached_by_keyboard(page: Page, astronaut: Path) -> None:
    analyse(page, astronaut)
    row = visible_row(page)
    row.focus()
    page.keyboard.press("Enter")
    expect(viewer(page)).to_have_attribute("data-selected", row.get_attribute("data-id"))
    reached = set()
    page.locator("body").click(position={"x": 2, "y": 2})
    for _ in range(70):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => { const e = document.activeElement, own = (n) => n && n.id;
                  const holder = e.closest('[data-testid]');
                  return (holder ? holder.dataset.testid : '') + ' '
                    + (own(e.closest('[id^=dm-]')) || ''); }"""
            )
        )
    names = " ".join(reached)
    for wanted in (
        "canvas",
        "colour-by",
        "opacity",
        "masks-only",
        "draw-box",
        "new-photo",
        "save",
        "filter",
        "row",
        "dm-policy",
        "dm-budget",
        "dm-by-hand",
        "dm-edges",
        "dm-threshold",
        "dm-min-score",
    ):
        assert wanted in names, wanted


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_axe_finds_nothing_serious(
    open_page: Callable[..., Page], astronaut: Path, theme: str, width: int
) -> None:
    page = open_page(width, 900, theme)
    serious(page)
    analyse(page, astronaut)
    draw(page, (0.3, 0.05), (0.65, 0.45))
    expect(page.get_by_test_id("detail")).not_to_have_attribute("data-selected", "")
    page.get_by_test_id("filter").locator("summary").click()
    page.get_by_test_id("save").locator("summary").click()
    expect(page.get_by_test_id("save-html")).to_be_visible()
    page.wait_for_timeout(600)  # colours fade
    serious(page)
    assert overflow(page) <= 0


def test_a_phone_can_do_it_too(open_page: Callable[..., Page], astronaut: Path) -> None:
    page = open_page(390, 844)
    analyse(page, astronaut)
    page.mouse.click(*point_of(page, visible_row(page)))
    expect(page.get_by_test_id("strip").locator("figure")).to_have_count(4)
    page.get_by_test_id("save").locator("summary").click()
    menu = page.get_by_test_id("save").locator(".mv-files").bounding_box()
    assert menu["x"] >= 0 and menu["x"] + menu["width"] <= 390
    assert overflow(page) <= 0
