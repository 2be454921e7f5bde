"""Virtual servers through an unmodified client: toolsets, search, their own plugins, no token."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.journeys.gateway import create_token, in_force
from tests.support.spindle_process import running_spindle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp_types import ErrorData

    from spindle_spi.types import JsonObject
    from tests.support.spindle_process import SpindleProcess

MODES = ["2026-07-28", "legacy"]
SETTINGS: JsonObject = {
    "mcp": {
        "list_ttl_seconds": 0,
        "gateways": {
            "demo": {"transport": "builtin"},
            "vault": {"transport": "builtin", "visibility": "team", "team": "red"},
        },
    },
    "toolsets": {
        "sums": {"tools": ["demo__add", "vault__add"]},
        "off": {"tools": ["demo__slow"], "enabled": False},
    },
    "servers": {
        "desk": {"toolsets": ["sums", "off"], "tools": ["demo__time"], "visibility": "public"},
        "masked": {"gateways": ["demo"], "visibility": "public"},
        "finder": {"gateways": ["demo", "vault"], "mode": "search", "visibility": "public"},
        "lobby": {"toolsets": ["sums"], "anonymous": True, "visibility": "public"},
    },
    "plugins": {
        "entries": [
            {
                "name": "mask",
                "plugin": "regex",
                "conditions": {"servers": ["masked", "finder"]},
                "config": {"rules": [{"name": "word", "pattern": "secret", "replacement": "***"}]},
            },
            {
                "name": "small",
                "plugin": "schema",
                "conditions": {"servers": ["finder"]},
                "config": {
                    "tools": {
                        "demo__add": {"arguments": {"properties": {"a": {"maximum": 10}}}},
                        "demo__echo": {"result": {"properties": {"content": {"maxItems": 1}}}},
                    }
                },
            },
        ]
    },
}


@pytest.fixture(scope="module")
async def process(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[SpindleProcess]:
    home = tmp_path_factory.mktemp("home")

    async with running_spindle(SETTINGS, home=home) as running:
        yield running


@pytest.fixture(scope="module")
async def tokens(process: SpindleProcess) -> dict[str, str]:
    made: dict[str, str] = {"": ""}

    for team in ("red", "blue"):
        made[team] = await create_token(process.home, "--team", team, "--role", "developer")
        await in_force(process, made[team])

    return made


@asynccontextmanager
async def connected(
    process: SpindleProcess, slug: str | None, token: str, mode: str
) -> AsyncGenerator[Client]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    path = "/mcp" if slug is None else f"/servers/{slug}/mcp"

    async with httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http:
        transport = streamable_http_client(process.url + path, http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


async def names(client: Client) -> list[str]:
    return [tool.name for tool in (await client.list_tools()).tools]


@pytest.mark.requirement("000-core-exposure")
@pytest.mark.parametrize("mode", MODES)
async def test_a_server_shows_the_tools_of_its_toolsets(
    process: SpindleProcess, tokens: dict[str, str], mode: str
) -> None:
    """Of each its caller sees anyway; a toolset that is switched off adds nothing."""
    with anyio.fail_after(30):
        async with connected(process, "desk", tokens["red"], mode) as client:
            assert await names(client) == ["demo__add", "demo__time", "vault__add"]

        async with connected(process, "desk", tokens["blue"], mode) as client:
            assert await names(client) == ["demo__add", "demo__time"]
            assert "5" in str((await client.call_tool("demo__add", {"a": 2, "b": 3})).content)

            with pytest.raises(MCPError, match="Unknown tool: demo__echo"):
                await client.call_tool("demo__echo", {"text": "hi"})


@pytest.mark.parametrize("mode", MODES)
async def test_a_toolset_that_changes_changes_the_server(
    process: SpindleProcess, tokens: dict[str, str], mode: str
) -> None:
    """Made, named, changed and needed over the API, while clients are connected."""
    with anyio.fail_after(30):
        async with process.client() as admin:
            base, slug = "/admin/api/v1", f"made-{mode[:4].lower()}"
            toolset: JsonObject = {"name": f"set-{slug}", "tools": ["demo__echo"]}
            assert (await admin.post(f"{base}/toolsets", json=toolset)).status_code == 201
            server = {"name": slug, "toolsets": [toolset["name"]], "visibility": "public"}
            assert (await admin.post(f"{base}/servers", json=server)).status_code == 201
            wrong = await admin.post(f"{base}/servers", json={"name": "x", "toolsets": ["gone"]})
            assert wrong.json()["error"]["code"] == "core.reference.unknown"

            async with connected(process, slug, tokens["blue"], mode) as client:
                assert await names(client) == ["demo__echo"]
                where = f"{base}/toolsets/{toolset['name']}"
                changed = await admin.patch(where, json={"tools": ["demo__add", "demo__time"]})
                assert changed.status_code == 200
                assert await names(client) == ["demo__add", "demo__time"]
                needed = await admin.delete(where)
                assert needed.json()["error"]["code"] == "core.record.needed"


@pytest.mark.parametrize("mode", MODES)
async def test_plugins_of_a_server_judge_what_comes_through_it(
    process: SpindleProcess, tokens: dict[str, str], mode: str
) -> None:
    """And through the search of one as through its direct calls."""
    said = {"text": "my secret"}

    with anyio.fail_after(30):
        async with connected(process, None, tokens["red"], mode) as client:
            assert "my secret" in str((await client.call_tool("demo__echo", said)).content)

        async with connected(process, "masked", tokens["red"], mode) as client:
            assert "my ***" in str((await client.call_tool("demo__echo", said)).content)

        async with connected(process, "finder", tokens["red"], mode) as client:
            meant: dict[str, Any] = {"name": "demo__echo", "arguments": said}
            assert "my ***" in str((await client.call_tool("call_tool", meant)).content)

            for tool, arguments in (
                ("demo__add", {"a": 11, "b": 1}),
                ("call_tool", {"name": "demo__add", "arguments": {"a": 11, "b": 1}}),
            ):
                with pytest.raises(MCPError) as refused:
                    await client.call_tool(tool, arguments)

                assert refused.value.error.data["origin"] == "plugin"


@pytest.mark.parametrize("mode", MODES)
async def test_a_search_finds_what_its_caller_sees(
    process: SpindleProcess, tokens: dict[str, str], mode: str
) -> None:
    """The other team's tools are neither found nor called, and usage names the real tool."""
    with anyio.fail_after(30):
        async with connected(process, "finder", tokens["blue"], mode) as client:
            assert await names(client) == ["call_tool", "find_tools"]
            result = await client.call_tool("find_tools", {"query": "add two numbers"})
            assert "demo__add" in str(result.content)
            assert "vault" not in str(result.content)
            errors: list[ErrorData] = []

            for hidden in ("vault__add", "vault__gone"):
                with pytest.raises(MCPError) as caught:
                    await client.call_tool("call_tool", {"name": hidden, "arguments": {}})

                errors.append(caught.value.error)

            assert errors[0].code == errors[1].code
            assert errors[0].message.replace("add", "gone") == errors[1].message
            meant = {"name": "demo__add", "arguments": {"a": 2, "b": 3}}
            assert "5" in str((await client.call_tool("call_tool", meant)).content)

        metrics = await process.metrics()
        called = [name for name in metrics if name.startswith("spindle_calls_total")]
        assert not any("call_tool" in name for name in called)

        async with connected(process, "finder", tokens["red"], mode) as client:
            result = await client.call_tool("find_tools", {"query": "add two numbers"})
            assert "vault__add" in str(result.content)


@pytest.mark.parametrize("mode", MODES)
async def test_an_anonymous_server_shows_what_is_public(process: SpindleProcess, mode: str) -> None:
    """Without a token, and nowhere else."""
    with anyio.fail_after(30):
        async with connected(process, "lobby", "", mode) as client:
            assert await names(client) == ["demo__add"]
            assert "5" in str((await client.call_tool("demo__add", {"a": 2, "b": 3})).content)

        async with process.client("") as nobody:
            assert (await nobody.post("/servers/desk/mcp", json={})).status_code == 401
