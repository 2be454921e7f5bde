"""Gateways that are programs: whichever era one speaks, over the pipe to it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from mcp.shared.message import SessionMessage

from spindle_mcp.upstream.connections.legacy import open_legacy
from spindle_mcp.upstream.connections.modern import ModernUpstream
from spindle_mcp.upstream.connections.probe import speaks_modern
from spindle_mcp.upstream.connections.streams import Arrivals, written
from spindle_mcp.upstream.faults import ProgramEnded
from spindle_mcp.upstream.programs.launcher import CANNOT_START
from spindle_mcp.upstream.programs.pipe import open_pipe
from spindle_mcp.upstream.programs.piped import PipedExchanges
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from spindle_mcp.upstream.connections.base import Endpoint, Upstream
    from spindle_mcp.upstream.connections.legacy import LegacyUpstream
    from spindle_mcp.upstream.connections.streams import TransportStreams
    from spindle_mcp.upstream.programs.pipe import Pipe
    from spindle_mcp.upstream.programs.program import Program
    from spindle_spi.types import JsonObject


@asynccontextmanager
async def open_stdio(era: str, endpoint: Endpoint, program: Program) -> AsyncGenerator[Upstream]:
    """Start a program and speak with it; enter and leave this in one task.

    Its first request decides in which era it speaks: it is asked in the current one. A program that
    answers in another way is greeted as before 2026, one that ended at the question is started
    again for that.

    Raises:
        GatewayError: It cannot be started, has ended, or does not speak the protocol.
    """
    if era != "legacy":
        async with open_pipe(endpoint, program) as pipe:
            async with _modern(endpoint, pipe, is_given=era == "modern") as modern:
                if modern is not None:
                    pipe.is_settled.set()
                    yield modern
                    return

            if not pipe.is_over.is_set():
                async with _legacy(endpoint, pipe) as legacy:
                    yield legacy

                return

    async with open_pipe(endpoint, program) as pipe, _legacy(endpoint, pipe) as legacy:
        yield legacy


@asynccontextmanager
async def open_own_program(
    endpoint: Endpoint, program: Program, offered: JsonObject
) -> AsyncGenerator[LegacyUpstream]:
    """Start a program for one client alone, greeted as before 2026.

    Raises:
        GatewayError: It cannot be started, has ended, or does not shake hands.
    """
    async with (
        open_pipe(endpoint, program) as pipe,
        open_legacy(endpoint, pipe_streams(pipe), offered=offered) as upstream,
    ):
        yield upstream


@asynccontextmanager
async def _modern(
    endpoint: Endpoint, pipe: Pipe, *, is_given: bool
) -> AsyncGenerator[ModernUpstream | None]:
    """Give the upstream if it speaks the current protocol."""
    exchanges = PipedExchanges(endpoint, pipe)
    upstream = ModernUpstream(endpoint, exchanges)

    async with anyio.create_task_group() as group:
        group.start_soon(exchanges.run)

        try:
            is_modern = await speaks_modern(upstream.discover, endpoint, is_given=is_given)
        except ProgramEnded as exc:
            if is_given or exc.status == CANNOT_START:
                raise

            is_modern = False

        try:
            yield upstream if is_modern else None
        finally:
            await upstream.close()

        group.cancel_scope.cancel()


@asynccontextmanager
async def _legacy(endpoint: Endpoint, pipe: Pipe) -> AsyncGenerator[LegacyUpstream]:
    async with open_legacy(endpoint, pipe_streams(pipe)) as upstream:
        pipe.is_settled.set()
        yield upstream


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
