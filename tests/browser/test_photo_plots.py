"""Plots of the inspected photo and the views inside the model: the real app, a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from looks import LOOKS, every_look
from page_helpers import (
    PATIENCE_MS,
    analyse,
    drag,
    every_object,
    overflow,
    serious,
    tap,
    viewer,
)
from playwright.sync_api import Locator, Page, Request, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PLOTS = ("grids", "odds", "budget")


@pytest.fixture
def page(open_page: Callable[..., Page], look: str) -> Page:
    return open_page(*LOOKS[look], touch=look == "phone")


def plot(page: Page, name: str) -> Locator:
    return page.locator(f"#dm-plot-{name} [data-testid=plot]")


def analyse_all(page: Page, photo: Path, look: str = "light") -> int:
    """Open a photo with everything that is found in it; returns the number of objects."""
    analyse(page, photo)
    found = every_object(page)
    if look == "phone":
        expect(plot(page, "grids")).to_be_hidden()  # three screens, until they are asked for
        page.locator("#dm-photo-plots > button").click()
    for name, times in (("grids", 1), ("odds", 4)):
        expect(plot(page, name)).to_have_attribute("data-points", str(times * found))
        expect(plot(page, name)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)
    return found


def points(page: Page, name: str) -> dict[str, tuple[float, float]]:
    """Object numbers of a plot's points and where these are on the page."""
    # the window's middle: neither a header nor a toast lies there
    plot(page, name).evaluate("p => p.scrollIntoView({ block: 'center' })")
    return page.evaluate(
        """(name) => {
          const target = document.querySelector('#dm-plot-' + name + ' .pv-plot');
          const box = target.getBoundingClientRect(), out = {};
          const { xaxis, yaxis } = target._fullLayout;
          for (const trace of target.data) (trace.ids || []).forEach((id, at) => {
            out[id] = [box.x + xaxis._offset + xaxis.d2p(trace.x[at]),
                       box.y + yaxis._offset + yaxis.d2p(trace.y[at])];
          });
          return out;
        }""",
        name,
    )


@every_look
def test_plots_and_picture_are_one(
    page: Page, picture: Callable[..., None], astronaut: Path, look: str
) -> None:
    found = analyse_all(page, astronaut, look)
    at = points(page, "grids")
    assert len(at) == found
    tap(page, *list(at.values())[-1])
    expect(viewer(page)).to_have_attribute("data-selected", re.compile(r"^\d+$"))
    chosen = viewer(page).get_attribute("data-selected")
    expect(plot(page, "grids")).to_have_attribute("data-selected", chosen)
    expect(plot(page, "odds")).to_have_attribute("data-selected", chosen)
    expect(page.get_by_test_id("detail")).to_have_attribute("data-selected", chosen)
    other = page.locator(f"tr[data-testid=row]:not([data-id='{chosen}'])").first
    other.click()
    now = other.get_attribute("data-id")
    for name in ("grids", "odds"):
        expect(plot(page, name)).to_have_attribute("data-selected", now)
    picture(page, "an object in the plots")
    page.get_by_test_id("canvas").press("Escape")
    for name in PLOTS:
        expect(plot(page, name)).to_have_attribute("data-selected", "")
        expect(plot(page, name)).to_have_attribute("data-theme", LOOKS[look][2])
        box = plot(page, name).locator(".main-svg").first.bounding_box()
        assert 250 < box["width"] <= LOOKS[look][0]
    a_brush(page, picture, found)
    every_filter(page, picture, found)
    assert overflow(page) <= 0


def a_brush(page: Page, picture: Callable[..., None], found: int) -> None:
    """A box around the smaller objects keeps only these in the picture; Reset brings all back."""
    box = plot(page, "grids").get_by_role("button", name="Box")
    if box.get_attribute("aria-pressed") == "false":
        box.click()  # on a phone, a finger scrolls the page unless told otherwise
    at = points(page, "grids")
    xs, ys = sorted(x for x, _ in at.values()), [y for _, y in at.values()]
    middle = (xs[0] + xs[-1]) / 2
    left = [i for i, (x, _) in at.items() if x < middle]
    assert 0 < len(left) < found
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))
    drag(page, (xs[0] - 12, min(ys) - 12), (middle, max(ys) + 12))
    expect(viewer(page)).to_have_attribute("data-shown", str(len(left)))
    expect(page.locator("tr[data-testid=row]:visible")).to_have_count(len(left))
    expect(page.get_by_test_id("filter")).to_contain_text(f"{found - len(left)} left out")
    for name, times in (("grids", 1), ("odds", 4)):
        expect(plot(page, name)).to_have_attribute("data-faded", str(times * (found - len(left))))
    assert not requests  # all of this happened in the browser
    box = plot(page, "grids").locator(".shapelayer path, .selectionlayer path")
    boxes = box.count()
    a_filter_beside_it(page, found - len(left))
    assert boxes and box.count() == boxes
    picture(page, "a brush")
    plot(page, "odds").get_by_role("button", name="Reset").click()
    expect(viewer(page)).to_have_attribute("data-shown", str(found))
    expect(plot(page, "grids")).to_have_attribute("data-faded", "0")
    expect(box).to_have_count(0)


