"""The transport of 2024-11-05, for clients that know no other: one stream, and POSTs beside it.

Off unless `mcp.legacy_sse` is on. A session is bound to the caller and the endpoint that opened it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from mcp.server.sse import SseServerTransport

from spindle_mcp.surface.exchange import CURRENT, MESSAGES, Asked, put
from spindle_mcp.surface.http.principal import principal_of
from spindle_spi.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_mcp.surface.server import SpindleServer
    from spindle_mcp.surface.shelf.views import Views
    from spindle_spi.ingress import Call
    from spindle_spi.types import Message, Receive, Scope, Send


class OlderStreams:
    """Serves `/sse` and `/sse/messages`, also of every virtual server."""

    def __init__(self, server: SpindleServer, views: Views, *, most: int, max_body: int) -> None:
        self._server = server
        self._views = views
        self._most = most
        self._transport = SseServerTransport(MESSAGES, max_request_body_size=max_body)
        self._streams: set[anyio.Event] = set()
        """What ends each of them."""

    def close(self) -> None:
        """End every stream."""
        for end in self._streams:
            end.set()

    async def stream(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Serve one session: the stream of what its client is told.

        Raises:
            Unavailable: There are too many.
        """
        if len(self._streams) >= self._most:
            raise Unavailable("Too many open sessions.", code="mcp.sessions.limit")

        asked = await self._asked(call)
        # The client is told the path of its own endpoint.
        root = "" if call.server_slug is None else f"/servers/{call.server_slug}"

        async def serve() -> None:
            inner = {**scope, "root_path": root, "user": principal_of(asked)}
            options = self._server.create_initialization_options()

            async with self._transport.connect_sse(inner, leaving, send) as (reading, writing):
                await self._server.run(reading, writing, options)

        end = anyio.Event()
        leaving = _until(end, receive)
        self._streams.add(end)

        try:
            await self._within(scope, asked, serve)
        finally:
            self._streams.discard(end)

    async def message(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Take one message of a client; what answers it goes out on its stream."""
        asked = await self._asked(call)

        async def serve() -> None:
            scope["user"] = principal_of(asked)
            await self._transport.handle_post_message(scope, receive, send)

        await self._within(scope, asked, serve)

    async def _asked(self, call: Call) -> Asked:
        return Asked(call, self._views.known(call) or await self._views.view(call))

    async def _within(
        self, scope: Scope, asked: Asked, serve: Callable[[], Awaitable[None]]
    ) -> None:
        put(scope, asked)
        token = CURRENT.set(asked)

        try:
            await serve()
        finally:
            CURRENT.reset(token)


def _until(end: anyio.Event, receive: Receive) -> Receive:
    """Return a `receive` for which the client leaves when we want it to.

    The SDK closes what it opened when a client leaves, not when it is cancelled.
    """

    async def receive_or_leave() -> Message:
        message: Message = {"type": "http.disconnect"}

        async with anyio.create_task_group() as group:

            async def wait() -> None:
                await end.wait()
                group.cancel_scope.cancel()

            group.start_soon(wait)
            message = await receive()
            group.cancel_scope.cancel()

        return message

    return receive_or_leave


def not_served() -> NotFound:
    """Return the answer where the transport is off."""
    return NotFound(
        "The transport of 2024-11-05 is not served here; use /mcp, or turn mcp.legacy_sse on.",
        code="mcp.legacy_sse.off",
    )
