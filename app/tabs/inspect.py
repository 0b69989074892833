"""The Inspect tab: one photo, its masks, why each has its grid, and what another budget changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

from app import card, preferences, settings, text
from app.inspect_handlers import Handlers
from app.inspect_parts import State, new_state
from app.inspect_plots import PhotoPlots
from app.text_export import EXPORT_HINTS, EXPORTS
from app.widgets.budget_slider import BudgetSlider
from app.widgets.mask_viewer import MaskViewer
from app.widgets.photo_input import PhotoInput
from dynamask.config import GRIDS

__all__ = ["MODEL", "QUIET", "InspectTab", "State", "new_state"]

BUDGET_RANGE = (0.0, 1.0)  # until the model is there
MODEL = {"concurrency_limit": 1, "concurrency_id": "model"}
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
SAVE_JS = """(file) => {
  const link = document.createElement('a');
  link.href = file.url; link.download = file.orig_name; link.click();
}"""
SAVED_JS = "() => document.dispatchEvent(new CustomEvent('dm-saved'))"
# Gradio's gallery gives its buttons no names
NAMES_JS = """() => {{
  const names = {names}, all = () => document.querySelectorAll('{place} button.gallery-item');
  const wait = setInterval(() => {{
    if (all().length < names.length) return;
    clearInterval(wait);
    all().forEach((button, i) => button.setAttribute('aria-label', 'Example: ' + names[i]));
  }}, 100);
}}"""
# both are no secrets: fixed, so that what a browser keeps is still read after a restart
STORAGE_KEY = "dynamask-ui-v1"
STORAGE_SECRET = "dynamask-ui-v1"  # noqa: S105
EDGES_JS = "(on) => { document.querySelector('#dm-detail').classList.toggle('edges', on) }"


def name_examples(demo: gr.Blocks, place: str, paths: list[Path]) -> None:
    """Give the buttons of a gallery of examples the names of their files, for those who listen."""
    names = json.dumps([path.stem.replace("_", " ") for path in paths])
    script = NAMES_JS.format(names=names, place=place)
    demo.load(None, None, None, js=script, api_visibility="private")


class InspectTab(Handlers):
    """Builds the tab; its handlers are in :mod:`app.inspect_handlers`."""

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the current context and wire its events."""
        self.state = gr.State(new_state())
        # apart from the rest, so that a click never overwrites a box that is just being drawn
        self.selected = gr.State(None)
        self.linked = gr.State(None)  # what the page's address opens
        self.kept = gr.BrowserState(
            preferences.defaults(), storage_key=STORAGE_KEY, secret=STORAGE_SECRET
        )
        self.look = gr.State({})  # colour and fill, as the browser last said
        self.usual = gr.State(settings.POLICY)  # the last policy that needs no file
        self.tab_ids = []
        self.banner = gr.HTML(visible=False, elem_id="dm-banner")
        with gr.Row(elem_id="dm-inspect"):
            with gr.Column(elem_id="dm-main", scale=3):
                self.notice = gr.HTML(visible=False, elem_id="dm-notice")
                self.alert = gr.HTML(visible=False, elem_id="dm-alert")
                self.photo = PhotoInput(
                    label=text.PHOTO_LABEL,
                    show_label=False,
                    sources=["upload", "clipboard", "webcam"],
                    height="min(56vh, 520px)",
                    placeholder=text.DROP_PHOTO,
                    elem_id="dm-photo",
                    buttons=[],
                )
                self.viewer = MaskViewer(
                    visible="hidden",
                    elem_id="dm-viewer",
                    photo_input="#dm-photo",
                    files=[[k, name, EXPORT_HINTS[k]] for k, name in EXPORTS.items()],
                )
                self._build_examples()  # before the plots: where to begin is seen at once
                self.plots = PhotoPlots(self.session)
                self.plots.build()
            with gr.Column(elem_id="dm-side", scale=1):
                self._build_policy()
                self._build_card()
                with gr.Column(elem_id="dm-more"):
                    self._build_sliders()
                    self._build_coco()
                # hidden files are served all the same; a script of the page fetches this one
                self.file = gr.DownloadButton(visible="hidden", elem_id="dm-file")
        self._wire(demo)

    def _build_examples(self) -> None:
        paths = sorted(settings.EXAMPLES.glob("*.jpg"))
        self.examples = gr.Dataset(
            components=["image"],
            samples=[[str(path)] for path in paths],
            label=text.EXAMPLES,
            type="index",
            elem_id="dm-examples",
            visible=bool(paths),
        )
        self.example_paths = paths

    def _build_policy(self) -> None:
        choices = [(label, value) for value, label in text.POLICIES.items()]
        with gr.Group():
            self.policy = gr.Radio(
                choices,
                value=settings.POLICY,
                label=text.POLICY,
                info=text.policy_help(settings.POLICY),
                elem_id="dm-policy",
            )
            self.budget = BudgetSlider(
                *BUDGET_RANGE,
                value=BUDGET_RANGE[1],
                step=0.001,
                label=text.BUDGET,
                info=text.BUDGET_INFO,
                interactive=False,
                buttons=[],
                elem_id="dm-budget",
            )
            self.reach = gr.HTML(elem_id="dm-reach")

    def _build_card(self) -> None:
        self.by_hand = gr.Radio(
            [(text.AUTO, "auto"), *((str(grid), str(grid)) for grid in GRIDS)],
            value="auto",
            label=text.OVERRIDE,
            visible="hidden",
            elem_id="dm-by-hand",
        )
        self.label = gr.Dropdown(
            [text.DRAWN_LABEL_NONE],
            value=text.DRAWN_LABEL_NONE,
            label=text.DRAWN_LABEL,
            visible="hidden",
            elem_id="dm-label",
        )
        self.card = gr.HTML(card.empty_card(text.CARD_WAITING), elem_id="dm-detail")
        self.edges = gr.Checkbox(label=text.EDGES, elem_id="dm-edges", container=False)

    def _build_sliders(self) -> None:
        with gr.Group():
            self.threshold = gr.Slider(
                *settings.THRESHOLD_RANGE,
                value=settings.THRESHOLD,
                step=0.05,
                label=text.THRESHOLD,
                info=text.THRESHOLD_INFO,
                buttons=[],
                elem_id="dm-threshold",
            )
            self.min_score = gr.Slider(
                *settings.MIN_SCORE_RANGE,
                value=settings.MIN_SCORE,
                step=0.05,
                label=text.MIN_SCORE,
                info=text.MIN_SCORE_INFO,
                buttons=[],
                elem_id="dm-min-score",
            )
            self.every = gr.Checkbox(
                label=text.EVERYTHING,
                info=text.EVERYTHING_INFO,
                visible="hidden",
                elem_id="dm-every",
            )

    def _build_coco(self) -> None:
        self.coco = gr.Accordion(text.COCO_FILES, open=False, elem_id="dm-coco")
        with self.coco:
            with gr.Row(elem_classes="dm-row"):
                options = {"file_types": [".json"], "size": "sm", "interactive": False}
                self.load_truth = gr.UploadButton(
                    text.LOAD_TRUTH, elem_id="dm-load-truth", **options
                )
                self.load_boxes = gr.UploadButton(
                    text.LOAD_BOXES, elem_id="dm-load-boxes", **options
                )
            self.note = gr.HTML(elem_id="dm-coco-note")

    def _wire(self, demo: gr.Blocks) -> None:
        controls = [self.policy, self.budget, self.threshold, self.min_score]
        extras = [self.by_hand, self.label, self.reach]
        shown = [self.viewer, self.card]
        drawn = [*shown, self.state, self.selected, *extras]
        opened = [
            *(self.viewer, self.card, self.state, self.selected, self.photo, self.alert),
            *(self.load_truth, self.load_boxes, self.note, self.policy),
            *extras,
            self.every,
        ]
        self.opened, self.drawn, self.controls = opened, drawn, controls  # for other tabs
        busy = {"api_visibility": "private", "show_progress_on": [self.photo, self.viewer]}
        for listener, handler, source in (
            (self.photo.input, self.on_photo, self.photo),
            (self.examples.click, self.on_example, self.examples),
            (self.linked.change, self.on_linked, self.linked),
        ):
            listener(handler, [source, *controls], opened, **busy, **MODEL)
        again = {**QUIET, **MODEL, "trigger_mode": "always_last"}
        known = [self.state, self.selected, *controls]
        for control in (self.threshold, self.min_score):
            control.input(self.on_control, known, [*shown, *extras], **again)
        explained = [*shown, self.policy, *extras, self.usual, self.coco, self.note]
        self.policy.input(self.on_policy, [*known, self.usual], explained, **again)
        self.budget.input(self.on_budget, known, explained, **again)
        self._wire_events(controls, drawn, opened, extras)
        self._wire_choices(controls, drawn)
        self.plots.wire(demo, self.viewer, self.state, controls)
        self._wire_memory(demo)

    def _wire_memory(self, demo: gr.Blocks) -> None:
        now = {**QUIET, "queue": False}
        restored = [self.policy, self.threshold, self.viewer, self.notice, self.look, self.usual]
        loaded = [self.banner, self.budget, self.every, self.linked]
        demo.load(self.on_restore, self.kept, restored, **now).then(
            self.on_load, None, loaded, **QUIET, concurrency_limit=None
        )
        for control in (self.policy, self.threshold):
            asked = [self.kept, self.look, self.policy, self.threshold]
            control.input(self.on_prefer, asked, self.kept, **now)
        asked = [self.kept, self.policy, self.threshold]
        self.viewer.prefer(self.on_look, asked, [self.kept, self.look], **now)
        name_examples(demo, "#dm-examples", self.example_paths)

    def _wire_events(
        self, controls: list[Any], drawn: list[Any], opened: list[Any], extras: list[Any]
    ) -> None:
        # every event counts and in its order: always_last would send the first one's data again
        event = {**QUIET, **MODEL, "trigger_mode": "multiple"}
        asked = [self.state, *controls]
        self.viewer.select(self.on_select, asked, [self.card, self.selected, *extras], **event)
        self.viewer.draw(self.on_draw, asked, drawn, **event)
        self.viewer.move(self.on_move, asked, drawn, **event)
        self.viewer.remove(self.on_remove, asked, drawn, **event)
        self.viewer.renew(self.on_renew, None, opened, **QUIET)
        made = self.viewer.export(
            self.on_export, [self.state, self.selected, *controls], self.file, **event
        )
        made.success(None, self.file, None, js=SAVE_JS, api_visibility="private")
        made.then(None, None, None, js=SAVED_JS, api_visibility="private")

    def _wire_choices(self, controls: list[Any], drawn: list[Any]) -> None:
        event = {**QUIET, **MODEL, "trigger_mode": "multiple"}
        known = [self.state, self.selected]
        for component, handler in (
            (self.by_hand, self.on_by_hand),
            (self.label, self.on_label),
            (self.every, self.on_every),
        ):
            component.input(handler, [*known, component, *controls], drawn, **event)
        for button, handler in (
            (self.load_truth, self.on_truth),
            (self.load_boxes, self.on_boxes),
        ):
            button.upload(
                handler, [*known, button, *controls], [*drawn, self.note], **QUIET, **MODEL
            )
        self.edges.input(None, self.edges, None, js=EDGES_JS, api_visibility="private")
