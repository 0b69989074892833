"""PatchGrid: small pictures with a line under each, as buttons; one can be chosen.

Python hears of ``select`` ``{"index": int}``; read it with :func:`read_index`, since any value can
arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from app import text
from app.picture import data_url
from app.widgets.show_only import ShowOnly
from app.widgets.stubless import no_stub_files
from dynamask.errors import InputError

_SCRIPT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-index]');
  if (!button) return;
  for (const other of element.querySelectorAll('button[data-index]'))
    other.setAttribute('aria-pressed', String(other === button));
  trigger('select', {index: Number(button.dataset.index)});
});
"""

with no_stub_files():

    class PatchGrid(ShowOnly):
        """Shows what :func:`grid_html` returns."""

        def __init__(self, value: str = "", **kwargs: Any) -> None:
            super().__init__(value, js_on_load=_SCRIPT, apply_default_css=False, **kwargs)


def grid_html(label: str, patches: Sequence[tuple[bytes, str]]) -> str:
    """Buttons of (JPEG bytes, caption); captions are text."""
    if not patches:
        return ""
    buttons = "".join(
        f'<button type="button" data-index="{k}" aria-pressed="false">'
        f'<img src="{data_url(data, "image/jpeg")}" alt=""><span>{escape(said)}</span></button>'
        for k, (data, said) in enumerate(patches)
    )
    return f'<div class="dm-patches" role="group" aria-label="{escape(label)}">{buttons}</div>'


def read_index(data: Any, count: int) -> int:
    """The chosen picture.

    Raises:
        InputError: there is no such picture.
    """
    index = data.get("index") if isinstance(data, dict) else None
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
        raise InputError(text.EVENT_ODD.format(what="one of the pictures"))
    return index
