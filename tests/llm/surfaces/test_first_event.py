"""The first event of an upstream is the client's before the second exists."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest

from tests.llm.support.gateway import Client, gateway, play_of

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

_HI: JsonObject = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", _HI),
        ("/v1/messages", {**_HI, "max_tokens": 9}),
        ("/v1/responses", {"input": "hi", "store": False}),
    ],
)
async def test_nothing_waits_for_the_second_event(path: str, body: JsonObject) -> None:
    """The upstream says one thing and falls silent; the client has it by then."""
    async with gateway(play_of("hang-after-first")) as up:
        client = Client(json.dumps({"model": "up~m", "stream": True, **body}).encode())

        async def ask() -> None:
            await up.ask(client=client, path=path)

        up.group.start_soon(ask)

        with anyio.fail_after(5):
            await client.arrived.wait()

        assert client.status == 200
        assert b"data: " in client.content
        client.leaves.set()
        await up.settled()
