"""The Inspect tab's event handlers: plain functions of a state, controls and what came in.

Controls are always policy, budget, threshold and smallest score, in this order.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app import card, events, query, settings, text, text_dataset, truth, uploads
from app.guard import sentences
from app.inspect_files import Files
from app.inspect_memory import Memory
from app.inspect_parts import State, oracle_waits, without_box
from app.ordering import in_order
from app.widgets.photo_input import check_uploaded
from dynamask.errors import InputError

SKIP_SHOWN = 5  # viewer, card, grid by hand, class of a drawn box, reach of the budget


class Handlers(Memory, Files):
    """See the module's docstring."""

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
    @in_order("control")
    def on_control(self, state: State, selected: int | None, *controls: Any) -> tuple[Any, ...]:
        """Decode again under new settings; nothing is encoded."""
        return self._again(state, selected, controls)

    @sentences
    @in_order("control")
    def on_policy(
        self,
        state: State,
        selected: int | None,
        policy: Any,
        budget: Any,
        cut: Any,
        score: Any,
        usual: str = settings.POLICY,
    ) -> tuple[Any, ...]:
        """As :meth:`on_control`, and explain the policy; an oracle without truth is not chosen.

        Args:
            state: of the page.
            selected: an object's id.
            policy: what was chosen.
            budget: these three as everywhere here.
            cut: see ``budget``.
            score: see ``budget``.
            usual: the last policy that needs no file, which an oracle without truth goes back to.
        """
        back, files, note = {}, gr.skip(), gr.skip()
        if self._waits_for_truth(state, policy):
            said = oracle_waits(usual, photo=bool(state["key"]))
            gr.Warning(said, title="")
            policy, back = usual, {"value": usual}
            if state["key"]:  # where to load the file is seen at once
                files, note = gr.update(open=True), _note(said)
        viewer, detail, *extras = self._again(state, selected, (policy, budget, cut, score))
        info = text.policy_help(policy, self._share(budget))
        usual = usual if policy == query.NEEDS_TRUTH else policy
        return (viewer, detail, gr.update(info=info, **back), *extras, usual, files, note)

    @sentences
    @in_order("control")
    def on_budget(
        self, state: State, selected: int | None, _: Any, *others: Any
    ) -> tuple[Any, ...]:
        """Moving the budget chooses the budget policy."""
        viewer, detail, *extras = self._again(state, selected, ("budget", *others))
        info = text.policy_help("budget", self._share(others[0]))
        explained = gr.update(value="budget", info=info)
        return (viewer, detail, explained, *extras, "budget", gr.skip(), gr.skip())

    def show_photo(
        self, path: Path, size: tuple[int, int], controls: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Analyse a photo that another tab has; the outputs of :meth:`on_photo`.

        It is shown in the frame of its boxes: mostly as stored, whatever EXIF says.

        Args:
            path: the photo.
            size: (height, width) that its boxes are meant for.
            controls: as everywhere here.

        Raises:
            InputError: it cannot be read, or has another size.
        """
        name = path.name
        framed = uploads.in_frame(path, size, self.viewer.GRADIO_CACHE)
        found = self.session.open(framed).scene.image_size
        if tuple(found) != size:
            raise InputError(
                text_dataset.PHOTO_OTHER_SIZE.format(
                    name=name, width=size[1], height=size[0], w=found[1], h=found[0]
                )
            )
        if framed != path:
            gr.Info(text_dataset.PHOTO_AS_STORED)
        return self._open(str(framed), name, controls)

    def show_box(
        self, state: State, box: tuple[float, ...], name: str, controls: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Add a box that another tab has to the photo, and select it; as :meth:`on_draw`.

        Args:
            state: after :meth:`show_photo`.
            box: x1, y1, x2, y2 in photo pixels.
            name: its class.
            controls: as everywhere here.

        Raises:
            InputError: the box is not inside the photo.
        """
        opened = self._reopen(state)
        inside = events.read_box({"box": list(box)}, opened.scene.image_size)
        label = truth.label_of(name, self.session.predictor().categories)
        state = self._with_boxes(state, [(inside, label)])
        new = len(opened.scene) + len(state["drawn"])
        return self._with_state(opened, state, new, controls, select=new)

    # the next four name each control, since Gradio looks for the event among named arguments

    @sentences
    @in_order("select")
    def on_select(
        self, state: State, policy: Any, budget: Any, cut: Any, score: Any, event: gr.EventData
    ) -> tuple[Any, ...]:
        """Show the card of the object that was clicked."""
        selected = events.read_id(event._data)
        if not state["key"]:
            empty = card.empty_card(text.CARD_WAITING)
            return (empty, None, *self._extras(None, None, state))
        ask = self._ask(state, (policy, budget, cut, score))
        opened = self._reopen(state)
        decoded = self.session.decode(opened, ask)
        if decoded.row(selected) is None:
            selected = None
        detail = self._card(opened, decoded, ask, selected)
        return (detail, selected, *self._extras(decoded, selected, state))

    @sentences
    def on_draw(
        self, state: State, policy: Any, budget: Any, cut: Any, score: Any, event: gr.EventData
    ) -> tuple[Any, ...]:
        """Mask what is inside a drawn box, and select it."""
        opened = self._reopen(state)
        box = events.read_box(event._data, opened.scene.image_size)
        state = self._with_boxes(state, [(box, -1)])
        new = len(opened.scene) + len(state["drawn"])
        return self._with_state(opened, state, new, (policy, budget, cut, score), select=new)

    @sentences
    def on_move(
        self, state: State, policy: Any, budget: Any, cut: Any, score: Any, event: gr.EventData
    ) -> tuple[Any, ...]:
        """Move or resize a drawn box; it stays selected."""
        opened = self._reopen(state)
        box = events.read_box(event._data, opened.scene.image_size)
        moved = events.read_id(event._data)
        at = (moved or 0) - len(opened.scene) - 1
        drawn = tuple(box if i == at else old for i, old in enumerate(state["drawn"]))
        state = {**state, "drawn": drawn}
        return self._with_state(opened, state, moved, (policy, budget, cut, score))

    @sentences
    def on_remove(
        self, state: State, policy: Any, budget: Any, cut: Any, score: Any, event: gr.EventData
    ) -> tuple[Any, ...]:
        """Forget a drawn box."""
        opened = self._reopen(state)
        first = len(opened.scene) + 1
        gone = (events.read_id(event._data) or 0) - first
        state = without_box(state, gone, first)
        return self._with_state(opened, state, None, (policy, budget, cut, score), select=0)

    @sentences
    def on_by_hand(
        self, state: State, selected: int | None, choice: Any, *controls: Any
    ) -> tuple[Any, ...]:
        """Set the selected object's grid, or leave it to the policy again."""
        if not state["key"] or selected is None:
            return self._skip()
        grid = events.read_grid(choice)
        kept = {i: g for i, g in state["by_hand"] if i != selected}
        if grid is not None:
            kept[selected] = grid
        state = {**state, "by_hand": tuple(sorted(kept.items()))}
        return self._with_state(self._reopen(state), state, selected, controls)

    @sentences
    def on_label(
        self, state: State, selected: int | None, name: Any, *controls: Any
    ) -> tuple[Any, ...]:
        """Say what a drawn box holds."""
        if not state["key"] or selected is None:
            return self._skip()
        opened = self._reopen(state)
        at = selected - len(opened.scene) - 1
        if not 0 <= at < len(state["drawn"]):
            return self._skip()
        label = truth.label_of(str(name), self.session.predictor().categories)
        labels = [*state["labels"], *[-1] * (len(state["drawn"]) - len(state["labels"]))]
        labels[at] = label
        state = {**state, "labels": tuple(labels)}
        return self._with_state(opened, state, selected, controls)

    @sentences
    def on_every(
        self, state: State, selected: int | None, every: Any, *controls: Any
    ) -> tuple[Any, ...]:
        """Show or hide the classes that the weights do not vouch for."""
        state = {**state, "every": every is True}
        if not state["key"]:
            return (gr.skip(), gr.skip(), state, gr.skip(), *[gr.skip()] * 3)
        return self._with_state(self._reopen(state), state, selected, controls)

    @sentences
    def on_truth(
        self, state: State, selected: int | None, path: Any, *controls: Any
    ) -> tuple[Any, ...]:
        """Load ground truth for the photo, which the oracle and the film strip then use."""
        opened = self._reopen(state)
        found = self.session.load_truth(check_uploaded(path), opened, state["name"])
        state = {**state, "truth": found.key}
        shown = self._with_state(opened, state, selected, controls)
        decoded = self.session.decode(opened, self._ask(state, controls))
        said = text.TRUTH_LOADED.format(
            file=found.file,
            objects=text.objects(len(found.annotations)).lower(),
            matched=found.count_matches(decoded.instances.boxes_xyxy_px.numpy()),
        )
        if found.skipped:
            said += text.TRUTH_SKIPPED.format(count=found.skipped)
        return (*shown, _note(said))

    @sentences
    def on_boxes(
        self, state: State, selected: int | None, path: Any, *controls: Any
    ) -> tuple[Any, ...]:
        """Add the boxes of a COCO file as if they had been drawn."""
        opened = self._reopen(state)
        path = check_uploaded(path)
        rows = truth.read_boxes(path, opened.scene.image_size, state["name"])
        names = self.session.predictor().categories
        new = [(box, truth.label_of(name, names)) for box, name, _ in rows]
        state = self._with_boxes(state, new)
        said = text.BOXES_LOADED.format(count=len(new), file=Path(path).name)
        return (*self._with_state(opened, state, selected, controls), _note(said))

    def on_renew(self) -> tuple[Any, ...]:
        """Make room for another photo."""
        return self._closed("")

    # -- parts -----------------------------------------------------------------------------

    def _again(
        self, state: State, selected: int | None, controls: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        number = self.sequence.next()
        if not state["key"]:
            return (gr.skip(),) * SKIP_SHOWN
        return self._show(self._reopen(state), state, selected, controls, number=number)

    def _waits_for_truth(self, state: State, policy: Any) -> bool:
        return policy == query.NEEDS_TRUTH and self.session.truth(state["truth"]) is None

    def _with_boxes(self, state: State, new: list[tuple[events.Box, int]]) -> State:
        drawn = state["drawn"]
        labels = [*state["labels"], *[-1] * (len(drawn) - len(state["labels"]))]
        for box, label in new:
            drawn = events.add_box(drawn, box)
            labels.append(label)
        return {**state, "drawn": drawn, "labels": tuple(labels)}

    def _with_state(
        self,
        opened: Any,
        state: State,
        selected: int | None,
        controls: tuple[Any, ...],
        select: int | None = None,
    ) -> tuple[Any, ...]:
        viewer, detail, *extras = self._show(opened, state, selected, controls, select=select)
        return (viewer, detail, state, selected, *extras)

    @staticmethod
    def _skip() -> tuple[Any, ...]:
        return (gr.skip(),) * (SKIP_SHOWN + 2)


def _note(sentence: str) -> str:
    opening = '<p class="dm-muted dm-small" role="status" data-testid="coco-note">'
    return f"{opening}{escape(sentence)}</p>"
