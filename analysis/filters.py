"""Which objects a dashboard looks at, and which grid each of them counts with.

Every plot reads one relation, ``chosen``: the rows of one policy that pass the filters, with the
grid ``g`` that the object counts with, and what follows from it. The grid is the policy's own, or,
under a budget, the one that maximises ``log p - multiplier * cost`` (Everett, 1963), so that a
budget moves every plot without a model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from analysis.policy_words import policy_words
from dynamask.config import GRIDS
from dynamask.errors import DataError, InputError

BOXES = ("gt", "detector")
NO_LIMIT_PX2 = 1e9  # above every photo that can be opened
PHOTO_BUCKETS = 300
"""The bootstrap draws photos; with more photos than this it draws as many equal groups of them."""


class Queryable(Protocol):
    """A run: anything that answers SQL over the table ``objects`` and knows its manifest."""

    manifest: dict[str, Any]

    def query(self, sql: str, params: list[Any] | None = None) -> pd.DataFrame:
        """Return the rows of one SELECT; ``?`` in the text are filled from ``params``."""
        ...


@dataclass(frozen=True)
class Filters:
    """One filter bar over all plots; None lets everything through.

    Attributes:
        policy: whose rows are read, for example ``msm``.
        boxes: ``gt`` or ``detector``: where the boxes came from.
        categories: class names.
        area_px2: smallest and largest mask area in photo pixels squared, both included.
        grids: grids that objects count with.
        score: smallest and largest score, both included; objects without one are then left out.
        crowd: False without crowd regions, True only those, None both.
        truncated: the same for objects that touch the photo's edge.
    """

    policy: str = "msm"
    boxes: str = "gt"
    categories: tuple[str, ...] | None = None
    area_px2: tuple[float, float] | None = None
    grids: tuple[int, ...] | None = None
    score: tuple[float, float] | None = None
    crowd: bool | None = False
    truncated: bool | None = None

    def __post_init__(self) -> None:
        if self.boxes not in BOXES:
            raise InputError(f"Expected boxes 'gt' or 'detector'; got {self.boxes!r}. Choose one.")
        if self.grids is not None and not set(self.grids) <= set(GRIDS):
            raise InputError(f"Expected grids from {GRIDS}; got {self.grids}. Choose from these.")
        for name in ("area_px2", "score"):
            bounds = getattr(self, name)
            if bounds is not None and not (len(bounds) == 2 and bounds[0] <= bounds[1]):
                raise InputError(
                    f"Expected {name} as a smallest and a largest number; got {bounds}. Swap them."
                )

    def where(self, with_grids: bool = True) -> tuple[str, list[Any]]:
        """Return a parameterised SQL condition on ``chosen`` and its parameters.

        Args:
            with_grids: False leaves the grid filter out, for reading rows before ``g`` exists.
        """
        # at the detector's boxes an object that was not found has no grid
        parts = ["policy = ?", "boxes = ?", "grid IS NOT NULL"]
        params: list[Any] = [self.policy, self.boxes]
        for column, values in (
            ("category", self.categories),
            ("g", self.grids if with_grids else None),
        ):
            if values is not None:
                marks = ", ".join("?" * len(values))
                parts.append(f"{column} IN ({marks})" if values else "false")
                params += list(values)
        for column, bounds in (("area_px2", self.area_px2), ("score", self.score)):
            if bounds is not None:
                parts.append(f"{column} BETWEEN ? AND ?")
                params += [float(b) for b in bounds]
        for column, flag in (("crowd", self.crowd), ("truncated", self.truncated)):
            if flag is not None:
                parts.append(f"{column} = ?")
                params.append(bool(flag))
        return " AND ".join(parts), params

    def words(self) -> str:
        """The filters in words, for subtitles and the report."""
        parts = [
            f"policy {policy_words(self.policy)}",
            f"{'ground-truth' if self.boxes == 'gt' else self.boxes}",
        ]
        parts[-1] += " boxes"
        if self.categories is not None:
            shown = ", ".join(self.categories[:3])
            more = len(self.categories) - 3
            parts.append(f"class {shown}{f' and {more} more' if more > 0 else ''}")
        if self.area_px2 is not None:
            low, high = self.area_px2
            open_ = high >= NO_LIMIT_PX2
            parts.append(f"area from {low:g} px²" if open_ else f"area {low:g} to {high:g} px²")
        if self.grids is not None:
            parts.append("grid " + ", ".join(map(str, self.grids)))
        if self.score is not None:
            parts.append(f"score {self.score[0]:g} to {self.score[1]:g}")
        if self.crowd is not None:
            parts.append("only crowd regions" if self.crowd else "no crowd regions")
        if self.truncated is not None:
            parts.append("only truncated" if self.truncated else "not truncated")
        return ", ".join(parts)


@dataclass(frozen=True)
class Multiplier:
    """A budget as the one number that re-selects every object.

    Attributes:
        price: log p that one GMAC must bring, 0 or more.
        gmac: (4) cost of one object at each of GRIDS, switch included.
        budget_gmac: the mean cost per object that was asked for.
    """

    price: float
    gmac: tuple[float, float, float, float]
    budget_gmac: float

    def sql(self) -> str:
        """The grid of one row as an SQL expression: the best value, the cheaper on ties."""
        values = [
            f"(ln(greatest(p{grid}::DOUBLE, 1e-12)) - {self.price!r} * {cost!r})"
            for grid, cost in zip(GRIDS, self.gmac, strict=True)
        ]
        cases = [
            f"WHEN {values[i]} >= greatest({', '.join(values[i + 1 :])}) THEN {GRIDS[i]}"
            for i in range(3)
        ]
        return f"CASE {' '.join(cases)} ELSE {GRIDS[3]} END"


def chosen_sql(
    filters: Filters, multiplier: Multiplier | None = None, run: Queryable | None = None
) -> tuple[str, list[Any]]:
    """Return ``WITH chosen AS (...)`` and its parameters; see the module's text.

    The relation has every column of ``objects`` and ``g`` (grid), ``cost`` (GMAC), ``q`` and
    ``bq`` (mask and boundary IoU at ``g``), ``best`` (IoU at the best grid), ``lost`` (best - q)
    and ``area10`` (log10 of the area in px², areas below 1 px² as 1). A run that keeps the
    relation ready (analysis.dashboards) is asked for it.
    """
    ready = getattr(run, "ready", None)
    if ready is not None:
        return f"WITH chosen AS (SELECT * FROM {ready(filters, multiplier)})", []  # noqa: S608
    grid = "grid" if multiplier is None else multiplier.sql()
    cost = "gmac" if multiplier is None else _case("s.g", multiplier.gmac)
    inner, first = filters.where(with_grids=False)
    outer = "true"
    params = list(first)
    if filters.grids is not None:
        outer = f"g IN ({', '.join('?' * len(filters.grids))})" if filters.grids else "false"
        params += list(filters.grids)
    best = "greatest(iou14, iou28, iou56, iou112)"
    q = _case("s.g", [f"iou{g}" for g in GRIDS])
    bq = _case("s.g", [f"biou{g}" for g in GRIDS])
    text = f"""WITH chosen AS (
        SELECT s.*, {cost} AS cost, {q} AS q, {bq} AS bq, {best} AS best, {best} - {q} AS lost,
               log10(greatest(area_px2, 1)) AS area10
        FROM (SELECT *, CAST({grid} AS INTEGER) AS g FROM objects WHERE {inner}) s
        WHERE {outer})"""  # noqa: S608 - only column names and our own numbers are pasted in
    return text, params


def photo_bucket(run: Queryable, filters: Filters, multiplier: Multiplier | None = None) -> str:
    """SQL of the group of photos that the bootstrap draws as one: the photo itself when few."""
    known = getattr(run, "bucket", None)
    if known is not None:
        return known
    return bucket_sql(counts(run, filters, multiplier)[1])


def bucket_sql(photos: int) -> str:
    """The same for a number of photos."""
    return "image_id" if photos <= PHOTO_BUCKETS else f"(hash(image_id) % {PHOTO_BUCKETS})::BIGINT"


def counts(
    run: Queryable, filters: Filters, multiplier: Multiplier | None = None
) -> tuple[int, int]:
    """Return the number of objects and of photos that pass the filters."""
    text, params = chosen_sql(filters, multiplier, run)
    row = run.query(f"{text} SELECT count(*) n, count(DISTINCT image_id) m FROM chosen", params)  # noqa: S608
    return int(row["n"].iloc[0]), int(row["m"].iloc[0])


def policies(run: Queryable) -> pd.DataFrame:
    """Return columns policy, boxes, n: what the run holds, ordered by name."""
    return run.query(
        "SELECT policy, boxes, count(*) AS n FROM objects GROUP BY 1, 2 ORDER BY boxes DESC, policy"
    )


_TABLES = {
    "objects": "part-*",
    "detections": "detections-*",
    "truths": "truths-*",
    "pairs": "pairs-*",
    "areas": "areas-*",
    "photos": "photos-*",
    "problems": "problems*",  # of the annotation file, and of each shard's photos
}


class Folder:
    """A run folder read through DuckDB: the table ``objects`` over ``part-*.parquet``.

    ``detections``, ``truths``, ``pairs``, ``areas``, ``photos`` and ``problems`` are there where
    the run has them.

    Args:
        path: the run folder, with manifest.json and at least one shard.

    Raises:
        DataError: no manifest, or one that cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        import duckdb

        self.path = Path(path)
        try:
            self.manifest = json.loads((self.path / "manifest.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"Expected a run folder with a readable manifest.json at {self.path}, got none "
                f"({error}); make one with python -m analysis run."
            ) from error
        self._base = duckdb.connect(config={"memory_limit": "1GB", "threads": 2})
        self.empty = True
        for table, pattern in _TABLES.items():
            shards = sorted(str(p) for p in self.path.glob(f"{pattern}.parquet"))
            if shards:
                files = ", ".join("'" + s.replace("'", "''") + "'" for s in shards)
                sql = f"CREATE VIEW {table} AS SELECT * FROM read_parquet([{files}])"  # noqa: S608
                try:
                    self._base.execute(sql)
                except duckdb.Error as error:
                    raise DataError(
                        f"Expected whole shards in {self.path}, got one of {table} that cannot be "
                        "read; make the run again, or copy it again."
                    ) from error
                self.empty = self.empty and table != "objects"

    def query(self, sql: str, params: list[Any] | None = None) -> pd.DataFrame:
        """Return the rows of one SELECT; each call has its own cursor: threads may ask at once."""
        if self.empty:
            raise DataError(
                f"Expected at least one finished shard in {self.path}, got none; "
                "resume the run with python -m analysis run --resume."
            )
        cursor = self._base.cursor()
        try:
            return cursor.execute(sql, params or []).df()
        finally:
            cursor.close()


def _case(on: str, values: list[str] | tuple[float, ...]) -> str:
    pairs = zip(GRIDS, values, strict=True)
    return f"CASE {on} " + " ".join(f"WHEN {g} THEN {v}" for g, v in pairs) + " END"
