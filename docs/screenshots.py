"""Take the README's pictures of the page: `python docs/screenshots.py http://127.0.0.1:7860`.

Needs a running app and Debian's Chromium.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "assets" / "screenshots"
VIEWS = {"light": (1280, 900, "light"), "dark": (1280, 900, "dark"), "narrow": (390, 1400, "light")}


def main(url: str, photo: Path) -> None:
    """Upload one photo in every view, select its first object, save a picture."""
    OUT.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (width, height, scheme) in VIEWS.items():
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            page = context.new_page()
            page.goto(f"{url}/?__theme={scheme}")
            page.locator("#dm-photo input[type=file]").set_input_files(photo)
            ready = page.locator("[data-testid=mask-viewer][data-ready=true]")
            ready.wait_for(state="attached", timeout=90_000)
            page.locator("tr[data-testid=row][data-x]").first.click()
            page.wait_for_timeout(1500)  # the picture fades in
            shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            # 256 colours: a third of the size, and no difference to see
            shot.quantize(256).save(OUT / f"inspect-{name}.png", optimize=True)
            context.close()
        browser.close()


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860"
    shown = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "assets/examples/astronaut.jpg"
    main(address, shown)
