"""Quality against cost, and re-selecting a whole dataset under a budget without a model.

Under one price per GMAC every object takes the grid with the largest ``log p - price * cost``.
Which grids an object ever takes, and at which prices it changes, are the corners and slopes of
the least concave majorant of its four (cost, log p) points; so all objects of a set are
re-selected for any budget by comparing their three slopes with one number. The number for a
budget comes from sorting all slopes once (the fractional multiple-choice knapsack: Sinha and
Zoltners, 1979).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.filters import Filters, Multiplier, Queryable, bucket_sql
from analysis.intervals import draws, ratio_interval
from dynamask.config import GRIDS, STRIDES, DynaMaskConfig, preset
from dynamask.cost import BRANCH_LEVELS, CostTable, cost_table
from dynamask.errors import DataError, InputError, PolicyError

MAX_ENLARGE = 2.0  # as in dynamask.predictor, which needs torch; a test holds them together
PAD_MULTIPLE = 32
_TINY = 1e-12
_RUNGS = 2**15 + 2  # of positive floats by their upper bits, one for all others, one above all


def run_config(run: Queryable) -> DynaMaskConfig:
    """The model's configuration as the manifest has it.

    Raises:
        DataError: the manifest names neither a configuration nor a known preset.
    """
    manifest = run.manifest
    for place in (manifest, manifest.get("model"), manifest.get("config")):
        if not isinstance(place, dict):
            continue
        for key in ("model_config", "config"):
            value = place.get(key)
            text = value if isinstance(value, str) else json.dumps(value)
            try:
                return DynaMaskConfig.from_json(text)
            except InputError:
                continue
        if isinstance(place.get("preset"), str):
            try:
                return preset(place["preset"])
            except InputError:
                continue
    raise DataError(
        "Expected the model's configuration or preset in the run's manifest.json, found neither; "
        "make the run again with python -m analysis run."
    )


def run_costs(run: Queryable) -> CostTable:
    """What every part of the mask branch of the run's model costs; see dynamask.cost."""
    return cost_table(run_config(run))


