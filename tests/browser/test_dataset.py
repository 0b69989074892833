"""The Dataset tab in a real Chromium: from a COCO file to an object in the inspector."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dataset_page import NASTY, PATIENCE_MS, data_set, drawn, group, open_dataset
from looks import every_look
from page_helpers import overflow, serious
from playwright.sync_api import Locator, Page, expect
from run_factory import invent_detections, write_detections
from serving import serving

from analysis.synthetic import write_run

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app whose runs lie in a folder of the test."""
    folder = tmp_path_factory.mktemp("app")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DYNAMASK_RUNS", str(folder / "runs"))
        write_run(folder / "runs" / "invented", 3000, 400)
        write_run(folder / "runs" / "crowded", 55_000, 4000)
        old = write_run(folder / "runs" / "old-form", 400, 40)
        write_detections(old, *invent_detections(photos=10), policy="msm")
        with serving(folder) as url:
            yield url


def make_run(page: Page, photos: int, name: str) -> None:
    coco, zipped = data_set(photos)
    page.get_by_role("button", name="Make a run").click()
    page.locator("#dm-make-coco input[type=file]").set_input_files(coco)
    page.locator("#dm-make-zip input[type=file]").set_input_files(zipped)
    expect(page.locator("#dm-make-zip")).to_contain_text("photos", timeout=30_000)
    page.locator("#dm-make-name input").fill(name)
    page.locator("#dm-make-check").click()
    expect(page.get_by_test_id("coco-report")).to_contain_text(
        f"{photos} photos", timeout=PATIENCE_MS
    )
    expect(page.get_by_test_id("coco-report").locator("tbody tr")).to_have_count(1)
    expect(page.get_by_test_id("coco-report")).to_contain_text("9999")
    page.locator("#dm-make-start").click()


def made(page: Page, state: str, where: str = "#dm-make-progress") -> None:
    bar = page.locator(where).get_by_test_id("make")
    expect(bar).to_have_attribute("data-state", state, timeout=PATIENCE_MS)


def choose(page: Page, label: str) -> None:
    page.locator("#dm-run input").click()
    page.get_by_role("option", name=re.compile(label)).click()


def test_from_a_coco_file_to_an_object_in_the_inspector(
    page: Page, tmp_path: Path, picture: Callable[..., None]
) -> None:
    open_dataset(page)
    make_run(page, 10, "mine")
    # stop it after a photo, resume it in the Runs tab
    page.wait_for_function(
        "() => Number(document.querySelector('#dm-make-progress [data-testid=make]')"
        "?.dataset.done) >= 1",
        timeout=PATIENCE_MS,
    )
    page.locator("#dm-make-stop").click()
    made(page, "stopped")
    done = int(page.get_by_test_id("make").first.get_attribute("data-done"))
    assert 1 <= done < 10
    picture(page, "1 stopped")
    page.get_by_role("tab", name="Runs").click()
    page.locator("#dm-runs-list label").filter(has_text="mine").click()
    details = page.get_by_test_id("run-details")
    expect(details).to_contain_text(f"It is stopped: {done} of 10", timeout=30_000)
    expect(page.get_by_test_id("problems")).to_contain_text("9999")
    picture(page, "2 to resume")
    page.locator("#dm-runs-resume").click()
    made(page, "done", "#dm-runs-progress")
    expect(details).to_contain_text("20 annotated objects on 10 photos", timeout=30_000)
    page.locator("#dm-runs-show").click()
    made(page, "done")  # in the panel, too, which had it stopped
    # every plot and the totals are about it
    totals = page.get_by_test_id("totals")
    expect(totals).to_contain_text("20 objects on 10 photos", timeout=PATIENCE_MS)
    group(page, "Which grid", "share_by_class")
    names = page.locator("#dm-plot-share_by_class")
    expect(names.locator("text").filter(has_text=NASTY)).to_have_count(1, timeout=PATIENCE_MS)
    # one filter bar over everything; closed it says in a line what is let through
    filters = page.locator("#dm-filters")
    expect(page.locator("#dm-f-size")).to_be_hidden()
    expect(filters).to_contain_text("policy switch, ground-truth boxes, no crowd regions")
    picture(page, "3 names from the file are text")
    filters.locator("button").first.click()
    expect(page.locator("#dm-f-policy label")).to_have_text(
        ["switch", "all 14", "all 28", "all 56", "all 112", "oracle", "size rule"]
    )
    page.locator("#dm-f-size label").filter(has_text="small").first.click()
    expect(totals).to_contain_text("No object passes", timeout=PATIENCE_MS)
    expect(filters).to_contain_text("area 0 to 1024 px²")
    picture(page, "4 nothing passes")
    page.locator("#dm-f-clear").click()
    expect(totals).to_contain_text("20 objects", timeout=PATIENCE_MS)
    page.locator("#dm-f-classes input").fill("person")
    page.get_by_role("option", name="person").click()
    expect(totals).to_contain_text("10 objects", timeout=PATIENCE_MS)
    # a Pareto point, a patch of it, and the inspector
    group(page, "Quality against cost", "pareto_iou")
    pareto = page.locator("#dm-plot-pareto_iou")
    pareto.scroll_into_view_if_needed()
    pareto.locator(".points path.point").last.click(force=True)
    patches = page.locator("#dm-patches button")
    expect(patches).to_have_count(10, timeout=PATIENCE_MS)
    patches.first.click()
    facts = page.get_by_test_id("facts")
    expect(facts).to_contain_text("person")
    picture(page, "5 behind a Pareto point")
    page.locator("#dm-open-inspect").click()
    viewer = page.locator("[data-testid=mask-viewer][data-ready=true]")
    expect(viewer).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("#dm-detail")).to_contain_text("person", timeout=PATIENCE_MS)
    picture(page, "6 in the inspector")
    # the report, of all classes again
    page.get_by_role("tab", name="Dataset", exact=True).click()
    page.locator("#dm-f-clear").click()
    expect(totals).to_contain_text("20 objects", timeout=PATIENCE_MS)
    with page.expect_download(timeout=PATIENCE_MS) as info:
        page.locator("#dm-report").click()
    info.value.save_as(tmp_path / "report.html")
    show_report(page, tmp_path / "report.html", picture)
    text = (tmp_path / "report.html").read_text()
    assert "Policies on the same objects" in text and NASTY not in text
    assert "&lt;img src=x" in text or "\\u003cimg src=x" in text


