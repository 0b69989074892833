"""The Dataset tab: dashboards of a run under one filter bar, and the objects behind every mark."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any

import gradio as gr

from app import dataset_filters, dataset_views
from app import text_dataset as words
from app.dataset_handlers import DatasetHandlers, new_state
from app.tabs.dataset_make import MakePanel
from app.tabs.inspect import MODEL, QUIET, SAVE_JS, InspectTab
from app.widgets.budget_slider import BudgetSlider
from app.widgets.patch_grid import PatchGrid
from app.widgets.plotly_view import PlotlyView
from dynamask.config import GRIDS

FIRST = dataset_filters.FIRST
PLOT_HEIGHT = 400
STORAGE = {"storage_key": "dynamask-visitor-v1", "secret": "dynamask-visitor"}  # not a password
SEE_JS = (
    "() => { const e = document.querySelector('#dm-behind'); const r = e.getBoundingClientRect();"
    " if (r.top > innerHeight - 120 || r.bottom < 80) e.scrollIntoView({block: 'start'}); }"
)


class DatasetTab(DatasetHandlers):
    """Builds the tab; its handlers are in :mod:`app.dataset_handlers`."""

    def build(self, demo: gr.Blocks, tab: gr.Tab, tabs: gr.Tabs, inspector: InspectTab) -> None:
        """Lay the tab out inside the current context and wire its events.

        Args:
            demo: the page.
            tab: this tab, whose selection draws.
            tabs: all tabs, of which ``inspect`` is chosen for a patch.
            inspector: where patches are opened.
        """
        self.inspector, self.tabs = inspector, tabs
        self.visitor = gr.BrowserState("", **STORAGE)
        self.state = gr.State(new_state())
        # each of these has one kind of writer, so that events that overlap do no harm
        self.group = gr.State(next(iter(dataset_views.GROUPS)))
        self.drawn = {group: gr.State("") for group in dataset_views.GROUPS}
        self.behind = gr.State(None)
        self.chosen = gr.State(None)
        with gr.Row(elem_id="dm-run-row"):
            self.run = gr.Dropdown(
                [], label=words.RUN, info=words.RUN_INFO, elem_id="dm-run", scale=4
            )
            with gr.Column(scale=1, min_width=200):
                self.refresh = gr.Button(words.RUN_REFRESH, size="sm", elem_id="dm-run-refresh")
                self.report = gr.Button(
                    words.REPORT, size="sm", interactive=False, elem_id="dm-report"
                )
                self.file = gr.DownloadButton(visible="hidden", elem_id="dm-report-file")
        self.notice = gr.HTML(elem_id="dm-run-notice")
        self._build_filters()
        self.totals = gr.HTML(elem_id="dm-totals")
        with gr.Row(elem_id="dm-boards"):
            with gr.Column(elem_id="dm-plots", scale=3):
                self._build_plots()
            with gr.Column(elem_id="dm-behind", scale=1):
                self._build_behind()
        self._wire(demo, tab)
        self.make = MakePanel(self.session, self.shelf, self.board, self.keeper)
        self.make.build(demo, self)

    # -- layout ----------------------------------------------------------------------------

    def _build_filters(self) -> None:
        # closed, so that the plots are what is seen first; its head says what is let through
        self.bar = gr.Accordion(words.FILTERS, open=False, elem_id="dm-filters")
        with self.bar:
            with gr.Row(elem_classes="dm-bar"):
                self.boxes = gr.Radio(
                    [(w, b) for b, w in words.BOXES_CHOICES.items()],
                    value=FIRST["boxes"],
                    label=words.BOXES,
                    elem_id="dm-f-boxes",
                )
                self.policy = gr.Radio(
                    dataset_views.policy_choices([FIRST["policy"]]),
                    value=FIRST["policy"],
                    label=words.ROWS_POLICY,
                    elem_id="dm-f-policy",
                )
                self.grids = gr.CheckboxGroup(
                    [str(g) for g in GRIDS],
                    value=FIRST["grids"],
                    label=words.GRIDS_LABEL,
                    elem_id="dm-f-grids",
                )
                self.size = gr.Radio(
                    [(w, s) for s, w in words.SIZES.items()],
                    value=FIRST["size"],
                    label=words.SIZE,
                    elem_id="dm-f-size",
                )
                self.low = gr.Number(
                    None, label=words.AREA_LOW, minimum=0, elem_id="dm-f-low", min_width=120
                )
                self.high = gr.Number(
                    None, label=words.AREA_HIGH, minimum=0, elem_id="dm-f-high", min_width=120
                )
                self.classes = gr.Dropdown(
                    [],
                    value=[],
                    multiselect=True,
                    label=words.CLASSES,
                    elem_id="dm-f-classes",
                )
                self.score = gr.Slider(
                    0,
                    1,
                    value=0,
                    step=0.05,
                    label=words.SCORE,
                    buttons=[],
                    elem_id="dm-f-score",
                )
                self.crowd = gr.Radio(
                    [(w, c) for c, w in words.CROWDS.items()],
                    value=FIRST["crowd"],
                    label=words.CROWD,
                    elem_id="dm-f-crowd",
                )
                self.truncated = gr.Radio(
                    [(w, c) for c, w in words.TRUNCATEDS.items()],
                    value=FIRST["truncated"],
                    label=words.TRUNCATED,
                    elem_id="dm-f-truncated",
                )
            self.clear = gr.Button(words.FILTERS_RESET, size="sm", elem_id="dm-f-clear")
        with gr.Row(elem_classes="dm-bar", elem_id="dm-explorer"):
            self.budget_on = gr.Checkbox(
                False, label=words.BUDGET_ON, elem_id="dm-budget-on", scale=1, min_width=200
            )
            self.budget = BudgetSlider(
                0,
                1,
                value=0.5,
                step=0.0001,
                label=words.BUDGET,
                info=words.BUDGET_INFO,
                interactive=False,
                buttons=[],
                elem_id="dm-set-budget",
                scale=4,
            )
        named = {name: getattr(self, name) for name in FIRST}
        self.filters = list(named.values())
        self.controls = [*self.filters, self.budget_on, self.budget]

    def _build_plots(self) -> None:
        self.plots: dict[str, PlotlyView] = {}
        self.groups: dict[str, gr.Tab] = {}
        gr.HTML(f'<p class="dm-muted dm-small">{escape(words.CLICK_HINT)}</p>')
        with gr.Tabs(elem_id="dm-groups"):
            for group, names in dataset_views.GROUPS.items():
                with gr.Tab(words.GROUPS[group], id=group) as self.groups[group]:
                    with gr.Row(elem_classes="dm-grid"):
                        for name in names:
                            with gr.Column(min_width=320, elem_classes="dm-plot"):
                                gr.HTML(dataset_views.hint_html(name))
                                self.plots[name] = PlotlyView(
                                    empty=words.PLOT_WAITING,
                                    height=PLOT_HEIGHT,
                                    elem_id=f"dm-plot-{name}",
                                )
                    if group == "cost":
                        self.policy_table = gr.HTML(elem_id="dm-policy-table")
                    if group == "ap":
                        self.ap_table = gr.HTML(elem_id="dm-ap-table")

    def _build_behind(self) -> None:
        gr.HTML(f"<h2>{escape(words.BEHIND)}</h2>", elem_classes="dm-head")
        self.behind_line = gr.HTML(f'<p class="dm-muted">{escape(words.BEHIND_IDLE)}</p>')
        self.facts = gr.HTML(elem_id="dm-facts")
        self.inspect = gr.Button(
            words.OPEN_IN_INSPECTOR, visible=False, variant="primary", elem_id="dm-open-inspect"
        )
        self.gallery = PatchGrid(elem_id="dm-patches")
        self.more = gr.Button(words.BEHIND_MORE, size="sm", visible=False, elem_id="dm-more")
        with gr.Accordion(words.PHOTOS, open=False, elem_id="dm-photos"):
            self.photos_line = gr.HTML()
            local = not self.shelf.public
            self.folder = gr.Textbox(
                label=words.PHOTOS_FOLDER,
                info=words.PHOTOS_INFO,
                visible=local,
                max_lines=1,
                elem_id="dm-photos-folder",
            )
            self.use = gr.Button(
                words.PHOTOS_USE, size="sm", visible=local, elem_id="dm-photos-use"
            )

    # -- events ----------------------------------------------------------------------------

    def _wire(self, demo: gr.Blocks, tab: gr.Tab) -> None:
        known = [self.visitor, self.state]
        drawn = [
            *(*self.plots.values(), *self.drawn.values()),
            *(self.totals, self.bar, self.policy_table, self.ap_table),
        ]
        looked = [
            *(self.behind, self.gallery, self.behind_line, self.more, self.facts),
            *(self.chosen, self.inspect),
        ]
        bar = [self.policy, self.budget_on, self.budget]
        self.all_outputs = opened = [
            *(*drawn, *looked, *self.filters, self.budget_on, self.budget),
            *(self.run, self.state, self.notice, self.report, self.photos_line),
        ]
        last = {**QUIET, "trigger_mode": "always_last"}
        asked = [*known, self.group, *self.controls]
        demo.load(self.on_load, [self.visitor], [self.visitor, self.run, self.notice], **QUIET)
        self.refresh.click(self.on_refresh, known, [self.run, self.notice], **QUIET)
        tab.select(self.on_show, [*known, self.group, self.run], opened, **last)
        self.run.input(self.on_open, [self.visitor, self.group, self.run], opened, **last)
        self.boxes.input(self.on_boxes, asked, [*drawn, *looked, *bar], **last)
        others = [c for c in self.controls if c is not self.boxes]
        # one listener for all of them, so that an older answer never comes after a newer one
        gr.on(
            [c.input for c in others], self.on_change, asked, [*drawn, *looked, self.budget], **last
        )
        self.clear.click(self.on_clear, asked, [*drawn, *looked, *self.filters], **last)
        for group, chosen in self.groups.items():
            mine = [*known, self.group, self.drawn[group], *self.controls]
            chosen.select(partial(self.on_group, group), mine, [*drawn, self.group], **last)
        for plot in self.plots.values():
            plot.select(self.on_mark, asked, looked, **QUIET, trigger_mode="multiple").success(
                None, js=SEE_JS, api_visibility="private"
            )
        self.more.click(self.on_more, [self.visitor, self.behind], looked, **QUIET)
        self.gallery.select(
            self.on_patch,
            [self.visitor, self.behind],
            [self.facts, self.inspect, self.chosen],
            **QUIET,
        )
        self._wire_inspector()
        self.use.click(
            self.on_photos, [*known, self.folder], [self.state, self.photos_line], **QUIET
        )
        self.report.click(
            self.on_report,
            [*known, *self.controls],
            self.file,
            api_visibility="private",
            show_progress_on=[self.report],
            concurrency_id="report",
            concurrency_limit=1,
        ).success(None, self.file, None, js=SAVE_JS, **PRIVATE)

    def _wire_inspector(self) -> None:
        inspector = self.inspector
        patch = [self.visitor, self.behind, self.chosen]
        opening = self.inspect.click(
            self.on_inspect,
            [*patch, *inspector.controls],
            inspector.opened,
            api_visibility="private",
            show_progress_on=[self.inspect],
            **MODEL,
        )
        opening.success(
            self.on_inspected,
            [self.chosen, inspector.state, *inspector.controls],
            [*inspector.drawn, self.tabs],
            **QUIET,
            **MODEL,
        )


PRIVATE: dict[str, Any] = {"api_visibility": "private"}
