"""Gateways that are programs: whichever era one speaks, over the pipe to it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from mcp.shared.message import SessionMessage

from spindle_mcp.upstream.streams import Arrivals, written
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from spindle_mcp.upstream.pipe import Pipe
    from spindle_mcp.upstream.streams import TransportStreams


@asynccontextmanager
async def pipe_streams(pipe: Pipe) -> AsyncGenerator[TransportStreams]:
    """Give the streams of a session over a pipe."""
    put, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, taken = anyio.create_memory_object_stream[SessionMessage](0)
    arrivals = Arrivals(put)

    with put, incoming, outgoing, taken:
        async with anyio.create_task_group() as group:
            group.start_soon(_receive, pipe, arrivals, put)
            group.start_soon(_send, pipe, arrivals, taken)
            yield incoming, outgoing
            group.cancel_scope.cancel()


async def _receive(
    pipe: Pipe, arrivals: Arrivals, put: MemoryObjectSendStream[SessionMessage | Exception]
) -> None:
    with put:
        async for message in pipe.messages:
            if not await arrivals.take(message):
                pipe.count_garbage()

        await arrivals.fail_all(pipe.failure)
        pipe.is_told.set()


async def _send(
    pipe: Pipe, arrivals: Arrivals, taken: MemoryObjectReceiveStream[SessionMessage]
) -> None:
    async for message in taken:
        arrivals.expect(message.message)

        try:
            await pipe.write(written(message.message))
        except UpstreamError:
            # Its end is told to everybody who waits.
            return
