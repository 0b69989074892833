"""A stream of answers that ends before the answer: the page asks on by itself."""

from __future__ import annotations

import pytest
from page_helpers import PATIENCE_MS, viewer
from playwright.sync_api import Page, Route, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def test_an_answer_that_missed_its_stream_still_comes(page: Page) -> None:
    page.wait_for_timeout(1500)  # streams of opening the page have ended
    cut = []

    def end_at_once(route: Route) -> None:
        cut.append(route.request.url)
        route.fulfill(
            status=200,
            content_type="text/event-stream",
            body='data: {"msg": "close_stream"}\n\n',
        )

    page.route("**/queue/data*", end_at_once, times=1)
    page.locator("#dm-examples img").first.click()
    expect(viewer(page)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)
    assert len(cut) == 1
    # and the listener works on
    page.locator("#dm-policy").get_by_text("All 14").click()
    expect(viewer(page)).to_have_attribute("data-grids", all_at_14(page))


def all_at_14(page: Page) -> str:
    """Every object at grid 14."""
    count = viewer(page).get_attribute("data-objects")
    return f"14:{count},28:0,56:0,112:0"
