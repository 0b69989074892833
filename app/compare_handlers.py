"""The Compare tab's event handlers.

Controls are always weights, policy and budget of A, the same of B, threshold and smallest score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from analysis.exports import csv_bytes
from app import compare_job, compare_view, events, settings, text
from app import text_compare as words
from app.compare_job import FIRST, SECOND, Choice
from app.compare_view import Comparison
from app.discretion import sentence_of
from app.guard import sentences
from app.inspect_parts import inwards, stem
from app.ordering import Sequence as Numbers
from app.picture import display_jpeg
from app.session import Ask, Opened, Session
from app.widgets.compare_viewer import CompareViewer
from dynamask.errors import DynaMaskError, InputError

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
        "every": None,  # whether everything found is shown; None until the user has said
        "by_hand": (),  # as in Inspect
        "inspected": None,  # policy and its name in Inspect, where the photo is from there
    }


TAKEN = ("key", "path", "name", "drawn", "labels", "truth", "every", "by_hand")
AS_INSPECTED = "inspect"
"""The choice of a side that does as the Inspect tab did when the photo was taken from it."""


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
        self.sequence = Numbers()

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

    def on_take(
        self, inspected: State, policy: Any, budget: Any, cut: Any, score: Any, *controls: Any
    ) -> Any:
        """Take over the Inspect tab's photo with all that was done to it there, as side A.

        Args:
            inspected: that tab's state; the next four are its controls.
            policy: see ``inspected``, as are budget, cut and score.
            budget: see there.
            cut: see there.
            score: see there.
            controls: of this tab.

        Returns:
            The outputs of :meth:`on_photo`, A's weights, threshold and smallest score.
        """
        number = self.sequence.next()
        if not inspected.get("key"):
            return (*self._closed(words.TAKE_NONE, controls), *[gr.skip()] * 3)
        state = {**new_state(), **{name: inspected[name] for name in TAKEN}}
        controls = (FIRST, AS_INSPECTED, *controls[2:6], cut, score)

        def reopened() -> Opened:
            chosen = self._choice(FIRST, policy, budget, state)
            state["inspected"] = (chosen.policy, chosen.label)
            return self._reopen(state)

        shown = self._opened(reopened, state, controls, number)
        return (*shown, FIRST, cut, score)

    @sentences
    def on_every(
        self, state: State, selected: int | None, every: Any, *controls: Any
    ) -> tuple[Any, ...]:
        """Show or hide the classes that the weights do not vouch for."""
        state = {**state, "every": every is True}
        viewer, card, *_ = self.on_control(state, selected, *controls)
        return viewer, card, state

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
        event: gr.EventData,
    ) -> tuple[Any, ...]:
        """Show both versions of the object that was clicked."""
        selected = events.read_id(event._data)
        if not state["key"]:
            return compare_view.empty_card(), None
        controls = (weights_a, policy_a, budget_a, weights_b, policy_b, budget_b)
        made, _ = self._compare(self._reopen(state), state, (*controls, threshold, min_score))
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

    def on_renew(self, *controls: Any) -> tuple[Any, ...]:
        """Make room for another photo."""
        return self._closed("", controls)

    # -- parts -----------------------------------------------------------------------------

    def _open(self, path: str, name: str, controls: tuple[Any, ...]) -> tuple[Any, ...]:
        number = self.sequence.next()
        state = {**new_state(), "path": path, "name": name}
        return self._opened(lambda: self.sessions[FIRST].open(path), state, controls, number)

    def _opened(
        self, get: Callable[[], Opened], state: State, controls: Sequence[Any], number: int
    ) -> tuple[Any, ...]:
        try:
            opened = get()
            state = {**state, "key": opened.scene.key}
            if state["inspected"] is None:
                controls = _not_inspected(controls)
            made, value = self._show(opened, state, controls, number)
        except Exception as error:
            return self._closed(sentence_of(error, "while comparing"), controls)
        return (
            gr.update(value=value, visible=True),
            gr.update(value=compare_view.empty_card(), visible=True),
            state,
            None,
            gr.update(value=None, visible="hidden"),
            gr.update(visible=False, value=""),
            gr.update(visible="hidden"),
            gr.update(interactive=True),
            gr.update(value=state["every"] is True or made.a.decoded.unsure > 0),
            *self._policies(controls, taken=state["inspected"] is not None),
            *self._budgets(controls),
        )

    def _closed(self, sentence: str, controls: Sequence[Any]) -> tuple[Any, ...]:
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
            gr.update(value=False),
            *self._policies(_not_inspected(controls)),
            *self._budgets(controls),
        )

    def _show(
        self, opened: Opened, state: State, controls: Sequence[Any], number: int
    ) -> tuple[Comparison, dict[str, Any]]:
        made, ask = self._compare(opened, state, controls)
        value = compare_view.viewer_value(made, name=state["name"], min_score=ask.min_score)
        value["seq"] = number
        value["photo"] = save_bytes_to_cache(
            display_jpeg(opened.pixels), "photo.jpg", self.viewer.GRADIO_CACHE
        )
        return made, value

    def _compare(
        self, opened: Opened, state: State, controls: Sequence[Any]
    ) -> tuple[Comparison, Ask]:
        a, b = (self._choice(*side, state) for side in (controls[:3], controls[3:6]))
        threshold, min_score = controls[6:]
        ask = Ask(
            threshold=events.read_number(threshold, settings.THRESHOLD_RANGE, "a mask threshold"),
            min_score=events.read_number(min_score, settings.MIN_SCORE_RANGE, "a smallest score"),
            drawn=state["drawn"],
            drawn_labels=state["labels"],
            truth=state["truth"],
            everything=state["every"],
        )
        return compare_job.compare(self.sessions, opened, a, b, ask, state["name"]), ask

    def _choice(self, weights: Any, policy: Any, budget: Any, state: State) -> Choice:
        if not isinstance(weights, str) or weights not in self.sessions:
            raise InputError(words.SIDE_ODD)
        if policy == AS_INSPECTED:
            return self._inspected(weights, state)
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

    @staticmethod
    def _inspected(weights: str, state: State) -> Choice:
        """The policy that Inspect had, and the grids that were set by hand there."""
        if state["inspected"] is None:
            raise InputError(words.AS_INSPECTED_NONE)
        policy, label = state["inspected"]
        if state["by_hand"]:
            label = words.AS_INSPECTED_HAND.format(policy=label, count=len(state["by_hand"]))
        label = words.AS_INSPECTED_LABEL.format(policy=label)
        return Choice(weights, policy, label, state["by_hand"])

    @staticmethod
    def _policies(controls: Sequence[Any], *, taken: bool = False) -> tuple[Any, Any]:
        """Both sides' choices; as in Inspect can be chosen while the photo is from there."""
        choices = policies(taken=taken)
        return tuple(gr.update(value=controls[i], choices=choices) for i in (1, 4))

    @staticmethod
    def _budgets(controls: Sequence[Any]) -> tuple[Any, Any]:
        """Each budget slider is shown while its side uses it."""
        return tuple(
            gr.update(visible=True if policy == "budget" else "hidden")
            for policy in (controls[1], controls[4])
        )

    def _reopen(self, state: State) -> Opened:
        return self.sessions[FIRST].reopen(state["key"], state["path"])


def policies(*, taken: bool = False) -> list[tuple[str, str]]:
    """Label and value of each choice of a side; ``taken`` where the photo is Inspect's."""
    extra = [(words.AS_INSPECTED, AS_INSPECTED)] if taken else []
    return [*((label, value) for value, label in text.POLICIES.items()), *extra]


def _not_inspected(controls: Sequence[Any]) -> list[Any]:
    """The controls for another photo: nothing is as in Inspect any more."""
    return [settings.POLICY if value == AS_INSPECTED else value for value in controls]
