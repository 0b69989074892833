"""Every listener of the page called with what no browser would send.

``api_visibility="private"`` hides a listener, it does not lock it: anybody can post to it. Each has
to answer with a result or one sentence, and to leave nothing behind: no trace in the log, no frame
of ours, no content of the disk. ``serving`` looks through the log at the end.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from serving import serving

pytestmark = [pytest.mark.hostile, pytest.mark.timeout(400)]

FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
UPWARDS = {"path": "../../../../etc/passwd", "orig_name": "a.png"}
ABROAD = {"path": "a.png", "url": "http://169.254.169.254/", "meta": {"_type": "gradio.FileData"}}
PAYLOADS: dict[str, Any] = {
    "nothing": None,
    "huge": 10**300,
    "negative": -1,
    "words": "<script>alert(1)</script>" * 40,
    "deep": json.loads("[" * 60 + "]" * 60),
    "record": {"key": "0" * 64, "drawn": [[0, 0, 9, 9]], "id": {"$gt": 0}},
    "file": FILE,
    "upwards": UPWARDS,
    "abroad": ABROAD,
    "files": [FILE, "/etc/passwd", UPWARDS],
    "truth": True,
}
EVENTS: tuple[Any, ...] = (
    None,
    {"id": {"a": 1}},
    {"id": 10**30},
    {"id": 3, "box": [1e300, -1e300, None, "x"]},
    {"box": [[], {}, 0, 0], "ids": [[-1]] * 9, "range": {"x": [None, "a"]}},
    ["id", 3],
    {"index": [-5, 10**9], "value": FILE, "_data": {"id": 1}},
)
AT_ONCE = 8
OWN = threading.local()
LEAKS = ("root:x:", "Traceback", "/site-packages/", "app/tabs", "\\n  File ")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("app")) as url:
        yield url


@pytest.fixture(scope="module")
def listeners(server: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{server}/config", timeout=60) as reply:  # noqa: S310
        found = json.load(reply)["dependencies"]
    return [one for one in found if one["backend_fn"]]


def post(url: str, body: dict[str, Any]) -> tuple[int, str]:
    request = urllib.request.Request(  # noqa: S310 - our own address
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def outcome(server: str, listener: dict[str, Any], data: list[Any], event: Any) -> str:
    """Call a listener as a page would, each thread with a session of its own; all that came back.

    Gradio takes 0.15 s of processor time for a new session of this page.
    """
    if not hasattr(OWN, "session"):
        OWN.session = uuid.uuid4().hex
    body = {
        "data": data,
        "event_data": event,
        "fn_index": listener["id"],
        "session_hash": OWN.session,
        "trigger_id": None,
    }
    if listener["queue"] is False:
        return post(f"{server}/gradio_api/run/predict", body)[1]
    status, said = post(f"{server}/gradio_api/queue/join", body)
    if status != 200:
        return said
    url = f"{server}/gradio_api/queue/data?session_hash={body['session_hash']}"
    lines = []
    with urllib.request.urlopen(url, timeout=90) as stream:  # noqa: S310
        for line in stream:  # to its end: the server takes a stream left early for a visitor gone
            lines.append(line.decode())
            if "unexpected_error" in lines[-1]:
                OWN.session = uuid.uuid4().hex
                break
    return "".join(lines)


def healthy(server: str) -> bool:
    with urllib.request.urlopen(f"{server}/ready", timeout=60) as reply:  # noqa: S310
        return json.load(reply)["ready"] is True


def test_the_page_has_listeners_to_forge(listeners: list[dict[str, Any]]) -> None:
    assert len(listeners) > 20


def nothing_leaks(server: str, calls: list[tuple[dict[str, Any], list[Any], Any]]) -> None:
    """Make all calls, a few at a time, and look through what they said."""

    def said(call: tuple[dict[str, Any], list[Any], Any]) -> tuple[Any, str]:
        listener, data, event = call
        return listener["targets"], outcome(server, listener, data, event)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(said, calls))
    leaks = [(t, leak, text[:2000]) for t, text in answers for leak in LEAKS if leak in text]
    assert not leaks
    assert healthy(server)


@pytest.mark.parametrize("first", range(0, len(PAYLOADS), 4))
def test_odd_values_for_every_input(
    server: str, listeners: list[dict[str, Any]], first: int
) -> None:
    """Each input gets another value, and in other rounds another one."""
    odd = list(PAYLOADS.values())
    calls = []
    for at, listener in enumerate(listeners):
        count = len(listener["inputs"])
        calls.append((listener, [odd[(first + at + k) % len(odd)] for k in range(count)], None))
    nothing_leaks(server, calls)


@pytest.mark.parametrize("first", range(0, len(EVENTS), 3))
def test_odd_event_data(server: str, listeners: list[dict[str, Any]], first: int) -> None:
    """With the values that the page itself has at first, so that the event is looked at."""
    with urllib.request.urlopen(f"{server}/config", timeout=60) as reply:  # noqa: S310
        components = {c["id"]: c["props"].get("value") for c in json.load(reply)["components"]}
    nothing_leaks(
        server,
        [
            (one, [components.get(i) for i in one["inputs"]], EVENTS[(first + at) % len(EVENTS)])
            for at, one in enumerate(listeners)
        ],
    )


@pytest.mark.parametrize("count", [0, 40])
def test_too_few_and_too_many_values(
    server: str, listeners: list[dict[str, Any]], count: int
) -> None:
    nothing_leaks(server, [(one, ["x"] * count, None) for one in listeners])
