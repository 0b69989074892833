"""The Runs tab's event handlers; answers are dicts of component to value."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr
import pandas as pd
from gradio.processing_utils import save_file_to_cache

from analysis.compare import compare
from analysis.exports import export_run
from analysis.filters import BOXES, Filters, Queryable
from analysis.report import write_report
from app import run_words, text, text_dataset, uploads_folder
from app import text_runs as words
from app.dataset_handlers import label
from app.dataset_job import Board
from app.dataset_make import resume_work
from app.dataset_make_html import progress_html
from app.dataset_runs import Shelf, Shelved
from app.dataset_views import policy_choices, present
from app.guard import sentences, streaming
from app.session import Session
from dynamask.errors import DataError, InputError

MAX_CSV_ROWS = 2_000_000  # about 1 GB; Parquet takes a tenth and every tool reads it

Answer = dict[Any, Any]


class RunHandlers:
    """See the module's docstring.

    Args:
        session: the model, for resuming.
        shelf: the runs.
        board: the run that is being made.
    """

    def __init__(self, session: Session, shelf: Shelf, board: Board) -> None:
        self.session, self.shelf, self.board = session, shelf, board

    # -- the list --------------------------------------------------------------------------

    @sentences
    def on_list(self, visitor: Any, key: Any) -> Answer:
        """List the runs again; the chosen one stays chosen where it is still there."""
        return {**self._listed(visitor, key), self.progress: self._progress(visitor)}

    @sentences
    def on_choose(self, visitor: Any, key: Any) -> Answer:
        """Tell what a run is."""
        return {**self._told(visitor, key), self.progress: self._progress(visitor)}

    @sentences
    def on_show(self, visitor: Any, key: Any) -> Answer:
        """Hand the run to the Dataset tab, and go there."""
        info = self.shelf.find(key, visitor)
        return {
            self.dataset.run: gr.update(choices=self._choices(visitor), value=info.key),
            self.tabs: gr.update(selected="dataset"),
        }

    def _choices(self, visitor: Any) -> list[tuple[str, str]]:
        return [(label(info), info.key) for info in self.shelf.runs(visitor)]

    def _listed(self, visitor: Any, key: Any) -> Answer:
        choices = self._choices(visitor)
        keys = [k for _, k in choices]
        chosen = key if key in keys else (keys[0] if keys else None)
        info = words.LIST_INFO if keys else words.NONE
        first, second = (*keys, None, None)[:2]
        return {
            self.run: gr.update(choices=choices, value=chosen, info=info),
            self.first: gr.update(choices=choices, value=second or first),
            self.second: gr.update(choices=choices, value=first if second else None),
            **self._pair(visitor, second or first, first if second else None),
            **self._told(visitor, chosen),
        }

    def _told(self, visitor: Any, key: Any) -> Answer:
        closed = {self.confirm: gr.update(visible=False), self.exported: ""}
        buttons = (self.show, self.resume, self.stop, self.delete, self.export)
        if key is None:
            off = {button: gr.update(interactive=False) for button in buttons}
            return {self.details: _note(words.CHOOSE), **off, **closed}
        info = self.shelf.find(key, visitor)
        making = self.board.is_making(info.name) and not info.shipped
        own = self.shelf.may_change(info, visitor)
        readable = info.facts.state != "unreadable"
        open_ = [
            readable,
            own and not making and readable and info.facts.state != "done",
            own and making,
            own and not making,
            readable,
        ]
        on = {b: gr.update(interactive=o) for b, o in zip(buttons, open_, strict=True)}
        return {self.details: self._details(info), **on, **closed}

    def _details(self, info: Shelved) -> str:
        public, rows = self.shelf.public, pd.DataFrame()
        if info.facts.state == "unreadable":
            return run_words.details_html(info, rows, None, public=public)
        run = self.shelf.open(info)
        count = _count(run, "problems")
        if count:
            rows = run.query("SELECT * FROM problems LIMIT ?", [run_words.MAX_PROBLEMS])
        return run_words.details_html(info, rows, count, public=public, crowds=_crowds(run))

    # -- stop, resume, delete --------------------------------------------------------------

    def _progress(self, visitor: Any) -> str:
        look = self.board.look(self._owner(visitor))
        return progress_html(look) if look is not None else ""

    def _owner(self, visitor: Any) -> str:
        return str(visitor) if self.shelf.public else ""

    @streaming
    def on_resume(self, visitor: Any, key: Any, request: gr.Request) -> Iterator[Answer]:
        """Go on with a run that was stopped; yields as photos are finished."""
        info = self.shelf.find(key, visitor)
        if not self.shelf.may_change(info, visitor):
            raise InputError(text_dataset.RUN_OF_OTHERS)
        if info.facts.state == "done":
            raise InputError(words.RESUME_DONE.format(name=info.name))
        owner = self._owner(visitor)
        making = self.dataset.make
        work = resume_work(self.session, self.shelf, info, making.keeper.left(owner))
        self.board.start(info.name, owner, work)
        making.pages.show(request.session_hash, owner, info.name)
        yield {self.resume: gr.update(interactive=False), **self._stoppable()}
        for look in self.board.follow(owner):
            yield {self.progress: progress_html(look), **making.followed(look)}
        yield self._listed(visitor, key)

    def _stoppable(self) -> Answer:
        return {
            self.stop: gr.update(interactive=True),
            self.delete: gr.update(interactive=False),
        }

    @sentences
    def on_stop(self, visitor: Any) -> Any:
        """Stop the run that is being made, after the photo that is worked on."""
        self.board.stop(self._owner(visitor))
        return gr.update(interactive=False)

    @sentences
    def on_delete(self, visitor: Any, key: Any) -> Answer:
        """Ask first."""
        info = self._deletable(visitor, key)
        uploaded = (self.shelf.home(info.name) / "photos").is_dir()
        said = words.DELETE_ASK.format(
            name=info.name, photos=words.DELETE_PHOTOS if uploaded else ""
        )
        asked = f'<p role="alert" data-testid="delete-question">{escape(said)}</p>'
        return {self.confirm: gr.update(visible=True), self.question: asked}

    def on_keep(self) -> Any:
        """The run stays."""
        return gr.update(visible=False)

    @sentences
    def on_delete_yes(self, visitor: Any, key: Any) -> Answer:
        """Delete the run."""
        info = self._deletable(visitor, key)
        self.shelf.delete(info, visitor)
        self.board.forget(info.name)
        left = self.board.look(self._owner(visitor))
        return {
            **({} if left else self.dataset.make.followed(None)),
            **self._listed(visitor, None),
            self.progress: _note(words.DELETED.format(name=info.name)),
        }

    def _deletable(self, visitor: Any, key: Any) -> Shelved:
        info = self.shelf.find(key, visitor)
        if self.board.is_making(info.name) and not info.shipped:
            raise InputError(text_dataset.RUN_IS_WORKING.format(name=info.name))
        if info.shipped:
            raise InputError(text_dataset.RUN_READ_ONLY.format(name=info.name))
        return info

    # -- export and compare ----------------------------------------------------------------

    @sentences
    def on_export(self, visitor: Any, key: Any, kind: Any) -> Answer:
        """Write a run as one file; the page then downloads it."""
        if kind not in words.EXPORT_FORMATS:
            raise InputError(text.EVENT_ODD.format(what="a file format"))
        info = self.shelf.find(key, visitor)
        run = self.shelf.open(info)
        if kind == "problems" and _count(run, "problems") is None:
            raise InputError(words.EXPORT_NO_PROBLEMS.format(name=info.name))
        if kind == "csv" and (rows := _count(run, "objects") or 0) > MAX_CSV_ROWS:
            raise InputError(words.EXPORT_LARGE.format(most=MAX_CSV_ROWS, rows=rows))
        with uploads_folder.scratch("export-") as folder:
            if kind == "html":
                made = write_report(run, folder / f"report-{info.name}.html")
            else:
                table = "problems" if kind == "problems" else "objects"
                ending = "parquet" if kind == "parquet" else "csv"
                made = folder / f"{info.name}-{table}.{ending}"
                export_run(info.path, made, table)
            said = words.EXPORT_READY.format(name=made.name, size=words.size(made.stat().st_size))
            path = save_file_to_cache(str(made), self.file.GRADIO_CACHE)
        return {self.file: gr.update(value=path), self.exported: _note(said)}

    @sentences
    def on_compare(self, visitor: Any, first: Any, second: Any, boxes: Any, policy: Any) -> str:
        """Differences of two runs with their intervals."""
        if first is None or second is None:
            raise InputError(words.COMPARE_TWO)
        if first == second:
            raise InputError(words.COMPARE_SAME)
        if policy is None:
            raise InputError(words.COMPARE_NO_POLICY)
        if boxes not in BOXES or not isinstance(policy, str) or len(policy) > 40:
            raise InputError(text.EVENT_ODD.format(what="boxes and a policy"))
        infos = [self.shelf.find(key, visitor) for key in (first, second)]
        runs = [self.shelf.open(info) for info in infos]
        found = compare(*runs, Filters(policy=policy, boxes=boxes))
        names = (infos[0].name, infos[1].name)
        return run_words.differences_html(found, names, policy, boxes)

    @sentences
    def on_pair(self, visitor: Any, first: Any, second: Any, boxes: Any, policy: Any) -> Answer:
        """Other runs are to be compared, or other boxes: offer what both of them hold."""
        return self._pair(visitor, first, second, boxes, policy)

    def _pair(
        self, visitor: Any, first: Any, second: Any, boxes: Any = "gt", policy: Any = None
    ) -> Answer:
        have = [self._present(visitor, key) for key in (first, second)]
        shared = {
            b: [p for p in have[1][b] if p in have[0][b]]
            for b in BOXES
            if all(b in one for one in have)
        }
        shared = {b: names for b, names in shared.items() if names}
        boxes = boxes if boxes in shared else next(iter(shared), None)
        names = shared.get(boxes, [])
        chosen = policy if policy in names else (names[0] if names else None)
        said = text_dataset.BOXES_CHOICES
        return {
            self.boxes: gr.update(choices=[(said[b], b) for b in shared], value=boxes),
            self.policy: gr.update(choices=policy_choices(names), value=chosen),
        }

    def _present(self, visitor: Any, key: Any) -> dict[str, list[str]]:
        """Policies of a run by boxes; {} for one that cannot be read."""
        try:
            return present(self.shelf.open(self.shelf.find(key, visitor)))
        except (DataError, InputError):
            return {}


def _crowds(run: Queryable) -> int:
    """Objects of a run that are crowds."""
    try:
        found = run.query("SELECT count(DISTINCT annotation_id) AS n FROM objects WHERE crowd")
    except DataError:  # no finished shard yet
        return 0
    return int(found["n"].iloc[0])


def _count(run: Queryable, table: str) -> int | None:
    """Rows of a table of a run; None where it has no such table."""
    try:
        have = run.query(
            "SELECT table_name FROM information_schema.tables WHERE table_name = ?", [table]
        )
        if not len(have):
            return None
        return int(run.query(f"SELECT count(*) AS n FROM {table}")["n"].iloc[0])  # noqa: S608
    except DataError:  # no finished shard yet
        return None


def _note(sentence: str) -> str:
    return f'<p class="dm-muted" role="status">{escape(sentence)}</p>'
