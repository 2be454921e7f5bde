"""Several requests on one session of a client's own: which of them a message is for."""

from __future__ import annotations

from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError

from spindle_mcp.upstream.connections.base import Endpoint
from spindle_mcp.upstream.connections.connect import open_own
from spindle_mcp.upstream.connections.running import RunningRequests
from spindle_mcp.upstream.programs.program import Program
from spindle_spi.errors import UpstreamTimeout
from spindle_spi.records import GatewaySpec
from tests.mcp.support.asking import Asking
from tests.mcp.support.programs import command
from tests.mcp.support.requests import tool_call
from tests.mcp.support.told import Told

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_mcp.upstream.connections.legacy import LegacyUpstream
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

OFFERED: JsonObject = {"elicitation": {}, "roots": {}, "sampling": {}}


@asynccontextmanager
async def over_http(upstream: Asking) -> AsyncGenerator[LegacyUpstream]:
    async with upstream.running() as url:
        endpoint = Endpoint(gateway="up", url=url, version="1", connect_seconds=5)

        async with open_own(GatewaySpec(url=url), endpoint, OFFERED) as own:
            yield own


@asynccontextmanager
async def over_a_pipe() -> AsyncGenerator[LegacyUpstream]:
    program = Program(command=command("legacy"))
    endpoint = Endpoint(gateway="up", url="", version="1", connect_seconds=10, program=program)

    async with open_own(GatewaySpec(transport="stdio"), endpoint, OFFERED) as own:
        yield own


@pytest.mark.parametrize("tool", ["roots", "log"])
async def test_over_http_a_message_is_for_the_request_on_whose_stream_it_comes(tool: str) -> None:
    """Though another has begun since."""
    upstream = Asking("legacy", may_speak=anyio.Event())
    first, last = Told({"roots": []}), Told({"roots": []})

    async with over_http(upstream) as own, anyio.create_task_group() as group:

        async def speak() -> None:
            await own.request(replace(tool_call(tool, silence=10), peer=first))
            group.cancel_scope.cancel()

        group.start_soon(speak)

        with anyio.fail_after(10):
            while not upstream.calls:
                await anyio.sleep(0.005)

            group.start_soon(own.request, replace(tool_call("hang", silence=10), peer=last))
            await upstream.reached.wait()

        assert upstream.may_speak is not None
        upstream.may_speak.set()

    assert len(first.asked) + len(first.logged) == {"roots": 1, "log": 2}[tool]
    assert last.asked == []
    assert last.logged == []


async def test_what_comes_late_for_a_request_that_was_given_up_is_for_nobody() -> None:
    """Its upstream need not have heard that yet."""
    running, here = RunningRequests(is_own=True), Told({"roots": []})
    gone = running.begin(replace(tool_call("roots", silence=1), peer=Told()))

    with gone.sending():
        its_stream = copy_context()

    running.end(gone)
    running.begin(replace(tool_call("hang", silence=1), peer=here))

    with pytest.raises(MCPError, match="no request for which"):
        await running.ask("roots/list", {}, its_stream)

    assert await running.ask("roots/list", {}, None) == {"roots": []}


async def test_over_a_pipe_the_request_that_began_last_is_asked() -> None:
    """And none loses its time by it, for any of them may be what waits for the answer."""
    first, last = Told(), Told({"roots": []}, seconds=0.6)
    said: list[Any] = []

    async with over_a_pipe() as own, anyio.create_task_group() as group:

        async def hang() -> None:
            with pytest.raises(UpstreamTimeout):
                await own.request(replace(tool_call("hang", silence=0.4), peer=first))

            said.append("too slow")

        group.start_soon(hang)
        await anyio.sleep(0.1)
        said.append(await own.request(replace(tool_call("ask", silence=0.4), peer=last)))

    assert said[0]["content"][0]["text"] == '{"roots": []}'
    assert said[1] == "too slow"
    assert (first.asked, last.asked) == ([], ["roots/list"])
