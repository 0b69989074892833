"""The MCP tools as an agent's client sees them, over HTTP against the real server."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from mcp.types import CallToolResult, ListToolsResult
from PIL import Image
from serving import serving

pytestmark = pytest.mark.timeout(300)
ASSETS = Path(__file__).resolve().parents[2] / "assets"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("app"), "--mcp") as url:
        yield url


def call(server: str, *calls: tuple[str, dict[str, Any]]) -> list[CallToolResult]:
    """One client session with some calls, one after the other."""

    async def run() -> list[CallToolResult]:
        async with (
            streamablehttp_client(f"{server}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return [await session.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(run())


def said(result: CallToolResult) -> str:
    return "\n".join(getattr(part, "text", "") for part in result.content)


def facts(result: CallToolResult) -> dict[str, Any]:
    assert not result.isError, said(result)
    return json.loads(said(result))


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("photos") / "astronaut.jpg"
    Image.fromarray(skimage.data.astronaut()).save(path, quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()


@pytest.fixture(scope="module")
def answer(server: str, photo: str) -> dict[str, Any]:
    return facts(call(server, ("predict", {"photo": photo}))[0])


def test_only_the_endpoints_are_tools(server: str) -> None:
    async def run() -> ListToolsResult:
        async with (
            streamablehttp_client(f"{server}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await session.list_tools()

    tools = {tool.name: tool for tool in asyncio.run(run()).tools}
    assert set(tools) == {"predict", "decode", "analyze", "health"}
    assert all(tool.description for tool in tools.values())
    properties = tools["predict"].inputSchema["properties"]
    assert set(properties) == {"photo", "policy", "threshold", "min_score", "classes"}
    assert properties["photo"]["type"] == "string"
    assert "budget:C" in properties["policy"]["description"]


def test_predict_decode_analyze_and_health(server: str, answer: dict[str, Any]) -> None:
    assert answer["image"]["width"] == 512 and answer["objects"]
    again, analysis, health = call(
        server,
        ("decode", {"key": answer["key"], "policy": "fixed:112"}),
        ("analyze", {"key": answer["key"]}),
        ("health", {}),
    )
    assert {o["grid"] for o in facts(again)["objects"]} == {112}
    assert len(facts(analysis)["objects"]) == len(answer["objects"])
    assert facts(health)["status"] == "ready"


def test_errors_are_sentences(server: str, answer: dict[str, Any]) -> None:
    odd, unknown = call(
        server,
        ("decode", {"key": answer["key"], "policy": "magic"}),
        ("decode", {"key": "0" * 64}),
    )
    for result in (odd, unknown):
        assert result.isError and "Expected " in said(result)
        assert "Traceback" not in said(result)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "sent",
    [
        "{server}/gradio_api/file={path}",
        "{server}/theme.css",
        "http://localhost:1/a.jpg",
        "http://[::1]:1/a.jpg",
        "http://169.254.169.254/latest/meta-data/",
        "http://0.0.0.0:1/a.jpg",
        "http://2130706433/a.jpg",
        "file://{path}",
        "{path}",
        "ftp://127.0.0.1/a.jpg",
        "data:image/png;base64,AAAA",
        "data:text/html,<script>",
        "",
    ],
)
def test_no_private_address_and_no_path_is_opened(server: str, sent: str) -> None:
    path = ASSETS / "examples" / "chelsea.jpg"
    address = sent.format(server=server, path=path)
    refused, health = call(server, ("predict", {"photo": address}), ("health", {}))
    assert refused.isError and '"objects"' not in said(refused)
    assert "Traceback" not in said(refused)
    assert facts(health)["status"] == "ready"


@pytest.mark.hostile
@pytest.mark.parametrize("marked", [True, False])
def test_file_records_of_the_servers_disk_are_refused(server: str, marked: bool) -> None:
    """Gradio's own client would upload such a file from the server's disk to the server."""
    record: dict[str, Any] = {"path": str(ASSETS / "examples" / "chelsea.jpg")}
    if marked:
        record["meta"] = {"_type": "gradio.FileData"}
    for name, arguments in (
        ("predict", {"photo": record}),
        ("predict", {"photo": [record]}),
        ("decode", {"key": record}),
        ("decode", {"key": "0" * 64, "policy": record}),
    ):
        (refused,) = call(server, (name, arguments))
        assert refused.isError and '"objects"' not in said(refused)
