"""The HTTP API as another program sees it: gradio_client against the real app."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pycocotools.mask as coco_mask
import pytest
import skimage.data
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from serving import serving

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("app")) as url:
        yield url


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[Client]:
    client = Client(server, verbose=False, analytics_enabled=False)
    yield client
    client.close()


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return path


@pytest.fixture(scope="module")
def answer(client: Client, astronaut: Path) -> dict:
    return client.predict(photo=handle_file(astronaut), api_name="/predict")


def test_only_four_endpoints_are_public(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == {"/predict", "/decode", "/analyze", "/health"}


def test_predict_answers_like_the_command_line(answer: dict) -> None:
    assert answer["image"] == {"file_name": "astronaut.png", "width": 512, "height": 512}
    assert answer["policy"] == "msm"
    assert 0 < answer["cost"]["gmac_total"]
    assert answer["objects"]
    for found in answer["objects"]:
        assert found["grid"] in (14, 28, 56, 112)
        assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert found["score"] >= 0.3
        assert found["segmentation"]["size"] == [512, 512]
        assert coco_mask.area(found["segmentation"]) == found["area_px2"]
    assert "person" in {found["category"] for found in answer["objects"]}


@pytest.mark.parametrize("grid", [14, 28, 56, 112])
def test_decode_needs_only_the_key(client: Client, answer: dict, grid: int) -> None:
    again = client.predict(key=answer["key"], policy=f"fixed:{grid}", api_name="/decode")
    assert [o["bbox"] for o in again["objects"]] == [o["bbox"] for o in answer["objects"]]
    assert {o["grid"] for o in again["objects"]} == {grid}
    if grid == 112:
        assert again["cost"]["share_of_112"] == pytest.approx(1)


def test_same_photo_same_key(client: Client, answer: dict, astronaut: Path) -> None:
    again = client.predict(
        photo=handle_file(astronaut), policy="size", min_score=0.9, api_name="/predict"
    )
    assert again["key"] == answer["key"]
    assert len(again["objects"]) <= len(answer["objects"])


def test_analyze_compares_all_grids(client: Client, answer: dict) -> None:
    analysis = client.predict(key=answer["key"], api_name="/analyze")
    assert [o["bbox"] for o in analysis["objects"]] == [o["bbox"] for o in answer["objects"]]
    low, high = analysis["budget_range_gmac"]
    for found, told in zip(analysis["objects"], answer["objects"], strict=True):
        assert found["grid"] == told["grid"] and found["category"] == told["category"]
        assert list(found["grids"]) == ["14", "28", "56", "112"]
        costs = [facts["gmac"] for facts in found["grids"].values()]
        assert costs == sorted(costs)
        # msm asks the switch
        asked = found["grids"][str(found["grid"])]["gmac"] + analysis["switch_gmac"]
        assert told["gmac"] == pytest.approx(asked)
        assert found["grids"]["112"]["iou_to_112"] == 1
        assert all(0 <= f["boundary_iou_to_112"] <= 1 for f in found["grids"].values())
        assert found["flips"][0]["grid"] == 14
        assert found["flips"][-1]["grid"] == told["grid"]  # money enough: what the switch likes
        assert all(low - 1e-6 <= f["budget_gmac"] <= high + 1e-6 for f in found["flips"])


def test_analyze_follows_the_smallest_score(client: Client, answer: dict) -> None:
    best = max(o["score"] for o in answer["objects"]) - 1e-4
    few = client.predict(key=answer["key"], min_score=best, api_name="/analyze")["objects"]
    assert len(few) < len(answer["objects"]) or len(answer["objects"]) == 1
    assert all(o["score"] >= best for o in few)


def test_no_objects_are_no_error(client: Client, answer: dict) -> None:
    nothing = client.predict(key=answer["key"], min_score=1.0, api_name="/analyze")
    assert nothing["objects"] == []


def test_health(client: Client, answer: dict) -> None:
    health = client.predict(api_name="/health")
    assert health["status"] == "ready" and health["problem"] is None
    assert health["scenes"] >= 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"key": "0" * 64},
        {"policy": "magic"},
        {"policy": "fixed:13"},
        {"policy": "x" * 1000},
        {"policy": "oracle"},
        {"threshold": 1.5},
        {"threshold": "a lot"},
        {"min_score": -1},
        {"min_score": None},
        {"classes": "good"},
        {"classes": ["all"]},
    ],
    ids=lambda a: "-".join(f"{k}={str(v)[:8]}" for k, v in a.items()),
)
@pytest.mark.parametrize("endpoint", ["/decode", "/analyze"])
def test_odd_arguments_are_a_sentence(
    client: Client, answer: dict, endpoint: str, arguments: dict
) -> None:
    with pytest.raises(AppError) as error:
        client.predict(**{"key": answer["key"], **arguments}, api_name=endpoint)
    assert str(error.value).startswith("Expected ")
    assert "Traceback" not in str(error.value) and "/" not in str(error.value).split(";")[-1]
    assert client.predict(api_name="/health")["status"] == "ready"


@pytest.mark.hostile
@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 64])
def test_odd_photos_are_a_sentence(client: Client, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises((AppError, ValueError)) as error:
        client.predict(photo=handle_file(path), api_name="/predict")
    assert str(tmp_path) not in str(error.value)
    assert client.predict(api_name="/health")["status"] == "ready"


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo on the server that nobody uploaded."""
    path = tmp_path_factory.mktemp("private") / "secret.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return path


