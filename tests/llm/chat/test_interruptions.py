"""Turns that are interrupted: by a client that leaves, by a second message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.llm.chat.harness import World, chats
from tests.llm.chat.records import context_of, model, provider

if TYPE_CHECKING:
    from spindle_spi.types import Message
    from tests.support.upstream_process import Upstream

pytestmark = pytest.mark.anyio

ADA = context_of("ada@x")


async def test_a_client_that_leaves_ends_the_turn(upstream: Upstream) -> None:
    """The upstream is let go, the call is settled as cancelled and the turn is closed."""
    async with chats([provider(upstream.url), model("hang"), model("plain")], [ADA]) as world:
        await world.connect("ada@x", "sim~hang")
        await upstream.reset()

        with anyio.fail_after(10):
            sent = await _leave_in_the_middle(world, upstream)
            (seen,) = await upstream.log(ended=1)

        events, settled = world.events(), world.settled()

    assert sent == []
    assert seen["client_left"] is True
    assert events == ["connected", "user", "failed"]
    assert settled == [("sim~hang", "cancelled")]


async def _leave_in_the_middle(world: World, upstream: Upstream) -> list[Message]:
    """Chat, and leave as soon as the upstream has the request."""
    body = json.dumps({"user_id": "ada@x", "message": "hi"}).encode()
    messages: list[Message] = [{"type": "http.request", "body": body}]
    sent: list[Message] = []

    async def receive() -> Message:
        if messages:
            return messages.pop(0)

        while not await upstream.log():
            await checkpoint()

        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/llmchat/chat",
        "raw_path": b"/llmchat/chat",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"authorization", b"Bearer ada@x")],
        "client": ("127.0.0.1", 1),
    }
    await world.ingress(scope, receive, send)
    return sent


async def test_two_turns_do_not_run_at_once(upstream: Upstream) -> None:
    """The second is told that the first is still answering; after it, all is well."""
    records = [provider(upstream.url), model("slow")]

    statuses: list[int] = []

    async with chats(records, [ADA]) as world:
        await world.connect("ada@x", "sim~slow")

        async def first() -> None:
            statuses.append((await world.say("ada@x", "one")).status_code)

        async def second() -> None:
            while world.events() == ["connected"]:
                await checkpoint()

            refused = await world.say("ada@x", "two")
            assert refused.json()["error"]["code"] == "llm.chat.turn_running"

            statuses.append(refused.status_code)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(first)
                group.start_soon(second)

    assert statuses == [409, 200]
