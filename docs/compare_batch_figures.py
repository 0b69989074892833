"""Take the pictures of docs/compare_batch.md: `python docs/compare_batch_figures.py ADDRESS`.

Needs a running app (default http://127.0.0.1:7860) and Debian's Chromium.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "figures"
PHOTO = ROOT / "assets" / "examples" / "astronaut.jpg"
PATIENCE_MS = 300_000


def main(url: str) -> None:
    """Use both tabs as a reader would, and save what is seen."""
    OUT.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        compare(browser, url)
        batch(browser, url, make_video(Path(folder) / "pan.avi"))
        browser.close()


def compare(browser: Browser, url: str) -> None:
    """The switch against grid 14, one object looked at closely."""
    page = opened(browser, url, "Compare", 1500)
    page.locator("#dm-compare-policy-b label").filter(has_text="All 14").click()
    page.locator("#dm-compare-photo input[type=file]").set_input_files(PHOTO)
    viewer = page.get_by_test_id("compare-viewer")
    expect(viewer).to_have_attribute("data-ready", "true")
    page.get_by_test_id("compare-row").first.click()
    page.get_by_test_id("compare-marks").click()
    expect(page.get_by_test_id("compare-detail")).not_to_have_attribute("data-selected", "")
    save(page, "compare.png")


def batch(browser: Browser, url: str, video: Path) -> None:
    """A video of a moving camera."""
    page = opened(browser, url, "Batch", 1000)
    page.locator("#dm-batch-every input[type=number]").fill("5")
    page.locator("#dm-batch-every input[type=number]").press("Tab")
    page.locator("#dm-batch-files input[type=file]").set_input_files(video)
    expect(page.locator("#dm-batch-files")).to_contain_text("pan")
    page.locator("#dm-batch-start").click()
    expect(page.get_by_test_id("batch")).to_have_attribute("data-state", "finished")
    expect(page.locator("#dm-batch-tracks .trace")).not_to_have_count(0)
    save(page, "batch.png")


def opened(browser: Browser, url: str, tab: str, height: int) -> Page:
    """A page at one of the tabs."""
    page = browser.new_context(viewport={"width": 1280, "height": height}).new_page()
    page.goto(f"{url}/?__theme=light")
    page.get_by_role("tab", name=tab).click()
    return page


def save(page: Page, name: str) -> None:
    """The whole page in 128 colours: a fraction of the size, and no difference to see."""
    page.wait_for_timeout(2000)  # pictures fade in
    shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    shot.quantize(128).save(OUT / name, optimize=True)
    page.context.close()


def make_video(path: Path) -> Path:
    """Six seconds of a camera that moves over the photo and comes closer."""
    photo = cv2.imread(str(PHOTO))
    side = 400
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (side, side))
    for k in range(60):
        scale = 1 + 0.008 * k
        larger = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        x, y = 20 + k, 10 + k // 2
        writer.write(np.ascontiguousarray(larger[y : y + side, x : x + side]))
    writer.release()
    return path


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860")
