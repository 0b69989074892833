"""How fast and how large the dashboards are: ``python -m analysis.bench --objects 1000000``.

Writes an invented run (or reads one with --run), draws every figure as the page would after
opening the run, after a filter and after a move of the budget slider, and prints one JSON object:
seconds of each redraw and figure, bytes of each figure, peak memory of the process in MB.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from analysis import dashboards
from analysis.filters import Filters, Queryable
from analysis.report import open_run
from analysis.synthetic import POLICIES, write_run

PHOTOS_PER_OBJECT = 118_000 / 860_000  # COCO train2017


def measure(run: Queryable) -> dict[str, Any]:
    """Draw everything three times and say what it took.

    Returns:
        ``open_s`` (first scan), ``redraw_s`` (by occasion: all figures), ``figure_s`` and
        ``bytes`` (by figure, the largest of the occasions), ``reselect_s`` (a new budget for
        every object, no figure), ``peak_mb`` of this process.
    """
    everything, filtered = Filters(), Filters(area_px2=(200.0, 1e9))
    start = time.perf_counter()
    dashboards.narrow(run, everything)
    out: dict[str, Any] = {"open_s": round(time.perf_counter() - start, 3), "redraw_s": {}}
    seconds, sizes = out.setdefault("figure_s", {}), out.setdefault("bytes", {})
    for occasion, filters, budget in (
        ("first", everything, None),
        ("filter", filtered, None),
        ("budget", filtered, 0.12),
        ("budget moved", filtered, 0.14),
    ):
        total = time.perf_counter()
        for name in dashboards.FIGURES:
            start = time.perf_counter()
            figure = dashboards.figures(run, filters, budget, names=(name,))[name]
            text = json.dumps(figure, allow_nan=False)
            spent = time.perf_counter() - start
            seconds[name] = round(max(seconds.get(name, 0.0), spent), 3)
            sizes[name] = max(sizes.get(name, 0), len(text.encode()))
        out["redraw_s"][occasion] = round(time.perf_counter() - total, 3)
    table = dashboards.objects(run, filtered)
    start = time.perf_counter()
    table.reselect(table.multiplier(0.13))
    out["reselect_s"] = round(time.perf_counter() - start, 4)
    # kilobytes on Linux, bytes on macOS
    unit = 1 / 1024 if sys.platform != "darwin" else 1 / 1024**2
    out["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
    return out


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m analysis.bench", description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000, help="objects to invent")
    parser.add_argument("--run", type=Path, help="an existing run folder instead")
    parser.add_argument("--write-only", type=Path, help="write the invented run there and stop")
    args = parser.parse_args(argv)
    if args.run is not None:
        report = measure(open_run(args.run))
        sys.stdout.write(json.dumps(report) + "\n")
        return 0
    photos = max(1, round(args.objects * PHOTOS_PER_OBJECT))
    policies = (*POLICIES, "random")
    if args.write_only is not None:
        write_run(args.write_only, args.objects, photos, policies=policies)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        run = open_run(write_run(folder, args.objects, photos, policies=policies))
        sys.stdout.write(json.dumps(measure(run)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
