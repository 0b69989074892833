"""What somebody sees who opens the page for the first time and clicks one of its photos."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from looks import every_look
from page_helpers import count, overflow, serious, viewer
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

PATIENCE_MS = 90_000


def example(page: Page, name: str) -> None:
    page.locator("#dm-examples").get_by_role("button", name=f"Example: {name}").click()
    label = re.compile(f"^{name.replace(' ', '.')}[.]jpg")
    expect(page.get_by_test_id("canvas")).to_have_attribute(
        "aria-label", label, timeout=PATIENCE_MS
    )
    expect(viewer(page)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)


@every_look
def test_classes_that_the_model_is_poor_at_are_shown_where_there_is_nothing_else(
    page: Page, look: str, picture: Callable[..., None]
) -> None:
    picture(page, "nothing yet")
    example(page, "coffee")
    assert count(page) >= 2
    notices = page.get_by_test_id("notices")
    expect(notices).to_contain_text("take the names with care")
    every = page.locator("#dm-every input")
    expect(every).to_be_checked()  # as the picture is
    assert "classes" not in page.url
    picture(page, "coffee")
    page.wait_for_timeout(400)  # colours fade
    serious(page)
    assert overflow(page) <= 0

    # the user says no: that counts, here and in the address
    every.uncheck()
    expect(viewer(page)).to_have_attribute("data-objects", "0", timeout=PATIENCE_MS)
    expect(notices).to_contain_text("hidden")
    page.wait_for_url("**classes=known**")
    page.reload()
    expect(viewer(page)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)
    assert count(page) == 0
    expect(page.locator("#dm-every input")).not_to_be_checked()


def test_every_example_shows_something(page: Page, picture: Callable[..., None]) -> None:
    names = page.locator("#dm-examples button.gallery-item").evaluate_all(
        "all => all.map((button) => button.getAttribute('aria-label').replace('Example: ', ''))"
    )
    assert len(names) >= 4
    for name in names:
        example(page, name)
        assert count(page) >= 1, name
        page.get_by_test_id("canvas").scroll_into_view_if_needed()
        picture(page, name, whole=False)
