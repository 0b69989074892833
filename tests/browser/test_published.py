"""The Published tab in a real Chromium: the table sorts, the chart is whole, ours are marked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dataset_page import choose_tab
from looks import every_look
from page_helpers import overflow, serious
from playwright.sync_api import Locator, Page, expect

from analysis.published import NOT_REPRODUCED, epochs, read_published
from app import text_published as words

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def open_published(page: Page) -> Locator:
    """Go to the tab; returns its table."""
    choose_tab(page, "Published")
    table = page.locator("#dm-published-table table")
    expect(table).to_be_visible()
    plot = page.locator("#dm-published-plot").get_by_test_id("plot")
    expect(plot).to_have_attribute("data-ready", "true", timeout=60_000)
    return table


def column(table: Locator, name: str) -> list[str]:
    at = list(words.HEADS.values()).index(name)
    return [row.locator("th, td").nth(at).inner_text() for row in table.locator("tbody tr").all()]


def sort(table: Locator, name: str, order: str) -> list[str]:
    """Click a head; the column afterwards."""
    head = table.locator("thead th").nth(list(words.HEADS.values()).index(name))
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", order)
    expect(table.locator("thead th[aria-sort]")).to_have_count(1)
    return column(table, name)


def test_heads_sort_both_ways(page: Page) -> None:
    table = open_published(page)
    published = read_published()
    assert column(table, "AP") == [f"{v:.1f}" for v in sorted(published["AP"], reverse=True)]
    rises = sort(table, "AP", "ascending")  # it came sorted the other way
    assert rises == [f"{v:.1f}" for v in sorted(published["AP"])]
    # what was not published stays last, whichever way the numbers go
    known = sorted(published["AP50"].dropna())
    gaps = [""] * int(published["AP50"].isna().sum())
    assert gaps
    assert sort(table, "AP50", "descending") == [f"{v:.1f}" for v in reversed(known)] + gaps
    assert sort(table, "AP50", "ascending") == [f"{v:.1f}" for v in known] + gaps
    # words by the alphabet, schedules by their epochs: 1x is 12, and comes before 18e
    names = [m.lower() for m in sort(table, "Method", "ascending")]
    assert [n.removesuffix(" †") for n in names] == sorted(m.lower() for m in published["method"])
    long = sorted(published["schedule"], key=epochs)
    assert sort(table, "Schedule", "descending") == long[::-1]
    assert sort(table, "Schedule", "ascending") == long
    # a row stays whole
    found = {
        (m.removesuffix(" †"), b, s, ap)
        for m, b, s, ap in zip(
            *(column(table, n) for n in ("Method", "Backbone", "Schedule", "AP")), strict=True
        )
    }
    rows = published[["method", "backbone", "schedule", "AP"]].itertuples(index=False)
    assert found == {(m, b, s, f"{ap:.1f}") for m, b, s, ap in rows}


def test_heads_sort_by_key(page: Page) -> None:
    table = open_published(page)
    table.locator("thead button").nth(8).focus()
    page.keyboard.press("Enter")
    expect(table.locator("thead th").nth(8)).to_have_attribute("aria-sort", "descending")
    page.keyboard.press("Space")
    expect(table.locator("thead th").nth(8)).to_have_attribute("aria-sort", "ascending")


@every_look
def test_our_presets_are_marked_in_table_and_chart(
    page: Page, look: str, picture: Callable[..., None]
) -> None:
    table = open_published(page)
    published = read_published()
    plot = page.locator("#dm-published-plot")
    expect(plot.locator(".points path.point")).to_have_count(len(published))
    marks = plot.locator(".scatterlayer .trace").nth(1).locator("path.point")
    expect(marks).to_have_count(int((published["preset"] != "").sum()))
    expect(plot.locator(".legend")).to_contain_text(NOT_REPRODUCED)
    for said in ("mask AP (percent", "backbone and schedule"):
        expect(plot.locator(".infolayer")).to_contain_text(said)
    expect(plot).to_contain_text(f"n = {len(published)}")
    # from short to long training, the larger backbone last
    groups = plot.locator(".xtick text").all_text_contents()
    assert groups[0] == "ResNet-101-FPN, 1x" and groups[-1] == "ResNeXt-101-FPN, 3x"
    names = plot.locator(".textpoint text")
    expect(names).to_have_count(0 if look == "phone" else len(published))  # no room for them there
    # a mark tells on being pointed at what it is
    marks.first.hover(force=True)
    expect(plot.locator(".hoverlayer")).to_contain_text(f"preset resnet101_fpn: {NOT_REPRODUCED}")
    own = {
        (preset, said)
        for method, preset, said in zip(
            *(column(table, n) for n in ("Method", "Our preset", "In this project")), strict=True
        )
        if method.startswith("DynaMask")
    }
    assert own == {("resnet101_fpn", NOT_REPRODUCED), ("resnext101_64x4d_fpn", NOT_REPRODUCED)}
    others = [
        r for r in table.locator("tbody tr").all() if not r.inner_text().startswith("DynaMask")
    ]
    assert len(others) == int((published["preset"] == "").sum())
    assert not any(NOT_REPRODUCED in row.inner_text() for row in others)
    page.mouse.move(0, 0)
    serious(page)
    assert overflow(page) <= 0
    picture(page, "published")
