"""plotly.js of the installed package as a route of this server: no other host is asked for it."""

from __future__ import annotations

import functools
import gzip
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SCRIPT = f"plotly-{version('plotly')}.min.js"
"""Its address below the page's; another version has another one, so browsers may keep it."""

_KEEP = "public, max-age=31536000, immutable"


def script_file() -> Path:
    """The script in the installed package, found without importing plotly."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:  # requirements.txt lists it
        raise ModuleNotFoundError("plotly is not installed; run pip install -r requirements.txt")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


@functools.cache
def _zipped() -> bytes:
    """4.8 MB become 1.5 MB; done once, and kept."""
    return gzip.compress(script_file().read_bytes(), 6, mtime=0)


def plotly_route() -> Route:
    """``GET /plotly-<version>.min.js``."""

    def script(request: Request) -> Response:
        headers = {"cache-control": _KEEP, "vary": "accept-encoding"}
        kind = "text/javascript; charset=utf-8"
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(_zipped(), headers=headers, media_type=kind)
        return Response(script_file().read_bytes(), headers=headers, media_type=kind)

    return Route(f"/{SCRIPT}", script)
