# ruff: noqa: E501 - the page is prose
"""The words of docs/evidence.md, put together from what docs/evidence.py measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dynamask.config import GRIDS
from dynamask.training import tradeoff as t

HERE = Path(__file__).resolve().parent
NAMES = {"mean_iou": "mask IoU", "mean_boundary_iou": "boundary IoU"}
COMMAND = (
    "PYTHONPATH=. python docs/evidence.py ../shared/data/coco_mini/instances_val.json "
    "../shared/data/coco_mini/val"
)


def signed(value: float) -> str:
    """Four digits with a sign."""
    return f"{value:+.4f}"


def verdict(pair: dict[str, Any], metric: str) -> str:
    """better, worse, or no difference that these photos show."""
    low, high = pair[metric]["ci95"]
    if low > 0:
        return "better"
    return "worse" if high < 0 else "not told apart"


def table_of(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    all_rows = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in all_rows)


def rows_table(rows: list[dict[str, Any]]) -> str:
    """Policies with intervals, cost and shares."""
    cells = []
    for r in rows:
        quality = [f"{r[m]:.4f} [{r['ci95'][m][0]:.3f}, {r['ci95'][m][1]:.3f}]" for m in t.METRICS]
        shares = " / ".join(f"{100 * r['share'][str(g)]:.0f}" for g in GRIDS)
        cells.append([r["policy"], *quality, f"{r['gmac_per_roi']:.4f}", shares])
    return table_of(
        [
            "policy",
            "mask IoU [95 %]",
            "boundary IoU [95 %]",
            "GMAC per RoI",
            "share 14 / 28 / 56 / 112, %",
        ],
        cells,
    )


def pair_line(pair: dict[str, Any]) -> str:
    """One comparison in words."""
    a, b = pair["gmac_per_roi"]
    parts = [
        f"{NAMES[m]} {signed(pair[m]['difference'])} [{signed(pair[m]['ci95'][0])}, "
        f"{signed(pair[m]['ci95'][1])}]: {verdict(pair, m)}"
        for m in t.METRICS
    ]
    return f"{a:.4f} against {b:.4f} GMAC per RoI; " + "; ".join(parts)


def dominance(facts: dict[str, Any]) -> list[str]:
    """For each fixed grid: what the switch gives at no more than its cost, in both metrics."""
    pairs = {pair["policies"][1]: pair for pair in facts["paired"]["fixed"]}
    cheapest = min(r["gmac_per_roi"] for r in facts["curve"])
    lines = []
    for r in facts["rows"]:
        if not r["policy"].startswith("fixed"):
            continue
        if r["policy"] not in pairs:
            lines.append(f"{r['policy']}: cheaper than the switch can be ({cheapest:.4f} GMAC)")
            continue
        pair = pairs[r["policy"]]
        ahead = [NAMES[m] for m in t.METRICS if pair[m]["difference"] > 0]
        lines.append(
            f"{r['policy']}, the switch is above in {' and '.join(ahead) or 'neither'}: "
            f"{pair_line(pair)}"
        )
    return lines


def against(facts: dict[str, Any], other: str, metric: str) -> str:
    """At how many of the curve's costs the switch lies above another curve."""
    theirs = facts[other]
    order = np.argsort([r["gmac_per_roi"] for r in theirs])
    x = np.array([theirs[i]["gmac_per_roi"] for i in order])
    y = np.array([theirs[i][metric] for i in order])
    inside = [r for r in facts["curve"] if x[0] <= r["gmac_per_roi"] <= x[-1]]
    wins = sum(r[metric] > np.interp(r["gmac_per_roi"], x, y) for r in inside)
    gap = [r[metric] - float(np.interp(r["gmac_per_roi"], x, y)) for r in inside]
    return f"{wins} of {len(inside)} costs (mean difference {signed(float(np.mean(gap)))})"


def distance(facts: dict[str, Any]) -> str:
    """Mean gap to the oracle curve in both metrics."""
    # at the switch's own realised cost; an oracle that has enough does not spend the rest
    best = sorted(facts["oracle_curve"], key=lambda r: r["gmac_per_roi"])
    x = [b["gmac_per_roi"] for b in best]
    gaps = [
        np.mean(
            [np.interp(r["gmac_per_roi"], x, [b[m] for b in best]) - r[m] for r in facts["curve"]]
        )
        for m in t.METRICS
    ]
    return f"{gaps[0]:.4f} mask IoU and {gaps[1]:.4f} boundary IoU"


