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
from analysis.budget_precision import EXACT_DETECTIONS
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

    COCO's numbers are of all detections; above budget_detections.CURVES of them, curves over size
    and errors are of photos drawn at random.

    Args:
        data: of :func:`load`, with areas.
        index: (N,) positions in GRIDS.
    """

    def __init__(self, data: Detections, index: np.ndarray) -> None:
        self._data, self._index = data, index.astype(np.int8)
        self._few, rows = data.few
        self._few_index = self._index[rows]
        self._mixed: dict[bool, Mixture] = {}
        self._lock = threading.Lock()
        self.photos = len(self._few.pool.images)
        self.all_photos = data.photos

    def prepare(self) -> None:
        """Compute every part, on two cores; what they share is kept no longer."""
        with self._lock:
            if "by_area" in vars(self):
                return
            for data in (self._data, self._few):
                _ = data.pool.order, data.pool.own
            with ThreadPoolExecutor(1) as beside:
                other = beside.submit(lambda: (self.by_area, self.errors))
                _ = self.row
                other.result()
            self._mixed.clear()
            # what is left to ask is of the few: large arrays of other filters are kept no longer
            self._data, self._index = self._few, self._few_index

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
        pool, per = self._few.pool, AREA_BINS_PER_DECADE
        both = [pool.mixture(self._few_index, boundary) for boundary in (False, True)]
        areas = pool.truth_area[~pool.crowd]
        bins = np.floor(np.log10(np.maximum(areas, 1)) * per).astype(int)
        # of a sample all bands are read alike, at the ranks of a large run
        exact = EXACT_DETECTIONS if self.photos == self.all_photos else 0
        rows = []
        for b in np.unique(bins):
            low, high = 10 ** (b / per), 10 ** ((b + 1) / per)
            area = (0.0 if b == 0 else low, float(np.nextafter(high, 0)))
            ap, bap = (m.scores(area).interval(AREA_DRAWS, exact=exact) for m in both)
            rows.append((low, high, int((bins == b).sum()), *ap, *bap))
        return pd.DataFrame(rows, columns=AREA_COLUMNS)

    @cached_property
    def _judged(self) -> Judged:
        return judge(self._few.pool, self._few_index)

    @property
    def verdicts(self) -> Verdicts:
        """Every detection and object of ``photos`` with its error, as errors.classify."""
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
    ways = [
        (name, kind, index, kind == "switch")
        for name, kind, index in choices(data.table, data.size_grids, seed)
    ]
    for budget in np.linspace(*data.table.range_gmac(), steps):
        ways.append((f"budget:{budget:.4f}", "sweep", data.reselect(budget), True))
    _ = data.pool.order, data.pool.own, data.pool.weights  # made once, not by both threads
    with ThreadPoolExecutor(2) as both:
        rows = list(both.map(lambda way: _row(data, *way, seed), ways))
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
