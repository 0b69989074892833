"""Take the pictures of README.md and docs/inspect.md: `python docs/screenshots.py URL`.

Needs a running app (http://127.0.0.1:7860 where no URL is given) and Debian's Chromium. All photos
are those of assets/examples.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "assets" / "screenshots"
PHOTO = ROOT / "assets" / "examples" / "astronaut.jpg"
VIEWS = {
    "light": (1280, 1180, "light"),
    "dark": (1280, 1180, "dark"),
    "narrow": (390, 1400, "light"),
}
JPEG = {"quality": 82, "optimize": True}  # below 300 kB each
SETTLE_MS = 1500  # the picture fades in, the card follows


def opened(browser: Browser, url: str, size: tuple[int, int], scheme: str, photo: Path) -> Page:
    """A page with an analysed photo and its first object selected."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
    )
    page = context.new_page()
    page.goto(f"{url}/?__theme={scheme}")
    page.locator("#dm-budget input[type=number]:enabled").wait_for(timeout=90_000)
    page.locator("#dm-photo input[type=file]").set_input_files(photo)
    ready = page.locator("[data-testid=mask-viewer][data-ready=true]")
    ready.wait_for(state="attached", timeout=90_000)
    page.locator("tr[data-testid=row][data-x]").first.click()
    page.wait_for_timeout(SETTLE_MS)
    return page


def picture(shown: Page | Locator, name: str) -> None:
    """Save what is shown; 256 colours for the README, JPEG for the guide."""
    shot = Image.open(io.BytesIO(shown.screenshot())).convert("RGB")
    if name.endswith(".jpg"):
        shot.save(OUT / name, **JPEG)
    else:
        # a third of the size, and no difference to see
        shot.quantize(256).save(OUT / name, optimize=True)


def drawn_box(page: Page) -> None:
    """Draw a box around the helmet."""
    page.get_by_test_id("draw-box").click()
    box = page.get_by_test_id("canvas").bounding_box() or {}
    for x, y, act in ((0.53, 0.62, page.mouse.down), (0.99, 0.99, page.mouse.up)):
        at = (box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.mouse.move(*at, steps=4)
        act()
    page.get_by_test_id("row").nth(1).wait_for()
    page.wait_for_timeout(SETTLE_MS)


def coloured(page: Page) -> None:
    """Colours by class, and the filter open."""
    page.get_by_test_id("colour-by").select_option("class")
    page.get_by_test_id("filter").locator("summary").click()
    page.wait_for_timeout(SETTLE_MS)


def guide(browser: Browser, url: str) -> None:
    """The pictures of docs/inspect.md, in the order in which they come there."""
    page = opened(browser, url, (1280, 1000), "light", PHOTO)
    picture(page, "guide-overview.jpg")
    picture(page.locator("#dm-detail"), "guide-card.jpg")
    page.locator("#dm-policy").get_by_text("Budget").click()
    page.wait_for_timeout(SETTLE_MS)
    side = page.locator("#dm-side")
    box = side.bounding_box() or {}
    end = page.locator("#dm-by-hand").bounding_box() or {}
    clip = {**box, "height": end["y"] + end["height"] - box["y"] + 8}
    shot = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    shot.save(OUT / "guide-policy.jpg", **JPEG)
    steps: list[tuple[str, Callable[[Page], None]]] = [
        ("guide-boxes.jpg", drawn_box),
        ("guide-filter.jpg", coloured),
    ]
    for name, act in steps:
        act(page)
        picture(page, name)
    page.get_by_test_id("save").locator("summary").click()
    menu = page.get_by_test_id("save").locator(".mv-files")
    menu.wait_for()
    picture(menu, "guide-download.jpg")
    page.context.close()


def main(url: str, photo: Path) -> None:
    """Upload one photo in every view, select its first object, save a picture; then the guide."""
    OUT.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (width, height, scheme) in VIEWS.items():
            page = opened(browser, url, (width, height), scheme, photo)
            page.evaluate("scrollTo(0, 0)")
            picture(page, f"inspect-{name}.png")
            page.context.close()
        guide(browser, url)
        browser.close()


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860"
    shown = Path(sys.argv[2]) if len(sys.argv) > 2 else PHOTO
    main(address, shown)