def answer(facts: dict[str, Any]) -> str:
    """The short answer, computed."""
    by = {r["policy"]: r for r in facts["rows"]}
    msm, finest, oracle = by["msm"], by["fixed:112"], by["oracle"]
    part = facts["paired"]["finest"]
    spent = part["gmac_per_roi"][0] / part["gmac_per_roi"][1]
    lost = part["mean_iou"]["difference"]
    own = msm["mean_iou"] - finest["mean_iou"]
    gained = oracle["mean_iou"] - finest["mean_iou"]
    size = facts["paired"]["size"]
    rule = {
        "better": "better than the size rule",
        "worse": "worse than the size rule",
        "not told apart": "not told apart from the size rule",
    }[verdict(size, "mean_iou")]
    return (
        f"**Against one grid for all: {'yes' if lost >= -0.005 and spent <= 0.6 else 'no'}** (asked: within "
        f"0.005 mask IoU at 60 % of the cost of 112 for all). Held to that budget, the switch spends {spent:.0%} "
        f"and changes mean mask IoU by {signed(lost)}; its own choice spends "
        f"{msm['gmac_per_roi'] / finest['gmac_per_roi']:.0%} and changes it by {signed(own)}. "
        f"**Against a rule that only looks at the box's size: "
        f"{'yes' if verdict(size, 'mean_iou') == 'better' else 'no'}.** At equal cost the switch is {rule} "
        f"({signed(size['mean_iou']['difference'])} mask IoU, 95 % interval "
        f"{signed(size['mean_iou']['ci95'][0])} to {signed(size['mean_iou']['ci95'][1])}). "
        f"**What is left to win:** a perfect choice would give {signed(gained)} over 112 for all, at "
        f"{oracle['gmac_per_roi'] / finest['gmac_per_roi']:.0%} of its cost; the switch's own choice gets "
        f"{f'{own / gained:.0%}' if own > 0 and gained > 0 else 'none'} of that."
    )


def losses_section() -> str:
    """The paper's switch loss and the gain loss on the same measured objects."""
    path = HERE / "evidence_losses.json"
    if not path.is_file():
        return "Not measured yet."
    rows = []
    for r in json.loads(path.read_text()):
        own = r["held_out"]["argmax"]
        shares = " / ".join(f"{100 * own['share'][str(g)]:.0f}" for g in GRIDS)
        at = r["held_out"]["at_fraction"]
        rows.append(
            [
                r["name"],
                shares,
                f"{own['fraction']:.3f}",
                f"{own['quality']:.4f}",
                *(f"{at[f]['switch'] - at[f]['mixture']:+.4f}" for f in at),
            ]
        )
    first = json.loads(path.read_text())[0]["held_out"]
    return (
        f"The same {first['objects']} objects of held-out training photos (every fifth), quality = mean of "
        "mask and boundary IoU. The last columns: gain over a mixture of two fixed grids of equal cost, at "
        "three fractions of the cost of 112, once one price is put on the switch's scores. "
        "Masks frozen, six epochs each: `PYTHONPATH=. python docs/evidence_losses.py WEIGHTS GAINS` (see its head).\n\n"
        + table_of(
            ["switch", "own share 14 / 28 / 56 / 112, %", "own cost / 112", "own quality"]
            + [f"at {f}" for f in first["at_fraction"]],
            rows,
        )
    )


def page(facts: dict[str, Any], sha: str) -> str:
    """The whole page."""
    sizes = table_of(
        [
            "object",
            "n",
            *(f"all at {g}" for g in GRIDS),
            "switch",
            "switch's share 14 / 28 / 56 / 112, %",
            "112 is best for",
        ],
        [
            [
                b["name"],
                str(b["objects"]),
                *(f"{b['fixed'][str(g)]:.4f}" for g in GRIDS),
                f"{b['msm']:.4f}",
                " / ".join(f"{100 * b['share'][str(g)]:.0f}" for g in GRIDS),
                f"{b['finest_best']:.0%}",
            ]
            for b in facts["sizes"]
        ],
    )
    ours = "\n".join(f"- {line}" for line in dominance(facts))
    return f"""# Does choosing the grid pay?

{answer(facts)}

coco_mini val: {facts["photos"]} photos with objects, {facts["objects"]} objects, **small data**; ground-truth boxes, so
that only masks are compared; intervals from {facts["draws"]} bootstrap samples of photos. Weights
`{sha[:12]}`. Everything here: `{COMMAND}` (numbers in [evidence.json](evidence.json)).

## Policies

{rows_table(facts["rows"])}

`msm` is the bundled switch as it is; `oracle` takes the best mask by ground truth. GMAC per RoI counts
the mask stages, the switch where it is asked, and the photo's image branches.

## Paired differences, same objects

- **Switch at the cost of the size rule** (thresholds fitted on training photos): {pair_line(facts["paired"]["size"])}.
- **Switch at 60 % of the cost of 112 for all**: {pair_line(facts["paired"]["finest"])}.
- **The switch's own choice against 112 for all**: {pair_line(facts["paired"]["alone_finest"])}.

## Quality against cost

![Mean mask IoU and boundary IoU against cost](figures/evidence-cost.png)

The switch with one budget over all objects, at no more than the cost of each fixed grid:

{ours}

The curve has {len(facts["curve"])} budgets, one multiplier each over all objects, up to what the switch's own choice
costs ({facts["curve"][-1]["gmac_per_roi"]:.4f} GMAC): a larger budget changes nothing. Compared at these costs (the other curves interpolated), the switch lies above random
choices at {against(facts, "random_curve", "mean_iou")}, above the size rule with the switch's own shares
(thresholds fitted on these very objects, which favours the rule) at
{against(facts, "size_curve", "mean_iou")} in mask IoU and {against(facts, "size_curve", "mean_boundary_iou")} in
boundary IoU. On average it lies {distance(facts)} below
the oracle that spends as much.

## By size

{sizes}

![Share of each grid by object size](figures/evidence-size.png)

## The paper's loss and ours

MODEL.md explains why a finer grid nearly always looks better to the paper's edge loss. In joint training it
collapsed (first run in the [model card](../assets/weights/README.md)).

{losses_section()}
"""
