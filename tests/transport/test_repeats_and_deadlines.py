"""What goes out twice and what never does; how long an answer may take, and who may change that."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import SocketAttribute

from spindle_spi.errors import UpstreamError, UpstreamTimeout
from spindle_transport.aiohttp_transport import AiohttpTransport, TransportLimits
from spindle_transport.exchange import UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from anyio.abc import SocketStream

pytestmark = pytest.mark.anyio

BEGIN = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@asynccontextmanager
async def transport_to(
    handle: Callable[[SocketStream], Awaitable[None]],
) -> AsyncGenerator[tuple[AiohttpTransport, str]]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    transport = AiohttpTransport(TransportLimits(connect=5.0, silence=inf))

    with anyio.fail_after(20):
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, handle)

            try:
                port = listener.extra(SocketAttribute.local_port)
                yield transport, f"http://127.0.0.1:{port}/"
            finally:
                await transport.close()
                group.cancel_scope.cancel()


@pytest.mark.parametrize(("is_repeatable", "times"), [(True, 2), (False, 1)])
async def test_only_what_may_be_repeated_goes_out_again(is_repeatable: bool, times: int) -> None:
    """When the connection closes without an answer, nobody knows whether the request was read."""
    requests: list[bytes] = []

    async def close_at_once(stream: SocketStream) -> None:
        async with stream:
            requests.append(await stream.receive())

    async with transport_to(close_at_once) as (transport, url):
        request = UpstreamRequest(url=url, headers={}, is_repeatable=is_repeatable)

        with pytest.raises(UpstreamError) as caught:
            await transport.open(request)

    assert (caught.value.code, len(requests)) == ("upstream_closed", times)


async def answer_slowly(stream: SocketStream) -> None:
    """Five pieces, a tenth of a second apart."""
    async with stream:
        await stream.receive()
        await stream.send(BEGIN)

        for _ in range(5):
            await anyio.sleep(0.1)

            try:
                await stream.send(b"1\r\nx\r\n")
            except anyio.BrokenResourceError:
                return

        await stream.send(b"0\r\n\r\n")
        await anyio.sleep(1)


async def read_slowly(*, extends: bool) -> int:
    """Return how many bytes arrive before a quarter of a second is over."""
    async with transport_to(answer_slowly) as (transport, url):
        deadline = time.monotonic() + 0.25
        response = await transport.open(UpstreamRequest(url=url, headers={}, deadline=deadline))
        size = 0

        try:
            async for chunk in response.chunks():
                size += len(chunk)

                if extends:
                    response.extend(0.25)
        except UpstreamTimeout:
            return -size
        finally:
            response.abandon()

        return size


async def test_an_answer_has_until_its_deadline() -> None:
    """However busy it is."""
    assert -4 < await read_slowly(extends=False) < 0


async def test_who_hears_an_answer_may_give_it_more_time() -> None:
    """Each piece buys as much as the whole had."""
    assert await read_slowly(extends=True) == 5


async def test_without_any_bound_an_answer_may_be_silent() -> None:
    """So do streams of announcements live; a timer that never ends would be an error."""
    async with transport_to(answer_slowly) as (transport, url):
        response = await transport.open(UpstreamRequest(url=url, headers={}))
        assert b"".join([chunk async for chunk in response.chunks()]) == b"xxxxx"
        await response.aclose()
