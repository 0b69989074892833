"""The command line: ``python -m dynamask <command>``.

Commands load torch and the model only when they run, so that ``--help`` and typing errors answer
at once. Exit status: 0 done; 1 a check failed, or an unexpected error; 2 bad input.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import math
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from dynamask.config import GRIDS
from dynamask.errors import DataError, DynaMaskError, InputError

PARITY_LIMIT = 1e-4
MIN_SCORE = 0.3

Run = Callable[[argparse.Namespace], int]
Add = Callable[[argparse.ArgumentParser], None]

HEAVY: dict[str, tuple[str, str, str, str]] = {
    "train": ("dynamask.training.train", "add_arguments", "run", "train a model, or go on"),
    "curves": ("dynamask.training.curves", "add_arguments", "run", "a training run's curves"),
    "fit-switch": (
        "dynamask.training.switch_fit",
        "add_arguments",
        "run",
        "teach the switch what every grid gains",
    ),
    "calibrate": (
        "dynamask.training.calibrate",
        "add_arguments",
        "run",
        "fit the switch's price and the size rule to a budget",
    ),
    "convert": (
        "dynamask.convert",
        "add_convert_arguments",
        "run_convert",
        "a checkpoint of the released code to our weights",
    ),
    "bench": ("dynamask.bench", "add_arguments", "run", "speed against the references"),
}
"""Commands whose options live beside their code: module, adder, runner, help."""


class SentenceParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the block of usage before it."""

    def error(self, message: str) -> NoReturn:
        """Print ``dynamask: error: ...`` and exit with status 2."""
        self.exit(2, f"dynamask: error: {message}; see `python -m {self.prog} --help`.\n")


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
        parser = build_parser(arguments)
        args = parser.parse_args(arguments)
        _set_up_logging(debug)
        handler: Run = args.handler  # not `run`: that is an option of train
        return handler(args)
    except DynaMaskError as error:
        if debug:
            traceback.print_exc()
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("stopped by the keyboard.", 130)
    except BrokenPipeError:
        # the reader (head, less) has gone; point stdout elsewhere so that exit stays silent
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # whatever is left is our mistake, not the user's
        if debug:
            traceback.print_exc()
        hint = "" if debug else "; run the command again with --debug to see where"
        return _fail(f"unexpected {type(error).__name__}: {one_line(error)}{hint}.", 1)


def build_parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser; heavy commands get their options only where ``argv`` names them."""
    from dynamask import __version__

    debug = argparse.ArgumentParser(add_help=False)
    debug.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks and logs"
    )
    parser = SentenceParser(
        prog="dynamask",
        description="Instance masks whose resolution is chosen for every object.",
        parents=[debug],
    )
    parser.add_argument("--version", action="version", version=f"dynamask {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)

    def command(name: str, text: str, add: Add, run: Run) -> None:
        sub = commands.add_parser(name, help=text, description=text, parents=[debug])
        add(sub)
        sub.set_defaults(handler=run)

    command("predict", "masks of photos: a picture and JSON for each", _add_predict, _predict)
    command("evaluate", "COCO metrics of policies", _add_evaluate, _evaluate)
    for name, (module, adder, runner, text) in HEAVY.items():
        if name in argv:
            home = importlib.import_module(module)
            command(name, text, getattr(home, adder), getattr(home, runner))
        else:
            commands.add_parser(name, help=text)
    command("parity", "released head -> converter -> our head", _add_parity, _parity)
    command("doctor", "what this machine has, and what is missing", _add_doctor, _doctor)
    return parser


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks or a final stop."""
    return " ".join(str(error).split()).rstrip(".") or "no message"


def _set_up_logging(debug: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="dynamask: %(levelname)s: %(message)s",
    )
    # Pillow warns about damaged metadata with paths of this machine; our own sentence says enough
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.DEBUG if debug else logging.ERROR)


def _fail(sentence: str, status: int) -> int:
    sys.stderr.write(f"dynamask: error: {sentence}\n")
    return status


# -- predict -------------------------------------------------------------------------------


def _common_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", help="weights file (default: the bundled one)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument(
        "--detector",
        default="own",
        metavar="D",
        help="who finds the boxes: own, torchvision:NAME, coco:RESULTS.json, gt:ANNOTATIONS.json",
    )
    parser.add_argument(
        "--detector-weights",
        metavar="FILE",
        help="local weights of a torchvision detector, instead of torchvision's download",
    )


