"""Batches of JSON-RPC, which one revision of the protocol has (2025-03-26) and the SDK has not.

Each message is served as if it had come by itself; what is said to any of them goes out on one
event stream. Bounded in their number and in how many are served at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import pydantic_core

from spindle_mcp.text import encode
from spindle_mcp.upstream.http.sse import EventReader, EventTooLong

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_spi.types import Json, JsonObject, Message, Receive, Scope, Send

    Serve = Callable[[Scope, Receive, Send], Awaitable[None]]

REVISION: Final = "2025-03-26"
MAX_MESSAGES: Final = 64
_AT_ONCE: Final = 8
_MAX_EVENT: Final = 64 * 1024 * 1024
_INVALID: Final = -32600
_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)


def looks_like_batch(body: bytes) -> bool:
    """Tell whether a body is a JSON array, if it is JSON."""
    return body.lstrip(b" \t\r\n")[:1] == b"["


def read_batch(body: bytes) -> list[JsonObject] | str:
    """Return the messages of a batch, or what is wrong with it."""
    try:
        value: Json = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError:
        return "The batch is no JSON."

    if not isinstance(value, list) or not value:
        return "A batch holds at least one message."

    if len(value) > MAX_MESSAGES:
        return f"A batch holds at most {MAX_MESSAGES} messages."

    messages = [entry for entry in value if isinstance(entry, dict)]

    if len(messages) != len(value):
        return "Every entry of a batch is a message."

    if any(message.get("method") == "initialize" for message in messages):
        return "initialize is never part of a batch."

    ids = [encode(message["id"]) for message in messages if _is_request(message)]

    if len(set(ids)) != len(ids):
        return "Two requests of a batch have the same id."

    return messages


async def refuse(send: Send, reason: str) -> None:
    """Answer a batch that is none."""
    error: Json = {"code": _INVALID, "message": reason}
    body = encode({"jsonrpc": "2.0", "id": None, "error": error})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Batch:
    """One batch on its way through."""

    def __init__(self, messages: list[JsonObject], serve: Serve, send: Send) -> None:
        self._messages = messages
        self._serve = serve
        self._send = send
        self._turn = anyio.CapacityLimiter(_AT_ONCE)
        self._writing = anyio.Lock()

    async def run(self, scope: Scope, session_id: bytes) -> None:
        """Serve every message, and end the stream when all are answered."""
        is_asked = any(map(_is_request, self._messages))
        headers = [*(_HEADERS if is_asked else ()), (b"mcp-session-id", session_id)]
        status = 200 if is_asked else 202
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

        async with anyio.create_task_group() as group:
            for message in self._messages:
                group.start_soon(self._one, scope, message, is_asked)

        await self._send({"type": "http.response.body", "body": b""})

    async def _one(self, scope: Scope, message: JsonObject, is_asked: bool) -> None:
        body = encode(message)
        inner: dict[str, Any] = {
            **scope,
            "headers": [
                *((name, value) for name, value in scope["headers"] if name != b"content-length"),
                (b"content-length", b"%d" % len(body)),
            ],
        }
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if waiting:
                return waiting.pop()

            await anyio.sleep_forever()
            return {"type": "http.disconnect"}

        answer = _Answer(self._say if is_asked else _nobody)

        # What answers nothing takes no turn: it may be what a request before it waits for.
        if _is_request(message):
            async with self._turn:
                await self._serve(inner, receive, answer.take)
        else:
            await self._serve(inner, receive, answer.take)

    async def _say(self, data: bytes) -> None:
        event = b"event: message\r\ndata: %b\r\n\r\n" % data

        async with self._writing:
            await self._send({"type": "http.response.body", "body": event, "more_body": True})


class _Answer:
    """Takes the answer to one message apart into the messages it holds."""

    def __init__(self, say: Callable[[bytes], Awaitable[None]]) -> None:
        self._say = say
        self._reader: EventReader | None = None
        self._body = bytearray()

    async def take(self, message: Message) -> None:
        """See ASGI's `send`."""
        if message["type"] == "http.response.start":
            kinds = [value for name, value in message["headers"] if name == b"content-type"]

            if kinds and kinds[0].startswith(b"text/event-stream"):
                self._reader = EventReader(_MAX_EVENT)

            return

        chunk = message.get("body", b"")

        if self._reader is not None:
            await self._take_events(self._reader, chunk)
            return

        self._body += chunk

        if not message.get("more_body", False) and self._body:
            await self._say(bytes(self._body))

    async def _take_events(self, reader: EventReader, chunk: bytes) -> None:
        try:
            events = reader.feed(chunk) if chunk else []
        except EventTooLong:
            return

        for data in events:
            await self._say(data)


async def _nobody(data: bytes) -> None:
    del data


def _is_request(message: JsonObject) -> bool:
    return "method" in message and "id" in message
