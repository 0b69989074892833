"""docs/evidence.py: what the page claims follows from the table, also where the answer is no."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dynamask.config import GRIDS, preset
from dynamask.cost import cost_table
from dynamask.training import tradeoff as t

DOCS = Path(__file__).resolve().parents[3] / "docs"
SHAPE = {"p2": (12, 16), "p3": (6, 8), "p4": (3, 4)}
RISING = (20.0, 60.0, 150.0)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    monkeypatch.syspath_prepend(str(DOCS))
    import evidence
    import evidence_page

    return evidence, evidence_page


def invented(knows: float, best: tuple[float, ...], objects: int = 400) -> t.ObjectTable:
    """Objects whose best grid is drawn by ``best``; a ``knows`` share of them the switch knows."""
    rng = np.random.default_rng(0)
    photos = 40
    right = rng.choice(4, size=objects, p=best)
    asked = np.where(rng.random(objects) < knows, right, rng.permutation(right))
    iou = 0.6 + 0.1 * (np.arange(4) == right[:, None]) + rng.normal(0, 0.002, (objects, 4))
    logits = 3.0 * (np.arange(4) == asked[:, None]) - 0.3 * np.abs(np.arange(4) - asked[:, None])
    odds = np.exp(logits)
    return t.ObjectTable(
        iou=iou,
        boundary_iou=iou - 0.1,
        probabilities=odds / odds.sum(axis=1, keepdims=True),
        sqrt_area_px=np.exp(rng.uniform(1, 6, objects)),
        mask_area_px2=np.exp(rng.uniform(2, 12, objects)),
        photo=np.arange(objects) % photos,
        shapes=(SHAPE,) * photos,
        cost=cost_table(preset("effnet_lite2_fpn")),
    )


def measured(evidence: ModuleType, table: t.ObjectTable) -> dict[str, Any]:
    return json.loads(json.dumps(evidence.measure(table, RISING), allow_nan=False))


EVEN = (0.4, 0.3, 0.2, 0.1)


def test_the_curve_ends_where_the_switch_wants_no_more(scripts: Any) -> None:
    facts = measured(scripts[0], invented(1.0, EVEN))
    costs = [r["gmac_per_roi"] for r in facts["curve"]]
    msm, *_ = facts["rows"]
    assert len(set(costs)) == len(costs) == scripts[0].POINTS, "no point counts twice"
    assert costs == sorted(costs)
    assert costs[-1] == pytest.approx(msm["gmac_per_roi"])
    assert facts["curve"][-1]["share"] == pytest.approx(msm["share"])
    assert facts["size_curve"][-1]["share"] == {"14": 0.0, "28": 0.0, "56": 0.0, "112": 1.0}


def test_a_switch_is_compared_with_the_oracle_of_its_own_cost(scripts: Any) -> None:
    evidence, page = scripts
    table = invented(0.0, EVEN)
    facts = measured(evidence, table)
    switch = np.array([[r["gmac_per_roi"], r["mean_iou"]] for r in facts["curve"]])
    gaps = []
    for gmac, iou in switch:  # the oracle at exactly that cost, found slowly
        low, high = (float(m) / 1e9 for m in table.cost.exit_macs()[[0, -1]])
        for _ in range(40):
            middle = (low + high) / 2
            grids = t.oracle_at(table, middle).grids
            fits = table.gmac_per_roi(grids, False) <= gmac
            low, high = (middle, high) if fits else (low, middle)
        best = t.qualities(table, t.oracle_at(table, low))["mean_iou"].mean()
        gaps.append(float(best) - iou)
    told = float(page.distance(facts).split()[0])
    assert told == pytest.approx(np.mean(gaps), abs=0.004)
    assert told > 0.02, "a blind switch is far from it"


def test_no_comparison_spends_more_than_what_it_is_compared_with(scripts: Any) -> None:
    facts = measured(scripts[0], invented(0.8, EVEN))
    pairs = [facts["paired"]["size"], *facts["paired"]["fixed"]]
    assert [p["policies"][1] for p in pairs] == ["size", "fixed:28", "fixed:56", "fixed:112"]
    for pair in (*pairs, facts["paired"]["finest"]):
        ours, theirs = pair["gmac_per_roi"]
        assert ours <= theirs + 1e-9
    ours, theirs = facts["paired"]["finest"]["gmac_per_roi"]
    assert ours <= 0.6 * theirs + 1e-9


def test_the_answers_are_yes_for_a_switch_that_knows(scripts: Any) -> None:
    evidence, page = scripts
    text = page.page(measured(evidence, invented(1.0, EVEN)), "0" * 64)
    assert "Against one grid for all: yes**" in text
    assert "only looks at the box's size: yes.**" in text
    assert "in mask IoU and boundary IoU" in text and "above in neither" not in text


def test_the_answer_is_no_where_the_finest_is_best_and_the_switch_is_blind(scripts: Any) -> None:
    evidence, page = scripts
    text = page.page(measured(evidence, invented(0.0, (0.25, 0.1, 0.05, 0.6))), "0" * 64)
    assert "Against one grid for all: no**" in text
    assert "the switch's own choice gets none of that" in text
    assert "fixed:112, the switch is above in neither" in text


def test_the_answer_is_no_where_every_grid_is_as_good(scripts: Any) -> None:
    evidence, page = scripts
    table = invented(0.5, EVEN)
    same = np.repeat(table.iou[:, :1], 4, axis=1)
    facts = measured(evidence, replace(table, iou=same, boundary_iou=same - 0.1))
    text = page.page(facts, "0" * 64)
    assert "only looks at the box's size: no.**" in text
    assert "not told apart from the size rule (+0.0000 mask IoU" in text
    assert "the switch's own choice gets none of that" in text


def test_sizes_hold_every_object_once(scripts: Any) -> None:
    facts = measured(scripts[0], invented(0.5, EVEN))
    assert sum(b["objects"] for b in facts["sizes"]) == facts["objects"] == 400
    for b in facts["sizes"]:
        assert sum(b["share"][str(g)] for g in GRIDS) == pytest.approx(1.0)
