"""The Inspect tab: one photo, its masks, why each has its grid, and what another budget changes."""

from __future__ import annotations

import json
import logging
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from app import card, events, settings, text
from app.guard import sentences
from app.picture import display_jpeg, encode, viewer_value
from app.session import Ask, Decoded, Opened, Session
from app.widgets.budget_slider import BudgetSlider
from app.widgets.mask_viewer import MaskViewer
from app.widgets.photo_input import PhotoInput
from dynamask.batch import result_dict
from dynamask.errors import DynaMaskError, InputError

logger = logging.getLogger(__name__)

State = dict[str, Any]

BUDGET_RANGE = (0.0, 1.0)  # until the model is there
MODEL = {"concurrency_limit": 1, "concurrency_id": "model"}
QUIET = {"show_progress": "hidden", "api_visibility": "private"}


def new_state() -> State:
    """What one user's page remembers of its photo: a key, a path, a few boxes; never a tensor."""
    return {"key": None, "path": None, "name": "", "drawn": ()}


class InspectTab:
    """Builds the tab and holds its handlers.

    Args:
        session: the model and the photos in memory.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    # -- layout ----------------------------------------------------------------------------

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the current context and wire its events."""
        self.state = gr.State(new_state())
        # apart from the rest, so that a click never overwrites a box that is just being drawn
        self.selected = gr.State(None)
        self.banner = gr.HTML(visible=False, elem_id="dm-banner")
        with gr.Row(elem_id="dm-inspect"):
            with gr.Column(elem_id="dm-main", scale=3):
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
                    visible="hidden", elem_id="dm-viewer", photo_input="#dm-photo"
                )
                self._build_examples()
            with gr.Column(elem_id="dm-side", scale=1):
                self._build_policy()
                self.card = gr.HTML(card.empty_card(text.CARD_WAITING), elem_id="dm-detail")
                self._build_sliders()
                with gr.Row(elem_classes="dm-row"):
                    self.save_png = gr.Button(
                        text.DOWNLOAD_PNG, size="sm", interactive=False, elem_id="dm-save-png"
                    )
                    self.save_json = gr.Button(
                        text.DOWNLOAD_JSON, size="sm", interactive=False, elem_id="dm-save-json"
                    )
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

    def _wire(self, demo: gr.Blocks) -> None:
        controls = [self.policy, self.budget, self.threshold, self.min_score]
        shown = [self.viewer, self.card]
        drawn = [*shown, self.state, self.selected]
        opened = [*drawn, self.photo, self.alert, self.save_png, self.save_json]
        demo.load(self.on_load, None, [self.banner, self.budget], **QUIET, concurrency_limit=None)
        self.photo.input(
            self.on_photo,
            [self.photo, *controls],
            opened,
            api_visibility="private",
            show_progress_on=[self.photo, self.viewer],
            **MODEL,
        )
        self.examples.click(
            self.on_example,
            [self.examples, *controls],
            opened,
            api_visibility="private",
            show_progress_on=[self.photo, self.viewer],
            **MODEL,
        )
        again = {**QUIET, **MODEL, "trigger_mode": "always_last"}
        known = [self.state, self.selected, *controls]
        for control in (self.threshold, self.min_score):
            control.input(self.on_control, known, shown, **again)
        self.policy.input(self.on_policy, known, [*shown, self.policy], **again)
        self.budget.input(self.on_budget, known, [*shown, self.policy], **again)
        # every event counts and in its order: always_last would send the first one's data again
        event = {**QUIET, "trigger_mode": "multiple"}
        self.viewer.select(
            self.on_select,
            [self.state, *controls],
            [self.card, self.selected],
            **event,
            concurrency_limit=1,
        )
        self.viewer.draw(self.on_draw, [self.state, *controls], drawn, **event, **MODEL)
        self.viewer.remove(self.on_remove, [self.state, *controls], drawn, **event, **MODEL)
        self.viewer.renew(self.on_renew, None, opened, **QUIET)
        for button, handler in ((self.save_png, self.on_png), (self.save_json, self.on_json)):
            button.click(handler, [self.state, *controls], self.file, **QUIET, **MODEL).success(
                None,
                js="() => setTimeout(() => document.querySelector("
                "'#dm-file a, a#dm-file, #dm-file').click(), 200)",
                api_visibility="private",
            )

    # -- handlers --------------------------------------------------------------------------

    def on_load(self) -> tuple[Any, Any]:
        """Wait for the model; then give the budget slider its range, or say what is wrong."""
        try:
            predictor = self.session.predictor()
        except DynaMaskError as error:
            sentence = f"<strong>{escape(text.NO_MODEL)}</strong>{escape(str(error))}"
            banner = f'<div class="dm-banner" role="alert" data-testid="no-model">{sentence}</div>'
            return gr.update(value=banner, visible=True), gr.skip()
        low, high = predictor.budget_range()
        info = text.BUDGET_RANGE.format(low=self._share(low), high=self._share(high))
        low, high = _inwards(low), _inwards(high, up=False)
        middle = round((low + high) / 2, 3)
        return gr.update(visible=False), gr.update(
            minimum=low, maximum=high, value=middle, interactive=True, info=info
        )

    def on_photo(self, path: str | None, *controls: Any) -> Any:
        """Analyse an uploaded, pasted or photographed picture."""
        if path is None:  # the picture was cleared
            return gr.skip()
        return self._open(path, Path(path).name, controls)

    def on_example(self, index: int, *controls: Any) -> Any:
        """Analyse one of the example photos."""
        if not isinstance(index, int) or not 0 <= index < len(self.example_paths):
            return gr.skip()
        path = self.example_paths[index]
        return self._open(str(path), path.name, controls)

    @sentences
    def on_control(self, state: State, selected: int | None, *controls: Any) -> tuple[Any, Any]:
        """Decode again under new settings; nothing is encoded."""
        if not state["key"]:
            return gr.skip(), gr.skip()
        return self._show(self._reopen(state), state, selected, controls)

    def on_policy(self, state: State, selected: int | None, *controls: Any) -> tuple[Any, ...]:
        """As :meth:`on_control`, and explain the policy."""
        shown = self.on_control(state, selected, *controls)
        return (*shown, gr.update(info=text.policy_help(controls[0], self._share(controls[1]))))

    def on_budget(
        self, state: State, selected: int | None, _: Any, *others: Any
    ) -> tuple[Any, ...]:
        """Moving the budget chooses the budget policy."""
        shown = self.on_control(state, selected, "budget", *others)
        info = text.policy_help("budget", self._share(others[0]))
        return (*shown, gr.update(value="budget", info=info))

    # the next three name each control, since Gradio looks for the event among named arguments

    @sentences
    def on_select(
        self, state: State, policy: Any, budget: Any, cut: Any, score: Any, event: gr.EventData
    ) -> tuple[str, int | None]:
        """Show the card of the object that was clicked."""
        selected = events.read_id(event._data)
        if not state["key"]:
            return card.empty_card(text.CARD_WAITING), None
        ask = self._ask(state, (policy, budget, cut, score))
        return self._card(self.session.decode(self._reopen(state), ask), selected), selected

    @sentences
    def on_draw(
        self, state: State, policy: Any, budget: Any, cut: Any, score: Any, event: gr.EventData
    ) -> tuple[Any, ...]:
        """Mask what is inside a drawn box, and select it."""
        opened = self._reopen(state)
        box = events.read_box(event._data, opened.scene.image_size)
        state = {**state, "drawn": events.add_box(state["drawn"], box)}
        new = len(opened.scene) + len(state["drawn"])
        controls = (policy, budget, cut, score)
        return (*self._show(opened, state, new, controls, select=new), state, new)

    @sentences
    def on_remove(
        self, state: State, policy: Any, budget: Any, cut: Any, score: Any, event: gr.EventData
    ) -> tuple[Any, ...]:
        """Forget a drawn box."""
        opened = self._reopen(state)
        gone = (events.read_id(event._data) or 0) - len(opened.scene) - 1
        drawn = tuple(box for i, box in enumerate(state["drawn"]) if i != gone)
        state = {**state, "drawn": drawn}
        controls = (policy, budget, cut, score)
        return (*self._show(opened, state, None, controls, select=0), state, None)

    def on_renew(self) -> tuple[Any, ...]:
        """Make room for another photo."""
        return self._closed("")

    @sentences
    def on_json(self, state: State, *controls: Any) -> Any:
        """Write the result as JSON, the same as ``python -m dynamask predict --json``."""
        decoded = self._saved(state, controls)[1]
        facts = result_dict(decoded.instances, file_name=state["name"])
        data = json.dumps(facts, allow_nan=False, indent=1).encode()
        return self._file(data, f"{_stem(state['name'])}.json")

    @sentences
    def on_png(self, state: State, *controls: Any) -> Any:
        """Draw the overlay at the photo's own size."""
        from dynamask.overlay import draw_overlay

        opened, decoded = self._saved(state, controls)
        picture = draw_overlay(opened.pixels, decoded.instances)
        return self._file(encode(picture[..., ::-1], ".png"), f"{_stem(state['name'])}.png")

    # -- parts -----------------------------------------------------------------------------

    def _open(self, path: str, name: str, controls: tuple[Any, ...]) -> tuple[Any, ...]:
        try:
            opened = self.session.open(path)
            state = {**new_state(), "key": opened.scene.key, "path": path, "name": name}
            viewer, detail = self._show(opened, state, None, controls, select=0)
        except DynaMaskError as error:
            return self._closed(str(error))
        except Exception:
            logger.exception("unexpected error while analysing a photo")
            return self._closed(text.UNEXPECTED)
        return (
            {**viewer, "visible": True},
            detail,
            state,
            None,
            gr.update(value=None, visible="hidden"),
            gr.update(visible=False, value=""),
            gr.update(interactive=True),
            gr.update(interactive=True),
        )

    def _closed(self, sentence: str) -> tuple[Any, ...]:
        """The page without a photo, and with a sentence where one could not be used."""
        alert = f'<div class="dm-alert" role="alert" data-testid="alert">{escape(sentence)}</div>'
        return (
            gr.update(value=None, visible="hidden"),
            card.empty_card(text.CARD_WAITING),
            new_state(),
            None,
            gr.update(value=None, visible=True),
            gr.update(visible=bool(sentence), value=alert),
            gr.update(interactive=False),
            gr.update(interactive=False),
        )

    def _show(
        self,
        opened: Opened,
        state: State,
        selected: int | None,
        controls: tuple[Any, ...],
        select: int | None = None,
    ) -> tuple[Any, str]:
        """The viewer and the card; ``select`` is told to the browser: None keeps its own choice."""
        ask = self._ask(state, controls)
        decoded = self.session.decode(opened, ask)
        value = viewer_value(
            opened, decoded, name=state["name"], min_score=ask.min_score, select=select
        )
        value["photo"] = save_bytes_to_cache(
            display_jpeg(opened.pixels), "photo.jpg", self.viewer.GRADIO_CACHE
        )
        return gr.update(value=value), self._card(decoded, selected)

    def _card(self, decoded: Decoded, selected: int | None) -> str:
        costs = self.session.predictor().cost_table
        row = decoded.row(selected)
        area = None if row is None else int(decoded.instances.paste(row).sum())
        return card.object_card(decoded, selected, costs, area)

    def _share(self, budget: Any) -> float | None:
        """A budget as a part of an object's cost at 112; None while there is no model."""
        known = self.session.state == "ready" and isinstance(budget, (int, float))
        return budget * 1e9 / self.session.predictor().cost_table.exits[-1] if known else None

    def _ask(self, state: State, controls: tuple[Any, ...]) -> Ask:
        policy, budget, threshold, min_score = controls
        if policy not in text.POLICIES:
            raise InputError(text.EVENT_ODD.format(what="one of the policies"))
        if policy == "budget":
            bounds = self.session.predictor().budget_range()
            policy = f"budget:{events.read_number(budget, bounds, 'a budget'):.4f}"
        return Ask(
            policy=policy,
            threshold=events.read_number(threshold, settings.THRESHOLD_RANGE, "a mask threshold"),
            min_score=events.read_number(min_score, settings.MIN_SCORE_RANGE, "a smallest score"),
            drawn=state["drawn"],
        )

    def _reopen(self, state: State) -> Opened:
        return self.session.reopen(state["key"], state["path"])

    def _saved(self, state: State, controls: tuple[Any, ...]) -> tuple[Opened, Decoded]:
        if not state["key"]:
            raise InputError(text.NOTHING_TO_SAVE)
        opened = self._reopen(state)
        return opened, self.session.decode(opened, self._ask(state, controls))

    def _file(self, data: bytes, name: str) -> Any:
        return gr.update(value=save_bytes_to_cache(data, name, self.file.GRADIO_CACHE))


def _inwards(value: float, *, up: bool = True) -> float:
    """Round to the slider's three digits without leaving the range that policies accept."""
    steps = value * 1000
    whole = int(steps)
    return (whole + (1 if up and whole < steps else 0)) / 1000


def _stem(name: str) -> str:
    """A file name's stem, fit for a download: letters, digits, dash and underscore."""
    clean = "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(name).stem)
    return f"dynamask-{clean[:60] or 'photo'}"
