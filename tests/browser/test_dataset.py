"""The Dataset tab in a real Chromium: from a COCO file to an object in the inspector."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dataset_page import NASTY, PATIENCE_MS, choose_tab, data_set, drawn, group, open_dataset
from playwright.sync_api import Page, expect
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


def test_from_a_coco_file_to_an_object_in_the_inspector(page: Page, tmp_path: Path) -> None:
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
    page.get_by_role("tab", name="Runs").click()
    page.locator("#dm-runs-list label").filter(has_text="mine").click()
    details = page.get_by_test_id("run-details")
    expect(details).to_contain_text(f"It is stopped: {done} of 10", timeout=30_000)
    expect(page.get_by_test_id("problems")).to_contain_text("9999")
    page.locator("#dm-runs-resume").click()
    made(page, "done", "#dm-runs-progress")
    expect(details).to_contain_text("20 annotated objects on 10 photos", timeout=30_000)
    page.locator("#dm-runs-show").click()
    # every plot and the totals are about it
    totals = page.get_by_test_id("totals")
    expect(totals).to_contain_text("20 objects on 10 photos", timeout=PATIENCE_MS)
    group(page, "Which grid", "share_by_class")
    names = page.locator("#dm-plot-share_by_class")
    expect(names.locator("text").filter(has_text=NASTY)).to_have_count(1, timeout=PATIENCE_MS)
    # one filter bar over everything; closed it says in a line what is let through
    filters = page.locator("#dm-filters")
    expect(page.locator("#dm-f-size")).to_be_hidden()
    expect(filters).to_contain_text("policy msm, ground-truth boxes, no crowds")
    filters.locator("button").first.click()
    page.locator("#dm-f-size label").filter(has_text="small").first.click()
    expect(totals).to_contain_text("No object passes", timeout=PATIENCE_MS)
    expect(filters).to_contain_text("area 0 to 1024 px²")
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
    page.locator("#dm-open-inspect").click()
    viewer = page.locator("[data-testid=mask-viewer][data-ready=true]")
    expect(viewer).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("#dm-detail")).to_contain_text("person", timeout=PATIENCE_MS)
    # the report, of all classes again
    page.get_by_role("tab", name="Dataset", exact=True).click()
    page.locator("#dm-f-clear").click()
    expect(totals).to_contain_text("20 objects", timeout=PATIENCE_MS)
    with page.expect_download(timeout=PATIENCE_MS) as info:
        page.locator("#dm-report").click()
    info.value.save_as(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "Policies on the same objects" in text and NASTY not in text
    assert "&lt;img src=x" in text or "\\u003cimg src=x" in text


def test_a_budget_reselects_every_object(page: Page) -> None:
    open_dataset(page)
    choose(page, "invented")
    totals = page.get_by_test_id("totals")
    expect(totals).to_contain_text("3,000 objects", timeout=PATIENCE_MS)
    page.locator("#dm-budget-on input").check()
    value = page.locator("#dm-set-budget input[type=number]")
    expect(value).to_be_enabled()
    value.fill("0.08")
    value.press("Tab")
    expect(totals).to_contain_text(re.compile(r"· 0\.0(79\d|800) GMAC"), timeout=PATIENCE_MS)
    drawn(page, "share_by_area")
    group(page, "Against the best grid", "confusion")
    page.locator("#dm-plot-confusion .heatmaplayer image").first.click(force=True)
    expect(page.get_by_test_id("behind")).to_contain_text("objects", timeout=PATIENCE_MS)
    expect(page.locator("#dm-behind")).to_contain_text("not at hand")
    expect(page.locator("#dm-open-inspect")).to_be_hidden()


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_layout_and_accessibility(
    open_page: Callable[..., Page], tmp_path: Path, width: int, theme: str
) -> None:
    page = open_page(width=width, theme=theme)
    open_dataset(page)
    page.screenshot(path=tmp_path / f"dataset-{width}-{theme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    for name in ("Runs", "Published"):
        choose_tab(page, name)
        expect(page.locator("#dm-runs-list, #dm-published-table").first).to_be_attached()
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
