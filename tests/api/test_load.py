"""Many clients at once: nothing is lost, nothing is mixed up, and a full queue says so."""

from __future__ import annotations

import itertools
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import skimage.data
from gradio_client import Client, handle_file
from PIL import Image
from serving import serving

from app import settings

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]

CLIENTS, EACH = 25, 4
GRIDS = (14, 28, 56, 112)
SCORE = 0.6  # few objects, so that the test is about the queue
PATIENCE = 200


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("app")) as url:
        yield url


@pytest.fixture(scope="module")
def answers(server: str, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """/predict for two photos of different sizes."""
    folder, found = tmp_path_factory.mktemp("photos"), []
    client = Client(server, verbose=False, analytics_enabled=False)
    for number, pixels in enumerate((skimage.data.astronaut(), skimage.data.astronaut()[:400])):
        path = folder / f"photo{number}.png"
        Image.fromarray(pixels).save(path)
        found.append(client.predict(photo=handle_file(path), min_score=SCORE, api_name="/predict"))
    client.close()
    assert found[0]["key"] != found[1]["key"] and all(a["objects"] for a in found)
    return found


def ask(server: str, name: str, data: list[Any]) -> str:
    """Put a call into the queue; its number. Raises HTTPError where it is not taken."""
    call = urllib.request.Request(  # noqa: S310 - our own address
        f"{server}/gradio_api/call/{name}",
        data=json.dumps({"data": data}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(call, timeout=PATIENCE) as reply:  # noqa: S310
        return json.load(reply)["event_id"]


def hear(server: str, name: str, event: str) -> tuple[str, Any]:
    """Wait for a call's end: ``complete`` or ``error``, and what was said."""
    url = f"{server}/gradio_api/call/{name}/{event}"
    with urllib.request.urlopen(url, timeout=PATIENCE) as reply:  # noqa: S310
        lines = reply.read().decode().splitlines()
    state = [line[7:] for line in lines if line.startswith("event: ")][-1]
    data = [line[6:] for line in lines if line.startswith("data: ")][-1]
    return state, json.loads(data)


def test_parallel_clients_lose_and_mix_up_nothing(
    server: str, answers: list[dict[str, Any]]
) -> None:
    """Each request has its own photo, grid and threshold, so its answer can be no other's."""
    jobs = list(itertools.product((0, 1), GRIDS, np.linspace(0.2, 0.8, 13).round(3).tolist()))
    jobs = jobs[: CLIENTS * EACH]
    assert len(set(jobs)) == CLIENTS * EACH

    def client(number: int) -> list[tuple[tuple[int, int, float], tuple[str, Any]]]:
        out = []
        for photo, grid, cut in jobs[number * EACH : (number + 1) * EACH]:
            data = [answers[photo]["key"], f"fixed:{grid}", cut, SCORE, "all"]
            event = ask(server, "decode", data)
            out.append(((photo, grid, cut), hear(server, "decode", event)))
        return out

    with ThreadPoolExecutor(CLIENTS) as pool:
        heard = [one for many in pool.map(client, range(CLIENTS)) for one in many]
    assert len(heard) == CLIENTS * EACH
    areas: dict[tuple[int, int], dict[float, int]] = {}
    for (photo, grid, cut), (state, said) in heard:
        assert state == "complete", said
        (answer,) = said
        assert answer["key"] == answers[photo]["key"]
        assert answer["image"]["height"] == (512, 400)[photo]
        assert answer["policy"] == f"fixed:{grid}"
        assert {o["grid"] for o in answer["objects"]} == {grid}
        assert [o["bbox"] for o in answer["objects"]] == [
            o["bbox"] for o in answers[photo]["objects"]
        ]
        areas.setdefault((photo, grid), {})[cut] = sum(o["area_px2"] for o in answer["objects"])
    for by_cut in areas.values():  # a higher threshold never adds a pixel
        ordered = [by_cut[cut] for cut in sorted(by_cut)]
        assert ordered == sorted(ordered, reverse=True)
        assert ordered[0] > ordered[-1]


def test_a_full_queue_is_told_at_once_and_the_rest_is_served(
    server: str, answers: list[dict[str, Any]]
) -> None:
    many = settings.QUEUE_SIZE + 12
    gate = threading.Barrier(many)

    def client(number: int) -> tuple[str, Any, float]:
        data = [answers[0]["key"], "msm", round(0.3 + number / 1000, 3), SCORE, "all"]
        gate.wait(60)
        started = time.monotonic()
        try:
            state, said = hear(server, "analyze", ask(server, "analyze", data))
        except urllib.error.HTTPError as error:
            with error:
                state, said = "refused", error.read().decode()
        return state, said, time.monotonic() - started

    with ThreadPoolExecutor(many) as pool:
        heard = list(pool.map(client, range(many)))
    states = [state for state, _, _ in heard]
    refused = [(said, seconds) for state, said, seconds in heard if state != "complete"]
    assert states.count("complete") >= settings.QUEUE_SIZE
    assert refused, "the queue never filled up"
    slowest = max(seconds for state, _, seconds in heard if state == "complete")
    for said, seconds in refused:
        assert "queue is full" in str(said).lower()
        assert seconds < slowest
    assert hear(server, "health", ask(server, "health", []))[0] == "complete"
