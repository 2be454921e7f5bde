"""What sessions before 2026 were told, kept for a client that lost its stream (`Last-Event-ID`).

In the core's event logs, one client's in its own name. Bounded: the last thousand messages or two,
and none that is very long. Off unless `mcp.resumable` is on, for every message is then written.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types.jsonrpc import INTERNAL_ERROR, JSONRPCMessage, jsonrpc_message_adapter
from pydantic import ValidationError

from spindle_mcp.surface.exchange import CURRENT
from spindle_mcp.text import encode
from spindle_spi.errors import GatewayError
from spindle_spi.observability import Level
from spindle_spi.session_event import SessionSpec

if TYPE_CHECKING:
    from mcp.server import Server
    from mcp.server.streamable_http import EventCallback, EventId, StreamId

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.services import Services
    from spindle_spi.types import Json, JsonObject

KIND: Final = "mcp.stream"
MAX_EVENTS: Final = 1000
"""In one log; a session has the current one and the one before."""
MAX_BYTES: Final = 256 * 1024
RETRY_MS: Final = 1000
_LOST: Final = "lost"
"""The id of a message that could not be kept: nothing comes after it."""


class SessionLog(EventStore):
    """The messages of one session."""

    def __init__(
        self, services: Services, context: AuthenticatedContext, *, seconds: float
    ) -> None:
        self._services = services
        self._events = services.session_event
        self._context = context
        self._seconds = seconds
        self._logs: deque[str] = deque(maxlen=2)
        self._count = 0

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        """See `EventStore`. A store that is away loses the message, not the session."""
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
        return f"{log}:{event.sequence}"

    async def replay_events_after(
        self, last_event_id: EventId, send_callback: EventCallback
    ) -> StreamId | None:
        """See `EventStore`: what came after, of the same stream."""
        log, _, number = last_event_id.rpartition(":")

        if log not in self._logs or not (number.isascii() and number.isdigit()):
            return None

        sequence = int(number)
        (seen, *_) = await self._events.replay_events(
            self._context, log, after=sequence - 1, limit=1
        ) or (None,)

        if seen is None or seen.sequence != sequence:
            return None

        stream = seen.data.get("stream")
        after = sequence

        for name in list(self._logs)[self._logs.index(log) :]:
            for event in await self._events.replay_events(
                self._context, name, after=after, limit=MAX_EVENTS
            ):
                if event.data.get("stream") == stream:
                    await _send(send_callback, event.data, f"{name}:{event.sequence}")

            after = 0

        return stream if isinstance(stream, str) else None

    async def _log(self) -> str:
        if not self._logs or self._count >= MAX_EVENTS:
            spec = SessionSpec(kind=KIND, ttl=self._seconds)
            before = self._logs[0] if len(self._logs) == self._logs.maxlen else None
            self._logs.append((await self._events.create_session(self._context, spec)).id)
            self._count = 0

            if before is not None:
                await self._events.delete_session(self._context, before)

        return self._logs[-1]


class ResumableSessions(StreamableHTTPSessionManager):
    """The SDK's manager, with a log for each session in its owner's name."""

    def __init__(
        self, services: Services, server: Server[Any], *, seconds: float, most: int, max_body: int
    ) -> None:
        self._services = services
        self._seconds = seconds
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

        return SessionLog(self._services, asked.call.context, seconds=self._seconds)

    @event_store.setter
    def event_store(self, store: EventStore | None) -> None:
        del store


async def _send(send: EventCallback, data: JsonObject, event_id: str) -> None:
    try:
        message = jsonrpc_message_adapter.validate_python(data.get("message"))
    except ValidationError:
        # What began a stream is no message.
        return

    await send(EventMessage(message, event_id))


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
