"""Tracks on boxes whose paths are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analysis.tracks import (
    Frame,
    assign_tracks,
    box_iou,
    collect_tracks,
    flicker,
    tracks_figure,
)
from dynamask.palette import GRID_COLOURS


def frame(at: float, *objects: tuple[float, int, int]) -> Frame:
    """Objects as (left edge, label, grid), each 10 px square."""
    boxes = np.array([[x, 0, x + 10, 10] for x, _, _ in objects], dtype=float).reshape(-1, 4)
    labels = np.array([label for _, label, _ in objects], dtype=int)
    return Frame(at, boxes, labels, np.array([grid for _, _, grid in objects], dtype=int))


def test_box_iou() -> None:
    a = np.array([[0, 0, 10, 10], [0, 0, 0, 0]])
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]])
    assert box_iou(a, b)[0] == pytest.approx([1, 1 / 3, 0, 0])
    assert box_iou(a, b)[1] == pytest.approx([0, 0, 0, 0])
    assert box_iou(np.zeros((0, 4)), b).shape == (0, 4)


def test_two_objects_swap_their_order_in_the_list() -> None:
    ids = assign_tracks([frame(0, (0, 0, 14), (40, 0, 28)), frame(1, (42, 0, 28), (2, 0, 14))])
    assert ids[0].tolist() == [1, 2] and ids[1].tolist() == [2, 1]


def test_the_best_overlap_wins_not_the_first() -> None:
    # both could take track 1; the nearer one does
    ids = assign_tracks([frame(0, (0, 0, 14)), frame(1, (4, 0, 14), (1, 0, 14))])
    assert ids[1].tolist() == [2, 1]


def test_classes_are_kept_apart() -> None:
    assert assign_tracks([frame(0, (0, 0, 14)), frame(1, (0, 1, 14))])[1].tolist() == [2]


@pytest.mark.parametrize(("missed", "same"), [(1, True), (2, False)])
def test_a_track_survives_a_short_gap(missed: int, same: bool) -> None:
    frames = [frame(0, (0, 0, 14)), *[frame(1 + k) for k in range(missed)], frame(9, (1, 0, 14))]
    assert (assign_tracks(frames)[-1].tolist() == [1]) is same


def test_flicker_counts_changes_between_sightings() -> None:
    grids = [14, 14, 28, 14, 14]
    frames = [frame(k, (k, 0, g), (50, 0, 56)) for k, g in enumerate(grids)]
    tracks = collect_tracks(frames, assign_tracks(frames))
    assert [t.flips for t in tracks] == [2, 0]
    assert tracks[0].grids == grids and tracks[0].seconds == [0, 1, 2, 3, 4]
    assert flicker(tracks) == {"tracks": 2, "steps": 8, "flips": 2, "rate": 0.25}
    assert flicker([]) == {"tracks": 0, "steps": 0, "flips": 0, "rate": 0.0}


def test_numbers_are_unique_within_a_frame() -> None:
    rng = np.random.default_rng(0)
    frames = [
        frame(k, *[(float(x), int(x) % 2, 14) for x in rng.uniform(0, 60, rng.integers(0, 9))])
        for k in range(30)
    ]
    for at, ids in zip(frames, assign_tracks(frames), strict=True):
        assert len(set(ids.tolist())) == len(at.labels) and (ids > 0).all()


def test_figure_is_json_and_holds_the_longest_tracks() -> None:
    frames = [frame(k, *[(20.0 * i, 0, 28) for i in range(25 if k else 24)]) for k in range(3)]
    tracks = collect_tracks(frames, assign_tracks(frames))
    figure = tracks_figure(tracks, ("<b>dog</b>",), "Grid over time")
    assert len(figure["data"]) == 20
    assert all(len(line["x"]) == 3 for line in figure["data"])
    assert figure["data"][0]["name"] == "&lt;b&gt;dog&lt;/b&gt; 1"
    assert all(set(line["text"]) == {"28"} for line in figure["data"])
    assert set(figure["data"][0]["marker"]["color"]) == {GRID_COLOURS[28]}
    title = figure["layout"]["title"]["text"]
    assert "n = 20" in title and "the 20 longest of 25 tracks" in title
    assert figure["layout"]["xaxis"]["title"]["text"].endswith(", s")
    json.dumps(figure, allow_nan=False)
    assert tracks_figure([], (), "t")["data"] == []
