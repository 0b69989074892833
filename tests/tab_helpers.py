"""The Inspect tab without a server, for tests of its handlers as plain functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import gradio as gr

from app.session import Session
from app.tabs.inspect import InspectTab

T = TypeVar("T")


def in_a_loop(make: Callable[[], T]) -> T:
    """Build Blocks inside an event loop; outside of one, Gradio makes loops that nobody closes."""

    async def run() -> T:
        return make()

    with ThreadPoolExecutor(1) as pool:  # this thread may have a loop: Playwright's
        return pool.submit(lambda: asyncio.run(run())).result()


def build_tab(session: Session) -> InspectTab:
    """The tab in a Blocks of its own."""

    def make() -> InspectTab:
        with gr.Blocks(analytics_enabled=False) as demo:
            tab = InspectTab(session)
            tab.build(demo)
        return tab

    return in_a_loop(make)


def event(data: object) -> gr.EventData:
    """What a handler gets of a browser's event."""
    return gr.EventData(None, data)
