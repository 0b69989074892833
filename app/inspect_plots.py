"""Plots of the inspected photo: they follow every change of the picture, and share its selection.

The picture's own change is what asks for them, so whatever leads to a new picture leads to new
plots; decoding is not repeated, since the session keeps its result. Selecting and filtering happen
in the browser, see ``widgets/plotly_view_link.js``.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from analysis import photo_figures as draw
from app import events
from app import text_plots as words
from app.discretion import sentence_of
from app.inside_pictures import inside_value
from app.inspect_parts import Parts, State
from app.picture import object_name
from app.widgets.inside_view import InsideView
from app.widgets.mask_viewer import MaskViewer
from app.widgets.plotly_view import PlotlyView
from dynamask.errors import DynaMaskError

if TYPE_CHECKING:
    from app.session import Decoded, Opened

HEIGHT = 340  # px
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
# on a phone three plots are two screens: there they wait until they are asked for
CLOSED_JS = """() => matchMedia('(max-width: 640px)').matches
  ? { __type__: 'update', open: false } : { __type__: 'update' }"""
MODEL = {"concurrency_limit": 1, "concurrency_id": "model"}  # a photo may have to be encoded again


class PhotoPlots(Parts):
    """The two sections below the picture: plots of all objects, and one object seen from inside.

    Args:
        session: the model and the photos in memory.
    """

    def build(self) -> None:
        """Lay the sections out inside the current context."""
        self.section = gr.Accordion(words.PHOTO_PLOTS, elem_id="dm-photo-plots")
        with self.section:
            about = f'<p class="dm-muted dm-small">{escape(words.PHOTO_PLOTS_ABOUT)}</p>'
            gr.HTML(about, elem_classes="dm-bare")
            with gr.Row(elem_classes="dm-plots"):
                self.grids = self._view("dm-plot-grids")
                self.odds = self._view("dm-plot-odds")
            self.budget = self._view("dm-plot-budget")
        with gr.Accordion(words.INSIDE, open=False, elem_id="dm-inside"):
            self.inside = InsideView(elem_classes="dm-bare")

    @staticmethod
    def _view(elem_id: str) -> PlotlyView:
        return PlotlyView(
            link=True,
            height=HEIGHT,
            empty=words.PHOTO_PLOTS_EMPTY,
            elem_id=elem_id,
            elem_classes="dm-bare",
            min_width=320,
        )

    def wire(
        self, demo: gr.Blocks, viewer: MaskViewer, state: gr.State, controls: list[Any]
    ) -> None:
        """Follow a picture.

        Args:
            demo: the page.
            viewer: the picture.
            state: of the page.
            controls: policy, budget, threshold and smallest score.
        """
        viewer.change(
            self.on_picture,
            [state, *controls],
            [self.grids, self.odds, self.budget],
            trigger_mode="always_last",
            **QUIET,
            **MODEL,
        )
        demo.load(None, None, self.section, js=CLOSED_JS, api_visibility="private")
        self.inside.select(
            self.on_inside,
            [state, *controls],
            self.inside,
            trigger_mode="multiple",
            **QUIET,
            **MODEL,
        )

    # it names each control, since Gradio looks for the event among named arguments
    def on_inside(
        self, state: State, policy: Any, budget: Any, cut: Any, score: Any, event: gr.EventData
    ) -> Any:
        """Pictures of what the model sees of an object."""
        number = self.sequence.next()
        object_id = None
        try:
            object_id = events.read_id(event._data)
            if object_id is None or not state["key"]:
                return gr.skip()
            opened = self._reopen(state)
            ask = self._ask(state, (policy, budget, cut, score))
            decoded = self.session.decode(opened, ask)
            row = decoded.row(object_id)
            if row is None:
                return gr.skip()
            inside = self.session.inside(opened, ask, object_id)
            shown = inside_value(inside, opened.pixels, object_name(decoded, row))
        except Exception as error:
            shown = {"problem": sentence_of(error, "inside the model")}
        return {**shown, "id": object_id, "seq": number}

    def on_picture(self, state: State, *controls: Any) -> tuple[Any, Any, Any]:
        """Draw the photo that is now shown; empty plots where there is none."""
        number = self.sequence.next()
        if not state["key"]:
            return (None,) * 3
        try:
            opened = self._reopen(state)
            decoded = self.session.decode(opened, self._ask(state, controls))
        except DynaMaskError:  # what changed the picture has said so already
            return (gr.skip(),) * 3
        return self.values(opened, decoded, number)

    def values(self, opened: Opened, decoded: Decoded, number: int) -> tuple[Any, Any, Any]:
        """What the three plots show.

        Args:
            opened: the photo.
            decoded: its objects under some policy.
            number: the answer's place in the sequence.
        """
        predictor = self.session.predictor()
        objects = photo_objects(opened, decoded)
        curve = None
        if len(objects):
            curve = self.session.strips.compute(
                (opened.scene.key, "curve", objects.probabilities.tobytes()),
                lambda: draw.budget_curve(
                    objects.probabilities, predictor.cost_table, objects.level_shapes
                ),
            )
        figures = (
            draw.grids_by_area(objects, predictor.config.size_thresholds_px),
            draw.odds_by_area(objects),
            draw.cost_by_budget(objects, curve),
        )
        alts = (
            words.GRIDS_ALT.format(count=len(objects)),
            words.ODDS_ALT.format(count=len(objects)),
            words.BUDGET_ALT.format(low=curve.reach[0], high=curve.reach[1]) if curve else "",
        )
        grids, odds, budget = (
            {"figure": figure, "seq": number, "alt": alt}
            for figure, alt in zip(figures, alts, strict=True)
        )
        return grids, odds, budget


def photo_objects(opened: Opened, decoded: Decoded) -> draw.PhotoObjects:
    """What the plots need to know, out of what the picture is made of."""
    instances, selection = decoded.instances, decoded.instances.selection
    shapes = {
        name: (int(level.shape[-2]), int(level.shape[-1]))
        for name, level in opened.scene.pyramid.items()
    }
    return draw.PhotoObjects(
        ids=decoded.ids,
        names=tuple(object_name(decoded, row) for row in range(len(instances))),
        boxes_xyxy_px=instances.boxes_xyxy_px.numpy(),
        probabilities=selection.probabilities,
        grids=selection.grids,
        object_mac=selection.object_mac,
        image_mac=selection.image_mac,
        level_shapes=shapes,
        policy=selection.policy,
    )
