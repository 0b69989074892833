"""Plots of one photo: chosen grids, the switch's odds, and cost against budget.

Every point carries its object's number as plotly's ``ids``, so that a click selects the object.
Areas are those of boxes, as the size rule sees them. Torch is not needed here.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from analysis.figure_text import plain_text
from analysis.figures import SYMBOLS, THEMES, Figure, empty, frame
from dynamask.allocation import budget_grids, budget_path
from dynamask.config import GRIDS
from dynamask.cost import CostTable
from dynamask.palette import GRID_COLOURS

AREA = "box area (px², log scale)"
TITLES = {
    "grids": "Which grid each object got",
    "odds": "What the switch thinks of each grid",
    "budget": "What a budget buys on this photo",
}
NO_OBJECTS = "No object to draw. Lower the smallest score, or draw a box in the picture."
CURVE_POINTS = 48  # budgets the curve is computed at, beside its steps
MAX_STEPS = 150  # markers of steps; more cannot be told apart
CROWD = 40  # objects from which points are drawn smaller
SIZES = (10, 7)  # px of a point, among few and among many
NEAR = 0.05  # decades of area within which two points of a row would hide each other
SHIFTS = (0.0, 0.13, -0.13, 0.26, -0.26)  # of a row's height


@dataclass(frozen=True, eq=False)
class PhotoObjects:
    """What the plots need of a photo under one policy.

    Attributes:
        ids: (N,) int, the objects' numbers on the page.
        names: N class names, as they come.
        boxes_xyxy_px: (N, 4) float.
        probabilities: (N, 4) float over GRIDS.
        grids: (N,) int, each one of GRIDS.
        object_mac: (N,) multiply-adds of each object's own stages, the switch where it was asked.
        image_mac: multiply-adds of the image branches.
        level_shapes: (height, width) in cells of p2, p3 and p4.
        policy: its name, such as ``msm`` or ``budget:0.1``.
    """

    ids: np.ndarray
    names: tuple[str, ...]
    boxes_xyxy_px: np.ndarray
    probabilities: np.ndarray
    grids: np.ndarray
    object_mac: np.ndarray
    image_mac: int
    level_shapes: dict[str, tuple[int, int]]
    policy: str

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def log_area(self) -> np.ndarray:
        """(N,) float64: log10 of the box area in px², 0 for boxes below one pixel."""
        boxes = np.asarray(self.boxes_xyxy_px, dtype=np.float64)
        sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
        return np.log10(np.clip(sides.prod(axis=1), 1, None))

    @property
    def size(self) -> int:
        """Of a point in px."""
        return SIZES[len(self) > CROWD]

    def hover(self, row: int, rest: str) -> str:
        """First line of every tooltip, and what follows it."""
        area = 10 ** self.log_area[row]
        return f"<b>{plain_text(self.names[row])}</b> {area:,.0f} px²<br>{rest}"


def grids_by_area(
    objects: PhotoObjects, thresholds_px: tuple[float, float, float], theme: str = "light"
) -> Figure:
    """Chosen grid against box area, with the stairs of the size rule.

    Args:
        objects: the photo's.
        thresholds_px: of the size rule, sqrt(box area) in photo pixels.
        theme: ``light`` or ``dark``.
    """
    if not len(objects):
        return empty(TITLES["grids"], NO_OBJECTS, theme)
    x, y = objects.log_area, _spread(objects)
    edges = 2 * np.log10(np.clip(thresholds_px, 1, None))
    low, high = min(x.min(), edges[0]) - 0.25, max(x.max(), edges[-1]) + 0.25
    steps = [low, *np.repeat(edges, 2), high]
    rule = np.searchsorted(edges, x, side="right")
    level = np.searchsorted(GRIDS, objects.grids)
    data: list[dict] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "size rule",
            "x": steps,
            "y": np.repeat(np.arange(len(GRIDS)), 2),
            "line": {"color": THEMES[theme]["ink"], "width": 1.5, "dash": "6px,4px"},
            "hoverinfo": "skip",
        }
    ]
    for at, grid in enumerate(GRIDS):
        rows = np.flatnonzero(level == at)
        data.append(
            {
                **_marks(grid, theme, objects.size),
                "x": x[rows],
                "y": y[rows],
                "ids": [str(i) for i in objects.ids[rows]],
                "hovertext": [
                    objects.hover(r, f"grid {grid}; the size rule gives {GRIDS[rule[r]]}")
                    for r in rows
                ],
            }
        )
    differ = int((rule != level).sum())
    note = f"{differ} off the size rule's stairs" if differ else "all on the size rule's stairs"
    axes = {
        "xaxis": {"range": [low, high], **_ticks(low, high)},
        "yaxis": {
            "range": [-0.6, 3.6],
            "tickvals": list(range(len(GRIDS))),
            "ticktext": [str(g) for g in GRIDS],
        },
    }
    y_title = "chosen grid (cells a side)"
    return frame(data, TITLES["grids"], len(x), AREA, y_title, theme=theme, note=note, **axes)


def odds_by_area(objects: PhotoObjects, theme: str = "light") -> Figure:
    """The switch's probability of every grid against box area; the chosen one stands out."""
    if not len(objects):
        return empty(TITLES["odds"], NO_OBJECTS, theme)
    x = objects.log_area
    data = []
    for at, grid in enumerate(GRIDS):
        chosen = objects.grids == grid
        trace = _marks(grid, theme)
        trace["marker"] = {
            **trace["marker"],
            "size": np.where(chosen, objects.size + 1, objects.size - 2),
            "opacity": np.where(chosen, 1.0, 0.55),
        }
        data.append(
            {
                **trace,
                "x": x,
                "y": objects.probabilities[:, at],
                "ids": [str(i) for i in objects.ids],
                "hovertext": [
                    objects.hover(
                        r,
                        f"grid {grid}: {objects.probabilities[r, at]:.1%}"
                        + (", chosen" if chosen[r] else ""),
                    )
                    for r in range(len(x))
                ],
            }
        )
    low, high = x.min() - 0.25, x.max() + 0.25
    axes = {
        "xaxis": {"range": [low, high], **_ticks(low, high)},
        "yaxis": {"range": [-0.04, 1.04], "tickformat": ".0%"},
    }
    note = "large: the chosen grid"
    y = "probability of the grid"
    return frame(data, TITLES["odds"], len(x), AREA, y, theme=theme, note=note, **axes)


