"""Our decoder of COCO's run lengths against pycocotools' encoder."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_api

from analysis.coco_io import rough_area
from analysis.coco_repair import mask_box
from dynamask.coco_read import CocoAnnotation, CocoImage, OddAnnotation, decode_mask, read_runs


def masks() -> st.SearchStrategy[np.ndarray]:
    shape = st.tuples(st.integers(1, 40), st.integers(1, 40))
    return st.builds(
        lambda s, seed, p: np.random.default_rng(seed).random(s) < p,
        shape,
        st.integers(0, 2**32 - 1),
        st.sampled_from([0.0, 0.03, 0.5, 0.97, 1.0]),
    )


def annotation(runs: np.ndarray) -> CocoAnnotation:
    return CocoAnnotation(1, 1, 1, 0, (0, 0, 1, 1), 1.0, False, runs=runs)


@settings(max_examples=300, deadline=None)
@given(masks(), st.booleans())
def test_round_trip_is_exact(mask: np.ndarray, compressed: bool) -> None:
    height, width = mask.shape
    image = CocoImage(1, "a.png", width, height)
    rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
    counts: str | list[int] = rle["counts"].decode()
    if not compressed:
        flat = mask.T.reshape(-1)
        edges = np.flatnonzero(np.diff(flat, prepend=False)).tolist()
        counts = np.diff([0, *edges, len(flat)]).tolist()
    runs = read_runs({"size": [height, width], "counts": counts}, image)
    assert (decode_mask(annotation(runs), height, width) == mask).all()
    assert rough_area(annotation(runs))[0] == mask.sum()
    box = mask_box({"size": [height, width], "counts": counts}, image)
    assert box == (mask_api.toBbox(rle).tolist() if mask.any() else None)


def test_ten_thousand_masks() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10_000):
        height, width = rng.integers(1, 30, 2)
        mask = rng.random((height, width)) < rng.choice([0.02, 0.3, 0.9])
        rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
        image = CocoImage(1, "a.png", int(width), int(height))
        counts = rle["counts"].decode()
        runs = read_runs({"size": [int(height), int(width)], "counts": counts}, image)
        assert (decode_mask(annotation(runs), height, width) == mask).all()


@settings(max_examples=500, deadline=None)
@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=30))
def test_any_text_is_whole_or_refused(counts: str) -> None:
    image = CocoImage(1, "a.png", 7, 5)
    try:
        runs = read_runs({"size": [5, 7], "counts": counts}, image)
    except OddAnnotation:
        return
    assert (runs >= 0).all() and runs.sum() == 35
    # what we accept, pycocotools reads in the same way
    theirs = mask_api.decode({"size": [5, 7], "counts": counts.encode()})
    assert (decode_mask(annotation(runs), 5, 7) == theirs.astype(bool)).all()
