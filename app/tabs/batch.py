"""The Batch tab: many photos, a zip or a video; progress, stop, and everything as one download."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache, save_file_to_cache
from gradio.utils import get_upload_folder

from analysis.tracks import flicker, tracks_figure
from app import events, overrides, settings, text
from app import text_batch as words
from app.batch_job import MAX_EVERY, MAX_PHOTOS, BatchJob, Step, describe, open_feed
from app.discretion import sentence_of
from app.session import Ask, Session
from app.video import MAX_FRAMES, MAX_SECONDS
from app.widgets.photo_input import check_uploaded
from app.widgets.plotly_view import PlotlyView
from dynamask.errors import InputError

# one batch at a time, beside the single photos: the model itself takes turns photo by photo
QUEUE = {"concurrency_limit": 1, "concurrency_id": "batch"}
POLICIES = ("msm", "size", "fixed:14", "fixed:28", "fixed:56", "fixed:112")
EVERY = 10
MAX_ROWS = 1000  # in the page's table; the download has all
MAX_SHOWN = 60  # pictures in the gallery


class BatchTab:
    """Builds the tab and holds its handlers.

    Args:
        session: the model.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._cancels: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    # -- layout ----------------------------------------------------------------------------

    def build(self, demo: gr.Blocks) -> None:
        """Lay the tab out inside the current context and wire its events."""
        intro = words.BATCH_INTRO.format(photos=MAX_PHOTOS, seconds=MAX_SECONDS)
        gr.HTML(f"<p>{escape(intro)}</p>", elem_id="dm-batch-intro")
        with gr.Row(elem_id="dm-batch"):
            with gr.Column(scale=1, elem_id="dm-batch-side"):
                self.files = gr.File(
                    label=words.BATCH_FILES,
                    file_count="multiple",
                    type="filepath",
                    height=220,
                    elem_id="dm-batch-files",
                )
                self.policy = gr.Radio(
                    [(text.POLICIES[key], key) for key in POLICIES],
                    value=settings.POLICY,
                    label=words.BATCH_POLICY,
                    elem_id="dm-batch-policy",
                )
                self.min_score = gr.Slider(
                    *settings.MIN_SCORE_RANGE,
                    value=settings.MIN_SCORE,
                    step=0.05,
                    label=words.BATCH_SCORE,
                    buttons=[],
                    elem_id="dm-batch-score",
                )
                self.every = gr.Slider(
                    1,
                    MAX_EVERY,
                    value=EVERY,
                    step=1,
                    label=words.BATCH_EVERY,
                    info=words.BATCH_EVERY_INFO.format(frames=MAX_FRAMES),
                    buttons=[],
                    elem_id="dm-batch-every",
                )
                self.everything = gr.Checkbox(
                    label=text.EVERYTHING,
                    info=text.EVERYTHING_INFO,
                    elem_id="dm-batch-classes",
                )
                with gr.Row():
                    self.start = gr.Button(
                        words.BATCH_START, variant="primary", elem_id="dm-batch-start"
                    )
                    self.stop = gr.Button(
                        words.BATCH_STOP, interactive=False, elem_id="dm-batch-stop"
                    )
            with gr.Column(scale=2, elem_id="dm-batch-main"):
                self.progress = gr.HTML(_note(words.BATCH_IDLE), elem_id="dm-batch-progress")
                self.download = gr.DownloadButton(
                    words.BATCH_DOWNLOAD, visible=False, elem_id="dm-batch-download"
                )
                self.problems = gr.HTML(visible=False, elem_id="dm-batch-problems")
                # an empty one has a name where screen readers do not allow one
                self.gallery = gr.Gallery(
                    visible=False,
                    label=words.BATCH_GALLERY,
                    show_label=False,  # it would lie on the first picture
                    columns=4,
                    height="auto",
                    interactive=False,
                    object_fit="contain",
                    buttons=[],
                    elem_id="dm-batch-gallery",
                )
                with gr.Column(visible=False) as self.tracks:
                    self.flicker = gr.HTML(elem_id="dm-batch-flicker")
                    self.plot = PlotlyView(
                        tracks_figure([], (), words.BATCH_TRACKS),
                        elem_id="dm-batch-tracks",
                        label=words.BATCH_TRACKS,
                    )
                self.rows_note = gr.HTML(visible=False)
                self.table = gr.Dataframe(
                    headers=list(words.COLUMNS),
                    datatype=["str", "number", "str", *["number"] * 5],
                    label=words.BATCH_TABLE,
                    interactive=False,
                    visible=False,
                    max_height=420,
                    elem_id="dm-batch-table",
                )
        self._wire(demo)

    def _wire(self, demo: gr.Blocks) -> None:
        self.start.click(
            self.on_start,
            [self.files, self.policy, self.min_score, self.every, self.everything],
            [
                self.progress,
                self.start,
                self.stop,
                self.download,
                self.problems,
                self.gallery,
                self.tracks,
                self.flicker,
                self.plot,
                self.rows_note,
                self.table,
            ],
            api_visibility="private",
            show_progress="minimal",
            show_progress_on=[self.progress],
            **QUEUE,
        )
        # beside the queue, which may be full of work that this is to stop
        self.stop.click(self.on_stop, None, self.stop, queue=False, api_visibility="private")
        demo.unload(self.on_unload)

    # -- handlers --------------------------------------------------------------------------

    def on_start(
        self,
        files: Any,
        policy: Any,
        min_score: Any,
        every: Any,
        classes: Any,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Work through the files; yields after each photo."""
        who = str(request.session_hash)
        cancel = threading.Event()
        with self._lock:
            self._cancels[who] = cancel
        folder = Path(tempfile.mkdtemp(prefix="batch-", dir=_uploads()))
        try:
            yield self._began()
            ask = _ask(policy, min_score, classes)
            yield from self._run(files, ask, every, folder, cancel)
        except Exception as error:
            yield self._failed(sentence_of(error, "in a batch"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with self._lock:
                if self._cancels.get(who) is cancel:
                    del self._cancels[who]

    def on_stop(self, request: gr.Request) -> Any:
        """Stop this user's batch after the photo that is worked on."""
        self._set_cancel(str(request.session_hash))
        return gr.update(interactive=False)

    def on_unload(self, request: gr.Request) -> None:
        """The page was closed: nobody waits for the rest."""
        self._set_cancel(str(request.session_hash))

    # -- parts -----------------------------------------------------------------------------

    def _set_cancel(self, who: str) -> None:
        with self._lock:
            if who in self._cancels:
                self._cancels[who].set()

    def _run(
        self,
        files: Any,
        ask: Ask,
        every: Any,
        folder: Path,
        cancel: threading.Event,
    ) -> Iterator[tuple[Any, ...]]:
        every = int(events.read_number(every, (1, MAX_EVERY), "a number of frames"))
        feed = open_feed(_named(files), folder, every, cancel)
        job = BatchJob(self.session, feed, ask, folder, cancel)
        shown: list[tuple[str, str]] = []
        for step in job.run():
            for data, caption in job.thumbnails[len(shown) :]:
                path = save_bytes_to_cache(data, "picture.jpg", self.gallery.GRADIO_CACHE)
                shown.append((path, caption))
            if step.state == "running":
                yield self._going(step, job, shown)
        yield self._ended(step, job, shown)

    def _began(self) -> tuple[Any, ...]:
        return (
            _note(words.BATCH_STARTING),
            gr.update(interactive=False),
            gr.update(interactive=True),
            gr.update(visible=False, value=None),
            gr.update(visible=False, value=""),
            gr.update(value=[], visible=False),
            gr.update(visible=False),
            "",
            gr.skip(),
            gr.update(visible=False, value=""),
            gr.update(value=[], visible=False),
        )

    def _going(self, step: Step, job: BatchJob, shown: list[tuple[str, str]]) -> tuple[Any, ...]:
        return (
            _bar(step, describe(step, job.objects, job.problems)),
            *[gr.skip()] * 3,
            _listed(job),
            gr.update(value=_some(shown), visible=bool(shown)),
            *[gr.skip()] * 5,
        )

    def _ended(self, step: Step, job: BatchJob, shown: list[tuple[str, str]]) -> tuple[Any, ...]:
        download = gr.skip()
        if step.done:
            path = save_file_to_cache(str(job.zip_path), self.download.GRADIO_CACHE)
            download = gr.update(value=path, visible=True)
        rows = _rows(job)
        more = words.BATCH_MORE_ROWS.format(shown=len(rows), total=job.objects)
        facts = words.BATCH_TRACKS_NOTE.format(**flicker(job.tracks))
        figure = tracks_figure(job.tracks, job.categories, words.BATCH_TRACKS)
        said = describe(step, job.objects, job.problems)
        notices = overrides.notices(job.hidden, job.unsure, job.doubles, self.session.predictor())
        said = " ".join((said, *notices))
        return (
            _bar(step, said),
            gr.update(interactive=True),
            gr.update(interactive=False),
            download,
            _listed(job),
            gr.update(value=_some(shown), visible=bool(shown)),
            gr.update(visible=bool(job.tracks)),
            _note(facts) if job.tracks else "",
            gr.update(value=figure) if job.tracks else gr.skip(),
            gr.update(visible=job.objects > len(rows), value=_note(more)),
            gr.update(value=_table(rows, tracks=bool(job.tracks)), visible=bool(rows)),
        )

    def _failed(self, sentence: str) -> tuple[Any, ...]:
        alert = (
            f'<div class="dm-alert" role="alert" data-testid="batch-alert">{escape(sentence)}</div>'
        )
        return (
            alert,
            gr.update(interactive=True),
            gr.update(interactive=False),
            *[gr.skip()] * 8,
        )


def _uploads() -> Path:
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _ask(policy: Any, min_score: Any, everything: Any) -> Ask:
    if policy not in POLICIES:
        raise InputError(text.EVENT_ODD.format(what="one of the policies"))
    score = events.read_number(min_score, settings.MIN_SCORE_RANGE, "a smallest score")
    return Ask(policy=policy, min_score=score, everything=everything is True or None)


def _named(files: Any) -> list[tuple[Path, str]]:
    if not files:
        raise InputError(words.NO_FILES)
    paths = [Path(check_uploaded(str(file))) for file in files]
    return [(path, path.name) for path in paths]


def _note(sentence: str) -> str:
    return f'<p role="status" data-testid="batch-status">{escape(sentence)}</p>'


def _bar(step: Step, sentence: str) -> str:
    done = step.done + step.failed
    return (
        f'<div data-testid="batch" data-state="{step.state}" data-done="{step.done}">'
        f'<progress max="{max(step.total, 1)}" value="{done}" '
        f'aria-label="{escape(words.BATCH_PROGRESS)}"></progress>{_note(sentence)}</div>'
    )


def _listed(job: BatchJob) -> Any:
    """What could not be used, and what was changed on reading."""
    parts = []
    if job.problems:
        lines = "".join(_line(name, why) for name, why in job.problems)
        parts.append(
            f'<h3>{escape(words.BATCH_PROBLEMS)}</h3><ul data-testid="batch-problems">{lines}</ul>'
        )
    if job.notices:
        lines = "".join(_line(name, what) for name, what in job.notices[:MAX_SHOWN])
        parts.append(
            f"<details><summary>{escape(words.BATCH_NOTICES)}</summary><ul>{lines}</ul></details>"
        )
    return gr.update(visible=bool(parts), value="".join(parts))


def _line(name: str, sentence: str) -> str:
    strong = f"<strong>{escape(name)}</strong> " if name else ""
    return f"<li>{strong}{escape(sentence)}</li>"


def _some(shown: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """All pictures, or as many as a gallery holds, evenly chosen."""
    if len(shown) <= MAX_SHOWN:
        return list(shown)
    return [shown[k * len(shown) // MAX_SHOWN] for k in range(MAX_SHOWN)]


def _rows(job: BatchJob) -> list[list[Any]]:
    frame = job.frame().head(MAX_ROWS)
    if not len(frame):
        return []
    track = frame["track"] if "track" in frame else [None] * len(frame)
    columns = (
        frame["file_name"],
        frame["object_id"],
        frame["category"],
        frame["score"].round(3),
        frame["grid"],
        frame["area_px2"],
        frame["gmac"].round(4),
        track,
    )
    return [list(row) for row in zip(*(list(c) for c in columns), strict=True)]


def _table(rows: list[list[Any]], *, tracks: bool) -> dict[str, list[Any]]:
    """Rows under their heads; the last column is of a video alone."""
    heads = list(words.COLUMNS)
    if not tracks:
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    return {"headers": heads, "data": rows}
