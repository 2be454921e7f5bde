from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.records import Kind
from tests.mcp.support.clients import connected, names, subscribe, text_of
from tests.mcp.support.library import PICTURE, README, Library
from tests.mcp.support.records import gateway, has_tool, logged
from tests.mcp.support.serving import serving
from tests.mcp.support.upstream import Scripted, scripted

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


async def test_what_is_announced_while_lists_are_read_again_is_heard_as_well() -> None:
    """Three lists change, one right after the other: each is read."""
    library, host = Library(), FakeHost()

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS, wait_for=2):
            for round_ in range(5):
                name = f"new{round_}"
                uri = f"file:///{name}"
                library.tools.append(name)
                library.prompts.append(name)
                library.resources[uri] = types.Resource(name=name, uri=uri)
                await library.change("tools", "prompts", "resources")
                await until(partial(has_tool, host, f"up__{name}"))
                await until(partial(host.records.find, Kind.PROMPT, f"up__{name}"))
                await until(partial(host.records.find, Kind.RESOURCE, f"spindle://up/{uri}"))


async def test_an_upstream_tells_of_a_resource_from_when_its_client_has_its_answer() -> None:
    """Nothing that happens after `resources/subscribe` was answered is missed."""
    library, host = Library(), FakeHost()
    heard: list[str] = []

    async def hear(message: object) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            heard.append(message.params.uri)

    async with library.running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint(), era="legacy", hear=hear) as client,
        ):
            for uri in (README, PICTURE):
                await subscribe(client, f"spindle://up/{uri}")
                assert uri in library.followed
                await library.update(uri)
                await until(partial(heard.count, f"spindle://up/{uri}"))


async def test_an_upstream_that_announces_and_does_not_listen_is_used_all_the_same() -> None:
    """Its lists are read from time to time, as those of one that announces nothing."""
    script, host = Scripted(announces=True, refuses_to_listen=True), FakeHost()

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=1, config={"refresh_seconds": 0.2}) as served,
            connected(served.endpoint()) as client,
        ):
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"
            script.tools = [{"name": "new", "inputSchema": {"type": "object"}}]
            await until(lambda: has_tool(host, "up__new"))
            assert await names(client) == ["up__new"]

    assert len(logged(host, "mcp.gateway.connected")) == 1
    assert logged(host, "mcp.gateway.down") == []


async def test_an_upstream_that_is_gone_is_listened_to_again_in_its_time_not_at_once() -> None:
    """The attempts have pauses in between, and what it offers stays."""
    script, host = Scripted(announces=True), FakeHost()

    async with serving(host, CALLERS):
        async with scripted(script) as url:
            host.records.add(gateway("up", url=url))
            await until(lambda: has_tool(host, "up__echo"))
            script.news.set()
            script.release.set()

        await anyio.sleep(1.0)
        assert has_tool(host, "up__echo")
        told: list[Any] = logged(host, "mcp.gateway.refresh_failed")
        assert len(told) < 5
