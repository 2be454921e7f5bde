"""The transport over real sockets: reuse, time bounds, and every way a connection can fail."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from socket import socket

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from spindle_llm.relay.reading import read_all
from spindle_spi.errors import UpstreamError, UpstreamTimeout
from spindle_transport.aiohttp_transport import AiohttpTransport, TransportLimits
from spindle_transport.exchange import Transport, UpstreamRequest

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LIMITS = TransportLimits(connect=1.0, silence=0.5)

Talk = Callable[[SocketStream], Awaitable[None]]


@dataclass(slots=True)
class Server:
    """Counts connections; each talks as it is told."""

    url: str = ""
    connections: int = 0
    requests: list[bytes] = field(default_factory=list[bytes])


@asynccontextmanager
async def _server(talk: Callable[[Server], Talk]) -> AsyncGenerator[Server]:
    server = Server()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/v1/x"

    async def handle(stream: SocketStream) -> None:
        server.connections += 1

        with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
            async with stream:
                await talk(server)(stream)

    with anyio.fail_after(10):
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, handle)
            yield server
            group.cancel_scope.cancel()


def _always(*pieces: bytes, pause: float = 0.0, close: bool = False) -> Callable[[Server], Talk]:
    """Answer every request of a connection with these pieces."""

    def made(server: Server) -> Talk:
        async def talk(stream: SocketStream) -> None:
            while True:
                server.requests.append(await stream.receive())

                for number, piece in enumerate(pieces):
                    if number:
                        await anyio.sleep(pause)

                    await stream.send(piece)

                if close:
                    return

        return talk

    return made


@asynccontextmanager
async def _transport(limits: TransportLimits = LIMITS) -> AsyncGenerator[Transport]:
    transport = AiohttpTransport(limits)

    try:
        yield transport
    finally:
        await transport.close()


async def _ask(
    transport: Transport, url: str, *, silence: float | None = None, deadline: float | None = None
) -> bytes:
    request = UpstreamRequest(
        url=url, headers={"accept": "x/y"}, body=b"{}", silence=silence, deadline=deadline
    )
    response = await transport.open(request)

    try:
        return await read_all(response, 1000)
    finally:
        await response.aclose()


async def test_a_connection_is_used_again() -> None:
    """Headers go out as they are given, and nothing is added but what HTTP needs."""
    async with _server(_always(OK)) as server, _transport() as transport:
        for _ in range(3):
            assert await _ask(transport, server.url) == b"ok"

    assert server.connections == 1
    head = server.requests[0].split(b"\r\n\r\n")[0].lower()
    assert b"accept: x/y" in head
    assert b"cookie" not in head


async def test_a_stream_that_said_all_it_has_keeps_its_connection() -> None:
    """Its end may come a little after its last event."""
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndone\r\n"

    async with (
        _server(_always(head, b"0\r\n\r\n", pause=0.02)) as server,
        _transport() as transport,
    ):
        for patience in (1.0, 0.0, 0.0):
            response = await transport.open(UpstreamRequest(url=server.url, headers={}))
            assert await anext(response.chunks()) == b"done"
            await response.aclose(patience=patience)

    # The second one is not waited for, so the third needs a connection of its own.
    assert server.connections == 2


async def test_a_stale_connection_is_replaced_once() -> None:
    """The upstream closed it while it was idle; nothing was said on it."""

    def talk(server: Server) -> Talk:
        first = server.connections == 1

        async def once(stream: SocketStream) -> None:
            await stream.receive()
            await stream.send(OK)
            await stream.receive()

            if not first:
                await stream.send(OK)

        return once

    async with _server(talk) as server, _transport() as transport:
        assert await _ask(transport, server.url) == b"ok"
        assert await _ask(transport, server.url) == b"ok"

    assert server.connections == 2


async def test_redirects_are_not_followed() -> None:
    """A provider is where its configuration says."""
    moved = b"HTTP/1.1 307 Moved\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"

    async with _server(_always(moved)) as server, _transport() as transport:
        response = await transport.open(UpstreamRequest(url=server.url, headers={}))
        assert response.status == 307
        await response.aclose()

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"SSH-2.0-server\r\n", "upstream_garbage"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "upstream_garbage"),
        (b"", "upstream_closed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "upstream_cut"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", "upstream_cut"),
    ],
)
async def test_a_broken_answer_has_its_own_code(answer: bytes, code: str) -> None:
    """No other protocol, no silence taken for an answer, no half for a whole."""
    async with _server(_always(answer, close=True)) as server, _transport() as transport:
        with pytest.raises(UpstreamError) as caught:
            await _ask(transport, server.url)

    assert caught.value.code == code


async def test_an_upstream_nobody_listens_at_cannot_be_reached() -> None:
    """The message says no more."""
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async with _transport() as transport:
        with pytest.raises(UpstreamError) as caught:
            await _ask(transport, f"http://127.0.0.1:{port}/")

    assert caught.value.code == "upstream_unreachable"
    assert str(port) not in caught.value.message


async def test_an_upstream_that_speaks_no_tls_is_not_trusted() -> None:
    """A certificate is needed where the URL says so."""
    async with _server(_always(OK)) as server, _transport() as transport:
        with pytest.raises(UpstreamError) as caught:
            await _ask(transport, server.url.replace("http:", "https:"))

    assert caught.value.code == "upstream_certificate"
    assert not caught.value.retryable


async def test_a_url_that_is_none_is_refused() -> None:
    """It came from a configuration nobody tried."""
    async with _transport() as transport:
        with pytest.raises(UpstreamError):
            await _ask(transport, "http:///nowhere")


@pytest.mark.parametrize("pieces", [(b"",), (OK[:20],), (OK[:-1],)])
async def test_silence_is_bounded_wherever_it_falls(pieces: tuple[bytes, ...]) -> None:
    """Before the head, in it, and in the body."""
    async with _server(_always(*pieces)) as server, _transport() as transport:
        with pytest.raises(UpstreamTimeout):
            await _ask(transport, server.url, silence=0.05)


async def test_an_answer_may_be_slow_as_long_as_it_is_not_silent() -> None:
    """The bound is on inactivity."""
    async with (
        _server(_always(OK[:-2], b"o", b"k", pause=0.15)) as server,
        _transport() as transport,
    ):
        assert await _ask(transport, server.url, silence=0.25) == b"ok"


async def test_a_deadline_ends_what_is_not_silent_too() -> None:
    """And nothing is sent when it has passed."""
    async with (
        _server(_always(OK[:-2], *[b""] * 50, pause=0.02)) as server,
        _transport() as transport,
    ):
        with pytest.raises(UpstreamTimeout):
            await _ask(transport, server.url, deadline=time.monotonic() + 0.1)

        with pytest.raises(UpstreamTimeout, match="before"):
            await _ask(transport, server.url, deadline=time.monotonic() - 1)

    assert len(server.requests) == 1


async def test_a_body_over_the_limit_is_given_up() -> None:
    """However many reads it takes."""
    big = b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000

    async with _server(_always(big)) as server, _transport() as transport:
        with pytest.raises(UpstreamError, match="too large"):
            await _ask(transport, server.url)
