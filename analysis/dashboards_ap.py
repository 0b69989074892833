"""What the dashboards say of average precision, computed once for each choice of grids.

Runs that hold their detections at all grids (budget_ap) are scored from stored overlaps: any
policy, any budget, any size of run. Of other runs the masks are compared, which only policies that
were decoded, and only small runs, allow.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from analysis import budget_ap, budget_detections, detections, errors, metrics
from analysis import figures as draw
from analysis import figures_ap as draw_ap
from analysis import figures_cost as draw_cost
from analysis.filters import Filters, Queryable
from analysis.policy_words import policy_words
from analysis.working import Recent, run_key

LIVE_DETECTIONS = 60_000
"""More detections than this are scored in the report only, where masks must be compared; where
they need not be, they are prepared as soon as a run is opened."""
BUDGET = "budget {:.4f} GMAC"

_kinds, _names, _loaded, _narrowed = Recent(8), Recent(8), Recent(1), Recent(1)
_scores, _rows, _paretos, _points = Recent(4), Recent(16), Recent(4), Recent(8)


def forget() -> None:
    """Drop everything kept in memory."""
    for kept in (_kinds, _names, _loaded, _narrowed, _scores, _rows, _paretos, _points):
        kept.clear()


@dataclass(frozen=True)
class _Kind:
    """What a run has: policies with detections, overlaps at all grids, and mask areas there."""

    policies: tuple[str, ...]
    pairs: bool
    sized: bool
    count: int


def _kind(run: Queryable) -> _Kind:
    def make() -> _Kind:
        policies = tuple(detections.detection_policies(run))
        pairs = bool(policies) and budget_detections.has_pairs(run)
        count = detections.count_detections(run, policies[0]) if policies else 0
        return _Kind(policies, pairs, pairs and budget_detections.follows_budget(run), count)

    return _kinds.get(run_key(run), make)


@dataclass(frozen=True)
class _Stored:
    """The parts of budget_ap.Score of a policy whose masks were compared one by one."""

    row: dict[str, float]
    interval: tuple[float, float, float]
    by_area: pd.DataFrame
    verdicts: errors.Verdicts
    errors: pd.DataFrame
    base: float
    photos: int
    all_photos: int

    @property
    def n(self) -> int:
        return len(self.verdicts.detections)


Score = budget_ap.Score | _Stored


def _data(run: Queryable, filters: Filters) -> budget_detections.Detections:
    """The detections that the filters leave, in memory."""
    key = run_key(run)
    whole = _loaded.get(key, lambda: budget_detections.load(run))
    if filters.categories is None and filters.score is None:
        return whole

    def make() -> budget_detections.Detections:
        names = _names.get(key, lambda: budget_detections.class_names(run))
        return whole.filtered(filters, names)

    return _narrowed.get((*key, *_asked(filters)), make)


def _asked(filters: Filters) -> tuple:
    return filters.categories, filters.score


def scored(
    run: Queryable,
    filters: Filters,
    limit: int | None = LIVE_DETECTIONS,
    budget: float | None = None,
) -> Score | str:
    """Average precision of the filters' policy or of a budget, or a sentence why there is none.

    Args:
        run: the run.
        filters: only the policy, classes and the score count.
        limit: most detections whose masks are compared, where the run has no overlaps.
        budget: mean GMAC per detection, switch included, that re-selects every detection.

    Returns:
        ``row`` (of metrics.ap_row), ``interval`` (AP, low, high), ``by_area``, ``errors``,
        ``base`` (AP at overlap 0.5), ``verdicts`` and ``n`` (detections judged).

    Raises:
        PolicyError: the budget cannot be met.
    """
    kind, policy = _kind(run), filters.policy
    if not kind.policies or (budget is None and policy not in kind.policies):
        return draw_ap.NO_DETECTIONS
    if budget is not None and not kind.sized:
        return draw_ap.NO_BUDGET
    if not kind.sized:
        return _compared(run, filters, kind, limit)

    def make() -> budget_ap.Score:
        data = _data(run, filters)
        index = data.grids[policy] if budget is None else data.reselect(budget)
        score = budget_ap.Score(data, index)
        if kind.count > LIVE_DETECTIONS:
            score.prepare()
        return score

    choice = policy if budget is None else budget
    return _scores.get((*run_key(run), choice, *_asked(filters)), make)


def _compared(run: Queryable, filters: Filters, kind: _Kind, limit: int | None) -> Score | str:
    if limit is not None and kind.count > limit:
        return f"{kind.count:,} detections are scored in the report, not on the page."

    def make() -> _Stored:
        data = detections.load(run, filters.policy, filters)
        verdicts = errors.classify(data)
        return _Stored(
            metrics.ap_row(data),
            metrics.ap_interval(data),
            metrics.ap_by_area(data),
            verdicts,
            errors.error_costs(data, verdicts),
            errors.base_ap(verdicts, data),
            *(len(data.images), len(data.images)),
        )

    return _scores.get((*run_key(run), filters.policy, *_asked(filters)), make)


def ap_table(
    run: Queryable,
    filters: Filters,
    limit: int | None = LIVE_DETECTIONS,
    budget: float | None = None,
) -> pd.DataFrame:
    """One row per policy with detections, a budget's before them.

    Returns:
        policy and metrics.AP_COLUMNS with AP's interval, AP_low and AP_high.

    Raises:
        PolicyError: the budget cannot be met.
    """
    rows = []
    asked: list[tuple[str, float | None]] = [(p, None) for p in _kind(run).policies]
    if budget is not None:
        asked.insert(0, (filters.policy, budget))
    for policy, price in asked:
        key = (*run_key(run), policy if price is None else price, *_asked(filters), limit)
        found = _rows.get(key, partial(_numbers, run, filters, limit, policy, price))
        if found is not None:
            row, (_, low, high) = found
            name = policy if price is None else BUDGET.format(price)
            rows.append({"policy": name, **row, "AP_low": low, "AP_high": high})
    return pd.DataFrame(rows, columns=["policy", *metrics.AP_COLUMNS, "AP_low", "AP_high"])


def _numbers(
    run: Queryable, filters: Filters, limit: int | None, policy: str, price: float | None
) -> tuple[dict[str, float], tuple[float, float, float]] | None:
    """COCO's numbers and AP's interval; None where there is only a sentence to say."""
    score = scored(run, replace(filters, policy=policy), limit, price)
    return None if isinstance(score, str) else (score.row, score.interval)


def ap_pareto(run: Queryable, filters: Filters) -> pd.DataFrame | str:
    """AP against cost of every way to choose, see budget_ap; or a sentence why there is none."""
    kind = _kind(run)
    if not kind.policies:
        return draw_ap.NO_DETECTIONS
    if not kind.pairs:
        return draw_cost.NO_PAIRS

    def make() -> pd.DataFrame:
        return budget_ap.ap_pareto(_data(run, filters).sample())

    return _paretos.get((*run_key(run), *_asked(filters)), make)


def figure(
    name: str, run: Queryable, filters: Filters, budget: float | None, theme: str
) -> draw.Figure:
    """One of pareto_ap, pareto_boundary_ap, ap_by_area and error_costs; see dashboards.figures."""
    if name.startswith("pareto_"):
        return _pareto(name.removeprefix("pareto_"), run, filters, budget, theme)
    score = scored(run, filters, budget=budget)
    title = "AP against object size" if name == "ap_by_area" else "What the errors cost"
    if isinstance(score, str):
        return draw.empty(title, score, theme)
    if not len(score.by_area):
        return draw.empty(title, draw_ap.NOTHING, theme)
    said = f"policy {policy_words(filters.policy)}"
    what = said if budget is None else BUDGET.format(budget)
    note = f"{what}, detector boxes; only the class and score filters count"
    note = " · ".join(filter(None, (photos_drawn(score.photos, score.all_photos), note)))
    if name == "ap_by_area":
        return draw_ap.ap_by_area(score.by_area, theme, note)
    return draw_ap.error_costs(score.errors, score.base, score.n, theme, note)


def _pareto(
    quality: str, run: Queryable, filters: Filters, budget: float | None, theme: str
) -> draw.Figure:
    table = ap_pareto(run, filters)
    if isinstance(table, str):
        return draw.empty(draw_cost.pareto_title(quality), table, theme)
    data = _data(run, filters).sample()
    note = "IoU 0.50 to 0.95, detector boxes; only the class and score filters count"
    note = " · ".join(filter(None, (photos_drawn(len(data.pool.images), data.photos), note)))
    here = None
    if budget is not None and len(table):
        key = (*run_key(run), budget, *_asked(filters))
        here = _points.get(key, lambda: budget_ap.at_budget(data, budget))
    return draw_cost.pareto(table, quality, theme, note, here)


def photos_drawn(some: int, photos: int) -> str:
    """What a note says where only some photos were looked at; empty where all were."""
    return f"{some:,} of {photos:,} photos, drawn at random" if some < photos else ""


def behind_error(
    run: Queryable, filters: Filters, kind: str, budget: float | None = None
) -> list[int]:
    """Annotation ids of the objects behind a kind of error, the best-scored first."""
    score: Any = scored(run, filters, budget=budget)
    if isinstance(score, str):
        return []
    verdicts = score.verdicts
    if kind == "missed":
        ids = verdicts.objects.loc[verdicts.objects["error"] == kind, "annotation_id"]
    else:
        worst = verdicts.detections[verdicts.detections["error"] == kind]
        ids = worst.sort_values("score", ascending=False)["annotation_id"]
    return [int(i) for i in ids if i >= 0]


def prepare(run: Queryable, filters: Filters) -> threading.Thread | None:
    """Read and score a large run's detections beside other work, before anybody asks for them."""
    kind = _kind(run)
    if not kind.sized or kind.count <= LIVE_DETECTIONS:
        return None

    def work() -> None:
        policy = filters.policy if filters.policy in kind.policies else kind.policies[0]
        scored(run, replace(filters, policy=policy))
        ap_table(run, filters)
        ap_pareto(run, filters)

    thread = threading.Thread(target=work, name="ap", daemon=True)
    thread.start()
    return thread
