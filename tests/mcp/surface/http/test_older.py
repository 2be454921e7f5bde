"""The transport of 2024-11-05, served where it is turned on, with the SDK's own client."""

from __future__ import annotations

import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest
from mcp.client.session import ClientSession
from mcp.client.sse import sse_client

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Status
from tests.mcp.support.answering import Answering
from tests.mcp.support.asking import TOOLS, Asking
from tests.mcp.support.clients import first_text
from tests.mcp.support.records import demo_host, gateway, server
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a"), "b": caller("b")}
ON: Any = {"legacy_sse": True}


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncGenerator[ClientSession]:
    headers = {"authorization": "Bearer a"}

    async with (
        sse_client(url, headers=headers) as (reading, writing),
        ClientSession(reading, writing, **options) as session,
    ):
        await session.initialize()
        yield session


async def test_tools_are_listed_and_called() -> None:
    host = demo_host()
    host.records.add(server("one", gateways=("demo",)))

    async with serving(host, CALLERS, wait_for=4, config=ON) as served:
        for path in ("/sse", "/servers/one/sse"):
            async with connected(f"{served.url}{path}") as client:
                assert len((await client.list_tools()).tools) == 4
                result = await client.call_tool("demo__echo", {"text": "hi"})
                assert first_text(result) == "hi"

        with anyio.fail_after(10):
            while (await served.module.stats())["listeners"]:
                await anyio.sleep(0.005)

    assert [settled.outcome.status for settled in host.journal.settled] == [Status.OK] * 2
    assert not host.open_leases


async def test_a_client_is_asked_over_its_stream() -> None:
    upstream, host, answering = Asking("legacy"), FakeHost(), Answering()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=len(TOOLS), config=ON) as served,
            connected(f"{served.url}/sse", **answering.options()) as client,
        ):
            result = await client.call_tool("up__elicit", {})

    assert "Ada" in first_text(result)
    assert len(answering.asked) == 1


async def test_a_session_is_its_owners_alone() -> None:
    """For others, and on other endpoints, it does not exist."""
    host = demo_host()
    host.records.add(server("one", gateways=("demo",)))
    ping = {"jsonrpc": "2.0", "id": 9, "method": "ping"}
    statuses: list[int] = []

    async with (
        serving(host, CALLERS, wait_for=4, config=ON) as served,
        httpx2.AsyncClient(timeout=10) as http,
        http.stream("GET", f"{served.url}/sse", headers={"authorization": "Bearer a"}) as stream,
    ):
        lines = stream.aiter_lines()
        path = ""

        while not path:
            line = await anext(lines)
            path = line.removeprefix("data: ") if line.startswith("data: ") else ""

        for token, where in (("b", path), ("a", f"/servers/one{path}"), ("a", path)):
            headers = {"authorization": f"Bearer {token}"}
            answer = await http.post(f"{served.url}{where}", json=ping, headers=headers)
            statuses.append(answer.status_code)

    assert statuses == [404, 404, 202]


async def test_streams_are_bounded_and_end_when_the_module_drains() -> None:
    host = demo_host()
    config: Any = {**ON, "max_sessions": 1}
    headers = {"authorization": "Bearer a"}

    async with (
        serving(host, CALLERS, wait_for=4, config=config) as served,
        httpx2.AsyncClient(timeout=10, headers=headers) as http,
        http.stream("GET", f"{served.url}/sse") as stream,
    ):
        refused = await http.get(f"{served.url}/sse")
        await served.module.drain(anyio.current_time() + 5)

        with anyio.fail_after(10), contextlib.suppress(httpx2.RemoteProtocolError):
            async for _ in stream.aiter_raw():
                pass

    assert refused.status_code == 503


async def test_it_is_off_by_default() -> None:
    async with (
        serving(demo_host(), CALLERS, wait_for=4) as served,
        httpx2.AsyncClient(timeout=10, headers={"authorization": "Bearer a"}) as http,
    ):
        answer = await http.get(f"{served.url}/sse")
        posted = await http.post(f"{served.url}/sse/messages", json={})

    assert (answer.status_code, posted.status_code) == (404, 404)
    assert "mcp.legacy_sse" in answer.json()["error"]["message"]
