"""The command line of dataset analysis: ``python -m analysis <command>``.

Exit status: 0 done; 1 an unexpected error; 2 bad input, in one sentence; 130 or 143 stopped by
the keyboard or SIGTERM, with what was finished kept for ``--resume``.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from dynamask.cli import SentenceParser, one_line
from dynamask.errors import DynaMaskError

SESSION = ("resume", "workers", "processes", "no_detector", "handler", "command", "debug")
"""Options of ``run`` that are not part of the run's configuration."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        The exit status. Argparse itself exits with 2 on unknown options and 0 on ``--help``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        args = build_parser().parse_args(arguments)
        return args.handler(args)
    except DynaMaskError as error:
        if debug:
            traceback.print_exc()
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("stopped by the keyboard.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # whatever is left is our mistake, not the user's
        if debug:
            traceback.print_exc()
        hint = "" if debug else "; run the command again with --debug to see where"
        return _fail(f"unexpected {type(error).__name__}: {one_line(error)}{hint}.", 1)


def build_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser; ``argv`` is there for likeness with dynamask's and not looked at."""
    del argv
    debug = argparse.ArgumentParser(add_help=False)
    debug.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks"
    )
    parser = SentenceParser(
        prog="analysis",
        description="Which objects of a dataset get which grid, and is it worth it?",
        parents=[debug],
    )
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)

    def command(name: str, text: str, run: Any) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, parents=[debug])
        sub.set_defaults(handler=run)
        return sub

    _add_run(command("run", "measure every object of a set under every policy", _run))
    report = command("report", "one self-contained HTML file about a run, or two", _report)
    report.add_argument("runs", nargs="+", metavar="RUN", help="one run folder, or two")
    report.add_argument("--out", required=True, metavar="F.html", help="the file to write")
    compare = command("compare", "differences of two runs with 95 %% intervals", _compare)
    compare.add_argument("runs", nargs=2, metavar="RUN", help="two runs of the same photos")
    compare.add_argument("--policy", default="msm", help="whose rows (default msm)")
    compare.add_argument("--out", metavar="F", help="also write .csv or .json")
    export = command("export", "a table of a run as one file", _export)
    export.add_argument("run", metavar="RUN", help="run folder")
    export.add_argument("--out", required=True, metavar="F", help=".csv, .parquet or .json")
    export.add_argument(
        "--table",
        default="objects",
        help="objects (default), detections, truths, pairs, areas, photos or problems",
    )
    return parser


def _fail(sentence: str, status: int) -> int:
    sys.stderr.write(f"dynamask: error: {sentence}\n")
    return status


# -- run -----------------------------------------------------------------------------------


def _add_run(parser: argparse.ArgumentParser) -> None:
    # options that were not given are absent: a resumed run then keeps its own
    parser.argument_default = argparse.SUPPRESS
    add = parser.add_argument
    add("--coco", metavar="ANN", help="annotations: COCO, LVIS, or an export in COCO's format")
    add("--images", metavar="DIR", help="folder of the photos")
    add("--out", required=True, metavar="RUN", help="run folder to make, or to go on with")
    add(
        "--policy",
        dest="policies",
        nargs="+",
        action="extend",
        metavar="P",
        help="at ground-truth boxes (default: msm size fixed:14 fixed:28 fixed:56 fixed:112 "
        "oracle)",
    )
    add(
        "--detector-policy",
        dest="detector_policies",
        nargs="+",
        action="extend",
        metavar="P",
        help="at the detector's boxes (default: msm)",
    )
    add("--no-detector", action="store_true", default=False, help="only ground-truth boxes")
    add("--weights", metavar="W", help="weights file (default: the bundled one)")
    add("--device", help="auto, cpu, cuda, cuda:1 or mps")
    add(
        "--detector",
        metavar="D",
        help="who finds the boxes: own, torchvision:NAME, coco:RESULTS.json, gt:ANN.json",
    )
    add("--detector-weights", metavar="FILE", help="local weights of a torchvision detector")
    add(
        "--detector-grids",
        action=argparse.BooleanOptionalAction,
        help="compare every detection with the objects at all four grids, for AP against cost "
        "(default: yes)",
    )
    add("--limit", type=int, metavar="N", help="only the first N photos")
    add("--photos-per-shard", type=int, metavar="N", help="photos in one Parquet file")
    add("--name", help="what lists and reports call the run (default: the folder's name)")
    add("--resume", action="store_true", default=False, help="go on with a stopped run")
    add("--workers", choices=("local", "ray"), default="local", help="where the work is done")
    add("--processes", type=int, default=None, help="how many (default: what the machine holds)")