@dataclass(frozen=True, eq=False)
class BudgetCurve:
    """What every budget buys on one photo; independent of the policy that is shown.

    Attributes:
        budgets: (K,) GMAC per object, rising.
        own: (K,) mean GMAC per object that is spent, the switch included.
        full: (K,) the same with the image branches, spread over the objects.
        steps: (budget, own cost, row, grid before, grid after) of each step of the path.
        reach: budgets between which anything changes.
    """

    budgets: np.ndarray
    own: np.ndarray
    full: np.ndarray
    steps: tuple[tuple[float, float, int, int, int], ...]
    reach: tuple[float, float]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays and, roughly, of the steps: what a cache should count."""
        return 3 * self.budgets.nbytes + 200 * len(self.steps)


def budget_curve(
    probabilities: np.ndarray, costs: CostTable, level_shapes: dict[str, tuple[int, int]]
) -> BudgetCurve:
    """Allocate evenly spaced budgets, and those at which the path takes a step.

    Args:
        probabilities: (N, 4) float over GRIDS, N at least 1.
        costs: of the model.
        level_shapes: (height, width) in cells of p2, p3 and p4.
    """
    macs = costs.exit_macs(pays_switch=True)
    path = budget_path(probabilities, macs)
    low, high = path.range_mac
    kept = np.unique(np.linspace(0, len(path.rows) - 1, MAX_STEPS).astype(int))
    kept = kept[: len(path.rows)] if len(path.rows) else kept[:0]
    # a hair more than the step's own budget, which rounding may have put a hair below its price
    steps = path.budgets_mac[kept] * (1 + 1e-12)
    end = min(high + 0.12 * (high - low) + 0.02 * macs[-1], float(macs[-1]))
    budgets = np.unique(np.concatenate((np.linspace(low, max(end, high), CURVE_POINTS), steps)))
    own, full = np.empty(len(budgets)), np.empty(len(budgets))
    for at, budget in enumerate(budgets):
        grids = budget_grids(probabilities, macs, budget)
        own[at] = costs.object_mac(grids, pays_switch=True).mean()
        full[at] = own[at] + costs.image_mac(grids, level_shapes) / len(grids)
    places = np.searchsorted(budgets, steps)
    return BudgetCurve(
        budgets=budgets / 1e9,
        own=own / 1e9,
        full=full / 1e9,
        steps=tuple(
            (
                float(budgets[place]) / 1e9,
                float(own[place]) / 1e9,
                int(path.rows[k]),
                int(path.before[k]),
                int(path.after[k]),
            )
            for k, place in zip(kept, places, strict=True)
        ),
        reach=(low / 1e9, high / 1e9),
    )


def cost_by_budget(
    objects: PhotoObjects, curve: BudgetCurve | None, theme: str = "light"
) -> Figure:
    """Cost against budget as stairs, each step the object it belongs to, and where we are now.

    Args:
        objects: the photo's.
        curve: of the same photo and objects; None where there are none.
        theme: ``light`` or ``dark``.
    """
    if not len(objects) or curve is None:
        return empty(TITLES["budget"], NO_OBJECTS, theme)
    colours = THEMES[theme]
    stairs = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "x": curve.budgets}
    data: list[dict] = [
        {
            **stairs,
            "name": "with image branches",
            "y": curve.full,
            "line": {"color": colours["ink"], "width": 1.5, "dash": "2px,3px", "shape": "hv"},
        },
        {
            **stairs,
            "name": "masks and switch",
            "y": curve.own,
            "line": {"color": colours["accent"], "width": 2, "shape": "hv"},
        },
    ]
    for grid in GRIDS[1:]:
        steps = [s for s in curve.steps if s[4] == grid]
        data.append(
            {
                **_marks(grid, theme, objects.size - 1),
                "name": f"step to {grid}",
                "x": [s[0] for s in steps],
                "y": [s[1] for s in steps],
                "ids": [str(objects.ids[s[2]]) for s in steps],
                "hovertext": [
                    objects.hover(s[2], f"{s[3]} to {grid} from {s[0]:.4f} GMAC per object on")
                    for s in steps
                ],
            }
        )
    data.append(_here(objects, curve, theme))
    low, high = curve.reach
    band = {
        "type": "rect",
        "yref": "paper",
        "x0": low,
        "x1": high,
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": {"width": 0},
        "fillcolor": colours["accent"],
        "opacity": 0.08,
    }
    note = f"budgets from {low:.3f} to {high:.3f} change something (shaded)"
    x, y = "budget (GMAC per object)", "cost (GMAC per object)"
    layout = {"shapes": [band], "yaxis": {"rangemode": "tozero"}}
    return frame(
        data, TITLES["budget"], len(objects), x, y, theme=theme, note=note, **layout
    )  # fmt: skip


def _here(objects: PhotoObjects, curve: BudgetCurve, theme: str) -> dict:
    """The policy that is shown: at its budget, or at the budget that would pay for it."""
    own = float(np.mean(objects.object_mac)) / 1e9
    full = own + objects.image_mac / len(objects) / 1e9
    name, _, number = objects.policy.partition(":")
    asked = float(number) if name == "budget" and number else own
    inside = min(max(asked, curve.budgets[0]), max(curve.budgets[-1], own))
    ink = THEMES[theme]["ink"]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "now",
        "x": [inside, inside],
        "y": [own, full],
        "marker": {
            "symbol": "cross-thin",
            "size": 14,
            "color": ink,
            "line": {"width": 3, "color": ink},
        },
        "hovertext": [
            f"<b>now</b>: {own:.4f} GMAC per object in masks and switch",
            f"<b>now</b>: {full:.4f} GMAC per object with image branches",
        ],
        "hoverinfo": "text",
    }


def _marks(grid: int, theme: str, size: int = SIZES[0]) -> dict:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"grid {grid}",
        "marker": {
            "color": GRID_COLOURS[grid],
            "symbol": SYMBOLS[grid],
            "size": size,
            "line": {"color": THEMES[theme]["ink"], "width": 1},
        },
        "hoverinfo": "text",
    }


def _ticks(low: float, high: float) -> dict:
    """Ticks of a log10 axis; between the decades too where it spans few of them."""
    steps = (1,) if high - low > 3 else (1, 3) if high - low > 1.6 else (1, 2, 5)
    values = [s * 10**d for d in range(int(np.floor(low)), int(np.ceil(high)) + 1) for s in steps]
    values = [v for v in values if low <= np.log10(v) <= high]
    return {"tickvals": np.log10(values), "ticktext": [f"{v:,.0f}" for v in values]}


def _spread(objects: PhotoObjects) -> np.ndarray:
    """(N,) height of each point: its grid's row, a little apart where it would hide another."""
    x, level = objects.log_area, np.searchsorted(GRIDS, objects.grids).astype(np.float64)
    out = level.copy()
    for row in np.unique(level):
        members = np.flatnonzero(level == row)
        members = members[np.argsort(x[members], kind="stable")]
        place = 0
        for before, here in itertools.pairwise(members):
            place = place + 1 if x[here] - x[before] < NEAR else 0
            out[here] += SHIFTS[place % len(SHIFTS)]
    return out
