"""The Runs tab: what runs there are, what each is, and resume, delete, compare, take away."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from app import text_dataset
from app import text_runs as words
from app.run_handlers import RunHandlers
from app.tabs.dataset import DatasetTab
from app.tabs.inspect import QUIET, SAVE_JS


class RunsTab(RunHandlers):
    """Builds the tab; its handlers are in :mod:`app.run_handlers`."""

    def build(self, demo: gr.Blocks, tab: gr.Tab, tabs: gr.Tabs, dataset: DatasetTab) -> None:
        """Lay the tab out inside the current context and wire its events.

        Args:
            demo: the page.
            tab: this tab, whose selection lists the runs.
            tabs: all tabs, of which ``dataset`` is chosen to show a run.
            dataset: the tab that shows runs.
        """
        self.tabs, self.dataset = tabs, dataset
        with gr.Row(elem_id="dm-runs"):
            with gr.Column(scale=1, min_width=300):
                self.run = gr.Radio(
                    [], label=words.LIST, info=words.LIST_INFO, elem_id="dm-runs-list"
                )
                self.refresh = gr.Button(words.REFRESH, size="sm", elem_id="dm-runs-refresh")
            with gr.Column(scale=2, min_width=320):
                self.details = gr.HTML(_note(words.CHOOSE), elem_id="dm-runs-details")
                with gr.Row(elem_classes="dm-row"):
                    self.show = self._button(words.SHOW, "show")
                    self.resume = self._button(words.RESUME, "resume")
                    self.stop = self._button(words.STOP, "stop")
                    self.delete = self._button(words.DELETE, "delete")
                self.progress = gr.HTML(elem_id="dm-runs-progress")
                with gr.Group(visible=False, elem_id="dm-runs-confirm") as self.confirm:
                    self.question = gr.HTML(elem_id="dm-runs-question")
                    with gr.Row(elem_classes="dm-row"):
                        self.yes = gr.Button(
                            words.DELETE_YES, variant="stop", size="sm", elem_id="dm-runs-yes"
                        )
                        self.no = gr.Button(words.DELETE_NO, size="sm", elem_id="dm-runs-no")
                with gr.Accordion(words.EXPORT, open=False, elem_id="dm-runs-export"):
                    self.format = gr.Radio(
                        [(w, f) for f, w in words.EXPORT_FORMATS.items()],
                        value="parquet",
                        label=words.EXPORT_FORMAT,
                        elem_id="dm-runs-format",
                    )
                    self.export = gr.Button(
                        words.EXPORT_START, size="sm", interactive=False, elem_id="dm-runs-make"
                    )
                    self.exported = gr.HTML()
                    self.file = gr.DownloadButton(visible="hidden", elem_id="dm-runs-file")
        with gr.Accordion(words.COMPARE, open=False, elem_id="dm-runs-compare"):
            gr.HTML(_note(words.COMPARE_HINT))
            with gr.Row():
                self.first = gr.Dropdown(
                    [], label=words.COMPARE_FIRST, min_width=240, elem_id="dm-compare-first"
                )
                self.second = gr.Dropdown(
                    [], label=words.COMPARE_SECOND, min_width=240, elem_id="dm-compare-second"
                )
                self.boxes = gr.Radio(
                    [(w, b) for b, w in text_dataset.BOXES_CHOICES.items()],
                    value="gt",
                    label=words.COMPARE_BOXES,
                    elem_id="dm-compare-boxes",
                )
                self.policy = gr.Dropdown(
                    [],  # what both runs hold
                    label=words.COMPARE_POLICY,
                    elem_id="dm-compare-policy",
                )
            self.compare = gr.Button(words.COMPARE_START, size="sm", elem_id="dm-compare-start")
            self.differences = gr.HTML(elem_id="dm-differences")
        self._wire(tab)

    @staticmethod
    def _button(label: str, name: str) -> gr.Button:
        return gr.Button(label, size="sm", interactive=False, elem_id=f"dm-runs-{name}")

    def _wire(self, tab: gr.Tab) -> None:
        visitor = self.dataset.visitor
        known = [visitor, self.run]
        listed = [self.run, self.first, self.second, self.boxes, self.policy]
        pair = [visitor, self.first, self.second, self.boxes, self.policy]
        told = [
            *(self.details, self.show, self.resume, self.stop, self.delete, self.export),
            *(self.confirm, self.exported),
        ]
        panel = self.dataset.make
        making = [panel.progress, panel.start, panel.stop]
        gr.on(
            [tab.select, self.refresh.click],
            self.on_list,
            known,
            [*listed, *told, self.progress],
            **QUIET,
        )
        self.run.input(
            self.on_choose, known, [*told, self.progress], **QUIET, trigger_mode="always_last"
        )
        self.delete.click(self.on_delete, known, [self.confirm, self.question], **QUIET)
        self.no.click(self.on_keep, None, self.confirm, **QUIET)
        self.yes.click(self.on_delete_yes, known, [*listed, *told, self.progress, *making], **QUIET)
        self.resume.click(
            self.on_resume,
            known,
            [*listed, *told, self.progress, *making],
            api_visibility="private",
            show_progress="hidden",
            concurrency_limit=None,
        )
        self.stop.click(self.on_stop, [visitor], self.stop, queue=False, api_visibility="private")
        # the Dataset tab opens the run by itself as it is seen
        self.show.click(self.on_show, known, [self.dataset.run, self.tabs], **QUIET)
        self.export.click(
            self.on_export,
            [*known, self.format],
            [self.file, self.exported],
            api_visibility="private",
            show_progress_on=[self.exported],
            concurrency_id="report",
            concurrency_limit=1,
        ).success(None, self.file, None, js=SAVE_JS, api_visibility="private")
        gr.on(
            [c.input for c in (self.first, self.second, self.boxes)],
            self.on_pair,
            pair,
            [self.boxes, self.policy],
            **QUIET,
            trigger_mode="always_last",
        )
        self.compare.click(
            self.on_compare,
            pair,
            self.differences,
            api_visibility="private",
            show_progress_on=[self.differences],
        )


def _note(sentence: str) -> Any:
    return f'<p class="dm-muted">{escape(sentence)}</p>'
