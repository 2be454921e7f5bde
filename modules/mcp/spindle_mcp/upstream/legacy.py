"""Upstreams of the protocol before 2026: a session of the SDK's client, however messages travel."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import mcp_types as types
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import CONNECTION_CLOSED, INVALID_REQUEST
from pydantic import ValidationError

from spindle_mcp.trace import TRACEPARENT
from spindle_mcp.upstream.base import CLIENT_NAME, Endpoint, ToolCall, Upstream
from spindle_mcp.upstream.credentials.proven import failure_in
from spindle_mcp.upstream.faults import (
    RpcRefused,
    SessionLost,
    explained,
    garbled,
    too_slow,
    unreachable,
)
from spindle_mcp.upstream.streamable import streamable_streams
from spindle_mcp.upstream.streams import TOO_LONG, TRANSPORT_FAILED
from spindle_mcp.upstream.wire import AnyResult
from spindle_spi.invocation import Progress

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.client.session import IncomingMessage

    from spindle_mcp.upstream.streams import MessageStreams
    from spindle_spi.types import JsonObject

_MAX_PAGES: Final = 100


class LegacyUpstream(Upstream):
    """A session that `initialize` opened. Once lost it is of no more use: open another."""

    era = "legacy"

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._gateway = endpoint.gateway
        self._session: ClientSession | None = None
        # A buffer of one: how often the tools changed meanwhile does not matter.
        self._announce, self._announced = anyio.create_memory_object_stream[None](1)

    async def start(self, session: ClientSession) -> None:
        """Shake hands.

        Raises:
            GatewayError: The upstream refused, or is none.
        """
        self._session = session

        try:
            await session.initialize()
        except MCPError as exc:
            raise self._translated(exc) from exc
        except (ValidationError, RuntimeError) as exc:
            raise garbled(self._gateway, "no MCP handshake") from exc

    async def hear(self, message: IncomingMessage) -> None:
        """Take what the upstream says by itself."""
        if isinstance(message, types.ToolListChangedNotification):
            self._wake()

    def close(self) -> None:
        """Let go of whoever waits for news."""
        self._announce.close()
        self._announced.close()

    async def changed(self) -> None:
        """See `Upstream`; also returns when the session may be lost."""
        try:
            await self._announced.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError) as exc:
            raise unreachable(self._gateway) from exc

    async def list_tools(self) -> list[JsonObject]:
        """See `Upstream`."""
        tools: list[JsonObject] = []
        params: types.PaginatedRequestParams | None = None

        with anyio.move_on_after(self._endpoint.connect_seconds) as scope:
            for _ in range(_MAX_PAGES):
                page = await self._send(types.ListToolsRequest(params=params), None)
                listed = page.get("tools")

                if isinstance(listed, list):
                    tools += [tool for tool in listed if isinstance(tool, dict)]

                cursor = page.get("nextCursor")

                if not isinstance(cursor, str):
                    break

                params = types.PaginatedRequestParams(cursor=cursor)

        if scope.cancelled_caught:
            raise too_slow(self._gateway)

        return tools

    async def call_tool(self, call: ToolCall) -> JsonObject:
        """See `Upstream`."""
        request = types.CallToolRequest(
            params=types.CallToolRequestParams(
                name=call.name, arguments=call.arguments, _meta=_meta_of(call)
            )
        )

        with anyio.move_on_after(_seconds(call)) as scope:

            async def relay(progress: float, total: float | None, message: str | None) -> None:
                scope.deadline = anyio.current_time() + _seconds(call)

                if call.progress is not None:
                    await call.progress(Progress(progress=progress, total=total, message=message))

            try:
                return await self._send(request, None if call.progress is None else relay)
            except RpcRefused as exc:
                raise explained(exc) from exc

        raise too_slow(self._gateway)

    async def _send(self, request: types.Request[Any, Any], relay: Any) -> JsonObject:
        if self._session is None:
            raise unreachable(self._gateway)

        try:
            answer = await self._session.send_request(request, AnyResult, progress_callback=relay)
        except MCPError as exc:
            raise self._translated(exc) from exc
        except ValidationError as exc:
            raise garbled(self._gateway, "something that is no MCP message") from exc

        return answer.as_object()

    def _translated(self, error: MCPError) -> Exception:
        if error.code == TRANSPORT_FAILED:
            return unreachable(self._gateway)

        unproven = failure_in(error.code, error.data)

        if unproven is not None:
            return unproven

        if error.code == TOO_LONG:
            return garbled(self._gateway, "more than is taken from an upstream")

        if error.code == CONNECTION_CLOSED:
            self._wake()
            return unreachable(self._gateway)

        if error.code == INVALID_REQUEST and "session" in error.message.lower():
            # What the SDK makes of a 404 to a request with a session.
            self._wake()
            return SessionLost(f"The gateway {self._gateway!r} has ended our session.")

        return RpcRefused(self._gateway, error.code, error.data)

    def _wake(self) -> None:
        if self._announce.statistics().current_buffer_used == 0:
            self._announce.send_nowait(None)


@asynccontextmanager
async def open_legacy(
    endpoint: Endpoint, streams: MessageStreams | None = None
) -> AsyncGenerator[LegacyUpstream]:
    """Open a session over streams of messages; enter and leave this in one task.

    Without streams it is one over streamable HTTP.

    Raises:
        GatewayError: The upstream cannot be reached, or does not shake hands.
    """
    upstream = LegacyUpstream(endpoint)

    try:
        async with (
            streams or streamable_streams(endpoint) as (incoming, outgoing),
            ClientSession(
                incoming,
                outgoing,
                client_info=types.Implementation(name=CLIENT_NAME, version=endpoint.version),
                message_handler=upstream.hear,
            ) as session,
        ):
            with anyio.move_on_after(endpoint.connect_seconds) as scope:
                await upstream.start(session)

            if scope.cancelled_caught:
                raise too_slow(endpoint.gateway)

            yield upstream
    finally:
        upstream.close()


def _meta_of(call: ToolCall) -> types.RequestParamsMeta | None:
    if call.traceparent is None:
        return None

    # The SDK's type names the keys it knows itself; a message may carry others.
    return cast("types.RequestParamsMeta", {TRACEPARENT: call.traceparent})


def _seconds(call: ToolCall) -> float:
    if call.deadline is None:
        return call.silence

    return min(call.silence, call.deadline - time.monotonic())
