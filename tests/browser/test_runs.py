"""The Runs tab in a real Chromium: list, details, delete, compare and take away."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from dataset_page import PATIENCE_MS, choose_tab
from looks import every_look
from page_helpers import overflow, serious
from playwright.sync_api import Locator, Page, expect
from serving import serving

from analysis.compare import compare
from analysis.filters import Filters
from analysis.store import open_run
from analysis.synthetic import POLICIES, write_run
from app.dataset_runs import SHIPPED
from dynamask.config import GRIDS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
OBJECTS, PHOTOS = 600, 60
LOST = 0.05  # mask IoU by which every object of "worse" is below that of "first"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of every kind."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "first", OBJECTS, PHOTOS)
    write_run(folder / "worse", OBJECTS, PHOTOS, policies=("msm", "fixed:28"))
    part = folder / "worse" / "part-00000.parquet"
    rows = pd.read_parquet(part)
    rows[["iou", *(f"iou{g}" for g in GRIDS)]] -= LOST
    rows.to_parquet(part)
    stopped = write_run(folder / "half", OBJECTS, PHOTOS)
    manifest = json.loads((stopped / "manifest.json").read_text())
    said = {**manifest, "state": "stopped", "photos": 2 * PHOTOS}
    (stopped / "manifest.json").write_text(json.dumps(said))
    shutil.copytree(stopped, folder / "broken")
    (folder / "broken" / "manifest.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def server(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DYNAMASK_RUNS", str(runs))
        with serving(tmp_path_factory.mktemp("app")) as url:
            yield url


def choose_run(page: Page, name: str) -> Locator:
    """Choose a run; its details."""
    page.locator("#dm-runs-list label").filter(has_text=f"{name} ·").click()
    details = page.get_by_test_id("run-details")
    expect(details.locator("h3")).to_have_text(name)
    return details


def pick(page: Page, where: str, words: str) -> None:
    """Choose an entry of a drop-down."""
    page.locator(f"{where} input").click()
    page.get_by_role("option", name=words).click()


def usable(page: Page) -> set[str]:
    names = ("show", "resume", "stop", "delete")
    return {n for n in names if page.locator(f"#dm-runs-{n}").is_enabled()}


def test_details_say_what_a_run_is_and_what_can_be_done(
    page: Page, picture: Callable[..., None]
) -> None:
    choose_tab(page, "Runs")
    labels = page.locator("#dm-runs-list label")
    expect(labels).to_have_count(4 + sum(p.is_dir() for p in SHIPPED.iterdir()))
    assert labels.last.inner_text().endswith("shipped")
    details = choose_run(page, "first")
    expect(details).to_contain_text(f"{OBJECTS} annotated objects on {PHOTOS} photos.")
    expect(details).to_contain_text("switch, size rule, all 14, all 28, all 56, all 112, oracle")
    # an invented run keeps no list of problems: nobody knows that everything was used
    expect(page.get_by_test_id("problems")).to_contain_text("is not known")
    assert usable(page) == {"show", "delete"}
    details = choose_run(page, "half")
    expect(details).to_contain_text(f"It is stopped: {PHOTOS} of {2 * PHOTOS}")
    assert usable(page) == {"show", "resume", "delete"}
    details = choose_run(page, "broken")
    expect(details).to_contain_text("It cannot be read")
    expect(page.get_by_test_id("problems")).to_have_count(0)
    assert usable(page) == {"delete"}
    picture(page, "a run that cannot be read")


@every_look
def test_the_shipped_run_stays_and_others_are_deleted_after_a_question(
    page: Page, look: str, runs: Path, picture: Callable[..., None]
) -> None:
    doomed = write_run(runs / f"doomed-{look}", 60, 6)
    choose_tab(page, "Runs")
    details = choose_run(page, "coco_mini_val")
    found = pd.read_parquet(SHIPPED / "coco_mini_val" / "part-00000.parquet")
    crowds = found.loc[found["crowd"], "annotation_id"].nunique()
    count = f"{found['annotation_id'].nunique():,} annotated objects"
    assert crowds > 1
    expect(details).to_contain_text(count)
    expect(details).to_contain_text(
        f"{crowds} of them are crowd regions, which the Dataset tab leaves"
    )
    lists = [*(SHIPPED / "coco_mini_val").glob("problems*.parquet")]
    assert lists and not any(len(pd.read_parquet(path)) for path in lists)
    expect(page.get_by_test_id("problems")).to_contain_text("Every photo and annotation")
    assert usable(page) == {"show"}
    assert overflow(page) <= 0
    serious(page)
    picture(page, "shipped")
    choose_run(page, doomed.name)
    question = page.get_by_test_id("delete-question")
    page.locator("#dm-runs-delete").click()
    expect(question).to_contain_text(f"Delete {doomed.name} with all its numbers?")
    expect(page.locator("#dm-runs-no")).to_be_visible()
    serious(page)
    picture(page, "question")
    page.locator("#dm-runs-no").click()
    expect(question).to_be_hidden()
    assert (doomed / "manifest.json").is_file()
    page.locator("#dm-runs-delete").click()
    expect(question).to_be_visible()
    page.locator("#dm-runs-yes").click()
    expect(page.locator("#dm-runs-progress")).to_contain_text(f"{doomed.name} is deleted.")
    expect(page.locator("#dm-runs-list label").filter(has_text=doomed.name)).to_have_count(0)
    expect(question).to_be_hidden()
    assert not doomed.exists()
    picture(page, "deleted")


@every_look
def test_two_runs_are_compared_with_intervals(
    page: Page, runs: Path, picture: Callable[..., None]
) -> None:
    choose_tab(page, "Runs")
    choose_run(page, "first")
    page.locator("#dm-runs-compare button").first.click()
    pick(page, "#dm-compare-first", "first ·")
    pick(page, "#dm-compare-second", "worse ·")
    # only what both runs hold is offered
    page.locator("#dm-compare-policy input").click()
    expect(page.get_by_role("option")).to_have_text(
        [re.compile("^(✓ )?switch$"), re.compile("^(✓ )?all 28$")]
    )
    page.get_by_role("option", name="switch").click()
    expect(page.locator("#dm-compare-boxes label")).to_have_text(["ground truth"])
    page.locator("#dm-compare-start").click()
    table = page.get_by_test_id("differences")
    expect(table.locator("h3")).to_contain_text("worse against first, policy switch")
    expected = compare(open_run(runs / "first"), open_run(runs / "worse"), Filters())
    expect(table.locator("tbody tr")).to_have_count(len(expected))
    cells = {
        r.locator("th").inner_text(): r.locator("td").all_inner_texts() for r in rows_of(table)
    }
    for row in expected.to_dict("records"):
        said = cells[f"{row['metric']} ({row['unit']})"]
        assert said[1] == f"{row['difference']:+.4f}"
        assert said[2] == f"{row['low']:+.4f} to {row['high']:+.4f}"
        assert said[5:] == [str(OBJECTS), str(PHOTOS)]
    lost = cells["mean mask IoU (0 to 1)"]
    assert lost[:3] == ["second is lower", f"{-LOST:+.4f}", f"{-LOST:+.4f} to {-LOST:+.4f}"]
    assert cells["mean boundary IoU (0 to 1)"][0] == "no clear difference"
    assert overflow(page) <= 0
    serious(page)
    picture(page, "differences")
    # the shipped run looked at other photos
    pick(page, "#dm-compare-second", "coco_mini_val ·")
    page.locator("#dm-compare-start").click()
    expect(table).to_contain_text("share no photo")


def rows_of(table: Locator) -> list[Locator]:
    return table.locator("tbody tr").all()


def test_every_format_is_a_file_that_opens(
    page: Page, runs: Path, tmp_path: Path, picture: Callable[..., None]
) -> None:
    choose_tab(page, "Runs")
    choose_run(page, "first")
    page.locator("#dm-runs-export button").first.click()
    own = pd.read_parquet(runs / "first" / "part-00000.parquet")

    def download(words: str) -> tuple[str, bytes]:
        page.locator("#dm-runs-format label").filter(has_text=words).click()
        with page.expect_download(timeout=PATIENCE_MS) as info:
            page.locator("#dm-runs-make").click()
        file = tmp_path / info.value.suggested_filename
        info.value.save_as(file)
        expect(page.locator("#dm-runs-export")).to_contain_text(f"{file.name}, ")
        return file.name, file.read_bytes()

    name, data = download("Parquet")
    table = pd.read_parquet(io.BytesIO(data))
    assert name == "first-objects.parquet" and len(table) == OBJECTS * len(POLICIES)
    key = ["annotation_id", "policy"]
    pd.testing.assert_frame_equal(
        table.sort_values(key, ignore_index=True), own.sort_values(key, ignore_index=True)
    )
    name, data = download("CSV, the same rows")
    table = pd.read_csv(io.BytesIO(data))
    assert name == "first-objects.csv" and set(table["policy"]) == set(POLICIES)
    assert table["gmac"].sum() == pytest.approx(own["gmac"].sum(), rel=1e-5)
    name, data = download("Report")
    assert name == "report-first.html" and b"Policies on the same objects" in data
    picture(page, "taken away")
    # a run without a list of problems says so, another one gives it
    page.locator("#dm-runs-format label").filter(has_text="problems").click()
    page.locator("#dm-runs-make").click()
    expect(page.locator(".toast-body")).to_contain_text("which keeps none")
    choose_run(page, "coco_mini_val")
    name, data = download("problems")
    assert name == "coco_mini_val-problems.csv"
    assert {"place", "id", "image_id", "outcome", "reason"} <= set(pd.read_csv(io.BytesIO(data)))
