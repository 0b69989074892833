"""``python -m app``: serve the page."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app import settings
from app.session import Session


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Serve the page.")
    parser.add_argument("--host", default=settings.HOST, help="address to listen on")
    parser.add_argument("--port", type=int, default=settings.PORT, help="port to listen on")
    parser.add_argument(
        "--public",
        action="store_true",
        help="listen on every address of this machine, for strangers: no folder of it is read",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=os.environ.get(settings.WEIGHTS_ENV),
        help=f"a weights file (default: ${settings.WEIGHTS_ENV}, else the bundled one)",
    )
    parser.add_argument(
        "--compare-weights",
        type=Path,
        help="a second weights file, which the Compare tab sets against the first",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ... (default: auto)")
    parser.add_argument(
        "--detector",
        default="own",
        help="who finds the boxes: own, torchvision:NAME, coco:RESULTS.json, gt:ANNOTATIONS.json",
    )
    parser.add_argument(
        "--detector-weights",
        type=Path,
        help="local weights of a torchvision detector, instead of torchvision's download",
    )
    parser.add_argument(
        "--mcp", action="store_true", help="offer the HTTP API as tools of an MCP server too"
    )
    return parser


def reaches_others(host: str) -> bool:
    """Whether a page that listens on this address is seen from other machines."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host != "localhost"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until it is interrupted; 2 where it cannot start."""
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)

    def detector() -> Any:
        from dynamask.detectors import parse_detector

        return parse_detector(args.detector, args.detector_weights, device=args.device)

    session = Session(args.weights, device=args.device, detector=detector)
    session.start()  # while gradio is imported and the page is built
    second = None
    if args.compare_weights is not None:
        second = Session(
            args.compare_weights, device=args.device, scene_bytes=settings.SECOND_CACHE_BYTES
        )
        second.start()

    from app.main import build_app, launch_settings

    # what was asked for must work; the bundled file may come later
    asked = args.weights is not None or args.detector != "own" or args.detector_weights
    if asked or second is not None:
        from dynamask.errors import DynaMaskError

        try:
            if asked:
                session.predictor()
            if second is not None:
                second.predictor()
        except DynaMaskError as error:
            print(error, file=sys.stderr)
            return 2
    host = "0.0.0.0" if args.public else args.host  # noqa: S104 - asked for
    try:
        build_app(session, second, public=reaches_others(host)).launch(
            **launch_settings(host, args.port, session=session, mcp=args.mcp)
        )
    except OSError as error:
        print(f"Expected to listen on {host}:{args.port}, {error}; try --port.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