def _run(args: argparse.Namespace) -> int:
    cancel, caught = threading.Event(), []

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        caught.append(number)
        cancel.set()
        if number == signal.SIGINT and len(caught) > 1:
            raise KeyboardInterrupt  # asked twice: at once

    before = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        return _run_until(args, cancel, caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_until(args: argparse.Namespace, cancel: threading.Event, caught: list[int]) -> int:
    from analysis.run import Run

    run = Run(_config(args), resume=args.resume, workers=args.workers, processes=args.processes)
    left_out = run.manifest["skipped_entries"]
    if left_out:
        sys.stderr.write(
            f"{left_out} entries of the annotation file are left out; see the report\n"
        )
    for step in run.steps(cancel):
        eta = "" if step.eta_seconds is None else f", about {_clock(step.eta_seconds)} left"
        sys.stderr.write(f"\r{step.done} of {step.total} photos{eta}   ")
        sys.stderr.flush()
    info = run.info
    sys.stderr.write("\n")
    counts = info.manifest or {}
    sys.stdout.write(
        f"{info.path}: {info.photos_done} of {info.photos} photos "
        f"({counts.get('skipped_photos', 0)} could not be used), {info.objects} objects, "
        f"{counts.get('rows', 0)} rows, {counts.get('detections', 0)} detections in "
        f"{_clock(float(counts.get('seconds', 0)))}\n"
    )
    if info.state == "done":
        return 0
    sys.stderr.write("stopped; go on with --resume\n")
    return 128 + caught[0] if caught else 1


def _config(args: argparse.Namespace) -> Any:
    from analysis.run import RunConfig
    from analysis.store import MANIFEST
    from dynamask.errors import InputError

    given = {k: v for k, v in vars(args).items() if k not in SESSION}
    for key in ("policies", "detector_policies"):
        if key in given:
            given[key] = tuple(given[key])
    if args.no_detector:
        if given.get("detector_policies") or given.get("detector"):
            raise InputError(
                "Expected either --no-detector or options of the detector, got both; leave one out."
            )
        given["detector_policies"] = ()
    if args.resume and (Path(args.out) / MANIFEST).is_file():
        return RunConfig.of_run(given.pop("out"), **given)
    missing = [f"--{k}" for k in ("coco", "images") if k not in given]
    if missing:
        raise InputError(
            f"Expected --coco ANN and --images DIR for a new run, got no {' and no '.join(missing)}"
            "; give both."
        )
    return RunConfig(**given)


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


# -- what is made of runs ------------------------------------------------------------------


def _report(args: argparse.Namespace) -> int:
    from analysis.report import main as write

    path = write(args.runs, args.out)
    sys.stdout.write(f"{path}\n")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from analysis.compare import compare, verdict
    from analysis.exports import write_frame
    from analysis.filters import Filters
    from analysis.store import open_run
    from dynamask.errors import DataError

    first, second = (open_run(p) for p in args.runs)
    table = compare(first, second, Filters(policy=args.policy))
    if not len(table):
        raise DataError(
            f"Expected two runs with photos in common that have rows of {args.policy}, got none; "
            "compare runs of the same set."
        )
    table = table.assign(verdict=[verdict(row) for _, row in table.iterrows()])
    if args.out:
        write_frame(table, args.out)
    sys.stdout.write(table.to_string(index=False, float_format=lambda v: f"{v:.4f}") + "\n")
    return 0


def _export(args: argparse.Namespace) -> int:
    from analysis.exports import export_run

    count = export_run(args.run, args.out, args.table)
    sys.stdout.write(f"{args.out}: {count} rows\n")
    return 0
