"""A server and a real Chromium for the page's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import skimage.data
from looks import LOOKS, keep_picture
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from serving import serving

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 60_000  # the model may still be loading, on two busy cores

expect.set_options(timeout=20_000)


# Per module: Playwright's event loop and the server must not stay around for the tests after them.
@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an app on the bundled weights."""
    with serving(tmp_path_factory.mktemp("app")) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def astronaut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-image's astronaut, 512 x 512 px."""
    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return path


@pytest.fixture
def open_page(server: str, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages; afterwards, none of them had an error or asked another host for anything."""
    contexts, errors, foreign = [], [], []

    def watch(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws") and parts.hostname != "127.0.0.1":
            foreign.append(url)

    def opened(
        width: int = 1280, height: int = 900, theme: str = "light", *, touch: bool = False
    ) -> Page:
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, has_touch=touch)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: watch(request.url))
        page.goto(f"{server}/?__theme={theme}")
        expect(page.locator("#dm-budget input[type=number]")).to_be_enabled(timeout=PATIENCE_MS)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors
    assert not foreign


@pytest.fixture
def look() -> str:
    """Of looks.LOOKS; tests marked ``every_look`` run once in each."""
    return "light"


@pytest.fixture
def page(open_page: Callable[..., Page], look: str) -> Page:
    return open_page(*LOOKS[look])


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[..., None]:
    """``picture(page, "what it shows")``, see looks.keep_picture."""
    return partial(keep_picture, request.node.name)
