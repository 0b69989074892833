"""Text in figures: plotly reads a little markup (``<b>``, ``<a href>``), and names are not markup.

Names come from files, so a class may be called ``<a href="...">``. Escape a name where a figure is
made (:func:`plain_text`); what shows figures also passes them through :func:`neutral`, which leaves
only the tags that our own figures use.
"""

from __future__ import annotations

import re
from typing import Any

OURS = re.compile(
    r"</?(?:b|i|sub|sup|span|extra)>|<br ?/?>|<span style=['\"]font-size: ?[\d.]+(?:em|px)['\"]>"
)
"""The tags that figures of this project use."""

NOT_TEXT = frozenset({"customdata", "ids", "meta"})
"""Keys of a figure that plotly never draws."""


def plain_text(name: object) -> str:
    """A name as plotly shows it letter by letter, whatever markup it looks like."""
    return str(name).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def neutral(value: Any) -> Any:
    """A figure, or a part of one, in which plotly finds no markup but ours.

    Args:
        value: dicts, lists, texts, numbers; anything else is passed through.

    Returns:
        The same, with every foreign ``<`` in drawn texts written as an entity; parts without one
        are not copied.
    """
    if isinstance(value, str):
        return _escaped(value) if "<" in value else value
    if isinstance(value, dict):
        return {k: v if k in NOT_TEXT else neutral(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        if all(isinstance(v, int | float) or v is None for v in value):
            return value
        return [neutral(v) for v in value]
    return value


def _escaped(text: str) -> str:
    parts, end = [], 0
    for tag in OURS.finditer(text):
        parts += [text[end : tag.start()].replace("<", "&lt;"), tag.group()]
        end = tag.end()
    return "".join(parts) + text[end:].replace("<", "&lt;")