def show_report(page: Page, report: Path, picture: Callable[..., None]) -> None:
    """The report by itself, in a page that cannot ask anybody for anything."""
    page.context.set_offline(True)
    alone = page.context.new_page()
    alone.goto(report.as_uri())
    expect(alone.locator("#plot-share_by_area .main-svg").first).to_be_visible(timeout=PATIENCE_MS)
    picture(alone, "7 report")
    alone.close()
    page.context.set_offline(False)


def test_a_budget_reselects_every_object(page: Page) -> None:
    open_dataset(page)
    choose(page, "invented")
    totals = page.get_by_test_id("totals")
    expect(totals).to_contain_text("3,000 objects", timeout=PATIENCE_MS)
    page.locator("#dm-budget-on input").check()
    set_budget(page, "0.08")
    expect(totals).to_contain_text(re.compile(r"· 0\.0(79\d|800) GMAC"), timeout=PATIENCE_MS)
    drawn(page, "share_by_area")
    group(page, "Against the best grid", "confusion")
    page.locator("#dm-plot-confusion .heatmaplayer image").first.click(force=True)
    expect(page.get_by_test_id("behind")).to_contain_text("objects", timeout=PATIENCE_MS)
    expect(page.locator("#dm-behind")).to_contain_text("not at hand")
    expect(page.locator("#dm-open-inspect")).to_be_hidden()


def test_a_brush_over_hexagons_shows_the_objects_inside_it(
    page: Page, picture: Callable[..., None]
) -> None:
    """Hexagons stand for objects without names: the brush's rectangle is asked for."""
    open_dataset(page)
    choose(page, "crowded")
    totals = page.get_by_test_id("totals")
    expect(totals).to_contain_text("55,000 objects", timeout=PATIENCE_MS)
    drawn(page, "map")
    plot = page.locator("#dm-plot-map")
    marks = plot.locator(".points path.point")
    expect(marks).not_to_have_count(0, timeout=PATIENCE_MS)
    assert 20 < marks.count() < 5000  # not one for each object
    plot.locator(".nsewdrag").first.scroll_into_view_if_needed()
    area = plot.locator(".nsewdrag").first.bounding_box()
    left, right = (area["x"] + share * area["width"] for share in (0.55, 0.7))
    top, bottom = (area["y"] + share * area["height"] for share in (0.4, 0.6))
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(right, bottom, steps=6)
    page.mouse.up()
    behind = page.get_by_test_id("behind")
    expect(behind).to_contain_text("objects", timeout=PATIENCE_MS)
    expect(page.locator("#dm-patches button")).to_have_count(24, timeout=PATIENCE_MS)
    picture(page, "a brush over hexagons")
    # each of them lies in the rectangle: by its area, as the facts say it
    low, high = span(plot, "xaxis", left - area["x"], right - area["x"])
    said, before = page.get_by_test_id("facts"), ""
    for k in (0, 11, 23):
        page.locator("#dm-patches button").nth(k).click()
        expect(said).to_contain_text("mask area", timeout=PATIENCE_MS)
        expect(said).not_to_have_text(before, use_inner_text=True)
        before = said.inner_text()
        px2 = float(re.search(r"([\d,]+) px²", said.inner_text())[1].replace(",", ""))
        assert 10**low * 0.99 <= px2 <= 10**high * 1.01
    # Reset takes it back
    plot.get_by_role("button", name="Reset").click()
    expect(page.locator("#dm-patches button")).to_have_count(0, timeout=PATIENCE_MS)


