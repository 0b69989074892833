"""The Compare tab: two policies, or two weight files, on the same boxes of one photo."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from app import compare_view, settings, text
from app import text_compare as words
from app.compare_handlers import CompareHandlers, new_state, policies
from app.compare_job import FIRST
from app.tabs.inspect import BUDGET_RANGE, MODEL, QUIET, SAVE_JS, InspectTab, name_examples
from app.widgets.budget_slider import BudgetSlider
from app.widgets.compare_viewer import CompareViewer
from app.widgets.photo_input import PhotoInput

POLICY_A, POLICY_B = "msm", "fixed:112"  # what does the switch lose, and what does it save?


class CompareTab(CompareHandlers):
    """Builds the tab; its handlers are in :mod:`app.compare_handlers`."""

    def build(self, demo: gr.Blocks, inspect: InspectTab | None = None) -> None:
        """Lay the tab out inside the current context and wire its events.

        Args:
            demo: the page.
            inspect: the tab whose photo can be taken over; built before this one.
        """
        self.state = gr.State(new_state())
        self.selected = gr.State(None)
        gr.HTML(f"<p>{escape(words.INTRO)}</p>", elem_id="dm-compare-intro")
        with gr.Row(elem_id="dm-compare"):
            with gr.Column(elem_id="dm-compare-main", scale=3):
                self._build_main(inspect)
            with gr.Column(elem_id="dm-compare-side", scale=1):
                self.sides = {key: self._build_side(key) for key in ("a", "b")}
                self._build_shared()
        self._wire(demo, inspect)

    def _build_main(self, inspect: InspectTab | None) -> None:
        self.alert = gr.HTML(visible=False, elem_id="dm-compare-alert")
        self.photo = PhotoInput(
            label=words.PHOTO,
            show_label=False,
            sources=["upload", "clipboard"],
            height="min(46vh, 400px)",
            placeholder=words.DROP_PHOTO,
            elem_id="dm-compare-photo",
            buttons=[],
        )
        self.viewer = CompareViewer(visible="hidden", elem_id="dm-compare-viewer")
        self.card = gr.HTML(
            compare_view.empty_card(), visible="hidden", elem_id="dm-compare-detail"
        )
        with gr.Column(elem_id="dm-compare-start") as self.start:
            self.take = gr.Button(
                words.TAKE, size="sm", visible=inspect is not None, elem_id="dm-compare-take"
            )
            self.example_paths = sorted(settings.EXAMPLES.glob("*.jpg"))
            self.examples = gr.Dataset(
                components=["image"],
                samples=[[str(path)] for path in self.example_paths],
                label=words.EXAMPLES,
                type="index",
                elem_id="dm-compare-examples",
                visible=bool(self.example_paths),
            )

    def _build_side(self, key: str) -> tuple[Any, Any, Any]:
        """Weights, policy and budget of one side."""
        names = [(session.weights_name, name) for name, session in self.sessions.items()]
        if len({label for label, _ in names}) < len(names):  # two files of one name
            names = [(f"{label} ({name})", name) for label, name in names]
        with gr.Group(elem_classes="dm-compare-group"):
            weights = gr.Radio(
                names,
                value=names[-1][1] if key == "b" else FIRST,
                label=words.WEIGHTS[key],
                visible=len(names) > 1,
                elem_id=f"dm-compare-weights-{key}",
                elem_classes="dm-compare-weights",
            )
            policy = gr.Radio(
                policies(),
                value=POLICY_A if key == "a" or len(names) > 1 else POLICY_B,
                label=words.POLICY[key],
                elem_id=f"dm-compare-policy-{key}",
                elem_classes="dm-compare-policy",
            )
            budget = BudgetSlider(
                *BUDGET_RANGE,
                value=BUDGET_RANGE[1],
                step=0.001,
                label=words.BUDGET[key],
                visible="hidden",
                buttons=[],
                elem_id=f"dm-compare-budget-{key}",
            )
        return weights, policy, budget

    def _build_shared(self) -> None:
        with gr.Group():
            self.threshold = gr.Slider(
                *settings.THRESHOLD_RANGE,
                value=settings.THRESHOLD,
                step=0.05,
                label=text.THRESHOLD,
                info=text.THRESHOLD_INFO,
                buttons=[],
                elem_id="dm-compare-threshold",
            )
            self.min_score = gr.Slider(
                *settings.MIN_SCORE_RANGE,
                value=settings.MIN_SCORE,
                step=0.05,
                label=text.MIN_SCORE,
                info=text.MIN_SCORE_INFO,
                buttons=[],
                elem_id="dm-compare-score",
            )
            self.every = gr.Checkbox(
                label=text.EVERYTHING,
                info=text.EVERYTHING_INFO,
                elem_id="dm-compare-every",
            )
        self.save = gr.Button(
            words.SAVE_TABLE, size="sm", interactive=False, elem_id="dm-compare-save"
        )
        self.file = gr.DownloadButton(visible="hidden", elem_id="dm-compare-file")
        two = len(self.sessions) > 1
        note = words.WEIGHTS_BOXES if two else words.WEIGHTS_ONLY_ONE
        gr.HTML(f"<p class='dm-muted dm-small'>{escape(note)}</p>", elem_id="dm-compare-note")

    def _wire(self, demo: gr.Blocks, inspect: InspectTab | None) -> None:
        name_examples(demo, "#dm-compare-examples", self.example_paths)
        budgets = [side[2] for side in self.sides.values()]
        shared = [self.threshold, self.min_score]
        controls = [*self.sides["a"], *self.sides["b"], *shared]
        opened = [
            *(self.viewer, self.card, self.state, self.selected, self.photo, self.alert),
            *(self.start, self.save, self.every),
            *(side[1] for side in self.sides.values()),
            *budgets,
        ]
        demo.load(self.on_load, None, budgets, **QUIET, concurrency_limit=None)
        busy = {"api_visibility": "private", "show_progress_on": [self.photo, self.viewer]}
        self.photo.input(self.on_photo, [self.photo, *controls], opened, **busy, **MODEL)
        self.examples.click(self.on_example, [self.examples, *controls], opened, **busy, **MODEL)
        if inspect is not None:
            taken = [*opened, self.sides["a"][0], *shared]
            asked = [inspect.state, *inspect.controls, *controls]
            self.take.click(self.on_take, asked, taken, **busy, **MODEL)
        again = {**QUIET, **MODEL, "trigger_mode": "always_last"}
        known = [self.state, self.selected, *controls]
        for control in controls:
            control.input(self.on_control, known, [self.viewer, self.card, *budgets], **again)
        self.save.click(self.on_save, [self.state, *controls], self.file, **QUIET, **MODEL).success(
            None, self.file, None, js=SAVE_JS, api_visibility="private"
        )
        event = {**QUIET, **MODEL, "trigger_mode": "multiple"}
        asked = [self.state, *controls]
        self.viewer.select(self.on_select, asked, [self.card, self.selected], **event)
        self.viewer.renew(self.on_renew, controls, opened, **QUIET)
        self.every.input(
            self.on_every,
            [self.state, self.selected, self.every, *controls],
            [self.viewer, self.card, self.state],
            **event,
        )
