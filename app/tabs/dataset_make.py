"""The Dataset tab's panel that makes a run: choose data, check it, start, watch, stop."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from analysis.coco_io import Dataset
from analysis.config import DEFAULT_POLICIES, RunConfig
from app import dataset_make as making
from app import dataset_make_html as says
from app import text
from app import text_dataset as words
from app.dataset_handlers import is_token
from app.dataset_job import Board, Look
from app.dataset_keep import Keeper
from app.dataset_pages import Pages
from app.dataset_reading import DESK
from app.dataset_runs import Shelf
from app.dataset_views import policy_choices
from app.discretion import sentence_of
from app.guard import sentences, streaming
from app.session import Session
from app.tabs.inspect import QUIET
from app.widgets.photo_input import check_uploaded
from dynamask.errors import InputError

if TYPE_CHECKING:
    from app.tabs.dataset import DatasetTab

Answer = dict[Any, Any]


class MakePanel:
    """Builds the panel and holds its handlers.

    Args:
        session: the model.
        shelf: where runs go.
        board: the run that is being made.
        keeper: what strangers may keep here.
    """

    def __init__(
        self, session: Session, shelf: Shelf, board: Board, keeper: Keeper | None = None
    ) -> None:
        self.session, self.shelf, self.board = session, shelf, board
        self.keeper = keeper or Keeper(shelf, board)
        self.pages = Pages(board, public=shelf.public)

    def build(self, demo: gr.Blocks, dataset: DatasetTab) -> None:
        """Lay the panel out inside the current context and wire its events."""
        self.dataset = dataset
        local = not self.shelf.public
        with gr.Accordion(words.MAKE, open=False, elem_id="dm-make"):
            limits = self.keeper.limits.words()
            said = words.MAKE_LOCAL if local else words.MAKE_PUBLIC.format(limits=limits)
            gr.HTML(_note(said), elem_id="dm-make-how")
            with gr.Row():
                with gr.Column(min_width=280):
                    self.coco = gr.File(
                        label=words.MAKE_FILE,
                        file_types=[".json"],
                        type="filepath",
                        height=150,
                        elem_id="dm-make-coco",
                    )
                    self.coco_path = gr.Textbox(
                        label=words.MAKE_FILE_PATH,
                        max_lines=1,
                        visible=local,
                        elem_id="dm-make-coco-path",
                    )
                with gr.Column(min_width=280):
                    self.zip = gr.File(
                        label=words.MAKE_ZIP,
                        file_types=[".zip"],
                        type="filepath",
                        height=150,
                        elem_id="dm-make-zip",
                    )
                    self.folder = gr.Textbox(
                        label=words.MAKE_FOLDER,
                        max_lines=1,
                        visible=local,
                        elem_id="dm-make-folder",
                    )
            self.name = gr.Textbox(
                label=words.MAKE_NAME,
                info=words.MAKE_NAME_INFO,
                max_lines=1,
                elem_id="dm-make-name",
            )
            self.policies = gr.CheckboxGroup(
                policy_choices(list(DEFAULT_POLICIES)),
                value=list(DEFAULT_POLICIES),
                label=words.MAKE_POLICIES,
                info=words.MAKE_POLICIES_INFO,
                elem_id="dm-make-policies",
            )
            with gr.Row(elem_classes="dm-row"):
                self.check = gr.Button(words.MAKE_CHECK, size="sm", elem_id="dm-make-check")
                self.start = gr.Button(
                    words.MAKE_START, variant="primary", size="sm", elem_id="dm-make-start"
                )
                self.stop = gr.Button(
                    words.MAKE_STOP, size="sm", interactive=False, elem_id="dm-make-stop"
                )
            self.progress = gr.HTML(_note(words.MAKE_IDLE), elem_id="dm-make-progress")
            self.report = gr.HTML(elem_id="dm-make-report")
        self._wire(demo)

    def _wire(self, demo: gr.Blocks) -> None:
        tab = self.dataset
        chosen = [self.coco, self.coco_path]
        shown = [self.progress, self.report, self.start, self.stop]
        free = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
        self.check.click(self.on_check, chosen, self.report, **QUIET)
        self.start.click(
            self.on_start,
            [tab.visitor, tab.group, *chosen, self.zip, self.folder, self.name, self.policies],
            [*shown, *tab.all_outputs],
            **free,
        )
        # beside the queue, which may be full of work that this is to stop
        self.stop.click(
            self.on_stop, [tab.visitor], self.stop, queue=False, api_visibility="private"
        )
        demo.load(self.on_look, [tab.visitor], shown, **free)
        demo.unload(self.on_unload)

    # -- handlers --------------------------------------------------------------------------

    @streaming
    def on_check(self, upload: Any, path: Any) -> Iterator[str]:
        """Say what a COCO file holds, without making a run."""
        for dataset in DESK.reading(self._coco(upload, path)[0]):
            waits = dataset is None
            yield _note(words.READ_WAITING) if waits else says.report_html(dataset)

    def on_start(
        self,
        visitor: Any,
        group: Any,
        upload: Any,
        path: Any,
        zipped: Any,
        folder: Any,
        name: Any,
        policies: Any,
        request: gr.Request,
    ) -> Iterator[Answer]:
        """Check, copy, and work through the photos; yields as things happen."""
        yield self._began()
        try:
            owner = self._owner(visitor)
            room = self.keeper.room(owner)
            file, coco_name, uploaded = self._coco(upload, path)
            photos, is_zip = making.photo_source(
                check_uploaded(zipped) if zipped else None,
                str(folder or "").strip(),
                public=self.shelf.public,
            )
            chosen = making.check_policies(policies)
            source = making.Source(file, coco_name, uploaded, photos, is_zip, chosen)
            run_name = yield from self._beginning(source, str(name or ""), owner, room)
            self.pages.show(request.session_hash, owner, run_name)
            yield {self.stop: gr.update(interactive=True)}
            yield from self._following(owner)
        except Exception as error:
            yield self._failed(sentence_of(error, "on making a run"))
            return
        yield from self._ended(visitor, group, owner, run_name)

    def _beginning(
        self, source: making.Source, name: str, owner: str, room: int | None
    ) -> Generator[Answer, None, str]:
        """Read and copy the data and set the work going; the name of the run."""
        claim = self.board.claim()
        try:
            dataset: Dataset | None = None
            for dataset in DESK.reading(source.coco, source.folder):
                claim = self.board.claim(claim)
                if dataset is None:
                    yield {self.progress: _note(words.READ_WAITING)}
            assert dataset is not None  # noqa: S101 - what comes last
            yield {self.report: says.report_html(dataset)}
            run_name = ""
            for step in making.prepare(self.shelf, source, dataset, name, owner, room):
                claim = self.board.claim(claim)
                if isinstance(step, RunConfig):
                    run_name = Path(step.out).name
                    work = making.make_work(
                        self.session,
                        step,
                        dataset=making.reusable(source, dataset),
                        shelf=self.shelf,
                        room=self.keeper.left(owner),  # beside what was copied just now
                    )
                    self.board.start(run_name, owner, work, claim)
                elif step.problems:
                    yield {self.report: says.unpacked_html(step)}
                elif step.written % 10 == 0:
                    said = words.MAKE_UNPACKING.format(done=step.written)
                    yield {self.progress: _note(said)}
            return run_name
        finally:
            self.board.release(claim)

    @streaming
    def on_look(self, visitor: Any, request: gr.Request) -> Iterator[Answer]:
        """A page was opened: show the run that is being made, where it is one's own."""
        owner = str(visitor) if self.shelf.public else ""
        look = self.board.look(owner)
        if look is None or not look.at_work:
            return
        self.pages.show(request.session_hash, owner, look.name)
        yield {
            self.start: gr.update(interactive=False),
            self.stop: gr.update(interactive=True),
        }
        yield from self._following(owner)
        yield self._at_rest()

    @sentences
    def on_stop(self, visitor: Any) -> Any:
        """Stop after the photo that is worked on."""
        self.board.stop(str(visitor) if self.shelf.public else "")
        return gr.update(interactive=False)

    def on_unload(self, request: gr.Request) -> None:
        """A page was closed or reloaded; what becomes of its run is up to :class:`Pages`."""
        self.pages.close(request.session_hash)

    # -- parts -----------------------------------------------------------------------------

    def _owner(self, visitor: Any) -> str:
        """Whose a new run is; nobody's would stay for ever and be seen by none."""
        if not self.shelf.public:
            return ""
        if not is_token(visitor):
            raise InputError(text.EVENT_ODD.format(what="a visitor"))
        return str(visitor)

    def _coco(self, upload: Any, path: Any) -> tuple[Path, str, bool]:
        checked = check_uploaded(upload) if upload else None
        return making.coco_source(checked, str(path or "").strip(), public=self.shelf.public)

    def _following(self, owner: str) -> Iterator[Answer]:
        for look in self.board.follow(owner):
            yield {self.progress: says.progress_html(look)}

    def _ended(self, visitor: Any, group: Any, owner: str, name: str) -> Iterator[Answer]:
        yield self._at_rest()
        look = self.board.look(owner)
        tab, key = self.dataset, f"own/{name}"
        choices = tab.listed(visitor, key)
        if look is None or look.state != "done":
            yield choices
            return
        yield choices
        yield from tab.opening(visitor, group, key)

    def _began(self) -> Answer:
        return {
            self.progress: _note(words.MAKE_STARTING),
            self.report: "",
            self.start: gr.update(interactive=False),
            self.stop: gr.update(interactive=False),
        }

    def _at_rest(self) -> Answer:
        return {
            self.start: gr.update(interactive=True),
            self.stop: gr.update(interactive=False),
        }

    def followed(self, look: Look | None) -> Answer:
        """The panel beside a run that another tab goes on with, or has deleted (None)."""
        at_work = look is not None and look.at_work
        return {
            self.progress: says.progress_html(look) if look else _note(words.MAKE_IDLE),
            self.start: gr.update(interactive=not at_work),
            self.stop: gr.update(interactive=at_work and look.state == "running"),
        }

    def _failed(self, sentence: str) -> Answer:
        alert = (
            '<div class="dm-alert" role="alert" data-testid="make" data-state="failed">'
            f"{escape(sentence)}</div>"
        )
        return {self.progress: alert, **self._at_rest()}


def _note(sentence: str) -> str:
    return f'<p class="dm-muted" role="status" data-testid="make-note">{escape(sentence)}</p>'
