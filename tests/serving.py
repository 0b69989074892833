"""The real app in a process of its own, for tests that talk to it from outside."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 90.0  # cold caches and two busy cores; usually under 15


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path, *options: str, script: str | None = None) -> Iterator[str]:
    """Run ``python -m app`` on the bundled weights; yields its address.

    Args:
        folder: for the log and Gradio's temporary files.
        options: more of the command line.
        script: a page of another kind, run with the port instead.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(folder / "gradio")}
    log = folder / "app.log"
    command = [sys.executable, "-m", "app", "--port", str(port), *options]
    if script:
        command = [sys.executable, script, str(port), *options]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=sink, stderr=subprocess.STDOUT
        )
    try:
        _wait(url, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    said = log.read_text(encoding="utf-8", errors="replace")
    # Gradio logs what it refuses with a trace of its own; none of our frames may be in one
    assert "unexpected error" not in said and f"{ROOT / 'app'}{os.sep}" not in said, said[-3000:]


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"the app did not start:\n{log.read_text(errors='replace')[-3000:]}")
