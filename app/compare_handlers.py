"""The Compare tab's event handlers.

Controls are always weights, policy and budget of A, the same of B, threshold, smallest score and
whether every class is shown.
"""

from __future__ import annotations

import logging
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from analysis.exports import csv_bytes
from app import compare_job, compare_view, events, overrides, settings, text
from app import text_compare as words
from app.compare_job import FIRST, SECOND, Choice
from app.compare_view import Comparison
from app.guard import sentences
from app.inspect_parts import inwards, stem
from app.ordering import Sequence
from app.picture import display_jpeg
from app.session import Ask, Opened, Session
from app.widgets.compare_viewer import CompareViewer
from dynamask.errors import DynaMaskError, InputError

logger = logging.getLogger(__name__)

State = dict[str, Any]


def new_state() -> State:
    """What one user's page remembers of its photo: a key, a path, a few boxes; never a tensor."""
    return {
        "key": None,
        "path": None,
        "name": "",
        "drawn": (),
        "labels": (),
        "truth": "",
    }


class CompareHandlers:
    """See the module's docstring.

    Args:
        session: the model.
        second: other weights to compare with, or None.
    """

    viewer: CompareViewer
    file: gr.DownloadButton
    example_paths: list[Path]

    def __init__(self, session: Session, second: Session | None = None) -> None:
        self.sessions = {FIRST: session}
        if second is not None:
            second.truths = session.truths  # ground truth belongs to the photo, not to a model
            self.sessions[SECOND] = second
        self.sequence = Sequence()

    def on_load(self) -> tuple[Any, Any]:
        """Give the budget sliders their range once the model is there."""
        try:
            low, high = self.sessions[FIRST].predictor().budget_range()
        except DynaMaskError:  # the Inspect tab's banner says so
            return gr.skip(), gr.skip()
        low, high = inwards(low), inwards(high, up=False)
        middle = round((low + high) / 2, 3)
        update = gr.update(minimum=low, maximum=high, value=middle)
        return update, update

    def on_photo(self, path: str | None, *controls: Any) -> Any:
        """Analyse an uploaded, pasted or photographed picture."""
        if path is None:  # the picture was cleared
            return gr.skip()
        return self._open(path, Path(path).name, controls)

    def on_example(self, index: int, *controls: Any) -> Any:
        """Analyse one of the example photos."""
        if isinstance(index, bool) or not isinstance(index, int):
            return gr.skip()
        if not 0 <= index < len(self.example_paths):
            return gr.skip()
        path = self.example_paths[index]
        return self._open(str(path), path.name, controls)

    def on_take(self, inspected: State, *controls: Any) -> Any:
        """Take over the Inspect tab's photo, with its drawn boxes and its ground truth."""
        number = self.sequence.next()
        if not inspected.get("key"):
            return self._closed(words.TAKE_NONE)
        state = {name: inspected.get(name, empty) for name, empty in new_state().items()}
        every = inspected.get("every") is True
        *shown, _ = self._opened(
            lambda: self._reopen(state), state, (*controls[:-1], every), number
        )
        return (*shown, gr.update(value=every))

    @sentences
    def on_control(self, state: State, selected: int | None, *controls: Any) -> tuple[Any, ...]:
        """Decode again under new settings; a photo is encoded again for other weights only."""
        number = self.sequence.next()
        shown = self._budgets(controls)
        if not state["key"]:
            return (gr.skip(), gr.skip(), *shown)
        made, value = self._show(self._reopen(state), state, controls, number)
        card = compare_view.object_card(made, selected)
        return (gr.update(value=value), card, *shown)

    # each control is named, since Gradio looks for the event among named arguments
    @sentences
    def on_select(
        self,
        state: State,
        weights_a: Any,
        policy_a: Any,
        budget_a: Any,
        weights_b: Any,
        policy_b: Any,
        budget_b: Any,
        threshold: Any,
        min_score: Any,
        every: Any,
        event: gr.EventData,
    ) -> tuple[Any, ...]:
        """Show both versions of the object that was clicked."""
        selected = events.read_id(event._data)
        if not state["key"]:
            return compare_view.empty_card(), None
        controls = (weights_a, policy_a, budget_a, weights_b, policy_b, budget_b)
        made, _ = self._compare(
            self._reopen(state), state, (*controls, threshold, min_score, every)
        )
        if made.a.decoded.row(selected) is None:
            selected = None
        return compare_view.object_card(made, selected), selected

    @sentences
    def on_save(self, state: State, *controls: Any) -> Any:
        """Write the numbers of all objects as CSV."""
        if not state["key"]:
            raise InputError(text.NOTHING_TO_SAVE)
        made, _ = self._compare(self._reopen(state), state, controls)
        data = csv_bytes(compare_view.changed_table(made))
        name = f"{stem(state['name'])}-compared.csv"
        return gr.update(value=save_bytes_to_cache(data, name, self.file.GRADIO_CACHE))

    def on_renew(self) -> tuple[Any, ...]:
        """Make room for another photo."""
        return self._closed("")

    # -- parts -----------------------------------------------------------------------------

    def _open(self, path: str, name: str, controls: tuple[Any, ...]) -> tuple[Any, ...]:
        number = self.sequence.next()
        state = {**new_state(), "path": path, "name": name}
        return self._opened(lambda: self.sessions[FIRST].open(path), state, controls, number)

    def _opened(
        self, get: Any, state: State, controls: tuple[Any, ...], number: int
    ) -> tuple[Any, ...]:
        try:
            opened = get()
            state = {**state, "key": opened.scene.key}
            _, value = self._show(opened, state, controls, number)
        except DynaMaskError as error:
            return self._closed(str(error))
        except Exception:
            logger.exception("unexpected error while comparing")
            return self._closed(text.UNEXPECTED)
        return (
            gr.update(value=value, visible=True),
            gr.update(value=compare_view.empty_card(), visible=True),
            state,
            None,
            gr.update(value=None, visible="hidden"),
            gr.update(visible=False, value=""),
            gr.update(visible="hidden"),
            gr.update(interactive=True),
            gr.skip(),
        )

    def _closed(self, sentence: str) -> tuple[Any, ...]:
        alert = (
            '<div class="dm-alert" role="alert" data-testid="compare-alert">'
            f"{escape(sentence)}</div>"
        )
        return (
            gr.update(value=None, visible="hidden"),
            gr.update(value=compare_view.empty_card(), visible="hidden"),
            new_state(),
            None,
            gr.update(value=None, visible=True),
            gr.update(visible=bool(sentence), value=alert),
            gr.update(visible=True),
            gr.update(interactive=False),
            gr.skip(),
        )

    def _show(
        self, opened: Opened, state: State, controls: tuple[Any, ...], number: int
    ) -> tuple[Comparison, dict[str, Any]]:
        made, ask = self._compare(opened, state, controls)
        value = compare_view.viewer_value(made, name=state["name"], min_score=ask.min_score)
        value["seq"] = number
        if made.a.decoded.hidden:
            model = self.sessions[controls[0]].predictor()
            hidden = overrides.hidden_sentence(made.a.decoded.hidden, model)
            value["notices"] = [*value["notices"], hidden]
        value["photo"] = save_bytes_to_cache(
            display_jpeg(opened.pixels), "photo.jpg", self.viewer.GRADIO_CACHE
        )
        return made, value

    def _compare(
        self, opened: Opened, state: State, controls: tuple[Any, ...]
    ) -> tuple[Comparison, Ask]:
        a, b = (self._choice(*side, state) for side in (controls[:3], controls[3:6]))
        threshold, min_score, every = controls[6:]
        ask = Ask(
            threshold=events.read_number(threshold, settings.THRESHOLD_RANGE, "a mask threshold"),
            min_score=events.read_number(min_score, settings.MIN_SCORE_RANGE, "a smallest score"),
            drawn=state["drawn"],
            drawn_labels=state["labels"],
            truth=state["truth"],
            every_class=every is True,
        )
        return compare_job.compare(self.sessions, opened, a, b, ask, state["name"]), ask

    def _choice(self, weights: Any, policy: Any, budget: Any, state: State) -> Choice:
        if not isinstance(weights, str) or weights not in self.sessions:
            raise InputError(words.SIDE_ODD)
        if not isinstance(policy, str) or policy not in text.POLICIES:
            raise InputError(text.EVENT_ODD.format(what="one of the policies"))
        session = self.sessions[weights]
        if policy == "oracle" and session.truth(state["truth"]) is None:
            raise InputError(text.TRUTH_NEEDED)
        if policy != "budget":
            return Choice(weights, policy, compare_job.label_of(policy))
        bounds = session.predictor().budget_range()
        mean = events.read_number(budget, bounds, "a budget")
        return Choice(weights, f"budget:{mean:.4f}", compare_job.label_of(policy, mean))

    def _budgets(self, controls: tuple[Any, ...]) -> tuple[Any, Any]:
        """Each budget slider is shown while its side uses it."""
        return tuple(
            gr.update(visible=True if policy == "budget" else "hidden")
            for policy in (controls[1], controls[4])
        )

    def _reopen(self, state: State) -> Opened:
        return self.sessions[FIRST].reopen(state["key"], state["path"])
