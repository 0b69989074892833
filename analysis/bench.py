"""How fast and how large the dashboards are: ``python -m analysis.bench --objects 1000000``.

Writes an invented run with detections (or reads one with --run) and draws every group of plots as
the page does after opening the run, after other filters, after filters of score and of class, which
score all detections anew, and after moves of the budget slider. Prints one JSON object: seconds of
each group and figure, bytes of each figure, peak memory of the process in MB.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from analysis import budget_detections, dashboards
from analysis.filters import Filters, Queryable
from analysis.report import open_run
from analysis.synthetic import POLICIES, write_run
from analysis.synthetic_detections import PER_OBJECT

PHOTOS_PER_OBJECT = 118_000 / 860_000  # COCO train2017
GROUPS = dashboards.GROUPS
LARGE = Filters(area_px2=(200.0, 1e9))
OCCASIONS = (
    ("first", Filters(), None),
    ("filter", LARGE, None),
    ("other filter", Filters(area_px2=(400.0, 1e9)), None),
    ("score filter", Filters(score=(0.3, 1.0)), None),
    ("class filter", "half", None),
    ("budget", LARGE, 0.12),
    ("budget moved", LARGE, 0.14),
)


def measure(run: Queryable) -> dict[str, Any]:
    """Draw everything on every occasion and say what it took.

    Returns:
        ``open_s`` (first scan), ``prepare_s`` (scoring the detections, which the page does in the
        background after it has drawn the first group), ``group_s`` (by occasion: seconds of each
        group, its tables included), ``group_processor_s`` (the same in processor time of all
        threads, which other work on the machine does not change), ``redraw_s`` (by occasion: all
        groups), ``figure_s`` and ``bytes`` (by figure, the largest of the occasions),
        ``reselect_s`` (a new budget for every object, no figure), ``peak_mb`` of this process.
    """
    everything = Filters()
    start = time.perf_counter()
    dashboards.narrow(run, everything)
    out: dict[str, Any] = {"open_s": round(time.perf_counter() - start, 3), "prepare_s": 0.0}
    out |= {"group_s": {}, "group_processor_s": {}, "redraw_s": {}}
    seconds, sizes = out.setdefault("figure_s", {}), out.setdefault("bytes", {})
    names = sorted(budget_detections.class_names(run).values())
    half = Filters(categories=tuple(names[: max(1, len(names) // 2)]))
    for occasion, asked, budget in OCCASIONS:
        filters = half if asked == "half" else asked
        groups = out["group_s"].setdefault(occasion, {})
        work = out["group_processor_s"].setdefault(occasion, {})
        for group, names in GROUPS.items():
            first, worked = time.perf_counter(), time.process_time()
            for name in ("totals", *names):
                start = time.perf_counter()
                if name == "totals":
                    dashboards.totals(run, filters, budget)
                    continue
                figure = dashboards.figures(run, filters, budget, names=(name,))[name]
                text = json.dumps(figure, allow_nan=False)
                spent = time.perf_counter() - start
                seconds[name] = round(max(seconds.get(name, 0.0), spent), 3)
                sizes[name] = max(sizes.get(name, 0), len(text.encode()))
            if group == "ap":
                dashboards.table(run, filters, "ap", budget)
            groups[group] = round(time.perf_counter() - first, 3)
            work[group] = round(time.process_time() - worked, 3)
            if occasion == "first" and group == next(iter(GROUPS)):
                start = time.perf_counter()
                thread = dashboards.prepare(run, everything)
                if thread is not None:
                    thread.join()
                out["prepare_s"] = round(time.perf_counter() - start, 3)
        out["redraw_s"][occasion] = round(sum(groups.values()), 3)
    table = dashboards.objects(run, LARGE)
    start = time.perf_counter()
    table.reselect(table.multiplier(0.13))
    out["reselect_s"] = round(time.perf_counter() - start, 4)
    out["peak_mb"] = _peak_mb()
    return out


def _peak_mb() -> int | None:
    """Peak memory of this process; None on Windows, which does not say it this way."""
    try:
        import resource
    except ImportError:
        return None
    # kilobytes on Linux, bytes on macOS
    unit = 1 / 1024 if sys.platform != "darwin" else 1 / 1024**2
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.bench", description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000, help="objects to invent")
    parser.add_argument(
        "--detections", type=float, default=PER_OBJECT, help="for each object; 0 for none"
    )
    parser.add_argument("--run", type=Path, help="an existing run folder instead")
    parser.add_argument("--write-only", type=Path, help="write the invented run there and stop")
    args = parser.parse_args(argv)
    if args.run is not None:
        report = measure(open_run(args.run))
        sys.stdout.write(json.dumps(report) + "\n")
        return 0
    photos = max(1, round(args.objects * PHOTOS_PER_OBJECT))
    invent = {"policies": (*POLICIES, "random"), "detections": args.detections}
    if args.write_only is not None:
        write_run(args.write_only, args.objects, photos, **invent)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        run = open_run(write_run(folder, args.objects, photos, **invent))
        sys.stdout.write(json.dumps(measure(run)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
