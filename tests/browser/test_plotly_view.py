"""PlotlyView in a real Chromium: clicks, brushes, tabs, themes, stale answers and hostile names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from serving import serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def plots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("plots"), script="tests/plot_page.py") as url:
        yield url


@pytest.fixture
def open_plots(plots: str, browser: Browser) -> Iterator[Callable[..., Page]]:
    contexts, wrong = [], []

    def opened(width: int = 1280, theme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 1000})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on(
            "request",
            lambda r: None if r.url.startswith((plots, "data:", "blob:")) else wrong.append(r.url),
        )
        page.goto(f"{plots}/?__theme={theme}")
        ready(page, "first")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


def view(page: Page, name: str) -> Locator:
    return page.locator(f"#{name} [data-testid=plot]")


def ready(page: Page, name: str) -> Locator:
    expect(view(page, name)).to_have_attribute("data-ready", "true", timeout=60_000)
    return view(page, name)


def points(plot: Locator) -> list[tuple[float, float]]:
    """Middles of the points on the page."""
    marks = plot.locator(".scatterlayer .trace").first.locator(".points path")
    marks.first.scroll_into_view_if_needed()
    boxes = [mark.bounding_box() for mark in marks.all()]
    return [(b["x"] + b["width"] / 2, b["y"] + b["height"] / 2) for b in boxes]


def brush(page: Page, plot: Locator, first: int, last: int) -> None:
    """Drag a box around points ``first`` to ``last`` of a rising row."""
    at = points(plot)
    page.mouse.move(at[first][0] - 12, at[first][1] + 12)
    page.mouse.down()
    page.mouse.move(at[last][0] + 12, at[last][1] - 12, steps=6)
    page.mouse.up()


def darkest(text: Locator) -> float:
    """The smallest of red, green and blue, 0 to 255, that a text is drawn in."""
    colour = text.evaluate("(c) => getComputedStyle(c).fill")
    return min(float(v) for v in re.findall(r"[\d.]+", colour)[:3])


def test_a_click_tells_python_the_points_id(open_plots: Callable[..., Page]) -> None:
    page = open_plots()
    plot = view(page, "first")
    expect(plot.locator("figcaption")).to_contain_text("Eight dots")
    expect(plot.locator("figcaption")).to_contain_text("n = 8")
    page.mouse.click(*points(plot)[4])
    expect(page.locator("#said textarea")).to_have_value(re.compile(r"kind='click', ids=\(5,\)"))
    expect(plot).to_have_attribute("data-selected", "5")
    assert page.locator("script[src*='plotly-']").count() == 1  # for five plots


def test_a_box_tells_ids_and_ranges_and_reset_takes_it_back(
    open_plots: Callable[..., Page],
) -> None:
    page = open_plots()
    plot = view(page, "first")
    brush(page, plot, 2, 4)
    said = page.locator("#said textarea")
    expect(said).to_have_value(re.compile(r"kind='box', ids=\(3, 4, 5\)"))
    x = re.search(r"x=\((-?[\d.]+), (-?[\d.]+)\)", said.input_value())
    assert x and 1 < float(x[1]) < 2 and 4 < float(x[2]) < 5
    expect(plot).to_have_attribute("data-faded", "5")
    plot.get_by_role("button", name="Reset").click()
    expect(said).to_have_value(re.compile("kind='clear'"))
    expect(plot).to_have_attribute("data-faded", "0")
    plot.get_by_role("button", name="Lasso").click()
    expect(plot.get_by_role("button", name="Lasso")).to_have_attribute("aria-pressed", "true")
    at = points(plot)
    page.mouse.move(at[6][0] - 20, at[6][1] - 20)
    page.mouse.down()
    for dx, dy in ((20, -20), (20, 20), (-20, 20), (-20, -19)):
        page.mouse.move(at[6][0] + dx, at[6][1] + dy, steps=4)
    page.mouse.up()
    expect(said).to_have_value(re.compile(r"kind='lasso', ids=\(7,\)"))


def test_linked_plots_share_selection_filter_and_brush(open_plots: Callable[..., Page]) -> None:
    page = open_plots()
    a, b = ready(page, "linked-a"), ready(page, "linked-b")
    page.evaluate("""() => { window.heard = [];
        document.addEventListener('dm-pick', (e) => window.heard.push(e.detail.ids)); }""")
    page.mouse.click(*points(a)[1])
    expect(b).to_have_attribute("data-selected", "2")
    expect(view(page, "first")).to_have_attribute("data-selected", "")
    page.evaluate("""() => document.dispatchEvent(
        new CustomEvent('dm-visible', {detail: {ids: [1, 2, 3]}}))""")
    expect(a).to_have_attribute("data-faded", "5")
    expect(b).to_have_attribute("data-faded", "5")
    expect(view(page, "first")).to_have_attribute("data-faded", "0")
    brush(page, a, 0, 1)
    expect(page.locator("#said textarea")).to_have_value(re.compile("kind='box'"))
    assert page.evaluate("window.heard") == [[1, 2]]


def test_a_brush_and_its_box_end_together(open_plots: Callable[..., Page]) -> None:
    """The picture's filters act beside a brush; only where it lets go of its objects is it over."""
    page = open_plots()
    a, b = ready(page, "linked-a"), ready(page, "linked-b")
    brush(page, a, 1, 4)
    box = a.locator(".shapelayer path, .selectionlayer path")
    tell = """(detail) => document.dispatchEvent(new CustomEvent('dm-visible', { detail }))"""
    for left in ([2, 3, 4, 5], [3, 5], [], [2, 3, 4, 5]):  # no filter, one, one too many, none
        page.evaluate(tell, {"ids": left, "why": "None.", "picked": [2, 3, 4, 5]})
        for plot in (a, b):
            expect(plot).to_have_attribute("data-faded", str(8 - len(left)))
            page.wait_for_timeout(300)  # plotly draws after that is said
            assert bright(plot) == left
        expect(box).not_to_have_count(0)
    page.evaluate(tell, {"ids": [2, 3], "why": "", "picked": None})  # "Show all", then a filter
    expect(box).to_have_count(0)
    expect(a).to_have_attribute("data-faded", "6")
    brush(page, a, 1, 2)
    page.evaluate(tell, {"ids": [2, 3], "why": "", "picked": [2, 3]})
    expect(box).not_to_have_count(0)
    page.evaluate(tell, {"ids": [3, 4], "why": "", "picked": [3, 4]})  # a brush of the other plot
    expect(box).to_have_count(0)


