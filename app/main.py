"""Puts the page together; ``python -m app`` serves it."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio looks at it

import gradio as gr

from app import (
    address,
    api,
    headers,
    mcp_json,
    settings,
    text,
    text_batch,
    text_compare,
    text_dataset,
)
from app.dataset_job import Board
from app.dataset_keep import Keeper
from app.dataset_runs import Shelf
from app.discretion import DISCRETION
from app.session import Session
from app.tabs.batch import BatchTab
from app.tabs.compare import CompareTab
from app.tabs.dataset import DatasetTab
from app.tabs.inspect import InspectTab
from app.tabs.published import PublishedTab
from app.tabs.runs import RunsTab
from app.theme import CSS_FILE, make_theme
from app.widgets import compare_viewer, inside_view, mask_viewer, plotly_view

STYLES = (
    *(CSS_FILE, CSS_FILE.with_name("batch.css"), CSS_FILE.with_name("dataset.css")),
    *(view.CSS_FILE for view in (mask_viewer, plotly_view, inside_view, compare_viewer)),
)
WATCH = CSS_FILE.with_name("stream_watch.js").read_text(encoding="utf-8")
HEADER = f"<h1>{escape(text.TITLE)}</h1><p>{escape(text.TAGLINE)}</p>"


def build_app(
    session: Session, second: Session | None = None, *, public: bool = False
) -> gr.Blocks:
    """Return the page; the model may still be loading.

    Args:
        session: the model and the photos in memory.
        second: other weights that the Compare tab offers, or None.
        public: visitors are strangers to one another and to this machine's files.
    """
    shelf, board = Shelf(public=public), Board()
    keeper = Keeper(shelf, board)
    if public:
        keeper.watch()
        DISCRETION.begin([shelf.folder, settings.ROOT, Path.cwd()])
    else:
        DISCRETION.end()
    with gr.Blocks(
        title=text.TITLE,
        analytics_enabled=False,
        delete_cache=settings.DELETE_CACHE,
        fill_width=True,
    ) as demo:
        gr.HTML(HEADER, elem_id="dm-header")
        nudge = gr.Button(visible="hidden", elem_id="dm-nudge")  # pressed by stream_watch.js
        nudge.click(lambda: None, api_visibility="private", show_progress="hidden")
        with gr.Tabs(elem_id="dm-tabs") as tabs:
            with gr.Tab(text.TAB_INSPECT, id="inspect"):
                inspector = InspectTab(session)
                inspector.build(demo)
            with gr.Tab(text_compare.TAB_COMPARE, id="compare"):
                CompareTab(session, second).build(demo, inspector)
            with gr.Tab(text_batch.TAB_BATCH, id="batch"):
                BatchTab(session).build(demo)
            with gr.Tab(text_dataset.TAB_DATASET, id="dataset") as tab:
                dataset = DatasetTab(session, shelf, board, keeper)
                dataset.build(demo, tab, tabs, inspector)
            with gr.Tab(text_dataset.TAB_RUNS, id="runs") as tab:
                RunsTab(session, shelf, board).build(demo, tab, tabs, dataset)
            with gr.Tab(text_dataset.TAB_PUBLISHED, id="published"):
                PublishedTab().build()
        inspector.tab_ids = address.tab_ids(tabs)
        address.remember_tab(demo, tabs)
        api.add_endpoints(session)
    demo.queue(max_size=settings.QUEUE_SIZE, default_concurrency_limit=settings.UI_CONCURRENCY)
    return demo


def launch_settings(
    host: str = settings.HOST,
    port: int | None = settings.PORT,
    *,
    session: Session | None = None,
    mcp: bool = False,
) -> dict[str, Any]:
    """Arguments of ``Blocks.launch``: small limits, nothing of the repository served.

    Args:
        host: address to listen on.
        port: port to listen on.
        session: of which /ready tells; without it there is no such route.
        mcp: offer the API's endpoints as MCP tools too.
    """
    if mcp:
        mcp_json.answer_in_json()
    return {
        "server_name": host,
        "server_port": port,
        "theme": make_theme(),
        "css": "\n".join(path.read_text(encoding="utf-8") for path in STYLES),
        "head": f"<script>{WATCH}</script>",
        "max_file_size": settings.MAX_FILE_SIZE,
        "allowed_paths": [],
        "blocked_paths": [str(settings.ROOT)],
        "show_error": False,
        "state_session_capacity": settings.STATE_SESSIONS,
        "enable_monitoring": False,
        "strict_cors": True,
        "ssr_mode": False,
        "share": False,
        "pwa": False,
        "run_history": False,
        "mcp_server": mcp,
        "app_kwargs": headers.app_settings(session),
        "footer_links": ["api", "settings"],
    }
