"""The page's tabs in its address: restored when it opens, written when another one is chosen."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

QUIET = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
WRITE_JS = """() => {{
  // the first tab announces itself as the page opens: that is nobody's choice
  if (!window.dmTabRestored) return;
  const url = new URL(window.location.href), tab = {tab};
  if (tab) url.searchParams.set('tab', tab); else url.searchParams.delete('tab');
  window.history.replaceState(window.history.state, '', url);
}}"""

RESTORED_JS = "() => { window.dmTabRestored = true; }"


def tab_ids(tabs: gr.Tabs) -> list[str]:
    """Ids of the tabs in it, first one first."""
    return [child.id for child in tabs.children if isinstance(child, gr.Tab)]


def remember_tab(demo: gr.Blocks, tabs: gr.Tabs) -> None:
    """Keep the address's ``tab`` and the chosen tab the same; call it when all tabs are there."""
    known = tab_ids(tabs)

    def restore(request: gr.Request) -> Any:
        wanted = parameters(request).get("tab")
        return gr.Tabs(selected=wanted) if wanted in known else gr.skip()

    demo.load(restore, None, tabs, **QUIET).then(
        None, None, None, js=RESTORED_JS, api_visibility="private"
    )
    for tab in tabs.children:
        if isinstance(tab, gr.Tab):
            script = WRITE_JS.format(tab=json.dumps("" if tab.id == known[0] else tab.id))
            tab.select(None, None, None, js=script, api_visibility="private")


def parameters(request: gr.Request | None) -> dict[str, Any]:
    """The address's parameters as they came; nothing of them is checked here."""
    sent = getattr(request, "query_params", None)
    return dict(sent) if sent else {}
