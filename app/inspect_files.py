"""The Inspect tab's downloads."""

from __future__ import annotations

from typing import Any

import cv2
import gradio as gr
import numpy as np

from app import events, export, filmstrip
from app.export_page import StripFrame
from app.guard import sentences
from app.inspect_parts import Parts, State, stem
from app.picture import encode
from app.session import Ask, Decoded, Opened
from dynamask.palette import FILL_ALPHA, GRID_COLOURS, halo, rgb
from dynamask.strip import Frame, Strip

STRIPS = 8  # film strips in a page; each object takes about a quarter of a second
STRIP_SIDE = 240  # px of a strip's pictures


class Files(Parts):
    """Handlers that make files."""

    @sentences
    def on_export(
        self,
        state: State,
        selected: int | None,
        policy: Any,
        budget: Any,
        cut: Any,
        score: Any,
        event: gr.EventData,
    ) -> Any:
        """Write the file that was asked for, under a name made from the photo's."""
        kind = events.read_kind(event._data)
        controls = (policy, budget, cut, score)
        opened, decoded = self._saved(state, controls)
        strips = None
        if kind == "html":
            strips = self._strips(opened, decoded, self._ask(state, controls), selected)
        data, suffix = export.export(kind, opened, decoded, name=state["name"], strips=strips)
        return self._file(data, f"{stem(state['name'])}{suffix}")

    def _strips(
        self, opened: Opened, decoded: Decoded, ask: Ask, selected: int | None
    ) -> dict[int, list[StripFrame]]:
        """Film strips of the selected object and of the first few others."""
        ids = [int(i) for i in decoded.ids]
        if selected in ids:
            ids = [selected, *(i for i in ids if i != selected)]
        return {
            object_id: _pictures(
                self.session.strip(opened, ask, object_id), opened, decoded, object_id
            )
            for object_id in ids[:STRIPS]
        }


def _pictures(strip: Strip, opened: Opened, decoded: Decoded, object_id: int) -> list[StripFrame]:
    row = int(np.flatnonzero(decoded.ids == object_id)[0])
    box = decoded.instances.boxes_xyxy_px[row].numpy()
    window = filmstrip.window_of(box, opened.scene.image_size)
    chosen = int(decoded.instances.selection.grids[row])
    return [
        StripFrame(
            grid=frame.grid,
            png=_crop_png(opened.pixels, window, strip, frame),
            gmac=frame.mac / 1e9,
            iou=frame.iou,
            boundary_iou=frame.boundary_iou,
            chosen=frame.grid == chosen,
        )
        for frame in strip.frames
    ]


def _crop_png(pixels: np.ndarray, window: filmstrip.Window, strip: Strip, frame: Frame) -> bytes:
    """The crop with one mask, filled and outlined, as a small PNG."""
    x, y, w, h = window
    mask = np.zeros((h, w), dtype=np.uint8)
    left, top = strip.corner[0] - x, strip.corner[1] - y
    mask[top : top + frame.mask.shape[0], left : left + frame.mask.shape[1]] = frame.mask
    factor = STRIP_SIDE / max(w, h)
    size = (max(1, round(w * factor)), max(1, round(h * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    crop = cv2.resize(pixels[y : y + h, x : x + w], size, interpolation=how).astype(np.float32)
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    colour = np.array(rgb(GRID_COLOURS[frame.grid]), dtype=np.float32)
    crop[mask > 0] += FILL_ALPHA * (colour - crop[mask > 0])
    picture = np.ascontiguousarray(crop.round().astype(np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for line, width in ((halo(GRID_COLOURS[frame.grid]), 3), (GRID_COLOURS[frame.grid], 1)):
        cv2.drawContours(picture, contours, -1, rgb(line), width, cv2.LINE_AA)
    return encode(picture[..., ::-1], ".png")
