"""The Inspect tab for everybody: by keyboard, on a phone, and what axe finds in both themes."""

from __future__ import annotations

from pathlib import Path

import pytest
from looks import every_look
from page_helpers import analyse, viewer, visible_row
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@every_look
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
