"""What sessions before 2026 were told, kept for a client that lost its stream (`Last-Event-ID`).

In the core's event logs, one client's in its own name. Bounded: the last thousand messages or two,
and none that is very long. Off unless `mcp.resumable` is on, for every message is then written.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import anyio
from mcp.server.streamable_http import EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types.jsonrpc import INTERNAL_ERROR, JSONRPCMessage

from spindle_mcp.surface.exchange import CURRENT
from spindle_mcp.surface.http.answers import PING, PING_SECONDS, STREAM_HEADERS
from spindle_mcp.text import encode
from spindle_spi.errors import GatewayError
from spindle_spi.observability import Level
from spindle_spi.session_event import SessionSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

    from mcp.server import Server
    from mcp.server.streamable_http import EventCallback, EventId, StreamId

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.services import Services
    from spindle_spi.types import Json, JsonObject, Message, Receive, Scope, Send

KIND: Final = "mcp.stream"
MAX_EVENTS: Final = 1000
"""In one log; a session has the current one and the one before."""
MAX_BYTES: Final = 256 * 1024
RETRY_MS: Final = 1000
_EVENT: Final = b"id: %b\r\nevent: message\r\ndata: %b\r\n\r\n"
_LOST: Final = "lost"
"""The id of a message that could not be kept: nothing comes after it."""


_SESSION: Final = b"mcp-session-id"
_REFUSED: Final = 400
_OPENED: ContextVar[SessionLog | None] = ContextVar("opened", default=None)
"""The log of the session that a request opens."""


class SessionLog(EventStore):
    """The messages of one session."""

    def __init__(
        self,
        services: Services,
        context: AuthenticatedContext,
        known: MutableMapping[str, SessionLog],
        *,
        seconds: float,
    ) -> None:
        """`known` is where its logs are looked up by their ids."""
        self._known = known
        self._services = services
        self._events = services.session_event
        self._context = context
        self._seconds = seconds
        self._logs: deque[str] = deque(maxlen=2)
        self._count = 0
        self._is_closed = False
        self._opening = anyio.Lock()
        self._news = anyio.Event()
        """Set when something was stored."""

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        """See `EventStore`. A store that is away loses the message, not the session."""
        if self._is_closed:
            return _LOST

        data: JsonObject = {"stream": stream_id, "message": _kept(message)}

        try:
            log = await self._log()
            event = await self._events.append_event(self._context, log, "message", data)
        except GatewayError as exc:
            self._services.observability.log(
                Level.WARNING, "mcp.stream.not_kept", {"error": exc.code}
            )
            self._count = MAX_EVENTS
            return _LOST

        self._count += 1
        self._news.set()
        return f"{log}:{event.sequence}"

    async def replay_events_after(
        self, last_event_id: EventId, send_callback: EventCallback
    ) -> StreamId | None:
        """See `EventStore`. Never asked: we replay ourselves, and go on with what comes then.

        Between its replay and what comes live the SDK may lose a message.
        """
        del last_event_id, send_callback
        return None

    def is_of(self, context: AuthenticatedContext) -> bool:
        """Tell whether it is kept in the name of this caller."""
        return self._context.subject.token_id == context.subject.token_id

    async def stream_of(self, last_event_id: str) -> tuple[str, str, int] | None:
        """Return stream, log and number of an event; None when it is not kept."""
        log, _, number = last_event_id.rpartition(":")

        if log not in self._logs or not (number.isascii() and number.isdigit()):
            return None

        found = await self._events.replay_events(self._context, log, after=int(number) - 1, limit=1)
        stream = found[0].data.get("stream") if found else None
        return (stream, log, int(number)) if isinstance(stream, str) else None

    async def follow(
        self, stream: str, log: str, after: int
    ) -> AsyncIterator[tuple[str, JsonObject]]:
        """Yield ids and messages of a stream after an event, those to come included.

        It ends with the answer to the request whose stream it is.
        """
        while True:
            self._news = news = anyio.Event() if self._news.is_set() else self._news

            for event in await self._events.replay_events(
                self._context, log, after=after, limit=MAX_EVENTS
            ):
                after, message = event.sequence, event.data.get("message")

                if event.data.get("stream") != stream or not isinstance(message, dict):
                    continue

                yield f"{log}:{event.sequence}", message

                if "method" not in message:
                    return

            if log != self._logs[-1] and log in self._logs:
                log, after = self._logs[-1], 0
            else:
                await news.wait()

    async def close(self) -> None:
        """Keep nothing any more: the session has been ended."""
        self._is_closed = True

        async with self._opening:
            while self._logs:
                # What cannot be deleted now ends by itself, in its time.
                with suppress(GatewayError):
                    await self._events.delete_session(self._context, self._logs[0])

                self._logs.popleft()

    async def _log(self) -> str:
        async with self._opening:
            if not self._logs or self._count >= MAX_EVENTS:
                spec = SessionSpec(kind=KIND, ttl=self._seconds)
                opened = await self._events.create_session(self._context, spec)
                self._count = 0

                if len(self._logs) == self._logs.maxlen:
                    await self._events.delete_session(self._context, self._logs[0])

                self._logs.append(opened.id)
                self._known[opened.id] = self

            return self._logs[-1]


class ResumableSessions(StreamableHTTPSessionManager):
    """The SDK's manager, with a log for each session in its owner's name."""

    def __init__(
        self, services: Services, server: Server[Any], *, seconds: float, most: int, max_body: int
    ) -> None:
        self._services = services
        self._seconds = seconds
        self._logs: WeakValueDictionary[str, SessionLog] = WeakValueDictionary()
        self._of_sessions: WeakValueDictionary[str, SessionLog] = WeakValueDictionary()
        super().__init__(
            server,
            retry_interval=RETRY_MS,
            session_idle_timeout=seconds,
            max_request_body_size=max_body,
            max_sessions=most,
        )

    @property
    def event_store(self) -> EventStore | None:
        """The store of a session that is being opened; none for who has no name to keep it in."""
        asked = CURRENT.get()

        if asked is None or asked.call.context.subject.token_id is None:
            return None

        log = SessionLog(self._services, asked.call.context, self._logs, seconds=self._seconds)
        _OPENED.set(log)
        return log

    @event_store.setter
    def event_store(self, store: EventStore | None) -> None:
        del store

    async def handle_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; the log of a session that it ends goes with it."""
        method, ended = scope["method"], list[str]()

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < _REFUSED:
                said = next((value for name, value in message["headers"] if name == _SESSION), b"")
                opened, session_id = _OPENED.get(), said.decode("latin-1")

                if method == "DELETE":
                    ended.append(_session_in(scope))
                elif opened is not None and session_id:
                    self._of_sessions[session_id] = opened

            await send(message)

        token = _OPENED.set(None)

        try:
            await super().handle_request(scope, receive, watch)
        finally:
            _OPENED.reset(token)

        for session_id in ended:
            log = self._of_sessions.pop(session_id, None)

            if log is not None:
                await log.close()

    async def resume(self, last_event_id: str, receive: Receive, send: Send) -> bool:
        """Tell a client again what it missed, and what comes; False when that is not kept.

        Who asks has been found to be the owner of the session; the log is read in their name.
        """
        log = self._logs.get(last_event_id.rpartition(":")[0])
        asked = CURRENT.get()

        if log is None or asked is None or not log.is_of(asked.call.context):
            return False

        place = await log.stream_of(last_event_id)

        if place is None:
            return False

        await send({"type": "http.response.start", "status": 200, "headers": [*STREAM_HEADERS]})

        async with anyio.create_task_group() as group:

            async def leave() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass

                group.cancel_scope.cancel()

            group.start_soon(leave)
            group.start_soon(_ping, send)

            # A log that went away in between ends the stream.
            with suppress(GatewayError):
                async for number, message in log.follow(*place):
                    body = _EVENT % (number.encode(), encode(message))
                    await send({"type": "http.response.body", "body": body, "more_body": True})

            await send({"type": "http.response.body", "body": b""})
            group.cancel_scope.cancel()

        return True


def _session_in(scope: Scope) -> str:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value.decode("latin-1") for name, value in headers if name == _SESSION), "")


async def _ping(send: Send) -> None:
    while True:
        await anyio.sleep(PING_SECONDS)
        await send(PING)


def _kept(message: JSONRPCMessage | None) -> Json:
    """Return a message as it is kept; an answer that is too long is one that was lost."""
    if message is None:
        return None

    kept: JsonObject = message.model_dump(by_alias=True, mode="json", exclude_unset=True)

    if len(encode(kept)) <= MAX_BYTES:
        return kept

    if "method" in kept:
        return None

    error: JsonObject = {"code": INTERNAL_ERROR, "message": "The answer was too long to be kept."}
    return {"jsonrpc": "2.0", "id": kept.get("id"), "error": error}
