"""Headers that every answer of the server carries, its two plain health routes, and plotly.js.

Gradio sends none of these headers. Its page has inline scripts and compiles templates with
``new Function``, so scripts cannot be locked down further than to this server; everything else is.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.plotly_js import plotly_route
from app.session import Session
from app.uploads import MIN_FREE_BYTES

SPACE_ENV = "SPACE_ID"  # set where Hugging Face runs the app, inside a frame of its own
SPACE_FRAMES = "https://huggingface.co https://*.hf.space"


def content_policy(frame_ancestors: str = "'self'") -> str:
    """The Content-Security-Policy as far as Gradio's page allows."""
    rules = {
        "default-src": "'self'",
        # Gradio's page: inline configuration, templates compiled at run time, workers from blobs
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "worker-src": "'self' blob:",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self' data: blob:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": frame_ancestors,
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def security_headers() -> dict[str, str]:
    """Header names to values; frames of Hugging Face are let in only where it runs the app."""
    ancestors = f"'self' {SPACE_FRAMES}" if os.environ.get(SPACE_ENV) else "'self'"
    headers = {
        "content-security-policy": content_policy(ancestors),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "permissions-policy": "geolocation=(), microphone=(), payment=(), usb=()",
        "cross-origin-opener-policy": "same-origin",
    }
    if ancestors == "'self'":
        headers["x-frame-options"] = "SAMEORIGIN"  # for browsers without frame-ancestors
    return headers


class SecurityHeaders:
    """ASGI middleware; passes bodies through untouched, so that event streams keep flowing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.headers = [(k.encode(), v.encode()) for k, v in security_headers().items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to what the app answers, in place of its own of the same name."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        ours = {name for name, _ in self.headers}

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                theirs = [(k, v) for k, v in message.get("headers", []) if k.lower() not in ours]
                message = {**message, "headers": [*theirs, *self.headers]}
            await send(message)

        await self.app(scope, receive, with_headers)


def readiness(session: Session) -> tuple[bool, dict[str, Any]]:
    """Whether photos can be analysed now, and why not."""
    free = shutil.disk_usage(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()).free
    facts = {
        "status": session.state,
        "problem": session.problem,
        "disk": free >= MIN_FREE_BYTES,
        "scenes": len(session.scenes),
    }
    return session.state == "ready" and facts["disk"], facts


def health_routes(session: Session) -> list[Route]:
    """``GET /health``: the process answers. ``GET /ready``: 200 with a model, else 503."""

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "up"})

    async def ready(_: Request) -> JSONResponse:
        usable, facts = readiness(session)
        return JSONResponse({"ready": usable, **facts}, 200 if usable else 503)

    return [Route("/health", health), Route("/ready", ready)]


def app_settings(session: Session | None = None) -> dict[str, Any]:
    """``app_kwargs`` of ``Blocks.launch``."""
    routes = [] if session is None else health_routes(session)
    return {"middleware": [Middleware(SecurityHeaders)], "routes": [*routes, plotly_route()]}
