"""What a page's address says of it: example, policy, budget, filters and tab; no Gradio here.

An address is something that people send to each other and edit by hand, so every value is checked
on its own: a bad one is left out and named, the others still count. Lists are percent-encoded
items between commas, once more encoded as any value of an address is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from app import text
from dynamask.config import GRIDS

SIZES = ("small", "medium", "large")
NEEDS_TRUTH = "oracle"
"""The one policy that an address or a browser's memory cannot restore: it needs a file."""

CLASSES = {"all": True, "known": False}
"""Whether everything found is shown; an address without it leaves that to the photo."""

MAX_VALUE = 2000  # characters; a longer one was not written by this page
MAX_ITEMS = 100  # classes left out; COCO has 80
MAX_ITEM = 64  # characters of a class name


@dataclass(frozen=True)
class Filters:
    """What the picture, the table and the plots leave out.

    Attributes:
        classes: class names that are left out.
        sizes: size bins, each one of SIZES.
        grids: mask grids, each one of GRIDS.
        score: the least score that is shown, in hundredths (0 to 100).
    """

    classes: frozenset[str] = frozenset()
    sizes: frozenset[str] = frozenset()
    grids: frozenset[int] = frozenset()
    score: int = 0

    def to_browser(self) -> dict[str, Any]:
        """The MaskViewer's own form of it."""
        return {
            "classes": sorted(self.classes),
            "sizes": sorted(self.sizes),
            "grids": [str(g) for g in sorted(self.grids)],
            "score": self.score / 100,
        }


@dataclass(frozen=True)
class PageView:
    """What an address restores.

    Attributes:
        tab: a tab's id, "" for the first one.
        example: an example photo's name without its suffix, "" for none.
        policy: a key of ``text.POLICIES``, "" where the address does not say.
        budget: thousandths of a GMAC per object; None where the address does not say.
        filters: what is left out.
        classes: a key of CLASSES, "" where the address does not say.
    """

    tab: str = ""
    example: str = ""
    policy: str = ""
    budget: int | None = None
    filters: Filters = field(default_factory=Filters)
    classes: str = ""


def encode(view: PageView) -> dict[str, str]:
    """Parameters of the address; only what differs from a fresh page."""
    kept = view.filters
    found = {
        "tab": view.tab,
        "example": view.example,
        "policy": view.policy,
        "budget": "" if view.budget is None else f"{view.budget / 1000:g}",
        "classes": view.classes,
        "hide-class": _join(sorted(kept.classes)),
        "hide-size": _join(s for s in SIZES if s in kept.sizes),
        "hide-grid": _join(str(g) for g in GRIDS if g in kept.grids),
        "score": f"{kept.score / 100:g}" if kept.score else "",
    }
    return {name: value for name, value in found.items() if value}


def decode(
    query: Mapping[str, Any], *, examples: Collection[str] = (), tabs: Collection[str] = ()
) -> tuple[PageView, tuple[str, ...]]:
    """Read an address.

    Args:
        query: parameters as they came; other names than ours are not looked at.
        examples: names of the example photos, without suffix.
        tabs: ids of the tabs.

    Returns:
        What it says, and the names of the parameters that were ignored for their value.
    """
    policies = [p for p in text.POLICIES if p != NEEDS_TRUTH]
    readers = {
        "tab": lambda v: _one_of(v, tabs),
        "example": lambda v: _one_of(v, examples),
        "policy": lambda v: _one_of(v, policies),
        "budget": lambda v: _scaled(v, 1000, 1_000_000),
        "classes": lambda v: _one_of(v, CLASSES),
        "hide-class": lambda v: frozenset(map(_class_name, _split(v))),
        "hide-size": lambda v: frozenset(_one_of(s, SIZES) for s in _split(v)),
        "hide-grid": lambda v: frozenset(
            int(_one_of(g, [str(grid) for grid in GRIDS])) for g in _split(v)
        ),
        "score": lambda v: _scaled(v, 100, 100),
    }
    found: dict[str, Any] = {}
    ignored = []
    for name, read in readers.items():
        if name not in query or query[name] == "":
            continue
        try:
            found[name] = read(_text(query[name]))
        except ValueError:
            ignored.append(name)
    filters = Filters(
        classes=found.get("hide-class", frozenset()),
        sizes=found.get("hide-size", frozenset()),
        grids=found.get("hide-grid", frozenset()),
        score=found.get("score", 0),
    )
    names = ("tab", "example", "policy", "budget", "classes")
    plain = {name: found[name] for name in names if name in found}
    return PageView(**plain, filters=filters), tuple(ignored)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_VALUE:
        raise ValueError(value)
    return value


def _one_of(value: str, known: Collection[str]) -> str:
    if value not in known:
        raise ValueError(value)
    return value


def _scaled(value: str, factor: int, most: int) -> int:
    """A number of the address in whole parts, so that it is the same after a round trip."""
    if len(value) > 12 or not value.replace(".", "", 1).isdecimal() or not value.isascii():
        raise ValueError(value)
    whole = round(float(value) * factor)
    if whole > most:
        raise ValueError(value)
    return whole


def _class_name(value: str) -> str:
    if not value or len(value) > MAX_ITEM or not value.isprintable():
        raise ValueError(value)
    return value


def _join(items: Any) -> str:
    return ",".join(quote(item, safe=" ") for item in items)


def _split(value: str) -> list[str]:
    items = value.split(",")
    if len(items) > MAX_ITEMS:
        raise ValueError(value)
    return [unquote(item, errors="strict") for item in items]
