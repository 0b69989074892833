"""How the page is looked at: light, dark, and on a phone; and pictures of what a test sees."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page

LOOKS = {
    "light": (1280, 900, "light"),
    "dark": (1280, 900, "dark"),
    "phone": (390, 844, "light"),
}
every_look = pytest.mark.parametrize("look", list(LOOKS))
PICTURES = "DYNAMASK_PICTURES"  # a folder; where it is named, tests leave their pictures in it


def keep_picture(test: str, page: Page, name: str, *, whole: bool = True) -> None:
    """Leave a picture for someone to look at; without the folder of PICTURES, nothing happens.

    Args:
        test: its name with the look, which becomes the file's.
        name: what the picture shows.
        whole: the page from top to bottom, not only what the window shows.
    """
    folder = os.environ.get(PICTURES)
    if not folder:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    words = re.sub(r"[^\w-]+", "-", f"{test}-{name}").strip("-")
    page.screenshot(path=Path(folder) / f"{words}.png", full_page=whole, animations="disabled")
