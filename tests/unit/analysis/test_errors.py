"""Each kind of error drawn by hand, and what its repair is worth."""

from __future__ import annotations

import numpy as np
import pytest
from run_factory import HEIGHT, WIDTH, encode, invent_detections, mask_box

from analysis.errors import KINDS, base_ap, box_iou, classify, error_costs
from analysis.metrics import Found, Truth, ap_row, average_precision, match, overlaps


def rectangle(x: int, y: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + h, x : x + w] = True
    return mask


def truth(mask: np.ndarray, category: int = 1, number: int = 1, crowd: bool = False) -> Truth:
    return Truth(number, 1, category, encode(mask), float(mask.sum()), mask_box(mask), crowd)


def found(
    mask: np.ndarray, category: int = 1, score: float = 0.9, number: int = 1, box=None
) -> Found:
    return Found(number, 1, category, score, encode(mask), box or mask_box(mask))


THING = rectangle(40, 30, 60, 60)


def verdict(truths: list[Truth], founds: list[Found]) -> tuple[list[str], list[str]]:
    said = classify(overlaps(truths, founds))
    return (
        said.detections.sort_values("id")["error"].tolist(),
        said.objects.sort_values("annotation_id")["error"].tolist(),
    )


def test_right() -> None:
    assert verdict([truth(THING)], [found(THING)]) == ([""], [""])


def test_rough_boundary() -> None:
    inner = rectangle(47, 37, 46, 46)  # most of the region, all of the band wrong
    assert verdict([truth(THING)], [found(inner)]) == (["rough boundary"], ["rough boundary"])


def test_duplicate_is_the_lower_score() -> None:
    both = [found(THING, score=0.3, number=1), found(THING, score=0.9, number=2)]
    assert verdict([truth(THING)], both) == (["duplicate", ""], [""])


def test_wrong_class() -> None:
    errors, objects = verdict([truth(THING)], [found(THING, 3)])
    assert errors == ["wrong class"]
    assert objects == ["wrong class"]


def test_badly_placed_box() -> None:
    moved = rectangle(75, 30, 60, 60)
    assert verdict([truth(THING)], [found(moved)])[0] == ["badly placed box"]


def test_wrong_region() -> None:
    corner = rectangle(40, 30, 20, 60)
    said = verdict([truth(THING)], [found(corner, box=mask_box(THING))])
    assert said == (["wrong region"], ["wrong region"])


def test_background_and_missed() -> None:
    assert verdict([truth(THING)], [found(rectangle(0, 0, 10, 10))]) == (
        ["background"],
        ["missed"],
    )


def test_crowd_takes_what_lies_on_it() -> None:
    crowd = truth(rectangle(0, 0, 150, 110), number=2, crowd=True)
    errors, objects = verdict([crowd], [found(THING)])
    assert errors == ["ignored"]
    assert objects == []


def test_every_detection_has_one_verdict_and_repairs_help() -> None:
    data = overlaps(*invent_detections(photos=40, seed=1, crowds=False))
    said = classify(data)
    assert len(said.detections) == sum(len(c.found) for c in data.masks)
    assert set(said.detections["error"]) <= {*KINDS, "", "ignored"}
    table = error_costs(data, said).set_index("kind")
    assert (table["cost"] >= -1e-12).all()
    assert table["cost"].max() > 0
    assert (table["n"] > 0).sum() >= 5
    base = average_precision(match(data.boundaries, data.images))[0]
    assert base_ap(said, data) == pytest.approx(base, abs=1e-9)


def test_repairing_everything_is_perfect() -> None:
    truths, founds = invent_detections(photos=20, seed=2, crowds=False)
    said = classify(overlaps(truths, founds))
    right = set(said.detections.loc[said.detections["error"] == "", "annotation_id"])
    kept = [t for t in truths if t.id in right]
    sure = set(said.detections.loc[said.detections["error"] == "", "id"])
    only = overlaps(kept, [d for d in founds if d.id in sure])
    assert average_precision(match(only.boundaries, only.images))[0] == pytest.approx(1.0)
    assert ap_row(only)["AP50"] == pytest.approx(1.0)


def test_costs_of_single_errors() -> None:
    """One object, found roughly: repairing the boundary is worth everything, the rest nothing."""
    inner = rectangle(47, 37, 46, 46)
    table = error_costs(overlaps([truth(THING)], [found(inner)])).set_index("kind")
    assert table.loc["rough boundary", "cost"] == pytest.approx(1.0)
    assert table["cost"].drop("rough boundary").eq(0).all()


def test_box_iou() -> None:
    assert box_iou((0, 0, 2, 2), (1, 0, 2, 2)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


def test_nothing_at_all() -> None:
    table = error_costs(overlaps([], []))
    assert table["n"].sum() == 0
    assert table["ap"].isna().all()
