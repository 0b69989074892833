"""BudgetSlider: Gradio's slider, whose range may change while a value of the old one is on its way.

The range is known once the model is loaded. A photo sent in that moment carries the slider's old
value, which Gradio would refuse before any handler runs; here handlers check it themselves.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.widgets.stubless import no_stub_files

with no_stub_files():

    class BudgetSlider(gr.Slider):
        """A ``gr.Slider`` that leaves the check of its bounds to the handlers."""

        def get_block_name(self) -> str:
            """The front end's name of the component."""
            return "slider"

        def get_config(self, cls: type | None = None) -> dict[str, Any]:
            """Gradio reads the names of the settings off the component's own ``__init__``."""
            return super().get_config(cls or gr.Slider)

        def preprocess(self, payload: float) -> float:
            """The value as it came; it is untrusted."""
            return payload
