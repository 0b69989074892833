"""AP against pycocotools and faster-coco-eval, both asked from scratch."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from run_factory import CLASSES, HEIGHT, WIDTH, encode, invent_detections, mask_box

from analysis.metrics import (
    EVERYTHING,
    Found,
    Truth,
    ap_by_area,
    ap_interval,
    ap_row,
    average_precision,
    match,
    overlaps,
)


def coco_json(truths: list[Truth], founds: list[Found], photos: range) -> tuple[dict, list[dict]]:
    text = [{**t.rle, "counts": t.rle["counts"].decode()} for t in truths]
    data = {
        "info": {},
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in photos],
        "categories": [{"id": c, "name": str(c)} for c in CLASSES],
        "annotations": [
            {
                "id": t.id,
                "image_id": t.image_id,
                "category_id": t.category_id,
                "segmentation": rle,
                "area": t.area,
                "bbox": list(t.box),
                "iscrowd": int(t.crowd),
            }
            for t, rle in zip(truths, text, strict=True)
        ],
    }
    found = [
        {
            "image_id": d.image_id,
            "category_id": d.category_id,
            "score": d.score,
            "segmentation": {**d.rle, "counts": d.rle["counts"].decode()},
        }
        for d in founds
    ]
    return data, found


def reference(data: dict, found: list[dict], area: tuple | None = None) -> np.ndarray:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = data
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(found), "segm")
        if area is not None:
            run.params.areaRng = [list(area)]
            run.params.areaRngLbl = ["all"]
        run.evaluate()
        run.accumulate()
        if area is not None:
            precision = run.eval["precision"][..., 0, -1]
            return np.array([precision[precision > -1].mean()])
        run.summarize()
    return run.stats


@pytest.mark.parametrize("seed", range(4))
def test_equals_pycocotools(seed: int) -> None:
    truths, founds = invent_detections(photos=14, seed=seed)
    data = overlaps(truths, founds, range(11, 25))
    stats = reference(*coco_json(truths, founds, range(11, 25)))
    row = ap_row(data)
    names = ("AP", "AP50", "AP75", "APS", "APM", "APL")
    ours = np.array([row[n] for n in names])
    theirs = np.where(stats[:6] < 0, np.nan, stats[:6])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert 0.05 < row["AP"] < 0.95


def test_any_area_range_equals_pycocotools() -> None:
    truths, founds = invent_detections(photos=14, seed=5)
    data = overlaps(truths, founds)
    stats = reference(*coco_json(truths, founds, range(11, 25)), area=(100.0, 700.0))
    ours = average_precision(match(data.masks, data.images, (100.0, 700.0))).mean()
    np.testing.assert_allclose(ours, stats[0], atol=1e-6)


@pytest.mark.parametrize("kind", ["segm", "boundary"])
def test_equals_faster_coco_eval(kind: str) -> None:
    faster = pytest.importorskip("faster_coco_eval")
    truths, founds = invent_detections(photos=14, seed=2, crowds=False)
    data, found = coco_json(truths, founds, range(11, 25))
    truth = faster.COCO(data)
    run = faster.COCOeval_faster(truth, truth.loadRes(found), kind, boundary_cpu_count=1)
    run.evaluate()
    run.accumulate()
    run.summarize()
    row = ap_row(overlaps(truths, founds))
    name = "AP" if kind == "segm" else "boundary_AP"
    np.testing.assert_allclose(row[name], run.stats[0], atol=1e-6)
    assert row["boundary_AP"] <= row["AP"]


def test_perfect_and_empty() -> None:
    truths, _ = invent_detections(seed=1, crowds=False)
    same = [Found(i, t.image_id, t.category_id, 0.9, t.rle, t.box) for i, t in enumerate(truths)]
    row = ap_row(overlaps(truths, same))
    assert row["AP"] == pytest.approx(1.0)
    assert row["boundary_AP"] == pytest.approx(1.0)
    assert ap_row(overlaps(truths, []))["AP"] == 0.0
    assert np.isnan(ap_row(overlaps([], same))["AP"])
    assert len(ap_by_area(overlaps([], same))) == 0


def test_interval_holds_the_value_and_narrows() -> None:
    few = overlaps(*invent_detections(photos=8, seed=3))
    many = overlaps(*invent_detections(photos=60, seed=3))
    value, low, high = ap_interval(few)
    assert low < value < high
    value, less, more = ap_interval(many)
    assert less < value < more
    assert more - less < high - low
    assert value == pytest.approx(average_precision(match(many.masks, many.images)).mean())


def test_resampling_equals_repeating_photos() -> None:
    truths, founds = invent_detections(photos=6, seed=4)
    data = overlaps(truths, founds)
    weights = np.array([2.0, 0.0, 1.0, 3.0, 0.0, 1.0])[: len(data.images)]
    copies: tuple[list[Truth], list[Found]] = ([], [])
    from dataclasses import replace

    for place, times in enumerate(weights):
        for k in range(int(times)):
            image = 1000 * (k + 1) + int(data.images[place])
            for source, out in ((truths, copies[0]), (founds, copies[1])):
                out += [
                    replace(v, image_id=image) for v in source if v.image_id == data.images[place]
                ]
    ours = average_precision(match(data.masks, data.images), weights).mean()
    repeated = overlaps(*copies)
    theirs = average_precision(match(repeated.masks, repeated.images, EVERYTHING)).mean()
    assert ours == pytest.approx(theirs, abs=0.02)  # only equal scores may come in another order


def test_area_curve_counts_every_object_once() -> None:
    truths, founds = invent_detections(photos=20, seed=6)
    curve = ap_by_area(overlaps(truths, founds), count=20)
    assert curve["n"].sum() == sum(not t.crowd for t in truths)
    assert (curve["bap"].fillna(0) <= curve["ap"].fillna(0) + 1e-12).all()


def test_empty_mask_is_allowed() -> None:
    nothing = np.zeros((HEIGHT, WIDTH), bool)
    some = nothing.copy()
    some[10:40, 10:40] = True
    truths = [Truth(1, 1, 1, encode(some), 900.0, mask_box(some))]
    founds = [Found(1, 1, 1, 0.9, encode(nothing), (0.0, 0.0, 0.0, 0.0))]
    assert ap_row(overlaps(truths, founds))["AP"] == 0.0
