"""What the Inspect tab restores from the page's address and the browser's memory."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app import events, preferences, query, text, text_page
from app.address import parameters
from app.discretion import sentence_of
from app.guard import sentences
from app.inspect_parts import Parts, inwards
from dynamask.errors import DynaMaskError


class Memory(Parts):
    """Handlers of loading the page, and of what outlives it."""

    example_paths: list[Path]
    tab_ids: list[str]

    def on_restore(self, kept: Any, request: gr.Request) -> tuple[Any, ...]:
        """Put the controls as the address says, or as they were on the last visit.

        Returns:
            Policy, threshold, viewer, notice, look, and the policy that needs no file.
        """
        view, ignored = self._linked(request)
        prefer = preferences.read_preferences(kept)
        policy = view.policy or prefer["policy"]
        look = {"colour": prefer["colour"], "fill": prefer["fill"]}
        said = ""
        if ignored:
            sentence = text_page.ADDRESS_IGNORED.format(names=", ".join(ignored))
            said = f'<p class="dm-note" role="status" data-testid="notice">{escape(sentence)}</p>'
        return (
            gr.update(value=policy, info=text.policy_help(policy)),
            prefer["threshold"],
            gr.update(value={"prefs": look}),
            gr.update(value=said, visible=bool(said)),
            look,
            policy,
        )

    def on_load(self, request: gr.Request) -> tuple[Any, ...]:
        """Wait for the model; then give the budget slider its range, or say what is wrong.

        Returns:
            Banner, budget, the switch for everything found, and which example to open with what
            filters.
        """
        try:
            predictor = self.session.predictor()
        except DynaMaskError as error:
            why = escape(sentence_of(error, "on opening the page"))
            sentence = f"<strong>{escape(text.NO_MODEL)}</strong>{why}"
            banner = f'<div class="dm-banner" role="alert" data-testid="no-model">{sentence}</div>'
            return (gr.update(value=banner, visible=True), *[gr.skip()] * 3)
        low, high = predictor.budget_range()
        low, high = inwards(low), inwards(high, up=False)
        view, _ = self._linked(request)
        wanted = (low + high) / 2 if view.budget is None else view.budget / 1000
        value = round(min(max(wanted, low), high), 3)
        return (
            gr.update(visible=False),
            gr.update(minimum=low, maximum=high, value=value, interactive=True),
            gr.update(visible=True if self._leaves_out() else "hidden"),
            {
                "example": view.example,
                "filter": view.filters.to_browser(),
                "every": query.CLASSES.get(view.classes),
            }
            if view.example
            else gr.skip(),
        )

    def on_linked(self, linked: Any, *controls: Any) -> Any:
        """Open the example that the address names, with its filters."""
        stems = [path.stem for path in self.example_paths]
        if not isinstance(linked, dict) or linked.get("example") not in stems:
            return gr.skip()
        path = self.example_paths[stems.index(linked["example"])]
        every = linked.get("every")
        every = every if isinstance(every, bool) else None
        return self._open(str(path), path.name, controls, keep=linked.get("filter"), every=every)

    # what is sent of the memory is as old as the event: two quick changes would undo each other,
    # so policy, threshold and look always come from where they live

    @sentences
    def on_prefer(
        self, kept: Any, look: Any, policy: Any, threshold: Any
    ) -> preferences.Preferences:
        """Remember the policy and the threshold; an oracle needs a file, so the last one stays."""
        known = preferences.read_preferences(kept)
        wanted = known["policy"] if policy == query.NEEDS_TRUTH else policy
        return preferences.read_preferences({**look, "policy": wanted, "threshold": threshold})

    @sentences
    def on_look(
        self, kept: Any, policy: Any, threshold: Any, event: gr.EventData
    ) -> tuple[preferences.Preferences, dict[str, Any]]:
        """Remember what the masks' colours follow, and how opaque they are."""
        look = events.read_look(event._data)
        found = self.on_prefer(kept, look, policy, threshold)
        return found, {"colour": found["colour"], "fill": found["fill"]}

    def _linked(self, request: gr.Request) -> tuple[query.PageView, tuple[str, ...]]:
        stems = [path.stem for path in self.example_paths]
        return query.decode(parameters(request), examples=stems, tabs=self.tab_ids)
