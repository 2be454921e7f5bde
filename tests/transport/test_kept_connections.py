"""Connections between two requests: who gets them, and when they are not used again."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from spindle_llm.relay.reading import read_all
from spindle_transport.aiohttp_transport import AiohttpTransport, TransportLimits
from spindle_transport.exchange import UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

ONE = TransportLimits(connect=5.0, silence=5.0, connections=1)


def answer(text: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)


class Upstream:
    """Answers each request with the number of its connection."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.streams: list[SocketStream] = []
        self.asked = anyio.Event()
        self.has_ended = anyio.Event()
        self.may_answer = anyio.Event()
        self.may_answer.set()

    async def handle(self, stream: SocketStream) -> None:
        self.connections += 1
        self.streams.append(stream)
        number = self.connections

        try:
            async with stream:
                while True:
                    request = await stream.receive()
                    self.asked.set()
                    await self.may_answer.wait()
                    text = b"" if request.startswith(b"HEAD") else b"%d" % number
                    await stream.send(answer(b"%d" % number)[: None if text else -1])
        except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
            self.has_ended.set()


@asynccontextmanager
async def upstream() -> AsyncGenerator[Upstream]:
    made = Upstream()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    made.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/"

    with anyio.fail_after(30):
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, made.handle)
            yield made
            group.cancel_scope.cancel()


@asynccontextmanager
async def transport_of(limits: TransportLimits) -> AsyncGenerator[AiohttpTransport]:
    transport = AiohttpTransport(limits)

    try:
        yield transport
    finally:
        await transport.close()


async def ask(transport: AiohttpTransport, url: str, method: str = "POST") -> bytes:
    response = await transport.open(UpstreamRequest(url=url, headers={}, method=method))

    try:
        return await read_all(response, 1000)
    finally:
        await response.aclose()


async def test_an_answer_nobody_asked_for_is_nobodys() -> None:
    """What comes in a pause is not taken for the answer to the next request."""
    async with upstream() as server, transport_of(ONE) as transport:
        assert await ask(transport, server.url) == b"1"

        await server.streams[0].send(answer(b"of somebody else"))
        # The loop reads it before anything that begins later.
        await anyio.sleep(0.05)

        assert await ask(transport, server.url) == b"2"


async def test_a_kept_connection_is_in_nobodys_way() -> None:
    """With all connections kept for one address, another address is asked all the same."""
    async with upstream() as one, upstream() as other, transport_of(ONE) as transport:
        for server in (one, other, one):
            assert await ask(transport, server.url)

    assert other.connections == 1


async def test_who_waits_gets_the_connection() -> None:
    """A request that waits for a connection goes on as soon as one comes free."""
    async with upstream() as server, transport_of(ONE) as transport:
        server.may_answer = anyio.Event()
        answers: list[bytes] = []

        async def asking() -> None:
            answers.append(await ask(transport, server.url))

        async with anyio.create_task_group() as group:
            group.start_soon(asking)
            await server.asked.wait()
            group.start_soon(asking)
            await anyio.wait_all_tasks_blocked()
            server.may_answer.set()

    assert answers == [b"1", b"1"]


async def test_answers_without_bodies_on_the_same_connection() -> None:
    """HEAD and POST take turns on one connection, and each is read as what it is."""
    async with upstream() as server, transport_of(ONE) as transport:
        for method, body in (("POST", b"1"), ("HEAD", b""), ("POST", b"1"), ("POST", b"1")):
            assert await ask(transport, server.url, method) == body

    assert server.connections == 1


async def test_what_is_kept_is_closed_with_the_transport() -> None:
    """The upstream sees the end of the connection."""
    async with upstream() as server:
        async with transport_of(ONE) as transport:
            assert await ask(transport, server.url) == b"1"

        await server.has_ended.wait()