@pytest.mark.hostile
@pytest.mark.parametrize("marked", [True, False], ids=["as-file", "as-plain-dict"])
def test_files_of_the_server_stay_on_the_server(server: str, secret: Path, marked: bool) -> None:
    photo = {"path": str(secret)} | ({"meta": {"_type": "gradio.FileData"}} if marked else {})
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{server}/gradio_api/call/predict",
        data=json.dumps({"data": [photo, "msm", 0.5, 0.3]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310
        event = json.load(reply)["event_id"]
    url = f"{server}/gradio_api/call/predict/{event}"
    with urllib.request.urlopen(url, timeout=60) as reply:  # noqa: S310
        said = reply.read().decode()
    assert "event: error" in said
    assert "objects" not in said


@pytest.mark.hostile
def test_nothing_of_the_repository_is_served(server: str) -> None:
    for path in (Path(__file__), Path(__file__).parents[2] / "app" / "main.py"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{server}/gradio_api/file={path.resolve()}", timeout=20)  # noqa: S310
        assert error.value.code == 403
        error.value.close()


def lowered(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def reply_of(url: str) -> tuple[int, dict[str, str], str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as reply:  # noqa: S310 - our own address
            return reply.status, lowered(reply.headers), reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, lowered(error.headers), error.read().decode()


HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "SAMEORIGIN",
}


@pytest.mark.parametrize("path", ["/", "/config", "/health", "/ready", "/theme.css", "/none"])
def test_every_answer_has_the_security_headers(server: str, path: str) -> None:
    _, headers, _ = reply_of(server + path)
    assert HEADERS.items() <= headers.items()
    policy = dict(
        rule.strip().partition(" ")[::2] for rule in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'self'" and policy["frame-ancestors"] == "'self'"
    assert policy["object-src"] == "'none'"
    assert not any("http" in sources or "*" in sources for sources in policy.values())


def test_health_and_ready_need_no_client(server: str, answer: dict) -> None:
    assert reply_of(f"{server}/health")[::2] == (200, '{"status":"up"}')
    status, _, body = reply_of(f"{server}/ready")
    assert status == 200 and json.loads(body)["ready"] is True


def test_mcp_is_off_unless_asked_for(server: str) -> None:
    status, _, body = reply_of(f"{server}/gradio_api/mcp/")
    assert status in (404, 405), body[:200]
