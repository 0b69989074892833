"""What the Inspect tab's handlers share: from a state and controls to what the page shows."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from app import card, events, overrides, query, settings, text, text_page
from app.discretion import sentence_of
from app.ordering import Sequence
from app.picture import display_jpeg, viewer_value
from app.session import Ask, Decoded, Opened, Session
from app.widgets.mask_viewer import MaskViewer
from dynamask.errors import InputError

State = dict[str, Any]
MAX_PHOTO_FILES = 64  # names of photos in Gradio's cache; one is made again where it is gone


def new_state() -> State:
    """What one user's page remembers of its photo: a key, a path, a few boxes; never a tensor."""
    return {
        "key": None,
        "path": None,
        "name": "",
        "drawn": (),
        "labels": (),  # of the drawn boxes
        "by_hand": (),  # (object id, grid)
        "truth": "",
        "every": None,  # whether everything found is shown; None until the user has said
        "example": "",  # name of the example photo, without its suffix
    }


class Parts:
    """The parts of the tab that are no event handlers.

    Args:
        session: the model and the photos in memory.
    """

    file: gr.DownloadButton
    viewer: MaskViewer

    def __init__(self, session: Session) -> None:
        self.session = session
        self.sequence = Sequence()
        self._photo_files: OrderedDict[str, str] = OrderedDict()

    def _open(
        self,
        path: str,
        name: str,
        controls: tuple[Any, ...],
        keep: Any = None,
        every: bool | None = None,
    ) -> tuple[Any, ...]:
        """Analyse a photo.

        Args:
            path: the photo.
            name: as the page calls it.
            controls: as everywhere here.
            keep: filters that the browser then applies to it.
            every: whether everything found is shown; None is the model's own choice.
        """
        number = self.sequence.next()
        policy = gr.skip()
        if controls[0] == query.NEEDS_TRUTH:  # the last photo's truth is not this one's
            controls = (settings.POLICY, *controls[1:])
            gr.Warning(oracle_waits(settings.POLICY), title="")
            policy = gr.update(value=settings.POLICY, info=text.policy_help(settings.POLICY))
        try:
            opened = self.session.open(path)
            state = {**new_state(), "key": opened.scene.key, "path": path, "name": name}
            state["every"] = every
            if Path(path).parent == settings.EXAMPLES:
                state["example"] = Path(path).stem
            viewer, detail, *extras = self._show(
                opened, state, None, controls, select=0, number=number
            )
            if keep is not None:
                viewer["value"]["filter"] = keep
            unsure = self.session.decode(opened, self._ask(state, controls)).unsure
        except Exception as error:
            return self._closed(sentence_of(error, "while analysing a photo"))
        return (
            {**viewer, "visible": True},
            detail,
            state,
            None,
            gr.update(value=None, visible="hidden"),
            gr.update(visible=False, value=""),
            gr.update(interactive=True),
            gr.update(interactive=True),
            "",
            policy,
            *extras,
            gr.update(value=every is True or unsure > 0),  # as the picture is
        )

    def _closed(self, sentence: str) -> tuple[Any, ...]:
        """The page without a photo, and with a sentence where one could not be used."""
        alert = f'<div class="dm-alert" role="alert" data-testid="alert">{escape(sentence)}</div>'
        off = gr.update(interactive=False)
        return (
            gr.update(value=None, visible="hidden"),
            card.empty_card(text.CARD_WAITING),
            new_state(),
            None,
            gr.update(value=None, visible=True),
            gr.update(visible=bool(sentence), value=alert),
            off,
            off,
            "",
            gr.skip(),
            *self._extras(None, None, new_state()),
            gr.update(value=False),
        )

    def _show(
        self,
        opened: Opened,
        state: State,
        selected: int | None,
        controls: tuple[Any, ...],
        select: int | None = None,
        number: int | None = None,
    ) -> tuple[Any, ...]:
        """Viewer, card and what hangs on them; ``select`` is told to the browser.

        ``select`` None keeps the browser's own choice, 0 is none. ``number`` is the answer's place
        in the sequence, drawn when its event came in.
        """
        number = self.sequence.next() if number is None else number
        ask = self._ask(state, controls)
        decoded = self.session.decode(opened, ask)
        value = viewer_value(
            opened, decoded, name=state["name"], min_score=ask.min_score, select=select
        )
        value["seq"] = number
        value["photo"] = self._photo_file(opened)
        value["query"] = self._address(state, controls)
        detail = self._card(opened, decoded, ask, selected)
        return (gr.update(value=value), detail, *self._extras(decoded, selected, state))

    def _photo_file(self, opened: Opened) -> str:
        """Path of the photo as the page shows it; written once, not at every slider's move."""
        key = opened.scene.key
        path = self._photo_files.get(key)
        if path is None or not Path(path).is_file():
            data = display_jpeg(opened.pixels)
            path = save_bytes_to_cache(data, "photo.jpg", self.viewer.GRADIO_CACHE)
            self._photo_files[key] = path
            while len(self._photo_files) > MAX_PHOTO_FILES:
                self._photo_files.popitem(last=False)
        return path

    @staticmethod
    def _address(state: State, controls: tuple[Any, ...]) -> dict[str, str]:
        """What the page's address then says of the photo and its policy; "" takes it out."""
        policy, budget = controls[0], None
        if policy == "budget":
            budget = round(1000 * controls[1])
        shown = "" if policy == query.NEEDS_TRUTH else policy
        classes = next(
            (name for name, every in query.CLASSES.items() if every == state["every"]), ""
        )
        view = query.PageView(
            example=state["example"], policy=shown, budget=budget, classes=classes
        )
        return {"example": "", "policy": "", "budget": "", "classes": "", **query.encode(view)}

    def _card(self, opened: Opened, decoded: Decoded, ask: Ask, selected: int | None) -> str:
        costs = self.session.predictor().cost_table
        if selected is None or decoded.row(selected) is None:
            return card.empty_card()
        strip = self.session.strip(opened, ask, selected)
        return card.object_card(decoded, selected, costs, strip, opened.pixels)

    def _extras(
        self, decoded: Decoded | None, selected: int | None, state: State
    ) -> tuple[Any, Any, Any]:
        """The grid by hand, the class of a drawn box, and which budgets matter here."""
        row = None if decoded is None else decoded.row(selected)
        if decoded is None or row is None or selected is None:
            hand, label = gr.update(visible="hidden"), gr.update(visible="hidden")
        else:
            chosen = dict(state["by_hand"]).get(selected)
            hand = gr.update(visible=True, value="auto" if chosen is None else str(chosen))
            category = int(decoded.instances.labels[row])
            label = gr.update(visible="hidden")
            if selected >= decoded.first_drawn:
                names = decoded.instances.categories
                known = names[category] if category >= 0 else text.DRAWN_LABEL_NONE
                label = gr.update(
                    visible=True, value=known, choices=[text.DRAWN_LABEL_NONE, *names]
                )
        reach = ""
        if decoded is not None:
            predictor = self.session.predictor()
            reach = card.reach_line(decoded, predictor.cost_table, predictor.budget_range())
        return hand, label, reach

    def _share(self, budget: Any) -> float | None:
        """A budget as a part of an object's cost at 112; None while there is no model."""
        known = self.session.state == "ready" and isinstance(budget, (int, float))
        return budget * 1e9 / self.session.predictor().cost_table.exits[-1] if known else None

    def _ask(self, state: State, controls: tuple[Any, ...]) -> Ask:
        policy, budget, threshold, min_score = controls
        if policy not in text.POLICIES:
            raise InputError(text.EVENT_ODD.format(what="one of the policies"))
        if policy == "oracle" and self.session.truth(state["truth"]) is None:
            raise InputError(text.TRUTH_NEEDED)
        if policy == "budget":
            bounds = self.session.predictor().budget_range()
            policy = f"budget:{events.read_number(budget, bounds, 'a budget'):.4f}"
        return Ask(
            policy=policy,
            threshold=events.read_number(threshold, settings.THRESHOLD_RANGE, "a mask threshold"),
            min_score=events.read_number(min_score, settings.MIN_SCORE_RANGE, "a smallest score"),
            drawn=state["drawn"],
            drawn_labels=state["labels"],
            by_hand=state["by_hand"],
            truth=state["truth"],
            everything=state["every"],
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

    def _leaves_out(self) -> bool:
        """Whether there is anything that *Show everything found* could bring back."""
        vouched = overrides.shown_classes(self.session.predictor())
        return vouched is not None and self.session.own_boxes


def without_box(state: State, gone: int, first_drawn: int) -> State:
    """The state without drawn box number ``gone``; grids by hand move up with their boxes."""
    left = [i for i in range(len(state["drawn"])) if i != gone]
    labels = [*state["labels"], *itertools.repeat(-1, len(state["drawn"]) - len(state["labels"]))]
    removed = first_drawn + gone
    by_hand = tuple(
        (i - 1 if i > removed else i, grid) for i, grid in state["by_hand"] if i != removed
    )
    return {
        **state,
        "drawn": tuple(state["drawn"][i] for i in left),
        "labels": tuple(labels[i] for i in left),
        "by_hand": by_hand if 0 <= gone < len(state["drawn"]) else state["by_hand"],
    }


def oracle_waits(policy: str, *, photo: bool = True) -> str:
    """Why the oracle is not chosen, what to do, and which policy is meanwhile.

    Args:
        policy: a key of ``text.POLICIES``.
        photo: whether there is one.
    """
    words = text_page.ORACLE_WAITS if photo else text_page.ORACLE_NO_PHOTO
    return words.format(files=text.COCO_FILES, policy=text.POLICIES[policy])


def inwards(value: float, *, up: bool = True) -> float:
    """Round to the slider's three digits without leaving the range that policies accept."""
    steps = value * 1000
    whole = int(steps)
    return (whole + (1 if up and whole < steps else 0)) / 1000


def stem(name: str) -> str:
    """A file name's stem, fit for a download: letters, digits, dash and underscore."""
    clean = "".join(c if c.isalnum() or c in "-_" else "-" for c in Path(name).stem)
    return f"dynamask-{clean[:60] or 'photo'}"
