"""A client that leaves while it is asked on the short way: it may answer still, if soon."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Status
from tests.mcp.support.asking import TOOLS, Asking
from tests.mcp.support.records import gateway
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

pytestmark = pytest.mark.anyio

HEADERS = {"accept": "application/json, text/event-stream", "authorization": "Bearer a"}
HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "t", "version": "1"},
    },
}
CALL: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 2,
    "method": "tools/call",
    "params": {"name": "up__elicit", "arguments": {}},
}


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


@asynccontextmanager
async def asked_and_left(
    upstream: Asking, host: FakeHost, seconds: float
) -> AsyncGenerator[tuple[httpx2.AsyncClient, str]]:
    """Yield a client that has left the stream on which it was asked, and the question's id."""
    config: Any = {"accelerated": True, "input_seconds": seconds}

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, {"a": caller("a")}, wait_for=len(TOOLS), config=config) as served,
            httpx2.AsyncClient(headers=HEADERS, timeout=20, base_url=served.url) as http,
        ):
            opened = await http.post("/mcp", json=HELLO)
            http.headers["mcp-session-id"] = opened.headers["mcp-session-id"]
            http.headers["mcp-protocol-version"] = "2025-11-25"
            await http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})

            async with http.stream("POST", "/mcp", json=CALL) as response:
                question = await question_in(response)

            yield http, question


async def question_in(response: httpx2.Response) -> str:
    async for line in response.aiter_lines():
        if line.startswith("data:") and '"elicitation/create"' in line:
            return str(json.loads(line.removeprefix("data:"))["id"])

    raise AssertionError("nothing was asked")


async def test_a_client_that_left_holds_its_call_no_longer_than_a_part_of_its_time() -> None:
    """The upstream is told that nobody answered, and the call is settled."""
    upstream, host = Asking("legacy"), FakeHost()

    async with asked_and_left(upstream, host, 40):
        assert not host.journal.settled
        await until(lambda: host.journal.settled)

    assert "did not answer in time" in upstream.heard[0]["message"]


async def test_a_client_that_left_may_answer_still() -> None:
    """Its answer comes by a request of its own; the call goes on with it."""
    upstream, host = Asking("legacy"), FakeHost()
    result = {"action": "accept", "content": {"name": "Ada"}}

    async with asked_and_left(upstream, host, 200) as (http, question):
        await anyio.sleep(0.1)
        said = {"jsonrpc": "2.0", "id": question, "result": result}
        assert (await http.post("/mcp", json=said)).status_code == 202
        await until(lambda: host.journal.settled)

    assert upstream.heard == [result]
    assert host.journal.settled[0].outcome.status is Status.OK
