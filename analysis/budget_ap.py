"""Average precision of every way to choose grids, on the same detections, without a model.

A choice of grids only picks one of four stored overlaps for each detection (budget_detections);
what is left is COCO's matching (budget_match), so that no mask is decoded, read or compared again.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.budget import PARETO_COLUMNS, choices
from analysis.budget_detections import Detections
from analysis.budget_errors import Judged, error_costs, judge
from analysis.budget_match import Mixture
from analysis.errors import Verdicts
from analysis.metrics import SIZES

STEPS, DRAWS = 10, 100
AREA_BINS_PER_DECADE, AREA_DRAWS = 2, 60
COLUMNS = [
    *(PARETO_COLUMNS[:5]),
    *("ap", "ap_low", "ap_high", "boundary_ap", "boundary_ap_low", "boundary_ap_high"),
]
AREA_COLUMNS = [
    *("low_px2", "high_px2", "n", "ap", "ap_low", "ap_high"),
    *("bap", "bap_low", "bap_high"),
]


class Score:
    """All that the page says of the AP of one choice of grids; parts are computed when asked for.

    Args:
        data: of :func:`load`, with areas.
        index: (N,) positions in GRIDS.
    """

    def __init__(self, data: Detections, index: np.ndarray) -> None:
        self._data, self._index = data, index.astype(np.int8)
        self._mixed: dict[bool, Mixture] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Compute every part, on two cores; what they share is kept no longer."""
        with self._lock:
            if "by_area" in vars(self):
                return
            _ = self._data.pool.order, self._data.pool.own
            with ThreadPoolExecutor(1) as beside:
                other = beside.submit(lambda: (self.errors, self._mixture(True), self.row))
                _ = self.by_area
                other.result()
            self._mixed.clear()

    @cached_property
    def row(self) -> dict[str, float]:
        """COCO's numbers, as metrics.ap_row."""
        self.interval, every = self._whole
        row = {"AP": float(every.mean()), "AP50": float(every[0]), "AP75": float(every[5])}
        for name, area in SIZES.items():
            row[f"AP{name}"] = float(self._mixture(False).scores(area).precision().mean())
        return row | {"boundary_AP": float(self._mixture(True).scores().precision().mean())}

    @cached_property
    def interval(self) -> tuple[float, float, float]:
        """AP with its 95 % interval, as metrics.ap_interval."""
        return self._whole[0]

    @cached_property
    def _whole(self) -> tuple[tuple[float, float, float], np.ndarray]:
        scores = self._mixture(False).scores()
        every = scores.precision()
        return scores.interval(DRAWS, value=float(every.mean())), every

    @cached_property
    def by_area(self) -> pd.DataFrame:
        """AP and boundary AP over log-area bins, as metrics.ap_by_area."""
        pool, per = self._data.pool, AREA_BINS_PER_DECADE
        areas = pool.truth_area[~pool.crowd]
        bins = np.floor(np.log10(np.maximum(areas, 1)) * per).astype(int)
        rows = []
        for b in np.unique(bins):
            low, high = 10 ** (b / per), 10 ** ((b + 1) / per)
            area = (0.0 if b == 0 else low, float(np.nextafter(high, 0)))
            ap, bap = (
                self._mixture(boundary).scores(area).interval(AREA_DRAWS)
                for boundary in (False, True)
            )
            rows.append((low, high, int((bins == b).sum()), *ap, *bap))
        return pd.DataFrame(rows, columns=AREA_COLUMNS)

    @cached_property
    def _judged(self) -> Judged:
        return judge(self._data.pool, self._index)

    @property
    def verdicts(self) -> Verdicts:
        """Every detection and object with its error, as errors.classify."""
        return self._judged.verdicts()

    @property
    def n(self) -> int:
        """Detections that were judged."""
        return int(np.count_nonzero(self._judged.error >= 0))

    @cached_property
    def _costs(self) -> tuple[pd.DataFrame, float]:
        return error_costs(self._judged)

    @property
    def errors(self) -> pd.DataFrame:
        """As errors.error_costs."""
        return self._costs[0]

    @property
    def base(self) -> float:
        """AP at overlap 0.5 before any repair."""
        return self._costs[1]

    def _mixture(self, boundary: bool) -> Mixture:
        if boundary not in self._mixed:
            self._mixed[boundary] = self._data.pool.mixture(self._index, boundary)
        return self._mixed[boundary]


def ap_pareto(data: Detections, steps: int = STEPS, seed: int = 0) -> pd.DataFrame:
    """AP and boundary AP against cost of every way to choose grids.

    Args:
        data: of :func:`load`.
        steps: points of the budget sweep.
        seed: of the random choice and of the bootstrap.

    Returns:
        name, kind, n (detections), gmac and gmac_per_roi as budget.pareto has them, a detection
        in an object's place; ap, ap_low, ap_high, boundary_ap, boundary_ap_low, boundary_ap_high
        in 0..1 with 95 % intervals over photos. The oracle takes each detection's grid of the
        best mask IoU with its object, the cheapest on ties.
    """
    if not len(data.pool):
        return pd.DataFrame(columns=COLUMNS)
    rows = [
        _row(data, name, kind, index, kind == "switch", seed)
        for name, kind, index in choices(data.table, data.size_grids, seed)
    ]
    for budget in np.linspace(*data.table.range_gmac(), steps):
        rows.append(_row(data, f"budget:{budget:.4f}", "sweep", data.reselect(budget), True, seed))
    return pd.DataFrame(rows, columns=COLUMNS)


def at_budget(data: Detections, budget: float) -> dict[str, float]:
    """One point of the sweep: the columns of :func:`ap_pareto` at a budget, without intervals.

    Raises:
        PolicyError: the budget is below the cost of grid 14 with the switch.
    """
    index = data.reselect(budget)
    gmac, whole = data.costs(index, True)
    values = [float(data.pool.mixture(index, b).scores().precision().mean()) for b in (0, 1)]
    return {
        "budget": budget,
        "gmac": gmac,
        "gmac_per_roi": whole,
        "ap": values[0],
        "boundary_ap": values[1],
    }


def _row(
    data: Detections, name: str, kind: str, index: np.ndarray, switch: bool, seed: int
) -> tuple:
    quality = [
        value
        for boundary in (False, True)
        for value in data.pool.mixture(index, boundary).scores().interval(DRAWS, seed)
    ]
    return (name, kind, len(index), *data.costs(index, switch), *quality)
