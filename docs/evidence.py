"""Measure, and write docs/evidence.md: does choosing the grid pay?

    PYTHONPATH=. python docs/evidence.py ANNOTATIONS PHOTOS

Every sentence with a number in the page is put together from what is measured here, or from the
files that the page names. Figures are Plotly's, drawn by Chromium.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from evidence_figures import cost_figure, draw, size_figure
from evidence_page import page

from dynamask.checkpoint import BUNDLED_WEIGHTS, load_weights
from dynamask.config import GRIDS
from dynamask.policies import SizePolicy
from dynamask.predictor import Predictor
from dynamask.training import tradeoff as t

HERE = Path(__file__).resolve().parent
POINTS = 15
SIZES = (
    ("small, below 32² px", 0.0, 32.0**2),
    ("medium", 32.0**2, 96.0**2),
    ("large", 96.0**2, 1e12),
)


def shipped_size(table: t.ObjectTable, thresholds: tuple[float, float, float]) -> t.Choice:
    """The size rule as the weights file has it, fitted on training photos."""
    index = np.searchsorted(
        np.asarray(SizePolicy(thresholds).thresholds_px), table.sqrt_area_px, side="right"
    )
    return t.Choice("size", np.array(GRIDS)[index], False)


def switch_at_total(table: t.ObjectTable, gmac: float) -> t.Choice:
    """The switch with everything counted (switch, branches) costing at most ``gmac``."""
    low, high = (float(m) / 1e9 for m in table.cost.exit_macs(pays_switch=True)[[0, -1]])
    for _ in range(40):
        middle = (low + high) / 2
        choice = t.switch_at(table, middle)
        if table.gmac_per_roi(choice.grids, True) > gmac:
            high = middle
        else:
            low = middle
    return t.switch_at(table, low)


def measure(table: t.ObjectTable, thresholds: tuple[float, float, float]) -> dict[str, Any]:
    """Everything that the page says, as JSON."""
    weights = t.photo_weights(len(table.shapes))
    size, alone = shipped_size(table, thresholds), t.switch_alone(table)
    fixed = [t.fixed(table, g) for g in GRIDS]
    finest = fixed[-1]
    size_cost = table.gmac_per_roi(size.grids, False)
    low, high = (float(m) / 1e9 for m in table.cost.exit_macs(pays_switch=True)[[0, -1]])
    # a larger budget than the switch's own choice costs changes nothing: no points there
    most = float(table.cost.object_mac(alone.grids, True).mean()) / 1e9
    curve, rules, blind, best = [], [], [], []
    for gmac in np.linspace(low, most, POINTS):
        curve.append(t.row(table, t.switch_at(table, float(gmac)), weights))
        shares = np.array([curve[-1]["share"][str(g)] for g in GRIDS])
        rules.append(t.row(table, t.size_at(table, shares), weights))
    for part in np.linspace(0, 1, 5)[1:]:  # the rule goes on to 112 for all
        mixed = (1 - part) * shares + part * np.array([0.0, 0, 0, 1])
        rules.append(t.row(table, t.size_at(table, mixed), weights))
    for gmac in np.linspace(low, high, POINTS):
        free = max(float(table.cost.exits[0]) / 1e9, float(gmac) - table.cost.switch_mac / 1e9)
        blind.append(t.row(table, t.random_at(table, free), weights))
        best.append(t.row(table, t.oracle_at(table, free), weights))
    equal = switch_at_total(table, size_cost)
    part = switch_at_total(table, 0.6 * table.gmac_per_roi(finest.grids, False))
    cheapest = curve[0]["gmac_per_roi"]
    costs = {c.name: table.gmac_per_roi(c.grids, False) for c in fixed}
    grids = [
        t.paired(table, switch_at_total(table, costs[c.name]), c, weights)
        for c in fixed
        if costs[c.name] >= cheapest
    ]
    bins = []
    for name, least, most in SIZES:
        inside = (table.mask_area_px2 >= least) & (table.mask_area_px2 < most)
        bins.append(
            {
                "name": name,
                "objects": int(inside.sum()),
                "fixed": {str(g): float(table.iou[inside, k].mean()) for k, g in enumerate(GRIDS)},
                "msm": float(t.qualities(table, alone)["mean_iou"][inside].mean()),
                "share": {str(g): float((alone.grids[inside] == g).mean()) for g in GRIDS},
                "finest_best": float((table.iou[inside].argmax(axis=1) == 3).mean()),
            }
        )
    oracle = t.Choice("oracle", np.array(GRIDS)[table.iou.argmax(axis=1)], False)
    return {
        "objects": len(table),
        "photos": len(table.shapes),
        "draws": t.DRAWS,
        "rows": [t.row(table, c, weights) for c in (alone, size, *fixed, oracle)],
        "curve": curve,
        "size_curve": rules,
        "random_curve": blind,
        "oracle_curve": best,
        "paired": {
            "size": t.paired(table, equal, size, weights),
            "finest": t.paired(table, part, finest, weights),
            "alone_finest": t.paired(table, alone, finest, weights),
            "fixed": grids,
        },
        "sizes": bins,
    }


def main(annotations: str, photos: str) -> None:
    """Measure, draw, write."""
    loaded = load_weights(BUNDLED_WEIGHTS)
    predictor = Predictor(loaded, device="cpu")

    def progress(done: int, total: int) -> None:
        sys.stderr.write(f"\r{done} of {total} photos" + ("\n" if done == total else ""))

    table = t.measure_objects(predictor, annotations, photos, progress=progress)
    facts = measure(table, predictor.config.size_thresholds_px)
    (HERE / "evidence.json").write_text(json.dumps(facts, indent=1) + "\n")
    draw({"evidence-cost": cost_figure(facts), "evidence-size": size_figure(table, facts)})
    (HERE / "evidence.md").write_text(page(facts, loaded.sha256))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