def span(plot: Locator, axis: str, start: float, end: float) -> list[float]:
    """Two places of a plot, in px from its left or top edge, on its axis."""
    return plot.locator(".pv-plot").evaluate(
        "(e, [axis, ends]) => ends.map((px) => e._fullLayout[axis].p2l(px))", [axis, [start, end]]
    )


def test_a_run_from_before_overlaps_were_kept_says_what_it_lacks(
    page: Page, picture: Callable[..., None]
) -> None:
    open_dataset(page)
    choose(page, "old-form")
    totals = page.get_by_test_id("totals")
    expect(totals).to_contain_text("400 objects", timeout=PATIENCE_MS)
    group(page, "Quality against cost", "pareto_iou")
    for name in ("pareto_ap", "pareto_boundary_ap"):
        drawn(page, name)
        expect(page.locator(f"#dm-plot-{name}")).to_contain_text("--detector-grids")
    picture(page, "old form, cost")
    group(page, "AP and errors", "ap_by_area")
    table = page.get_by_test_id("ap-table")
    expect(table).to_contain_text("switch", timeout=PATIENCE_MS)  # from the masks that it keeps
    page.locator("#dm-budget-on input").check()
    expect(table).not_to_contain_text("budget 0", timeout=PATIENCE_MS)
    for name in ("ap_by_area", "error_costs"):
        plot = page.locator(f"#dm-plot-{name}")
        expect(plot).to_contain_text("cannot follow a budget", timeout=PATIENCE_MS)
    picture(page, "old form, a budget")
    group(page, "Which grid", "share_by_area")  # what needs no detections follows
    expect(page.locator("#dm-plot-share_by_area")).to_contain_text("budget")


GROUPS = {
    "Which grid": ("share_by_area", "map"),
    "Quality against cost": ("pareto_iou", "pareto_boundary_ap"),
    "Against the best grid": ("confusion", "regret_by_class"),
    "AP and errors": ("ap_by_area", "error_costs"),
}


@every_look
def test_every_group_of_plots_can_be_read_in_every_look(
    page: Page, look: str, picture: Callable[..., None]
) -> None:
    """axe-core finds nothing serious, nothing leaves the screen; and from a Pareto point to its
    objects under a budget, on the run that is shipped."""
    open_dataset(page)
    for words, (first, last) in GROUPS.items():
        group(page, words, first)
        drawn(page, last)
        serious(page)
        assert overflow(page) <= 0
        picture(page, words)
    expect(page.get_by_test_id("ap-table")).to_be_visible(timeout=PATIENCE_MS)  # comes last
    page.locator("#dm-filters button").first.click()
    page.locator("#dm-f-size label").filter(has_text="large").first.click()
    totals = page.get_by_test_id("totals")
    expect(page.locator("#dm-filters")).to_contain_text("area from 9216 px²", timeout=PATIENCE_MS)
    every = totals.inner_text()
    page.locator("#dm-budget-on input").check()
    set_budget(page, "0.08")
    expect(totals).to_contain_text(re.compile(r"· 0\.0(79\d|800) GMAC"), timeout=PATIENCE_MS)
    assert totals.inner_text().split(" · ")[0] == every.split(" · ")[0]
    serious(page)  # with the filters open
    picture(page, "filters and a budget")
    page.locator("#dm-filters button").first.click()
    group(page, "Quality against cost", "pareto_iou")
    pareto = page.locator("#dm-plot-pareto_iou")
    expect(pareto.locator(".legend")).to_contain_text("your budget")
    pareto.scroll_into_view_if_needed()
    pareto.locator(".points path.point").first.click(force=True)
    patches = page.locator("#dm-patches button")
    expect(patches.first).to_be_visible(timeout=PATIENCE_MS)
    patches.first.click()
    expect(page.get_by_test_id("facts")).to_contain_text("best grid")
    serious(page)
    assert overflow(page) <= 0
    picture(page, "behind a Pareto point")
    objects_behind_ap(page, picture)
    ap_follows_a_budget(page)
    picture(page, "AP under a budget")