def a_filter_beside_it(page: Page, out: int) -> None:
    """A filter acts on what the brush keeps, and leaves the brush and its box alone."""
    page.get_by_test_id("filter").locator("summary").click()
    first = page.get_by_test_id("filter-classes").first
    first.uncheck()
    more = int(plot(page, "grids").get_attribute("data-faded"))
    assert more >= out
    first.check()
    expect(plot(page, "grids")).to_have_attribute("data-faded", str(out))
    page.get_by_test_id("filter").locator("summary").click()


def every_filter(page: Page, picture: Callable[..., None], found: int) -> None:
    """Filters fade points; where they leave nothing, picture and plots say so and what to do."""
    page.get_by_test_id("filter").locator("summary").click()
    classes = page.get_by_test_id("filter-classes")
    classes.first.uncheck()
    shown = int(viewer(page).get_attribute("data-shown"))
    assert shown < found
    expect(plot(page, "grids")).to_have_attribute("data-faded", str(found - shown))
    for at in range(1, classes.count()):
        classes.nth(at).uncheck()
    expect(viewer(page)).to_have_attribute("data-shown", "0")
    says = re.compile(rf"^Filters leave out all {found} objects\. Press “Show all” .+\.$")
    expect(page.get_by_test_id("hint")).to_have_text(says)
    for name in PLOTS:
        expect(plot(page, name).get_by_test_id("plot-empty")).to_have_text(says)
        expect(plot(page, name).get_by_test_id("plot-empty")).to_be_visible()
    picture(page, "filters leave nothing")
    serious(page)
    page.get_by_test_id("filter-reset").click()
    for name in PLOTS:
        expect(plot(page, name).get_by_test_id("plot-empty")).to_be_hidden()


def test_plots_follow_policy_budget_and_score(page: Page, astronaut: Path) -> None:
    found = analyse_all(page, astronaut)
    before = int(plot(page, "budget").get_attribute("data-seq"))
    page.locator("#dm-policy").get_by_text("All 28").click()
    legend = plot(page, "grids").locator(".legendtext")
    expect(legend).to_have_text(["size rule", "grid 28"])
    assert int(plot(page, "budget").get_attribute("data-seq")) > before
    score = page.locator("#dm-min-score input[type=number]")
    score.fill("0.3")
    score.press("Tab")
    expect(viewer(page)).not_to_have_attribute("data-objects", str(found))
    left = viewer(page).get_attribute("data-objects")
    expect(plot(page, "grids")).to_have_attribute("data-points", left)
    expect(plot(page, "odds")).to_have_attribute("data-points", str(4 * int(left)))
    page.get_by_test_id("new-photo").click()
    expect(plot(page, "grids").get_by_test_id("plot-empty")).to_be_attached()
    expect(plot(page, "grids")).to_have_attribute("data-points", "0")


@every_look
def test_inside_the_model_only_when_it_is_looked_at(
    page: Page, picture: Callable[..., None], astronaut: Path
) -> None:
    analyse(page, astronaut)
    every_object(page)
    inside = page.get_by_test_id("inside")
    rows = page.get_by_test_id("row")
    rows.first.click()
    expect(page.get_by_test_id("detail")).not_to_have_attribute("data-selected", "")
    expect(inside).to_have_count(0)
    page.locator("#dm-inside > button").click()
    first = rows.first.get_attribute("data-id")
    expect(inside).to_have_attribute("data-id", first, timeout=PATIENCE_MS)
    expect(inside).to_have_attribute("data-ready", "true")
    for kind, count in (("switch", 2), ("features", 3), ("offsets", 3), ("edges", 4)):
        part = page.get_by_test_id(f"inside-{kind}")
        expect(part.locator("img")).to_have_count(count)
        assert len(part.locator("> p").inner_text().split()) > 8
    page.wait_for_function(  # every picture was let in and could be read
        """() => [...document.querySelectorAll('.iv img')].every(
            (i) => i.complete && i.naturalWidth > 0 && i.alt)"""
    )
    assert page.locator(".iv img").first.evaluate("i => getComputedStyle(i).imageRendering") == (
        "pixelated"
    )
    picture(page, "inside")
    serious(page)
    assert overflow(page) <= 0
    source = page.locator(".iv img").first.get_attribute("src")
    rows.last.click()
    expect(inside).to_have_attribute("data-id", rows.last.get_attribute("data-id"))
    expect(page.locator(".iv img").first).not_to_have_attribute("src", source)
    page.get_by_test_id("canvas").press("Escape")
    expect(inside).to_contain_text("Select an object")