def bright(plot: Locator) -> list[int]:
    """Ids of the points that are drawn in full."""
    marks = plot.locator(".scatterlayer .trace").first.locator(".points path")
    seen = marks.evaluate_all("(all) => all.map((m) => Number(getComputedStyle(m).opacity))")
    return [k + 1 for k, opacity in enumerate(seen) if opacity > 0.5]


def test_an_older_answer_never_replaces_a_newer_one(open_plots: Callable[..., Page]) -> None:
    page = open_plots()
    plot = view(page, "first")
    page.locator("#new").click()
    expect(plot).to_have_attribute("data-points", "4")
    expect(plot).to_have_attribute("data-selected", "2")
    page.locator("#old").click()
    page.wait_for_timeout(1500)  # nothing is to happen
    expect(plot).to_have_attribute("data-points", "4")
    expect(plot).to_have_attribute("data-seq", "9")
    page.mouse.click(*points(plot)[2])  # events outlive the replacement
    expect(page.locator("#said textarea")).to_have_value(re.compile(r"ids=\(3,\)"))
    expect(view(page, "empty").get_by_test_id("plot-empty")).to_have_text(
        "Nothing yet: press a button."
    )
    page.locator("#none").click()
    expect(plot.get_by_test_id("plot-empty")).to_be_visible()
    expect(plot.locator(".pv-plot")).to_be_hidden()
    expect(ready(page, "empty")).to_have_attribute("data-points", "5")


def test_a_plot_of_a_hidden_tab_has_its_full_size_and_only_words(
    open_plots: Callable[..., Page],
) -> None:
    page = open_plots()
    page.get_by_role("tab", name="Two").click()
    plot = ready(page, "hidden")
    box = plot.locator(".main-svg").first.bounding_box()
    stage = plot.get_by_test_id("plot-stage").bounding_box()
    assert box["width"] == pytest.approx(stage["width"], abs=1) and box["height"] > 300
    ticks = plot.locator(".xtick text").all_text_contents()
    assert "<img src=x onerror=alert(1)>" in ticks and "<b>zebra</b>" in ticks
    assert any("javascript:" in tick for tick in ticks)  # as letters
    expect(plot.locator("figcaption strong")).to_have_text("Title <img src=x onerror=alert(1)>")
    assert plot.locator("img").count() == plot.locator("a").count() == 0
    assert plot.locator("[role=img]").get_attribute("aria-label").startswith("Three bars")
    bar = plot.locator(".bars .point path").nth(2).bounding_box()
    page.mouse.move(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2, steps=3)
    expect(plot.locator(".hoverlayer text").first).to_have_text("<b>zebra</b>")
    page.mouse.down()
    page.mouse.up()
    expect(page.locator("#said textarea")).to_have_value(
        re.compile(re.escape("mark={'category': '<b>zebra</b>'}"))
    )
    plot.locator("summary").click()
    expect(plot.get_by_test_id("plot-numbers").locator("tbody tr")).to_have_count(3)
    assert plot.locator("img").count() == plot.locator("a").count() == 0


def test_a_figure_replaced_while_its_tab_is_hidden_is_drawn_when_it_is_shown(
    open_plots: Callable[..., Page],
) -> None:
    page = open_plots()
    page.get_by_role("tab", name="Two").click()
    ready(page, "hidden")
    page.get_by_role("tab", name="One").click()
    expect(view(page, "hidden").get_by_test_id("plot-stage")).to_be_hidden()
    page.locator("#other").click()
    expect(view(page, "hidden").locator("figcaption")).to_contain_text("Three dots")
    page.get_by_role("tab", name="Two").click()
    plot = ready(page, "hidden")
    expect(plot).to_have_attribute("data-points", "3")
    assert plot.locator(".main-svg").first.bounding_box()["width"] > 800


def test_plots_follow_the_theme_and_the_width(open_plots: Callable[..., Page]) -> None:
    page = open_plots(theme="dark")
    plot = view(page, "first")
    expect(plot).to_have_attribute("data-theme", "dark")
    tick = plot.locator(".xtick text").first
    bright = (
        "(c) => Math.min(...getComputedStyle(c).fill.match(/[\\d.]+/g).slice(0, 3).map(Number))"
    )
    assert tick.evaluate(bright) > 150
    page.evaluate("document.body.classList.remove('dark')")
    expect(plot).to_have_attribute("data-theme", "light")
    expect(plot).to_have_attribute("data-ready", "true")
    page.wait_for_function(
        "() => Math.max(...getComputedStyle(document.querySelector('#first .xtick text')).fill"
        ".match(/[\\d.]+/g).slice(0, 3).map(Number)) < 120"
    )
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function(
        "() => document.querySelector('#first .main-svg').getBoundingClientRect().width < 380"
    )
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
