"""What upstreams of the current protocol announce: nothing is lost between two streams."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle_mcp.upstream.connections.base import Change, Endpoint
from spindle_mcp.upstream.connections.modern import open_modern
from spindle_mcp.upstream.faults import Unreachable
from tests.mcp.support.announcing import Announcing
from tests.mcp.support.serving import listening

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from spindle_mcp.upstream.connections.modern import ModernUpstream

pytestmark = pytest.mark.anyio


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


@asynccontextmanager
async def connected(script: Announcing) -> AsyncGenerator[ModernUpstream]:
    async with listening(script) as url:
        endpoint = Endpoint(gateway="up", url=url, version="1", connect_seconds=5)

        async with open_modern(endpoint) as upstream, anyio.create_task_group() as group:
            await upstream.discover()
            group.start_soon(upstream.watch, frozenset[str]())
            await until(lambda: script.streams)
            yield upstream
            group.cancel_scope.cancel()


async def news(upstream: ModernUpstream) -> Change:
    with anyio.fail_after(5):
        return await upstream.changed()


async def test_what_is_announced_while_nobody_asks_is_kept() -> None:
    """Lists are read meanwhile, which takes a while."""
    script = Announcing()

    async with connected(script) as upstream:
        (stream,) = script.streams
        stream.say("notifications/tools/list_changed")
        assert await news(upstream) == Change(lists=frozenset({"tools"}))
        stream.say("notifications/tools/list_changed")
        stream.update("a://b")
        await until(lambda: not stream.waiting)
        await anyio.sleep(0.05)
        heard = await news(upstream)

    assert heard == Change(lists=frozenset({"tools"}), resources=frozenset({"a://b"}))
    assert len(script.streams) == 1


async def test_another_filter_is_in_force_before_the_one_before_is_let_go() -> None:
    """An update on the first, while the second is not acknowledged, is heard."""
    script = Announcing(acknowledges=False)

    async with connected(script) as upstream, anyio.create_task_group() as group:
        script.streams[0].acknowledge.set()
        group.start_soon(upstream.watch, frozenset({"a://b"}))
        await until(lambda: len(script.streams) == 2)
        first, second = script.streams
        assert not first.is_left
        first.update("a://first")
        assert await news(upstream) == Change(resources=frozenset({"a://first"}))
        second.acknowledge.set()
        await until(lambda: first.is_left)
        second.update("a://b")
        assert await news(upstream) == Change(resources=frozenset({"a://b"}))

    assert [stream.wanted for stream in script.streams] == [
        {"toolsListChanged": True},
        {"resourceSubscriptions": ["a://b"], "toolsListChanged": True},
    ]


async def test_a_filter_is_wanted_until_it_is_acknowledged() -> None:
    """Whoever followed a resource is not told so before."""
    script, done = Announcing(acknowledges=False), anyio.Event()

    async with connected(script) as upstream, anyio.create_task_group() as group:
        script.streams[0].acknowledge.set()

        async def watch() -> None:
            await upstream.watch(frozenset({"a://b"}))
            done.set()

        group.start_soon(watch)
        await until(lambda: len(script.streams) == 2)
        await anyio.sleep(0.05)
        assert not done.is_set()
        script.streams[1].acknowledge.set()

        with anyio.fail_after(5):
            await done.wait()


async def test_what_is_followed_may_have_changed_while_nobody_listened() -> None:
    """So it is told, as soon as somebody listens again."""
    script = Announcing()

    async with connected(script) as upstream:
        await upstream.watch(frozenset({"a://b"}))
        script.streams[-1].end.set()

        with pytest.raises(Unreachable):
            await news(upstream)

        assert await news(upstream) == Change(resources=frozenset({"a://b"}))
        assert len(script.streams) == 3
        script.streams[-1].update("a://b")
        assert await news(upstream) == Change(resources=frozenset({"a://b"}))