def _detector(args: argparse.Namespace) -> Any:
    from dynamask.detectors import parse_detector

    return parse_detector(args.detector, args.detector_weights, device=args.device)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="IMG", help="photos to analyse")
    parser.add_argument("--out", required=True, help="folder for <stem>.png and <stem>.json")
    parser.add_argument("--policy", default="msm", help="msm, fixed:14, size, budget:0.1, ...")
    parser.add_argument("--json", action="store_true", help="also write <stem>.json")
    parser.add_argument(
        "--threshold", type=float, default=0.5, help="mask probability of a pixel (default 0.5)"
    )
    parser.add_argument(
        "--min-score",
        type=float,
        default=MIN_SCORE,
        help="leave out objects with a lower score, in picture and JSON (default %(default)s)",
    )
    _common_model_options(parser)


def _predict(args: argparse.Namespace) -> int:
    from dynamask.batch import PredictJob, predict_files

    job = PredictJob(
        out=Path(args.out),
        policy=args.policy,
        threshold=args.threshold,
        min_score=args.min_score,
        write_json=args.json,
    )
    failed = predict_files(
        [Path(p) for p in args.photos],
        job,
        weights=args.weights,
        device=args.device,
        detector=lambda: _detector(args),
    )
    for sentence in failed:
        _fail(sentence, 2)
    return 2 if failed else 0


# -- evaluate ------------------------------------------------------------------------------

TABLE = ("AP", "AP50", "AP75", "boundary_AP", "mean_iou", "mean_boundary_iou", "gmac_per_roi")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--coco", required=True, metavar="ANN", help="COCO instances JSON")
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of the photos")
    parser.add_argument(
        "--policy",
        nargs="+",
        action="extend",  # --policy msm --policy size must not forget msm
        metavar="P",
        help="one or more policies (default msm)",
    )
    parser.add_argument("--boxes", choices=("detector", "gt"), default="detector")
    parser.add_argument("--out", required=True, metavar="F.json", help="where to write the list")
    parser.add_argument("--limit", type=int, help="only the first photos")
    _common_model_options(parser)


def _evaluate(args: argparse.Namespace) -> int:
    from dynamask.batch import check_out_file, write_text

    out = check_out_file(args.out)
    if args.limit is not None and args.limit < 1:
        raise InputError(f"Expected --limit of at least 1, got {args.limit}; leave it out for all.")
    for path, is_there, kind in (
        (args.coco, Path(args.coco).is_file(), "a COCO annotation file"),
        (args.images, Path(args.images).is_dir(), "a folder of photos"),
    ):
        if not is_there:  # said before the model loads
            raise DataError(f"Expected {kind}, found none at {path}; check the path.")
    from dynamask.predictor import Predictor
    from dynamask.training.evaluate import evaluate

    predictor = Predictor.from_weights(args.weights, device=args.device)

    def progress(done: int, total: int) -> None:
        sys.stderr.write(f"\r{done} of {total} photos" + ("\n" if done == total else ""))
        sys.stderr.flush()

    rows = evaluate(
        predictor,
        args.coco,
        args.images,
        args.policy or ["msm"],
        args.boxes,
        progress,
        args.limit,
        detector=_detector(args),
    )
    write_text(out, json.dumps(rows, indent=2, allow_nan=False) + "\n")
    sys.stdout.write(evaluation_table(rows))
    return 0


def evaluation_table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of :func:`dynamask.training.evaluate.evaluate` as text; ``-`` where not measured."""
    lines = [("policy", *TABLE, *(f"at {g}" for g in GRIDS))]
    for row in rows:
        numbers = [*(row[name] for name in TABLE), *row["share"].values()]
        cells = ["-" if v is None else f"{v:.3f}" for v in numbers]
        lines.append((str(row["policy"]), *cells))
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(text) + "\n"


# -- parity and doctor ---------------------------------------------------------------------


def _add_parity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("golden", metavar="GOLDEN.npz", help="values of the released head")


def _parity(args: argparse.Namespace) -> int:
    from dynamask.convert import parity

    errors = parity(args.golden)
    # JSON knows no NaN
    shown = {name: error if math.isfinite(error) else None for name, error in errors.items()}
    sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    # `not <=` so that NaN fails as well
    wrong = [name for name, error in errors.items() if not error <= PARITY_LIMIT]
    if wrong:
        sys.stderr.write(f"above {PARITY_LIMIT:g}: {', '.join(wrong)}\n")
    return 1 if wrong else 0


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--weights", help="weights file to look at (default: the bundled one)")


def _doctor(args: argparse.Namespace) -> int:
    from dynamask.doctor import as_text, examine

    report = examine(args.weights)
    sys.stdout.write((json.dumps(report, indent=2) if args.json else as_text(report)) + "\n")
    return 1 if report["problems"] else 0
