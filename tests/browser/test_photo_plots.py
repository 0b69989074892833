"""Plots of the inspected photo and the views inside the model: the real app, a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from page_helpers import PATIENCE_MS, analyse, viewer
from playwright.sync_api import Locator, Page, Request, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PLOTS = ("grids", "odds", "budget")


def plot(page: Page, name: str) -> Locator:
    return page.locator(f"#dm-plot-{name} [data-testid=plot]")


def analyse_all(page: Page, photo: Path) -> int:
    """Open a photo with everything that is found in it; returns the number of objects."""
    analyse(page, photo)
    few = viewer(page).get_attribute("data-objects")
    page.get_by_label("Show every class").check()
    score = page.locator("#dm-min-score input[type=number]")
    score.fill("0.05")
    score.press("Tab")
    expect(viewer(page)).not_to_have_attribute("data-objects", few)
    page.wait_for_function(SETTLED, timeout=PATIENCE_MS)
    found = int(viewer(page).get_attribute("data-objects"))
    assert found >= 3
    return found


SETTLED = """() => {  // the picture has not changed for a while, and the plots have its objects
  const picture = document.querySelector('.mv').dataset;
  const now = performance.now(), seen = window.seenPicture || {};
  if (seen.seq !== picture.seq) {
    window.seenPicture = { seq: picture.seq, at: now };
    return false;
  }
  const plot = document.querySelector('#dm-plot-grids .pv').dataset;
  return now - seen.at > 1500 && plot.ready === 'true' && plot.points === picture.objects;
}"""


def points(page: Page, name: str) -> dict[str, tuple[float, float]]:
    """Object numbers of a plot's points and where these are on the page."""
    plot(page, name).scroll_into_view_if_needed()
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


def test_a_point_selects_its_object_and_an_object_its_points(page: Page, astronaut: Path) -> None:
    found = analyse_all(page, astronaut)
    at = points(page, "grids")
    assert len(at) == found
    object_id, place = list(at.items())[-1]
    page.mouse.click(*place)
    expect(viewer(page)).to_have_attribute("data-selected", re.compile(r"^\d+$"))
    chosen = viewer(page).get_attribute("data-selected")
    expect(plot(page, "grids")).to_have_attribute("data-selected", chosen)
    expect(plot(page, "odds")).to_have_attribute("data-selected", chosen)
    expect(page.get_by_test_id("detail")).to_have_attribute("data-selected", chosen)
    other = page.locator(f"tr[data-testid=row]:not([data-id='{chosen}'])").first
    other.click()
    now = other.get_attribute("data-id")
    assert now != chosen
    for name in ("grids", "odds"):
        expect(plot(page, name)).to_have_attribute("data-selected", now)
    page.get_by_test_id("canvas").press("Escape")
    for name in PLOTS:
        expect(plot(page, name)).to_have_attribute("data-selected", "")
    assert object_id in at


def test_a_brush_filters_the_picture_and_a_filter_fades_points(page: Page, astronaut: Path) -> None:
    found = analyse_all(page, astronaut)
    at = points(page, "grids")
    xs = sorted(x for x, _ in at.values())
    middle = (xs[0] + xs[-1]) / 2
    left = [i for i, (x, _) in at.items() if x < middle]
    assert 0 < len(left) < found
    ys = [y for _, y in at.values()]
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))
    page.mouse.move(xs[0] - 14, min(ys) - 14)
    page.mouse.down()
    page.mouse.move(middle, max(ys) + 14, steps=5)
    page.mouse.up()
    expect(viewer(page)).to_have_attribute("data-shown", str(len(left)))
    expect(page.locator("tr[data-testid=row]:visible")).to_have_count(len(left))
    expect(page.get_by_test_id("filter")).to_contain_text(f"{found - len(left)} left out")
    for name, times in (("grids", 1), ("odds", 4)):
        expect(plot(page, name)).to_have_attribute("data-faded", str(times * (found - len(left))))
    assert not requests  # all of this happened in the browser
    plot(page, "odds").get_by_role("button", name="Reset").click()
    expect(viewer(page)).to_have_attribute("data-shown", str(found))
    expect(plot(page, "grids")).to_have_attribute("data-faded", "0")
    page.get_by_test_id("filter").locator("summary").click()
    box = page.get_by_test_id("filter-classes").first
    box.uncheck()
    shown = int(viewer(page).get_attribute("data-shown"))
    assert shown < found
    expect(plot(page, "grids")).to_have_attribute("data-faded", str(found - shown))


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


@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light")])
def test_inside_the_model_only_when_it_is_looked_at(
    open_page: Callable[..., Page], astronaut: Path, width: int, theme: str
) -> None:
    page = open_page(width, 900, theme)
    analyse_all(page, astronaut)
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
    for section in ("#dm-photo-plots", "#dm-inside"):
        report = Axe().run(page, section).response["violations"]
        worst = [v for v in report if v["impact"] in ("serious", "critical")]
        assert not worst, [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in worst]
    source = page.locator(".iv img").first.get_attribute("src")
    rows.last.click()
    expect(inside).to_have_attribute("data-id", rows.last.get_attribute("data-id"))
    expect(page.locator(".iv img").first).not_to_have_attribute("src", source)
    page.get_by_test_id("canvas").press("Escape")
    expect(inside).to_contain_text("Select an object")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    for name in PLOTS:
        expect(plot(page, name)).to_have_attribute("data-theme", theme)
        box = plot(page, name).locator(".main-svg").first.bounding_box()
        assert 250 < box["width"] <= width