def objects_behind_ap(page: Page, picture: Callable[..., None]) -> None:
    """The ring of the budget and the cheapest point lead to objects of their own."""
    line = page.get_by_test_id("behind")
    pareto = page.locator("#dm-plot-pareto_ap")
    drawn(page, "pareto_ap")
    for mark in (".points path.point >> nth=-1", ".points path.point >> nth=0"):
        pareto.locator(mark).scroll_into_view_if_needed()
        before = page.locator("#dm-patches").inner_text()
        pareto.locator(mark).click(force=True)
        expect(page.locator("#dm-patches")).not_to_have_text(
            before, use_inner_text=True, timeout=PATIENCE_MS
        )
        expect(line).to_contain_text("objects")
    picture(page, "behind AP under a budget")


def ap_follows_a_budget(page: Page) -> None:
    """Table, curve and errors of AP are those of the grids that the slider buys."""
    group(page, "AP and errors", "ap_by_area")
    row = page.get_by_test_id("ap-table").locator("tbody tr").first
    curve, errors = (page.locator(f"#dm-plot-{name}") for name in ("ap_by_area", "error_costs"))
    found = []
    for gmac in ("0.0700", "0.1200"):
        set_budget(page, gmac)
        expect(row).to_contain_text(f"budget {gmac} GMAC", timeout=PATIENCE_MS)
        for plot in (curve, errors):
            expect(plot).to_contain_text(f"budget {gmac} GMAC", timeout=PATIENCE_MS)
        table = [float(cell.split()[0]) for cell in row.locator("td").all_inner_texts()]
        said = re.search(r"AP (0\.\d+) where", errors.inner_text())
        counts = errors.locator(".bartext").all_text_contents()
        line = curve.locator(".scatterlayer path.js-line").first.get_attribute("d")
        found.append((table, float(said[1]), counts, line))
    (cheap, *_), (dear, *_) = found
    assert cheap[0] < dear[0] and cheap[-1] < dear[-1]  # AP and boundary AP
    assert found[0][1] < found[1][1]
    assert found[0][2] and found[0][2] != found[1][2]
    assert found[0][3] != found[1][3]


def test_quick_clicks_end_with_the_last_filter_in_every_plot(page: Page) -> None:
    """Clicks that come faster than answers, from group to group: nothing old stays on the page."""
    open_dataset(page)
    totals = page.get_by_test_id("totals")
    page.locator("#dm-filters button").first.click()
    sizes = page.locator("#dm-f-size label")
    labels = ("small", "medium", "large")
    rng = random.Random(5)
    for words, names in GROUPS.items():
        if words == "AP and errors":  # sizes do not count there
            continue
        found = page.locator("#dm-groups").get_by_role("tab", name=words)
        found.scroll_into_view_if_needed()
        for _ in range(4):
            sizes.filter(has_text=rng.choice(labels)).first.click()
            page.wait_for_timeout(rng.choice((0, 60, 200, 500)))
        found.click()
        last = rng.choice(labels)
        sizes.filter(has_text=last).first.click()
        says = {"small": "area 0 to 1024 px²", "medium": "area 1024 to", "large": "area from 9216"}
        expect(page.locator("#dm-filters")).to_contain_text(says[last], timeout=PATIENCE_MS)
        for name in names:
            if name == "pareto_boundary_ap":  # nor here
                continue
            drawn(page, name)
            plot = page.locator(f"#dm-plot-{name}")
            expect(plot).to_contain_text(says[last], timeout=PATIENCE_MS)
        objects = re.match(r"[\d,]+", totals.inner_text())[0]
        expect(page.locator(f"#dm-plot-{names[0]}")).to_contain_text(f"n = {objects} ")


def set_budget(page: Page, gmac: str) -> None:
    value = page.locator("#dm-set-budget input[type=number]")
    expect(value).to_be_enabled()
    value.fill(gmac)
    value.press("Tab")
