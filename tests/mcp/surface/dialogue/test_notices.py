"""What a client before 2026 and an upstream of that time tell each other beside the calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
import pytest

from spindle_conformance.fakes import FakeHost, caller
from tests.mcp.support.answering import Answering
from tests.mcp.support.asking import TOOLS, Asking
from tests.mcp.support.clients import connected, error_of
from tests.mcp.support.records import gateway
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a"), "b": caller("b")}


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


class Hearing:
    """Keeps the links that a client was told are done with."""

    def __init__(self) -> None:
        self.links: list[str] = []

    async def __call__(self, message: Any) -> None:
        if isinstance(message, types.ElicitCompleteNotification):
            self.links.append(message.params.elicitation_id)


@pytest.mark.parametrize("accelerated", [True, False])
@pytest.mark.parametrize("tool", ["visit", "link"])
async def test_who_was_shown_a_link_hears_that_it_is_done_with(
    tool: str, accelerated: bool
) -> None:
    """Asked in the call or refused with it; after the call, once, and nobody else hears of it."""
    upstream, mine, theirs = Asking("legacy"), Hearing(), Hearing()
    config: Any = {"accelerated": accelerated}
    host = FakeHost()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=len(TOOLS), config=config) as served,
            connected(
                served.endpoint(), era="legacy", hear=mine, **Answering().options()
            ) as client,
            connected(
                served.endpoint(), token="b", era="legacy", hear=theirs, **Answering().options()
            ) as other,
        ):
            if tool == "link":
                assert (await error_of(client, "up__link", {})).code == -32042
            else:
                await client.call_tool("up__visit", {})

            await other.call_tool("up__done", {})
            await client.call_tool("up__done", {})
            await until(lambda: mine.links)
            await client.call_tool("up__done", {})
            await client.call_tool("up__echo", {})

    assert mine.links == ["e1"]
    assert theirs.links == []


async def test_changed_roots_are_told_on_the_sessions_that_are_the_clients_own() -> None:
    """Not on another's, nor on the one that is shared."""
    upstream, host = Asking("legacy"), FakeHost()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=len(TOOLS)) as served,
            connected(served.endpoint(), era="legacy", **Answering().options()) as client,
            connected(served.endpoint(), era="legacy", **Answering().options()) as other,
            connected(served.endpoint(), era="legacy") as plain,
        ):
            for each in (client, other, plain):
                await each.call_tool("up__echo", {})

            for each in (plain, client):
                await each.session.send_notification(types.RootsListChangedNotification())

            await until(lambda: upstream.rooted)

    assert upstream.rooted == [upstream.sessions[0]]
