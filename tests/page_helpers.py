"""The Inspect tab as the browser tests use it: uploading, drawing, and what it shows."""

from __future__ import annotations

import json
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

PATIENCE_MS = 60_000


def viewer(page: Page) -> Locator:
    return page.get_by_test_id("mask-viewer")


def upload(page: Page, photo: Path | dict) -> None:
    page.locator("#dm-photo input[type=file]").set_input_files(photo)


def analyse(page: Page, photo: Path | dict) -> None:
    upload(page, photo)
    expect(viewer(page)).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)


def count(page: Page) -> int:
    return int(viewer(page).get_attribute("data-objects"))


def grids(page: Page) -> dict[int, int]:
    pairs = viewer(page).get_attribute("data-grids").split(",")
    return {int(g): int(n) for g, n in (pair.split(":") for pair in pairs)}


def visible_row(page: Page) -> Locator:
    """The first row whose object can be seen in the picture."""
    return page.locator("tr[data-testid=row][data-x]").first


def point_of(page: Page, row: Locator) -> tuple[float, float]:
    page.get_by_test_id("canvas").scroll_into_view_if_needed()
    box = page.get_by_test_id("canvas").bounding_box()
    x, y = (float(row.get_attribute(name)) for name in ("data-x", "data-y"))
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def draw(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag a box; corners as parts of the picture's width and height."""
    page.get_by_test_id("draw-box").click()
    page.get_by_test_id("canvas").scroll_into_view_if_needed()
    box = page.get_by_test_id("canvas").bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    drag(page, *points)


def by_touch(page: Page) -> bool:
    """Whether a finger points; else it is a mouse."""
    return page.evaluate("matchMedia('(pointer: coarse)').matches")


def tap(page: Page, x: float, y: float) -> None:
    """Point at a place of the window."""
    if by_touch(page):
        page.touchscreen.tap(x, y)
    else:
        page.mouse.click(x, y)


def drag(page: Page, start: tuple[float, float], end: tuple[float, float], steps: int = 5) -> None:
    """From one place of the window to another."""
    if not by_touch(page):
        page.mouse.move(*start)
        page.mouse.down()
        page.mouse.move(*end, steps=steps)
        page.mouse.up()
        return
    finger = page.context.new_cdp_session(page)  # Playwright itself only taps

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": x, "y": y} for x, y in points]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", start)
    for step in range(1, steps + 1):
        part = step / steps
        touch("touchMove", tuple(a + part * (b - a) for a, b in zip(start, end, strict=True)))
    touch("touchEnd")
    finger.detach()


def every_object(page: Page, least: int = 3) -> int:
    """Show all that was found, likely doubles too; returns how many objects these are."""
    few = count(page)
    page.get_by_label("Show everything found").check()
    score = page.locator("#dm-min-score input[type=number]")
    score.fill("0.05")
    score.press("Tab")
    page.wait_for_function(SETTLED, arg=max(few + 1, least), timeout=PATIENCE_MS)
    return count(page)


SETTLED = """(least) => {  // enough objects, and the picture has not changed for a while
  const picture = document.querySelector('.mv').dataset;
  const now = performance.now(), seen = window.seenPicture || {};
  if (seen.seq !== picture.seq) window.seenPicture = { seq: picture.seq, at: now };
  return seen.seq === picture.seq && now - seen.at > 1000 && Number(picture.objects) >= least;
}"""


def coco_file(folder: Path, boxes: list[list[float]]) -> Path:
    """Ground truth of the astronaut: filled boxes, of class person."""
    annotations = [
        {
            "id": i,
            "image_id": 7,
            "category_id": 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
            "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
        }
        for i, (x1, y1, x2, y2) in enumerate(boxes, 1)
    ]
    facts = {
        "images": [{"id": 7, "file_name": "astronaut.png", "width": 512, "height": 512}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    path = folder / "truth.json"
    path.write_text(json.dumps(facts))
    return path


def load_coco(page: Page, button: str, path: Path) -> None:
    """Hand a COCO file to ``#dm-load-truth`` or ``#dm-load-boxes``."""
    if not page.locator(button).is_visible():
        page.locator("#dm-coco").get_by_role("button", name="Ground truth").click()
    with page.expect_file_chooser() as chooser:
        page.locator(button).click()
    chooser.value.set_files(path)


def drawn_row(page: Page, before: int) -> Locator:
    """The row of a box that was just drawn on a photo with so many objects; it is selected."""
    expect(viewer(page)).to_have_attribute("data-objects", str(before + 1))
    row = page.get_by_test_id("row").last
    expect(row).to_contain_text("drawn box")
    expect(row).to_have_attribute("aria-selected", "true")
    return row


def overflow(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def serious(page: Page) -> None:
    """axe-core, from the installed package, on what is shown now."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    bad = [
        (v["id"], node["target"], node.get("failureSummary"))
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]
    assert not bad, (len(bad), bad[:4])


CONTRASTS = """() => {
  const channels = (colour) => {  // as the canvas reads it: any CSS colour to sRGB bytes
    const pen = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const behind = (node) => {
    const layers = [];
    for (let n = node; n; n = n.parentElement) {
      const layer = channels(getComputedStyle(n).backgroundColor);
      if (layer[3] > 0) layers.push(layer);
      if (layer[3] === 1) break;
    }
    return layers.reverse().reduce(
      (under, [r, g, b, a]) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a)), [255, 255, 255]
    );
  };
  const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const names = ['#dm-header h1', '#dm-header p', '.mv-cost', '.mv-count', '.mv-draw',
    '.mv-table thead th', '.mv-table tbody th', '.mv-table tbody td', '.dm-card h3', '.dm-card dt',
    '.dm-card dd', '.dm-bars caption', '.dm-bars th', '.dm-muted', '#dm-policy label.selected span',
    '#dm-policy label:not(.selected) span', '#dm-budget input[type=number]',
    'button[role=tab].selected', '.mv-save summary'];
  return Object.fromEntries(names.map((name) => [name, document.querySelector(name)])
    .filter(([, node]) => node)
    .map(([name, node]) => [name, ratio(
      light(channels(getComputedStyle(node).color)), light(behind(node)))]));
}"""
