"""What the dashboards keep in memory: the rows of one policy, and a few recent results."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pandas as pd

from analysis.filters import Filters, Multiplier, Queryable, bucket_sql, chosen_sql
from dynamask.config import GRIDS

KEPT_READY = 2  # of one redraw: under the budget, and for what no budget changes
"""Filtered and re-selected relations that a Narrow keeps."""

_COLUMNS = (
    "annotation_id, image_id, image_width, image_height, category_id, crowd, truncated, "
    "area_px2::FLOAT AS area_px2, compactness::FLOAT AS compactness, score::FLOAT AS score, "
    "grid::SMALLINT AS grid, gmac::FLOAT AS gmac, oracle_grid::SMALLINT AS oracle_grid, "
) + ", ".join(f"{c}{g}::FLOAT AS {c}{g}" for c in ("p", "iou", "biou") for g in GRIDS)
_READY = (
    "annotation_id, image_id, bucket, category, area_px2, compactness, oracle_grid, p14, p28, "
    "p56, p112, iou14, iou28, iou56, iou112, biou14, biou28, biou56, biou112, g, "
    "cost::FLOAT AS cost, q, bq, best, lost, area10"
)


class Narrow:
    """The rows of one policy in memory, as the table ``objects``."""

    bucket = "bucket"

    def __init__(self, run: Queryable, filters: Filters) -> None:
        import duckdb

        self.manifest = run.manifest
        # held by no disk and bounded: two threads, as the page has two cores
        self._base = duckdb.connect(config={"memory_limit": "1GB", "threads": 2})
        self._lock = threading.RLock()
        self._ready: OrderedDict[tuple, str] = OrderedDict()
        self._made = 0
        which = [filters.policy, filters.boxes]
        where = "WHERE policy = ? AND boxes = ?"
        rows = run.query(f"SELECT {_COLUMNS} FROM objects {where}", which)  # noqa: S608
        names = run.query(
            f"SELECT DISTINCT category_id, category::VARCHAR AS category FROM objects {where}",  # noqa: S608
            which,
        )
        bucket = bucket_sql(rows["image_id"].nunique())
        self._base.register("rows", rows)
        self._base.register("names", names)
        self._base.execute(
            f"CREATE TABLE objects AS SELECT rows.*, names.category, {bucket} AS bucket, "  # noqa: S608
            "?::VARCHAR AS policy, ?::VARCHAR AS boxes FROM rows LEFT JOIN names "
            "ON rows.category_id IS NOT DISTINCT FROM names.category_id",
            which,
        )
        self._base.unregister("rows")
        self._base.unregister("names")

    def query(self, sql: str, params: list[Any] | None = None) -> pd.DataFrame:
        """Return the rows of one SELECT."""
        cursor = self._base.cursor()
        try:
            return cursor.execute(sql, params or []).df()
        finally:
            cursor.close()

    def ready(self, filters: Filters, multiplier: Multiplier | None) -> str:
        """Name of a table that holds the relation ``chosen``, made on first use."""
        with self._lock:
            key = (filters, multiplier)
            if key not in self._ready:
                self._made += 1
                name = f"ready_{self._made}"
                text, params = chosen_sql(filters, multiplier)
                sql = f"CREATE TABLE {name} AS {text} SELECT {_READY} FROM chosen"  # noqa: S608
                self._base.execute(sql, params)
                self._ready[key] = name
            self._ready.move_to_end(key)
            while len(self._ready) > KEPT_READY:
                self._base.execute(f"DROP TABLE {self._ready.popitem(last=False)[1]}")
            return self._ready[key]


def run_key(run: Queryable) -> tuple:
    """What tells a run, and how far it has come, from others."""
    done = run.manifest.get("photos_done", run.manifest.get("objects"))
    # counts grow when a run is resumed; one that is made anew has the same, but at another time
    facts = (getattr(run, "path", id(run)), done, run.manifest.get("state"))
    return tuple(map(str, (*facts, run.manifest.get("updated"))))  # holds for any manifest


class Recent:
    """A few results by key, the least recently used dropped first."""

    def __init__(self, size: int) -> None:
        self._kept: OrderedDict[tuple, Any] = OrderedDict()
        self._size, self._lock = size, threading.RLock()

    def get(self, key: tuple, make: Callable[[], Any]) -> Any:
        """Return what is kept under a key, made now where nothing is."""
        with self._lock:  # two threads asking for one thing compute it once
            if key not in self._kept:
                self._kept[key] = make()
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
            return self._kept[key]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
