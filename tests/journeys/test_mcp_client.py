"""An unmodified MCP client, both protocol eras over HTTP, and over stdio."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference

from tests.journeys.gateway import Gateway, running_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

LEGS = ["modern", "legacy", "stdio", "stdio-legacy"]


@pytest.fixture(scope="module", params=["direct", "loopback"])
async def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Gateway]:
    home: Path = tmp_path_factory.mktemp("home")

    async with running_gateway(home, transport=request.param) as running:
        yield running


@asynccontextmanager
async def mcp_client(gateway: Gateway, leg: str, *, path: str = "/mcp") -> AsyncGenerator[Client]:
    """Connect the SDK's client over one leg."""
    mode = "2026-07-28" if leg in ("modern", "stdio") else "legacy"

    if leg.startswith("stdio"):
        parameters = StdioServerParameters(
            command=sys.executable,
            args=["-m", "spindle", "mcp", "--home", str(gateway.process.home)],
            env={**os.environ, "SPINDLE_TOKEN": gateway.red},
        )
        async with Client(stdio_client(parameters), mode=mode) as client:
            yield client
        return

    async with httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {gateway.red}"}, timeout=30, trust_env=False
    ) as http:
        transport = streamable_http_client(gateway.url + path, http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.parametrize("leg", LEGS)
async def test_resources_are_read_and_prompts_rendered(gateway: Gateway, leg: str) -> None:
    """By the URIs and names that their lists show; what is not there is said to be unknown."""
    guide = "spindle://demo/demo://guide"

    with anyio.fail_after(30):
        async with mcp_client(gateway, leg) as client:
            assert guide in [str(one.uri) for one in (await client.list_resources()).resources]
            (page,) = (await client.read_resource(guide)).contents
            assert page.uri == guide
            templates = (await client.list_resource_templates()).resource_templates
            greetings = "spindle://demo/demo://greetings/{language}"
            assert greetings in [one.uri_template for one in templates]
            await client.read_resource(greetings.replace("{language}", "finnish"))
            assert "demo__greet" in [one.name for one in (await client.list_prompts()).prompts]
            result = await client.get_prompt("demo__greet", {"name": "Ada"})
            assert "greets Ada" in str(result.messages[0].content)
            asked = {"name": "language", "value": "s"}
            found = await client.complete(PromptReference(name="demo__greet"), asked)
            assert found.completion.values == ["swahili"]

            with pytest.raises(MCPError) as unknown:
                await client.read_resource("spindle://demo/demo://none")

    assert unknown.value.error.code == (-32602 if leg in ("modern", "stdio") else -32002)
    assert unknown.value.error.data["uri"] == "spindle://demo/demo://none"


@pytest.mark.requirement("card-mcp-server", "card-module-exposes-tools")
@pytest.mark.parametrize("leg", LEGS)
async def test_tools_are_listed_and_called(gateway: Gateway, leg: str) -> None:
    """The demo gateway's tools are there, prefixed, and answer."""
    with anyio.fail_after(30):
        async with mcp_client(gateway, leg) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert "demo__echo" in names
            assert names == sorted(names)
            result = await client.call_tool("demo__echo", {"text": "héllo"})
            assert not result.is_error
            assert "héllo" in str(result.content)
            total = await client.call_tool("demo__add", {"a": 2, "b": 3})
            assert "5" in str(total.content)


@pytest.mark.parametrize("leg", LEGS)
async def test_a_result_json_has_no_word_for_is_an_error_of_the_tool(
    gateway: Gateway, leg: str
) -> None:
    """Two numbers whose sum is no number: the tool says so, and the next call is answered."""
    with anyio.fail_after(30):
        async with mcp_client(gateway, leg) as client:
            result = await client.call_tool("demo__add", {"a": 1e308, "b": 1e308})
            assert result.is_error
            assert "too large" in str(result.content)
            assert not (await client.call_tool("demo__add", {"a": 1, "b": 1})).is_error


@pytest.mark.parametrize("leg", LEGS)
async def test_an_unknown_tool_is_a_protocol_error(gateway: Gateway, leg: str) -> None:
    """Nobody serves it: invalid params, with the name in the message."""
    with anyio.fail_after(30):
        async with mcp_client(gateway, leg) as client:
            with pytest.raises(MCPError) as caught:
                await client.call_tool("demo__nothing", {})

            assert caught.value.error.code == -32602
            assert "demo__nothing" in caught.value.error.message


@pytest.mark.parametrize("leg", LEGS)
async def test_progress_is_relayed(gateway: Gateway, leg: str) -> None:
    """Each step of the slow tool is reported while it runs."""
    seen: list[float] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    with anyio.fail_after(30):
        async with mcp_client(gateway, leg) as client:
            result = await client.call_tool(
                "demo__slow", {"steps": 3, "delay": 0.05}, progress_callback=report
            )

    assert not result.is_error
    assert seen == sorted(seen)
    assert len(seen) == 3


@pytest.mark.parametrize("leg", LEGS)
async def test_a_cancelled_call_ends_as_cancelled(gateway: Gateway, leg: str) -> None:
    """The client gives up; the tool stops, and the call is settled as cancelled."""
    before = await _cancelled(gateway)

    with anyio.fail_after(30):
        async with mcp_client(gateway, leg) as client:
            # Over stdio the bridge has to be up first, or there is nothing to cancel yet.
            assert (await client.list_tools()).tools

            with anyio.move_on_after(1.0):
                await client.call_tool("demo__slow", {"steps": 200, "delay": 0.1})

            # The connection lives on.
            assert (await client.list_tools()).tools

            while await _cancelled(gateway) == before:
                await anyio.sleep(0.05)


async def _cancelled(gateway: Gateway) -> float:
    metrics = await gateway.process.metrics()
    return sum(
        value
        for name, value in metrics.items()
        if name.startswith("spindle_calls_total") and "cancelled" in name
    )


@pytest.mark.parametrize("leg", ["modern", "legacy"])
async def test_a_virtual_server_shows_its_part(gateway: Gateway, leg: str) -> None:
    """Behind its slug a server shows the tools of its gateways."""
    with anyio.fail_after(30):
        async with mcp_client(gateway, leg, path="/servers/desk/mcp") as client:
            names = {tool.name for tool in (await client.list_tools()).tools}

    assert {"demo__echo", "demo__add"} <= names
