"""The panel that makes a run, in every look: what is asked, what is refused, which policies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dataset_page import PATIENCE_MS, choose_tab, data_set
from looks import every_look
from page_helpers import serious
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@every_look
def test_the_panel_asks_and_refuses(page: Page, picture: Callable[..., None]) -> None:
    choose_tab(page, "Dataset")
    page.get_by_role("button", name="Make a run").click()
    policies = page.locator("#dm-make-policies")
    expect(policies.get_by_role("checkbox")).to_have_count(7)
    for box in policies.get_by_role("checkbox").all():
        expect(box).to_be_checked()
    page.locator("#dm-make").scroll_into_view_if_needed()
    picture(page, "panel")
    coco, zipped = data_set(1)
    page.locator("#dm-make-coco input[type=file]").set_input_files(coco)
    page.locator("#dm-make-zip input[type=file]").set_input_files(zipped)
    expect(page.locator("#dm-make-zip")).to_contain_text("photos", timeout=30_000)
    for box in policies.get_by_role("checkbox").all():
        box.uncheck()
    page.locator("#dm-make-start").click()
    said = page.locator("#dm-make-progress").get_by_test_id("make")
    expect(said).to_contain_text("at least one policy", timeout=PATIENCE_MS)
    expect(page.locator("#dm-make-start")).to_be_enabled()
    picture(page, "refused")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    serious(page)
