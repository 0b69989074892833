"""Take the pictures of docs/dataset.md: `python docs/dataset_pictures.py http://127.0.0.1:7860`.

Needs a running app and Debian's Chromium; shows the shipped run.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

OUT = Path(__file__).resolve().parent / "figures"
PATIENCE_MS = 120_000


def drawn(page: Page, name: str) -> None:
    """Wait for a plot."""
    page.locator(f"#dm-plot-{name} [data-testid=plot][data-ready=true]").wait_for(
        timeout=PATIENCE_MS
    )


def save(page: Page, name: str) -> None:
    """Keep what is seen, in 256 colours."""
    page.wait_for_timeout(1200)  # plots fade in
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shot.quantize(256).save(OUT / f"dataset-{name}.png", optimize=True)


def main(url: str) -> None:
    """Open the tab, take the first group, then a point of the Pareto plot."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(f"{url}/?__theme=light")
        page.get_by_role("tab", name="Dataset", exact=True).click(timeout=PATIENCE_MS)
        drawn(page, "share_by_area")
        page.locator("#dm-totals").scroll_into_view_if_needed()
        save(page, "choice")
        page.locator("#dm-groups").get_by_role("tab", name="Quality against cost").click()
        drawn(page, "pareto_iou")
        page.locator("#dm-plot-pareto_iou .points path.point").last.click(force=True)
        page.locator("#dm-patches button").nth(1).click(timeout=PATIENCE_MS)
        page.locator("[data-testid=facts]").wait_for(timeout=PATIENCE_MS)
        save(page, "pareto")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860")
