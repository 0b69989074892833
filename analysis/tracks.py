"""Objects followed through the frames of a video, and how often their grid changes on the way.

Greedy matching by IoU of boxes within a class: enough for the question asked here, whether the
switch flickers on an object that hardly moves. It is no re-identification; an object that leaves
the picture and returns is a new track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis import figures
from analysis.figure_text import plain_text
from dynamask.config import GRIDS
from dynamask.palette import GRID_COLOURS, class_colour

MIN_IOU = 0.3
MAX_GAP = 1  # frames an object may be missed in
SHOWN = 20  # tracks drawn; more lines cannot be told apart


@dataclass(frozen=True, eq=False)
class Frame:
    """What was found in one frame.

    Attributes:
        seconds: when the frame is shown.
        boxes_xyxy_px: (N, 4) float.
        labels: (N,) integers.
        grids: (N,) integers, each one of GRIDS.
    """

    seconds: float
    boxes_xyxy_px: np.ndarray
    labels: np.ndarray
    grids: np.ndarray


@dataclass(eq=False)
class Track:
    """One object through the frames: parallel lists of frame numbers, times and grids."""

    track_id: int
    label: int
    frames: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    grids: list[int] = field(default_factory=list)

    @property
    def flips(self) -> int:
        """How often the grid differs from the one in the frame before."""
        return int(np.count_nonzero(np.diff(self.grids)))


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of every pair of boxes.

    Args:
        a: (N, 4) xyxy.
        b: (M, 4) xyxy.

    Returns:
        (N, M) float64 in [0, 1]; 0 where both boxes are empty.
    """
    a = np.asarray(a, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(b, dtype=np.float64).reshape(1, -1, 4)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [np.clip(x[..., 2:] - x[..., :2], 0, None).prod(axis=-1) for x in (a, b)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)


def assign_tracks(
    frames: Sequence[Frame], min_iou: float = MIN_IOU, max_gap: int = MAX_GAP
) -> list[np.ndarray]:
    """Give every object of every frame the number of its track.

    In each frame, pairs of a living track and an object of the same class are taken in the order
    of falling IoU; what finds no partner starts a track.

    Args:
        frames: in the order of time.
        min_iou: smallest IoU of an object and its track's last box.
        max_gap: how many frames in a row a track may miss.

    Returns:
        For each frame (N,) int64 track numbers from 1; within a frame no number occurs twice.
    """
    last: dict[int, tuple[int, np.ndarray, int]] = {}  # track -> frame, box, label
    out: list[np.ndarray] = []
    count = 0
    for at, frame in enumerate(frames):
        boxes = np.asarray(frame.boxes_xyxy_px, dtype=np.float64).reshape(-1, 4)
        ids = np.zeros(len(boxes), dtype=np.int64)
        alive = [t for t, (seen, _, _) in last.items() if at - seen <= max_gap + 1]
        overlaps = box_iou(np.array([last[t][1] for t in alive]).reshape(-1, 4), boxes)
        same = np.array([last[t][2] for t in alive])[:, None] == np.asarray(frame.labels)[None]
        overlaps = np.where(same, overlaps, -1.0) if len(alive) else overlaps
        taken: set[int] = set()
        for flat in np.argsort(-overlaps, axis=None, kind="stable"):
            row, column = divmod(int(flat), len(boxes))
            if overlaps[row, column] < min_iou:
                break
            if ids[column] or alive[row] in taken:
                continue
            ids[column] = alive[row]
            taken.add(alive[row])
        for column in np.flatnonzero(ids == 0):
            count += 1
            ids[column] = count
        for column, track in enumerate(ids):
            last[int(track)] = (at, boxes[column], int(frame.labels[column]))
        out.append(ids)
    return out


def collect_tracks(frames: Sequence[Frame], ids: Sequence[np.ndarray]) -> list[Track]:
    """Tracks by number, from what :func:`assign_tracks` returned."""
    tracks: dict[int, Track] = {}
    for at, (frame, numbers) in enumerate(zip(frames, ids, strict=True)):
        for row, number in enumerate(numbers):
            track = tracks.setdefault(int(number), Track(int(number), int(frame.labels[row])))
            track.frames.append(at)
            track.seconds.append(float(frame.seconds))
            track.grids.append(int(frame.grids[row]))
    return [tracks[number] for number in sorted(tracks)]


def flicker(tracks: Sequence[Track]) -> dict[str, float]:
    """How restless the choice is.

    Returns:
        ``tracks``, ``steps`` (pairs of neighbouring sightings), ``flips`` (of them, those with
        another grid) and ``rate`` (flips / steps; 0.0 without steps).
    """
    steps = sum(len(t.grids) - 1 for t in tracks)
    flips = sum(t.flips for t in tracks)
    rate = flips / steps if steps else 0.0
    return {"tracks": len(tracks), "steps": steps, "flips": flips, "rate": rate}


def tracks_figure(tracks: Sequence[Track], names: Sequence[str], title: str) -> dict[str, Any]:
    """A Plotly figure as a dict: each track's grid over time.

    Only the longest tracks are drawn, and those seen once only where there are no others.

    Args:
        tracks: from :func:`collect_tracks`.
        names: class names by label.
        title: above the plot.
    """
    seen_again = [t for t in tracks if len(t.grids) > 1]  # a single sighting has no change to show
    longest = sorted(seen_again or tracks, key=lambda t: (-len(t.grids), t.track_id))[:SHOWN]
    data = []
    for place, track in enumerate(longest):
        known = 0 <= track.label < len(names)
        name = plain_text(names[track.label] if known else "object")
        # a small step apart, so that tracks at the same grid do not hide each other
        shift = 2 ** (0.018 * (place - (len(longest) - 1) / 2))
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"{name} {track.track_id}",
                "x": [round(s, 4) for s in track.seconds],
                "y": [grid * shift for grid in track.grids],
                "text": [str(grid) for grid in track.grids],
                "line": {"shape": "hv", "width": 2, "color": class_colour(place)},
                "marker": {
                    "size": 8,
                    "symbol": place % 25,
                    "color": [GRID_COLOURS[grid] for grid in track.grids],
                    "line": {"width": 1.5, "color": class_colour(place)},
                },
                "hovertemplate": f"{name} {track.track_id}<br>%{{x:.2f}} s: grid %{{text}}"
                "<extra></extra>",
            }
        )
    some = "tracks"
    if len(longest) < len(tracks):
        some = f"the {len(longest)} longest of {len(tracks)} tracks"
    return figures.frame(
        data,
        title,
        len(longest),
        "time in the video, s",
        "mask grid, cells a side",
        note=some,
        yaxis={
            "type": "log",
            "tickvals": list(GRIDS),
            "ticktext": [str(g) for g in GRIDS],
            "range": [float(np.log10(GRIDS[0] * 0.8)), float(np.log10(GRIDS[-1] * 1.25))],
        },
        showlegend=True,
    )
