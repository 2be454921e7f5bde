"""One answer to a POST, which is plain JSON unless something has to be said before its end.

Then, or when it is long in coming, it becomes an event stream, as the SDK's does.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the hot path: a timer costs a tenth of a task
from typing import TYPE_CHECKING, Final

from spindle_mcp.text import encode

if TYPE_CHECKING:
    from spindle_spi.invocation import Progress
    from spindle_spi.types import Json, JsonObject, Message, Receive, Send
    from spindle_transport.patience import Patience

PING_SECONDS: Final = 15.0
"""How long an answer may be silent before something in between might close it."""

UNWATCHED: Final = 0.02
"""Seconds before anything is done about a call that takes long; most are over by then."""

PING: Final[Message] = {
    "type": "http.response.body",
    "body": b": ping\r\n\r\n",
    "more_body": True,
}
STREAM_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),
)


class Answer:
    """The answer to one request. Say what there is to say, then `finish` once."""

    def __init__(
        self,
        send: Send,
        receive: Receive,
        patience: Patience,
        *,
        session_id: bytes | None = None,
    ) -> None:
        self._send = send
        self._receive = receive
        self._departure: asyncio.Future[Message] | None = None
        self._extra = () if session_id is None else ((b"mcp-session-id", session_id),)
        self._is_stream = False
        self._pinger: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.is_over = False
        """It was given."""
        patience.add(self)

    def late(self) -> None:
        """Begin to count the silence, once the call was not answered at once."""
        seconds = max(0.0, PING_SECONDS - UNWATCHED)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._start_pinging)

    async def progress(self, token: Json, update: Progress) -> None:
        """Say how far the call is."""
        params: JsonObject = {"progressToken": token, "progress": update.progress}

        if update.total is not None:
            params["total"] = update.total

        if update.message is not None:
            params["message"] = update.message

        await self.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})

    async def say(self, message: JsonObject) -> None:
        """Say something before the answer."""
        await self._begin_stream()
        await self._send(_event(encode(message), is_last=False))

    async def finish(self, body: bytes, status: int) -> None:
        """Give the answer itself."""
        self.close()

        if self._is_stream:
            await self._send(_event(body, is_last=True))
            return

        headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            *self._extra,
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def left(self) -> None:
        """Return when the client has left."""
        if self._departure is None:
            self._departure = asyncio.ensure_future(self._receive())

        await asyncio.wait((self._departure,))

    def close(self) -> None:
        """Say nothing more by itself. Idempotent."""
        self.is_over = True

        if self._timer is not None:
            self._timer.cancel()

        if self._departure is not None:
            self._departure.cancel()

        if self._pinger is not None:
            self._pinger.cancel()

    async def _begin_stream(self) -> None:
        if not self._is_stream:
            self._is_stream = True
            headers = [*STREAM_HEADERS, *self._extra]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    def _start_pinging(self) -> None:
        self._pinger = asyncio.get_running_loop().create_task(self._ping())

    async def _ping(self) -> None:
        await self._begin_stream()

        while True:
            await self._send(PING)
            await asyncio.sleep(PING_SECONDS)


async def accept(send: Send, session_id: bytes | None) -> None:
    """Answer a message that has no answer."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"0")]

    if session_id is not None:
        headers.append((b"mcp-session-id", session_id))

    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _event(data: bytes, *, is_last: bool) -> Message:
    return {
        "type": "http.response.body",
        "body": b"event: message\r\ndata: %b\r\n\r\n" % data,
        "more_body": not is_last,
    }
