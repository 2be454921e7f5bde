"""Where the host's routes and the SDK's session manager meet: raw ASGI on both sides.

Binds sessions to caller and endpoint, and leaves the call where handlers find it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware

from spindle_mcp.surface.exchange import CURRENT, Asked, put, take
from spindle_mcp.surface.http.batch import REVISION, Batch, looks_like_batch, read_batch, refuse
from spindle_mcp.surface.http.posts import MODERN_HEADER, VERSION_HEADER, read_body, replaying
from spindle_mcp.surface.http.principal import principal_of
from spindle_mcp.surface.http.resuming import ResumableSessions
from spindle_mcp.surface.sessions import owner_of
from spindle_spi.errors import Unavailable

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from spindle_mcp.surface.http.accelerated import FastPath
    from spindle_mcp.surface.sessions import Sessions
    from spindle_mcp.surface.shelf.views import Views
    from spindle_spi.ingress import Call
    from spindle_spi.types import Receive, Scope, Send

_SPACE: Final = (b" ", b"\t")
_SESSION: Final = b"mcp-session-id"


class Endpoint:
    """Serves `/mcp` and every `/servers/{slug}/mcp`; the call says which it is."""

    def __init__(
        self,
        manager: StreamableHTTPSessionManager,
        views: Views,
        sessions: Sessions,
        fast: FastPath | None,
    ) -> None:
        self._app = AuthContextMiddleware(manager.handle_request)
        self._manager = manager
        self._views = views
        self._sessions = sessions
        self._fast = fast
        self._streams: set[anyio.CancelScope] = set()

    @property
    def streams(self) -> int:
        """How many streams wait for what a session is told by itself."""
        return len(self._streams)

    def close_streams(self) -> None:
        """Cut the streams that only wait for what a session is told by itself."""
        for scope in self._streams:
            scope.cancel()

    async def serve(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer one request.

        Raises:
            Unavailable: It would open a session, and its credential has too many.
        """
        asked = Asked(call, self._views.known(call) or await self._views.view(call))
        tidy_headers(scope)

        if scope["method"] == "POST":
            session_id = header_of(scope, _SESSION)

            if session_id is not None and self._may_batch(session_id, asked):
                await self._serve_older(scope, receive, send, asked)
                return

        await self._serve_one(scope, receive, send, asked)

    def _may_batch(self, session_id: bytes, asked: Asked) -> bool:
        """Tell whether a session speaks the one revision that has batches."""
        session = self._sessions.owned(session_id.decode("latin-1"), owner_of(asked))
        return session is not None and session.version == REVISION

    async def _serve_older(self, scope: Scope, receive: Receive, send: Send, asked: Asked) -> None:
        body = await read_body(receive)

        if body is None or not looks_like_batch(body):
            await self._serve_one(scope, replaying(body, receive), send, asked)
            return

        messages = read_batch(body)

        if isinstance(messages, str):
            await refuse(send, messages)
            return

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await self._serve_one(scope, receive, send, asked)

        session_id = header_of(scope, _SESSION) or b""
        await Batch(messages, serve, send).run(scope, session_id)

    async def _serve_one(self, scope: Scope, receive: Receive, send: Send, asked: Asked) -> None:
        left: Receive | None = receive

        if self._fast is not None and scope["method"] == "POST":
            left = await self._fast.serve(scope, receive, send, asked)

        if left is not None:
            await self._serve_by_sdk(scope, left, send, asked)

    async def _serve_by_sdk(self, scope: Scope, receive: Receive, send: Send, asked: Asked) -> None:
        if _may_open(scope) and not self._sessions.shares.has_room(
            asked.call.context.subject.token_id
        ):
            raise Unavailable(
                "Too many sessions of this credential are open.", code="mcp.sessions.limit"
            )

        put(scope, asked)
        scope["user"] = principal_of(asked)
        token = CURRENT.set(asked)

        try:
            if scope["method"] == "GET":
                await self._stream(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        finally:
            CURRENT.reset(token)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope() as stream:
            self._streams.add(stream)

            try:
                if not await self._resume(scope, receive, send):
                    await self._app(scope, receive, send)
            finally:
                self._streams.discard(stream)

    async def _resume(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Go on with a stream that a client lost, where what it was told is kept."""
        last, session_id = header_of(scope, b"last-event-id"), header_of(scope, _SESSION)

        if not isinstance(self._manager, ResumableSessions) or last is None or session_id is None:
            return False

        if self._sessions.owned(session_id.decode("latin-1"), owner_of(take(scope))) is None:
            return False

        return await self._manager.resume(last.decode("latin-1"), receive, send)


def _may_open(scope: Scope) -> bool:
    """Tell whether a request opens a session, if it is a good one."""
    is_current = header_of(scope, VERSION_HEADER) == MODERN_HEADER
    return scope["method"] == "POST" and not is_current and header_of(scope, _SESSION) is None


def header_of(scope: Scope, name: bytes) -> bytes | None:
    """Return the value of a header that is there once or more often."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in headers if key == name), None)


def tidy_headers(scope: Scope) -> None:
    """Take the optional white space off the protocol's headers, which httptools leaves on."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]

    for name, value in headers:
        if name.startswith(b"mcp-") and value.endswith(_SPACE):
            break
    else:
        return

    scope["headers"] = [
        (name, value.strip(b" \t") if name.startswith(b"mcp-") else value)
        for name, value in headers
    ]
