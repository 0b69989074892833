"""ShowOnly: what our widgets of HTML have in common, which show and are never read."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.widgets.stubless import no_stub_files

with no_stub_files():

    class ShowOnly(gr.HTML):
        """Python hears of a widget by its events alone; its value comes from Python alone."""

        def get_block_name(self) -> str:
            """The front end's name of the component."""
            return "html"

        def preprocess(self, payload: Any) -> None:
            """Nothing that a browser sends back as the value is used."""
            del payload
