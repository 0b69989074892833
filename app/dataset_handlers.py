"""The Dataset tab's event handlers: plain functions of a state, controls and what came in.

Controls are always those of dataset_filters.FIRST, then the budget's switch and its slider.
Handlers answer with dicts of component to value; what is not among them stays as it is.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from analysis.filters import Filters, Queryable
from app import dataset_views as views
from app import text, uploads_folder
from app import text_dataset as words
from app.dataset_behind import Behind
from app.dataset_filters import FIRST, read_filters
from app.dataset_job import Board
from app.dataset_keep import Keeper
from app.dataset_runs import Shelf, Shelved
from app.guard import sentences, streaming
from app.ordering import Latest, Sequence, newest_only
from app.session import Session
from app.typed import typed_folder
from dynamask.errors import InputError

logger = logging.getLogger(__name__)

State = dict[str, Any]
Answer = dict[Any, Any]
N_FILTERS = len(FIRST)


def new_state() -> State:
    """What one visitor's page remembers: the run's key, and a folder of photos."""
    return {"run": None, "photos": ""}


class DatasetHandlers(Behind):
    """See the module's docstring.

    Args:
        session: the model, for making runs.
        shelf: the runs.
        board: the run that is being made.
        keeper: what strangers may keep here.
    """

    def __init__(
        self, session: Session, shelf: Shelf, board: Board, keeper: Keeper | None = None
    ) -> None:
        self.session, self.shelf, self.board = session, shelf, board
        self.keeper = keeper or Keeper(shelf, board)
        self.sequence = Sequence()
        self.seen_group, self.seen_run = Latest(), Latest()

    # -- choosing a run --------------------------------------------------------------------

    def on_load(self, visitor: Any) -> Answer:
        """Give a new visitor a token and list the runs; the shipped one is chosen at first."""
        visitor = visitor if is_token(visitor) else secrets.token_urlsafe(24)
        return {self.visitor: visitor, **self.listed(visitor, None)}

    @sentences
    def on_refresh(self, visitor: Any, state: State) -> Answer:
        """List the runs again."""
        return self.listed(visitor, state["run"])

    @streaming
    def on_show(self, visitor: Any, state: State, group: Any, key: Any) -> Iterator[Answer]:
        """The tab is seen: open the chosen run unless it is open already."""
        if state["run"] is None or state["run"] != key:
            yield from self.opening(visitor, group, key)

    @streaming
    @newest_only("run", overtakes=("filters",))
    def on_open(self, visitor: Any, group: Any, key: Any) -> Iterator[Answer]:
        """Another run was chosen: set the filter bar for it and draw."""
        yield from self.opening(visitor, group, key)

    def listed(self, visitor: str, chosen: str | None) -> Answer:
        """The list of runs, with one of them chosen."""
        infos = self.shelf.runs(visitor)
        keys = [info.key for info in infos]
        if chosen not in keys:
            chosen = self._default(infos)
        choices = [(label(info), info.key) for info in infos]
        return {
            self.run: gr.update(choices=choices, value=chosen, interactive=bool(infos)),
            self.notice: _notice("" if infos else words.RUN_NONE),
        }

    @staticmethod
    def _default(infos: list[Shelved]) -> str | None:
        """The shipped run, so that something true is seen at once; else the newest."""
        first = infos[0].key if infos else None
        return next((i.key for i in infos if i.shipped), first)

    def opening(self, visitor: Any, group: Any, key: Any) -> Iterator[Answer]:
        """Everything that changes as a run is opened; for ``all_outputs``."""
        if key is None:  # the tab was seen before the list had come
            key = self._default(self.shelf.runs(visitor))
            yield self.listed(visitor, key)
        if key is None:
            return
        info = self.shelf.find(key, visitor)
        state = {**new_state(), "run": info.key}
        self.seen_run.put(info.key)
        run = self.shelf.open(info)
        have = views.present(run)
        if not have:
            yield {
                **self._blank(),
                self.state: state,
                self.notice: _notice(why_empty(info)),
            }
            return
        boxes = next(iter(have))
        first = {**FIRST, "boxes": boxes, "policy": have[boxes][0]}
        controls = [*first.values(), False, 0.0]
        yield {
            **self._idle(),
            self.state: state,
            self.notice: _notice(""),
            self.report: gr.update(interactive=True),
            self.photos_line: self._photos_line(info, run, ""),
            **self._bar(run, have, read_filters(*first.values())),
        }
        yield from self._drawing(info, group, controls)
        views.prepare(run, read_filters(*first.values()))

    def _bar(self, run: Queryable, have: dict[str, list[str]], filters: Filters) -> Answer:
        """First values of the filter bar, with what this run has to choose from."""
        bounds = views.budget_bounds(run, filters)
        answer: Answer = {
            c: gr.update(value=FIRST[n]) for n, c in zip(FIRST, self.filters, strict=True)
        }
        answer[self.boxes] = gr.update(
            choices=[(words.BOXES_CHOICES[b], b) for b in have], value=filters.boxes
        )
        answer[self.policy] = gr.update(
            choices=views.policy_choices(have[filters.boxes]), value=filters.policy
        )
        answer[self.classes] = gr.update(choices=views.classes(run, filters), value=[])
        answer[self.budget_on] = gr.update(value=False, interactive=bounds is not None)
        answer[self.budget] = self._slider(bounds, on=False)
        return answer

    def _slider(self, bounds: tuple[float, float] | None, *, on: bool) -> Any:
        if bounds is None:
            return gr.update(interactive=False, info=words.BUDGET_NONE)
        low, high = bounds
        value = round((low + high) / 2, 4)
        return gr.update(
            minimum=low, maximum=high, value=value, interactive=on, info=words.BUDGET_INFO
        )

    # -- drawing ---------------------------------------------------------------------------

    @streaming
    @newest_only("filters")
    def on_boxes(self, visitor: Any, state: State, group: Any, *controls: Any) -> Iterator[Answer]:
        """Other boxes have other policies: offer those, then draw."""
        if self._left(state):
            return
        info = self.shelf.find(state["run"], visitor)
        run = self.shelf.open(info)
        have = views.present(run)
        boxes, policy = controls[0], controls[1]
        if boxes not in have:
            raise InputError(text.EVENT_ODD.format(what="boxes of this run"))
        policy = policy if policy in have[boxes] else have[boxes][0]
        controls = (boxes, policy, *controls[2:])
        filters = read_filters(*controls[:N_FILTERS])
        bounds = views.budget_bounds(run, filters)
        yield {
            self.policy: gr.update(choices=views.policy_choices(have[boxes]), value=policy),
            self.budget_on: gr.update(value=False, interactive=bounds is not None),
            self.budget: self._slider(bounds, on=False),
            **self._idle(),
        }
        controls = (*controls[:N_FILTERS], False, controls[-1])
        yield from self._drawing(info, group, controls)

    @streaming
    @newest_only("filters")
    def on_change(self, visitor: Any, state: State, group: Any, *controls: Any) -> Iterator[Answer]:
        """A filter or the budget moved: draw the group that is seen, forget the others."""
        if self._left(state):
            return
        info = self.shelf.find(state["run"], visitor)
        yield {self.budget: gr.update(interactive=controls[N_FILTERS] is True), **self._idle()}
        yield from self._drawing(info, group, controls)

    @streaming
    @newest_only("filters")
    def on_clear(self, visitor: Any, state: State, group: Any, *controls: Any) -> Iterator[Answer]:
        """Let everything through again; policy, boxes and budget stay."""
        if self._left(state):
            return
        boxes, policy = controls[:2]
        cleared = {**FIRST, "boxes": boxes, "policy": policy}
        names = list(FIRST)[2:]
        first = {c: gr.update(value=FIRST[n]) for n, c in zip(names, self.filters[2:], strict=True)}
        yield {**first, **self._idle()}
        info = self.shelf.find(state["run"], visitor)
        controls = (*cleared.values(), *controls[N_FILTERS:])
        yield from self._drawing(info, group, controls)

    @streaming
    @newest_only("group", heeds=("filters",))
    def on_group(
        self, group: str, visitor: Any, state: State, _: Any, drawn: str, *controls: Any
    ) -> Iterator[Answer]:
        """Another group of plots is seen: draw it unless it is up to date."""
        self.seen_group.put(group)
        yield {self.group: group}
        if state["run"] is None:
            return
        info = self.shelf.find(state["run"], visitor)
        if drawn != self._stamp(info, controls):
            yield from self._drawing(info, group, controls)

    def _left(self, state: State) -> bool:
        """Whether the page is about to show another run than the one it asks about."""
        return self.seen_run.get(state["run"]) != state["run"]

    def _drawing(self, info: Shelved, group: Any, controls: Any) -> Iterator[Answer]:
        """Totals at once, then figure by figure, so that large runs answer early."""
        group = self.seen_group.get(group)  # it may have been chosen a moment ago
        group = group if group in views.GROUPS else next(iter(views.GROUPS))
        number = self.sequence.next()
        filters, budget = self._asked(controls)
        run = self.shelf.open(info)
        # what comes while a component is being mounted is lost: all is said again at the end
        answer: Answer = {
            self.totals: views.totals_html(run, filters, budget),
            self.bar: gr.update(label=words.FILTERS_NOW.format(filters=filters.words())),
        }
        yield dict(answer)
        for name in views.GROUPS[group]:
            figure = views.draw(run, filters, budget, (name,))[name]
            yield {self.plots[name]: {"figure": figure, "seq": number}}
            answer[self.plots[name]] = {"figure": figure, "seq": number, "again": True}
        answer[self.drawn[group]] = self._stamp(info, controls)
        if group == "cost":
            answer[self.policy_table] = views.policy_table(run, filters)
        if group == "ap":
            answer[self.ap_table] = views.ap_table(run, filters, budget)
        yield answer

    def _stamp(self, info: Shelved, controls: Any) -> str:
        return repr((info.key, info.facts.photos_done, info.facts.state, *self._asked(controls)))

    def _asked(self, controls: Any) -> tuple[Filters, float | None]:
        return read_filters(*controls[:N_FILTERS]), views.check_budget(*controls[N_FILTERS:])

    def _blank(self) -> Answer:
        """The tab without a run that could be drawn."""
        return {
            **dict.fromkeys(self.plots.values()),
            self.totals: "",
            self.bar: gr.update(label=words.FILTERS),
            self.policy_table: "",
            self.ap_table: "",
            self.report: gr.update(interactive=False),
            **self._idle(),
        }

    # -- photos and report -----------------------------------------------------------------

    @sentences
    def on_photos(self, visitor: Any, state: State, folder: Any) -> Answer:
        """Use a folder of this machine for the photos of the run that is shown."""
        if self.shelf.public:
            raise InputError(words.PHOTOS_PUBLIC)
        info = self.shelf.find(state["run"], visitor)
        run = self.shelf.open(info)
        path = typed_folder(folder)
        names = _names(run)
        found = [n for n in names if os.path.isfile(path / n)]
        if not found:
            raise InputError(
                words.PHOTOS_NOWHERE.format(
                    name=path.name, looked=len(names), example=names[0] if names else "?"
                )
            )
        state = {**state, "photos": str(path)}
        return {self.state: state, self.photos_line: self._photos_line(info, run, str(path))}

    def _photos_line(self, info: Shelved, run: Queryable, folder: str) -> str:
        place = Path(folder) if folder else self.shelf.photos(info)
        if place is None:
            return _notice(words.PHOTOS_ABSENT_PUBLIC if self.shelf.public else words.PHOTOS_ABSENT)
        names = _names(run)
        found = sum(os.path.isfile(place / n) for n in names)
        return _notice(words.PHOTOS_FOUND.format(found=found, looked=len(names)))

    @sentences
    def on_report(self, visitor: Any, state: State, *controls: Any) -> Any:
        """Write the report of the run under the filters; the page then downloads it."""
        from analysis.report import write_report

        if state["run"] is None:
            raise InputError(words.REPORT_NEEDS_RUN)
        info = self.shelf.find(state["run"], visitor)
        filters = read_filters(*controls[:N_FILTERS])
        with uploads_folder.scratch("report-") as folder:
            made = write_report(
                self.shelf.open(info), folder / f"report-{info.name}.html", filters=filters
            )
            return gr.update(value=save_file_to_cache(str(made), self.file.GRADIO_CACHE))


def label(info: Shelved) -> str:
    """A run in the list of runs."""
    state = "shipped" if info.shipped else info.facts.state
    state = words.STATES.get(state, state)
    return words.RUN_LABEL.format(name=info.name, photos=info.facts.photos_done, state=state)


def why_empty(info: Shelved) -> str:
    """Why a run shows nothing: it has not come far, or its file holds nothing to measure."""
    facts = info.facts
    if not facts.photos_done or facts.objects:
        return words.RUN_EMPTY
    skipped = (facts.manifest or {}).get("skipped_entries", 0)
    return words.RUN_NO_OBJECTS.format(
        photos=text.several(facts.photos_done, "photo"),
        skipped=text.several(skipped, "entry was", "entries were")
        if isinstance(skipped, int)
        else words.UNKNOWN,
    )


def is_token(value: Any) -> bool:
    """Whether a value of the browser's storage is a token of ours."""
    return isinstance(value, str) and 16 <= len(value) <= 64 and value.isascii()


def _names(run: Queryable, most: int = 200) -> list[str]:
    """File names of some photos of a run; none that would leave a folder."""
    found = run.query(
        f"SELECT DISTINCT file_name FROM objects ORDER BY file_name LIMIT {most}"  # noqa: S608
    )
    names = [str(n) for n in found["file_name"]]
    return [n for n in names if "\0" not in n and not Path(n).is_absolute() and ".." not in n]


def _notice(sentence: str) -> str:
    return f'<p class="dm-muted" role="status">{escape(sentence)}</p>' if sentence else ""
