"""``python -m app.bench``: server time of the Inspect tab when a control moves, plots included.

Twenty drawn boxes on one example photo. Every step changes the policy or the budget, so masks are
chosen anew; what a choice needs for the first time is decoded, as for a user. Times are those of
the page's own handlers, without the network and the browser; processor time is what a machine
without other work would need at most.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np

from app import settings
from app.inspect_handlers import Handlers
from app.inspect_parts import new_state
from app.inspect_plots import PhotoPlots
from app.session import Session
from app.widgets.mask_viewer import MaskViewer

OBJECTS = 20
STEPS = 24  # budgets between the ends of the range
GOAL_MS = 250.0


def boxes(height: int, width: int, count: int = OBJECTS) -> tuple[tuple[float, ...], ...]:
    """Boxes of many sizes all over a photo, always the same."""
    rng = np.random.default_rng(0)
    sides = np.geomspace(24, 0.6 * min(height, width), count)
    lefts = rng.uniform(0, width - sides)
    tops = rng.uniform(0, height - sides)
    return tuple(
        (round(float(x), 1), round(float(y), 1), round(float(x + s), 1), round(float(y + s), 1))
        for x, y, s in zip(lefts, tops, sides, strict=True)
    )


def measure(session: Session, example: str = "astronaut.jpg") -> dict[str, Any]:
    """Milliseconds of picture and plots over a sweep of policies and budgets.

    Args:
        session: with a model that can be loaded.
        example: which of the example photos.
    """
    tab, plots = Handlers(session), PhotoPlots(session)
    tab.viewer = MaskViewer(render=False)
    path = settings.EXAMPLES / example
    opened = session.open(path)
    state = {**new_state(), "key": opened.scene.key, "path": str(path), "name": example}
    state["drawn"] = boxes(*opened.scene.image_size)
    low, high = session.predictor().budget_range()
    asked = [("msm", low)]
    asked += [("budget", float(b)) for b in np.linspace(low + 1e-3, high - 1e-3, STEPS)]
    asked += [("size", low), ("fixed:14", low), ("fixed:112", low)]
    times: list[tuple[float, float, float]] = []
    # a score that leaves out what the detector finds: there are then exactly the drawn boxes
    top = settings.MIN_SCORE_RANGE[1]
    for policy, budget in asked:
        controls = (policy, budget, settings.THRESHOLD, top)
        started, worked = time.perf_counter(), time.process_time()
        tab.on_control(state, None, *controls)
        shown = time.perf_counter()
        plots.on_picture(state, *controls)
        ended, work = time.perf_counter(), time.process_time() - worked
        times.append((1000 * (shown - started), 1000 * (ended - shown), 1000 * work))
    both = np.array(times)
    total = both[:, :2].sum(axis=1)
    return {
        "objects": len(session.decode(opened, plots._ask(state, controls)).ids),
        "steps": len(times),
        "picture_ms_median": round(float(np.median(both[:, 0])), 1),
        "plots_ms_median": round(float(np.median(both[:, 1])), 1),
        "both_ms_median": round(float(np.median(total)), 1),
        "both_ms_p95": round(float(np.percentile(total, 95)), 1),
        "both_ms_max": round(float(total.max()), 1),
        "processor_ms_median": round(float(np.median(both[:, 2])), 1),
        "processor_ms_p95": round(float(np.percentile(both[:, 2], 95)), 1),
        "goal_ms": GOAL_MS,
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure and print JSON; status 1 where the median misses the goal."""
    parser = argparse.ArgumentParser(prog="python -m app.bench", description=__doc__)
    parser.add_argument("--weights", help="a weights file; the bundled one if not given")
    parser.add_argument("--device", default="cpu", help="cpu, cuda ...; cpu if not given")
    options = parser.parse_args(arguments)
    result = measure(Session(options.weights, device=options.device))
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return 0 if result["both_ms_median"] <= GOAL_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())
