"""The Batch tab in a real Chromium: photos, zips and videos in, one zip out, a working stop."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from dataset_page import choose_tab
from looks import LOOKS, every_look
from page_helpers import overflow, serious
from PIL import Image
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

PATIENCE_MS = 150_000
NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture
def page(open_page: Callable[..., Page], look: str) -> Page:
    page = open_page(*LOOKS[look])
    choose_tab(page, "Batch")
    expect(page.locator("#dm-batch-start")).to_be_visible()
    return page


def photo(seed: int = 0) -> bytes:
    out = io.BytesIO()
    pixels = np.roll(skimage.data.astronaut()[:300, :300], 10 * seed, axis=1)
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def files(count: int) -> list[dict]:
    return [
        {"name": f"photo{k}.jpg", "mimeType": "image/jpeg", "buffer": photo(k)}
        for k in range(count)
    ]


def put(page: Page, uploads: list[dict]) -> None:
    page.locator("#dm-batch-files input[type=file]").set_input_files(uploads)
    for upload in uploads[:1]:
        stem = Path(upload["name"]).stem[:6]
        expect(page.locator("#dm-batch-files")).to_contain_text(stem, timeout=30_000)


def start(page: Page, uploads: list[dict]) -> None:
    put(page, uploads)
    page.locator("#dm-batch-start").click()


def ended(page: Page, state: str = "finished") -> None:
    expect(page.get_by_test_id("batch")).to_have_attribute("data-state", state, timeout=PATIENCE_MS)


def download(page: Page, folder: Path) -> zipfile.ZipFile:
    with page.expect_download() as info:
        page.locator("#dm-batch-download").click()
    path = folder / "batch.zip"
    info.value.save_as(path)
    return zipfile.ZipFile(path)


def test_photos_bad_ones_and_the_download(page: Page, tmp_path: Path) -> None:
    broken = {"name": f"{NASTY[:4]}x.jpg", "mimeType": "image/jpeg", "buffer": photo()[:400]}
    start(page, [*files(3), broken])
    ended(page)
    expect(page.get_by_test_id("batch-status")).to_contain_text("Done: 3 of 4 analysed")
    expect(page.get_by_test_id("batch-problems").locator("li")).to_have_count(1)
    expect(page.get_by_test_id("batch-problems")).to_contain_text("Expected ")
    expect(page.locator("#dm-batch-gallery img")).to_have_count(3)
    expect(page.locator("#dm-batch-table")).to_contain_text("photo0.jpg")
    with download(page, tmp_path) as archive:
        coco = json.loads(archive.read("coco.json"))
        rows = list(csv.DictReader(io.StringIO(archive.read("objects.csv").decode())))
        assert sum(n.startswith("overlays/") for n in archive.namelist()) == 3
    assert len(coco["images"]) == 3 and len(coco["annotations"]) == len(rows) > 0


@every_look
def test_stop_keeps_what_is_done_and_a_video_follows(
    page: Page, picture: Callable[..., None], tmp_path: Path
) -> None:
    picture(page, "empty")
    serious(page)
    start(page, files(20))
    page.wait_for_function(
        "() => Number(document.querySelector('[data-testid=batch]')?.dataset.done) >= 2",
        timeout=PATIENCE_MS,
    )
    expect(page.get_by_test_id("batch-status")).to_contain_text("left")
    picture(page, "running")
    page.locator("#dm-batch-stop").click()
    ended(page, "stopped")
    done = int(page.get_by_test_id("batch").get_attribute("data-done"))
    assert 2 <= done < 20
    expect(page.get_by_test_id("batch-status")).to_contain_text("can be downloaded")
    expect(page.locator("#dm-batch-gallery img")).to_have_count(done)
    picture(page, "stopped")
    serious(page)
    assert overflow(page) <= 0
    with download(page, tmp_path) as archive:
        assert len(json.loads(archive.read("coco.json"))["images"]) == done

    # the model is free at once, and what was shown gives way
    video_with_a_plot_of_its_tracks(page, tmp_path)
    expect(page.locator("#dm-batch-gallery img")).to_have_count(3)
    picture(page, "video")
    serious(page)
    assert overflow(page) <= 0


def zipped(members: dict[str, bytes]) -> dict:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return {"name": "photos.zip", "mimeType": "application/zip", "buffer": out.getvalue()}


def test_a_zip(page: Page) -> None:
    start(page, [zipped({"in/a.jpg": photo(1), f"in/{NASTY}.jpg": photo(2)})])
    ended(page)
    expect(page.get_by_test_id("batch-status")).to_contain_text("Done: 2 of 2 analysed")
    expect(page.locator("#dm-batch-table")).to_contain_text("img src=x")  # as text


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"a.jpg": b"\0" * 30_000_000}, "unpacks to at most"),
        ({"../a.jpg": b"x"}, "leads out of it"),
        ({"inner.zip": b"x"}, "archive inside"),
    ],
)
def test_bad_zips_are_one_sentence(page: Page, members: dict[str, bytes], said: str) -> None:
    start(page, [zipped(members)])
    expect(page.get_by_test_id("batch-alert")).to_contain_text(said, timeout=PATIENCE_MS)
    expect(page.locator("#dm-batch-start")).to_be_enabled()


def test_nothing_chosen_is_a_sentence(page: Page) -> None:
    page.locator("#dm-batch-start").click()
    expect(page.get_by_test_id("batch-alert")).to_contain_text("got nothing", timeout=PATIENCE_MS)


def video_with_a_plot_of_its_tracks(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (300, 300))
    for k in range(12):
        frame = np.roll(skimage.data.astronaut()[:300, :300], k, axis=1)
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    page.locator("#dm-batch-every input[type=number]").fill("4")
    page.locator("#dm-batch-every input[type=number]").press("Tab")
    page.locator("#dm-batch-files").get_by_role("button", name="Clear").click()
    start(page, [{"name": "v.avi", "mimeType": "video/x-msvideo", "buffer": path.read_bytes()}])
    ended(page)
    expect(page.get_by_test_id("batch-status").first).to_contain_text("Done: 3 of 3 analysed")
    expect(page.locator("#dm-batch-flicker")).to_contain_text(re.compile(r"\d+ tracks"))
    plot = page.locator("#dm-batch-tracks")
    expect(plot.locator(".scatterlayer .trace")).not_to_have_count(0, timeout=PATIENCE_MS)
    expect(plot).to_contain_text("n = ")
    expect(plot).to_contain_text("time in the video, s")
