"""The page of one inspected photo as somebody opens it from a disk, without any server."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from unit.app.test_picture import NASTY, make, opened

from app.export_page import page_html

pytestmark = pytest.mark.browser
BOXES = [[0.0, 0.0, 80.0, 60.0], [20.0, 20.0, 30.0, 30.0]]


def test_page_works_from_a_file(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(page_html(opened(), make(BOXES, names=(NASTY,)), name=NASTY))
    context = browser.new_context(offline=True)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    small, large = page.locator('g[data-object="2"]'), page.locator('g[data-object="1"]')
    expect(small).to_be_visible()
    assert page.locator("image").evaluate("i => i.getBBox().width") == 80
    page.locator('input[data-toggle="2"]').uncheck()
    expect(small).to_be_hidden()
    expect(large).to_be_visible()
    page.locator("#none").click()
    expect(large).to_be_hidden()
    page.locator("#all").click()
    expect(small).to_be_visible()
    page.locator("#fill").uncheck()
    expect(large).to_have_css("fill-opacity", "0")
    expect(page.locator("h1")).to_contain_text(NASTY)
    context.close()
    assert not said
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