def branch_macs(
    config: DynaMaskConfig, width: np.ndarray, height: np.ndarray, finest: np.ndarray
) -> np.ndarray:
    """MAC of the image branches of photos, by size and the finest grid on each.

    Args:
        config: the model's configuration; its working size is the one at scale 1.
        width: (P,) photo widths in pixels.
        height: (P,) photo heights in pixels.
        finest: (P,) finest grid that an object of the photo left at.

    Returns:
        (P,) float64 MAC.
    """
    width, height = np.asarray(width, np.float64), np.asarray(height, np.float64)
    short, long = np.minimum(width, height), np.maximum(width, height)
    factor = np.minimum(config.short_side / short, config.long_side / long)
    factor = np.minimum(factor, MAX_ENLARGE)
    padded = [
        np.ceil(np.maximum(1, np.round(side * factor)) / PAD_MULTIPLE) * PAD_MULTIPLE
        for side in (height, width)
    ]
    out = np.zeros(len(short))
    per_cell = cost_table(config).branch_mac_per_cell
    for (level, grid), mac in zip(BRANCH_LEVELS, per_cell, strict=True):
        cells = (padded[0] // STRIDES[level]) * (padded[1] // STRIDES[level])
        out += mac * cells * (np.asarray(finest) > grid)
    return out


@dataclass(frozen=True)
class ObjectTable:
    """What re-selecting needs of every object, in arrays.

    Attributes:
        ids: (M,) int64 annotation ids, photo by photo.
        log_p: (M, 4) float32 log probabilities over GRIDS.
        iou: (M, 4) float32 mask IoU at each grid; NaN where unknown.
        biou: (M, 4) float32 boundary IoU at each grid; NaN where unknown.
        photo: (M,) int64 row of the object's photo in ``sizes``, never falling.
        sizes: (P, 2) width and height of the photos in pixels.
        bucket: (P,) group that the bootstrap draws a photo with.
        config: the model's configuration.
    """

    ids: np.ndarray
    log_p: np.ndarray
    iou: np.ndarray
    biou: np.ndarray
    photo: np.ndarray
    sizes: np.ndarray
    bucket: np.ndarray
    config: DynaMaskConfig

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def macs(self) -> np.ndarray:
        """(4,) MAC of one object at each grid, switch included."""
        return cost_table(self.config).exit_macs(True).astype(np.float64)

    @cached_property
    def slopes(self) -> np.ndarray:
        """(M, 3) float32 log p per GMAC of each step of the least concave majorant, falling."""
        cost = self.macs / 1e9
        log_p = np.ascontiguousarray(self.log_p.T)
        # every pair of grids once: six lines, from which each step takes its own
        lines = {
            (i, j): (log_p[j] - log_p[i]) / np.float32(cost[j] - cost[i])
            for i in range(3)
            for j in range(i + 1, 4)
        }
        out = np.empty((len(self), 3), dtype=np.float32)
        for k in range(3):
            best = None
            for i in range(k + 1):
                to = lines[i, k + 1]
                for j in range(k + 2, 4):
                    to = np.maximum(to, lines[i, j])
                best = to if best is None else np.minimum(best, to)
            out[:, k] = best
        return out

    @cached_property
    def _ladder(self) -> tuple[np.ndarray, np.ndarray]:
        """(M, 3) uint16 rung of each slope, and (R,) total MAC with all steps from a rung up.

        A rung is the upper half of a float's bits, which rises with it; rung 0 is for slopes that
        are not positive. Only the rung that a budget ends on has then to be sorted.
        """
        rungs = np.where(self.slopes > 0, (self.slopes.view(np.int32) >> 16) + 1, 0)
        rungs = rungs.astype(np.uint16)
        total = np.zeros(_RUNGS)
        for column, mac in zip(rungs.T, np.diff(self.macs), strict=True):
            total += np.bincount(column, minlength=_RUNGS) * mac
        total[0] = 0
        return rungs, len(self) * self.macs[0] + np.cumsum(total[::-1])[::-1]

    def _rung(self, rung: int) -> tuple[np.ndarray, np.ndarray]:
        """Slopes of a rung, falling, and the MAC of their steps."""
        at = np.flatnonzero(self._ladder[0].reshape(-1) == rung)
        slopes = self.slopes.reshape(-1)[at]
        order = np.argsort(-slopes)
        return slopes[order], np.diff(self.macs)[at[order] % 3]

    def multiplier(self, budget_gmac: float) -> Multiplier:
        """The price whose selection has the largest mean cost that is within the budget.

        Raises:
            PolicyError: the budget is below the cost of grid 14, or no number.
        """
        low = self.macs[0] / 1e9
        if not budget_gmac * (1 + 1e-9) >= low:  # refuses NaN as well
            raise PolicyError(
                f"Expected a budget of at least {low:.4f} GMAC per object, the cost of grid "
                f"{GRIDS[0]} with the switch; got {budget_gmac}. Choose a larger one."
            )
        total = self._ladder[1]
        most = max(budget_gmac * 1e9 * len(self) * (1 + 1e-12), total[-1])
        rung = _RUNGS - 1 - int(np.searchsorted(total[::-1], most, "right"))
        price = 0.0
        if rung > 0:
            slopes, steps = self._rung(rung)
            ends = total[rung + 1] + np.cumsum(steps)
            done = min(int(np.searchsorted(ends, most, "right")), len(slopes) - 1)
            # steps of one slope come together, so a group that does not fit stays out as a whole;
            # a price between two slopes leaves no tie for rounding to decide
            first = int(np.searchsorted(-slopes, -slopes[done], "left"))
            above = float(slopes[first - 1]) if first else self._next(rung, slopes[done])
            price = (above + float(slopes[done])) / 2
        gmac = tuple(float(m) / 1e9 for m in self.macs)
        return Multiplier(price, gmac, float(budget_gmac))

    def _next(self, rung: int, slope: np.float32) -> float:
        """The smallest slope of the rungs above; twice the slope itself where it is the largest."""
        higher = np.flatnonzero(np.diff(self._ladder[1][rung + 1 :]))
        return (
            float(self._rung(rung + 1 + int(higher[0]))[0][-1]) if len(higher) else 2 * float(slope)
        )

    def reselect(self, multiplier: Multiplier) -> np.ndarray:
        """(M,) int64 positions in GRIDS: each object's best grid at this price."""
        return (self.slopes > np.float64(multiplier.price)).sum(axis=1)

    def range_gmac(self) -> tuple[float, float]:
        """Smallest mean cost and the mean cost where nothing is gained any more, in GMAC."""
        last = self._ladder[1][1] / len(self) if len(self) else self.macs[0]
        return float(self.macs[0] / 1e9), float(last / 1e9)


def object_table(run: Queryable, filters: Filters) -> ObjectTable:
    """Read what re-selecting needs: one query, about 60 bytes an object.

    The grid filter is left out: under a budget it is the new grid that counts.
    """
    where, params = filters.where(with_grids=False)
    columns = ", ".join(f"{c}{g}::FLOAT AS {c}{g}" for c in ("p", "iou", "biou") for g in GRIDS)
    bucket = getattr(run, "bucket", None)
    if bucket is None:
        sql = f"SELECT count(DISTINCT image_id) AS n FROM objects WHERE {where}"  # noqa: S608
        bucket = bucket_sql(int(run.query(sql, params)["n"].iloc[0]))
    frame = run.query(
        f"SELECT annotation_id, image_id, image_width, image_height, {bucket} AS bucket, {columns} "  # noqa: S608
        f"FROM objects WHERE {where} AND p14 IS NOT NULL ORDER BY image_id, annotation_id",
        params,
    )
    photo, ids = pd.factorize(frame["image_id"])
    first = np.flatnonzero(np.diff(photo, prepend=-1))
    sizes = frame[["image_width", "image_height"]].iloc[first].to_numpy(np.int64)
    bucket = frame["bucket"].iloc[first] if len(ids) else np.zeros(0)

    def stack(name: str) -> np.ndarray:
        return np.stack([frame[f"{name}{g}"].to_numpy(np.float32, na_value=np.nan) for g in GRIDS])

    return ObjectTable(
        ids=frame["annotation_id"].to_numpy(np.int64),
        log_p=np.log(np.clip(stack("p").T, _TINY, None)),
        iou=stack("iou").T,
        biou=stack("biou").T,
        photo=photo,
        sizes=sizes,
        bucket=np.asarray(bucket, dtype=np.int64),
        config=run_config(run),
    )


def pareto(
    table: ObjectTable,
    size_grids: np.ndarray | None = None,
    steps: int = 24,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean quality against cost of every way to choose grids, on the same objects.

    Args:
        table: the objects; those without IoUs are left out of means of quality and of cost.
        size_grids: (M,) positions in GRIDS of the size rule; None leaves it out.
        steps: points of the budget sweep.
        seed: of the random choice and of the bootstrap.

    Returns:
        name (``fixed:14`` and so on, ``size``, ``msm``, ``oracle``, ``random``, ``budget``),
        kind (``fixed``, ``rule``, ``switch``, ``bound``, ``random``, ``sweep``), n, gmac (mean
        cost of an object), gmac_per_roi (with the image branches), iou, iou_low, iou_high, biou,
        biou_low, biou_high. ``random`` draws each object's grid with the switch's shares.
    """
    known = np.isfinite(table.iou).all(axis=1)
    if not known.any():
        return pd.DataFrame(columns=PARETO_COLUMNS)
    judge = _Judge(table, known, seed)
    rows = [judge.row(*choice) for choice in choices(table, size_grids, seed)]
    low, high = table.range_gmac()
    budgets = np.linspace(low, high, steps)
    rows += judge.sweep(budgets, [table.multiplier(b).price for b in budgets])
    return pd.DataFrame(rows, columns=PARETO_COLUMNS)


def choices(
    table: ObjectTable, size_grids: np.ndarray | None = None, seed: int = 0
) -> list[tuple[str, str, np.ndarray]]:
    """Every way to choose but the budget sweep: name, kind, (M,) positions in GRIDS."""
    picked = table.log_p.argmax(axis=1)
    rule = [] if size_grids is None else [("size", "rule", size_grids)]
    return [
        *((f"fixed:{g}", "fixed", np.full(len(table), k)) for k, g in enumerate(GRIDS)),
        *rule,
        ("msm", "switch", picked),
        ("oracle", "bound", np.nan_to_num(table.iou, nan=-1).argmax(axis=1)),
        ("random", "random", np.random.default_rng(seed).permutation(picked)),
    ]


PARETO_COLUMNS = [
    *("name", "kind", "n", "gmac", "gmac_per_roi"),
    *("iou", "iou_low", "iou_high", "biou", "biou_low", "biou_high"),
]


class _Judge:
    """Prices and scores choices on the objects whose quality is known."""

    def __init__(self, table: ObjectTable, known: np.ndarray, seed: int) -> None:
        self.table, self.known = table, known
        self.photo = table.photo[known]
        self.iou, self.biou = table.iou[known], table.biou[known]
        self.codes = np.unique(table.bucket, return_inverse=True)[1].reshape(-1)[self.photo]
        self.photos = int(self.codes.max()) + 1
        self.weights = draws(self.photos, seed)
        self.below = np.bincount(self.codes, minlength=self.photos).astype(np.float64)[:, None]
        costs = cost_table(table.config)
        self.exits = np.asarray(costs.exits, dtype=np.float64)
        self.switch = float(costs.switch_mac)
        on_photo = np.unique(self.photo)
        width, height = table.sizes[on_photo].T
        self.branch = [branch_macs(table.config, width, height, g) for g in GRIDS]
        self.on_photo = np.searchsorted(on_photo, self.photo)

    def row(self, name: str, kind: str, index: np.ndarray) -> tuple:
        index = np.asarray(index)[self.known]
        above = np.stack(
            [
                np.bincount(self.codes, np.choose(index, values.T), self.photos)
                for values in (self.iou, self.biou)
            ],
            axis=1,
        )
        finest = np.zeros(len(self.branch[0]), dtype=np.int64)
        for k in range(1, 4):
            finest[self.on_photo[index == k]] = k
        mac = self.exits[index].sum() + (self.switch * len(index) if kind == "switch" else 0.0)
        return self._row(name, kind, mac, np.choose(finest, self.branch).sum(), above)

    def sweep(self, budgets: np.ndarray, prices: list[float]) -> list[tuple]:
        """Rows of falling prices in one pass: each object's steps are booked where they happen."""
        width = len(prices)
        count = len(self.codes)
        mac = np.zeros(width + 1)
        mac[0] = count * (self.exits[0] + self.switch)
        branch = np.zeros(width + 1)
        branch[0] = self.branch[0].sum()
        above = np.zeros((2, self.photos, width + 1))
        for q, values in enumerate((self.iou, self.biou)):
            above[q, :, 0] = np.bincount(self.codes, values[:, 0], self.photos)
        starts = np.flatnonzero(np.diff(self.on_photo, prepend=-1))
        for k in range(3):
            # first price below the slope; `width` for steps that never pay
            slope = -self.table.slopes[self.known, k].astype(np.float64)
            when = np.searchsorted(-np.asarray(prices), slope, side="right")
            mac += np.bincount(when, minlength=width + 1) * (self.exits[k + 1] - self.exits[k])
            earliest = np.minimum.reduceat(when, starts)
            more = self.branch[k + 1] - self.branch[k]
            branch += np.bincount(earliest, more, width + 1)
            place = self.codes * (width + 1) + when
            for q, values in enumerate((self.iou, self.biou)):
                gain = (values[:, k + 1] - values[:, k]).astype(np.float64)
                booked = np.bincount(place, gain, self.photos * (width + 1))
                above[q] += booked.reshape(self.photos, width + 1)
        mac, branch, above = mac.cumsum(), branch.cumsum(), above.cumsum(axis=2)
        return [
            self._row(f"budget:{b:.4f}", "sweep", mac[s], branch[s], above[:, :, s].T)
            for s, b in enumerate(budgets)
        ]

    def _row(self, name: str, kind: str, mac: float, branch: float, above: np.ndarray) -> tuple:
        mean, low, high = ratio_interval(above, self.below, weights=self.weights)
        count = len(self.codes)
        quality = (mean[0], low[0], high[0], mean[1], low[1], high[1])
        return (name, kind, count, mac / count / 1e9, (mac + branch) / count / 1e9, *quality)


def size_rule_rows(run: Queryable, filters: Filters) -> tuple[np.ndarray, np.ndarray]:
    """The run's rows of the policy ``size``: rising annotation ids, int8 positions in GRIDS."""
    found = run.query(
        "SELECT annotation_id, grid FROM objects WHERE policy = 'size' AND boxes = ? "
        "ORDER BY annotation_id",
        [filters.boxes],
    )
    ids = found["annotation_id"].to_numpy(np.int64)
    return ids, np.searchsorted(GRIDS, found["grid"].to_numpy()).astype(np.int8)


def size_rule_grids(rows: tuple[np.ndarray, np.ndarray], table: ObjectTable) -> np.ndarray | None:
    """(M,) positions in GRIDS of the size rule on the table's objects.

    From :func:`size_rule_rows`; None where the run holds none for some object.
    """
    ids, index = rows
    if not len(ids):
        return None
    place = np.minimum(np.searchsorted(ids, table.ids), len(ids) - 1)
    if not np.array_equal(ids[place], table.ids):
        return None
    return index[place]
