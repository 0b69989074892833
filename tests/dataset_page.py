"""A small data set made by code, and the steps that tests of the dataset pages share."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import skimage.data
from PIL import Image
from playwright.sync_api import Page, expect

PATIENCE_MS = 150_000
NASTY = "<img src=x onerror=alert(1)>"
SIDE = 300


def photo(seed: int) -> bytes:
    """A JPEG with one disc on a cut of scikit-image's astronaut."""
    rng = np.random.default_rng(seed)
    pixels = np.roll(skimage.data.astronaut()[:SIDE, :SIDE], 17 * seed, axis=1).copy()
    y, x = np.mgrid[:SIDE, :SIDE]
    pixels[np.hypot(x - 90, y - 200) < 60] = rng.integers(0, 255, 3)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def disc(x: float, y: float, radius: float, points: int = 40) -> list[float]:
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    corners = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
    return [float(v) for v in corners.round(2).ravel()]


def data_set(photos: int) -> tuple[dict, dict]:
    """(COCO file, zip of its photos) as uploads; one annotation of it is no good."""
    images, annotations = [], []
    for k in range(photos):
        name = f"{NASTY}-{k}.jpg" if k == 0 else f"photo-{k}.jpg"
        images.append({"id": k + 1, "file_name": name, "width": SIDE, "height": SIDE})
        for x, y, radius, category in ((90, 200, 60, 1), (200, 80, 25, 2)):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": k + 1,
                    "category_id": category,
                    "segmentation": [disc(x, y, radius)],
                    "bbox": [x - radius, y - radius, 2 * radius, 2 * radius],
                    "area": np.pi * radius**2,
                    "iscrowd": 0,
                }
            )
    annotations.append({**annotations[0], "id": 9999, "segmentation": [[1.0, 2.0]]})
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": NASTY}]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for k, image in enumerate(images):
            archive.writestr(image["file_name"], photo(k))
    return (
        {
            "name": "instances.json",
            "mimeType": "application/json",
            "buffer": json.dumps(coco).encode(),
        },
        {"name": "photos.zip", "mimeType": "application/zip", "buffer": packed.getvalue()},
    )


def choose_tab(page: Page, name: str) -> None:
    """Go to a tab of the page; on a narrow screen it may lie in the menu of further tabs."""
    expect(page.get_by_role("tab", name="Inspect", exact=True).first).to_be_visible()
    found = page.get_by_role("tab", name=name, exact=True).first
    if not found.is_visible():
        page.get_by_role("button", name="More tabs").first.click()
        found = page.locator("#dm-tabs .overflow-dropdown button").filter(has_text=name).first
    found.click()


def open_dataset(page: Page) -> None:
    """Go to the Dataset tab and wait for its first plots."""
    choose_tab(page, "Dataset")
    expect(page.get_by_test_id("totals")).to_contain_text("objects on", timeout=PATIENCE_MS)
    drawn(page, "share_by_area")


def drawn(page: Page, name: str) -> None:
    """Wait for a plot."""
    plot = page.locator(f"#dm-plot-{name}").get_by_test_id("plot")
    expect(plot).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)


def group(page: Page, words: str, first: str) -> None:
    """Choose a group of plots; on a narrow screen it may lie in a menu."""
    found = page.locator("#dm-groups").get_by_role("tab", name=words)
    if not found.is_visible():
        page.locator("#dm-groups").get_by_role("button", name="More tabs").click()
        found = page.locator("#dm-groups .overflow-dropdown button").filter(has_text=words)
    found.click()
    drawn(page, first)
