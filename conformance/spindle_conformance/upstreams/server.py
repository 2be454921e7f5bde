"""A tiny HTTP/1.1 server that writes exactly the bytes it is told, in the pieces it is told.

Not a web server: one handler, keep-alive, no pipelining, and a log of what clients did.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import anyio
from anyio.abc import ByteStream, SocketAttribute, TaskGroup
from anyio.lowlevel import checkpoint
from anyio.streams.buffered import BufferedByteReceiveStream

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 64 * 1024 * 1024
_LOG_LIMIT = 10_000
_HANG_SECONDS = 120.0
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


class Ending(StrEnum):
    """How a response ends."""

    COMPLETE = "complete"
    CUT = "cut"
    """The connection is closed before the end that was promised."""
    HANG = "hang"
    """Nothing more comes, and the connection stays open until the client leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What the server does with one request."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    streamed: bool = False
    """Sent by HTTP's chunked transfer coding."""
    ending: Ending = Ending.COMPLETE
    silent: bool = False
    """Not even a head is sent before the ending."""
    chunk: int | None = None
    """Bytes for each write; 0 is one write; None is the server's setting."""
    pause: float = 0.0
    """Seconds between two writes."""
    delay: float = 0.0
    """Seconds before anything is sent."""


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request as the server saw it, and what became of it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    bytes_sent: int = 0
    client_left: bool = False
    """The client closed before the response ended."""
    ended: bool = False

    @property
    def json(self) -> Json:
        """The body as JSON; None when it is none."""
        try:
            value: Json = json.loads(self.body)
        except ValueError:
            return None

        return value

    def as_json(self) -> JsonObject:
        """Return this request for the log."""
        return {
            "method": self.method,
            "path": self.path,
            "headers": dict(self.headers),
            "body": self.json,
            "text": self.body.decode("utf-8", "replace"),
            "bytes_sent": self.bytes_sent,
            "client_left": self.client_left,
            "ended": self.ended,
        }


Handler: TypeAlias = Callable[[Seen], Play]


@dataclass(slots=True, kw_only=True)
class ScriptedServer:
    """Serves one handler and keeps the log; `/_log` and `/_reset` are its own."""

    handler: Handler
    chunk: int = 0
    seen: list[Seen] = field(default_factory=list[Seen])
    _ended: anyio.Event = field(default_factory=anyio.Event)

    async def serve(self, port: int, announce: Callable[[str], None]) -> None:
        """Listen on the loopback address until cancelled."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)

        async with listener:
            announce(f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}")
            await listener.serve(self._connection)

    async def _connection(self, stream: ByteStream) -> None:
        reader = BufferedByteReceiveStream(stream)

        async with stream:
            try:
                while (request := await _read_request(reader)) is not None:
                    if not await self._answer(request, stream, reader):
                        return
            except (anyio.BrokenResourceError, anyio.IncompleteRead, anyio.DelimiterNotFound):
                return

    async def _answer(
        self, request: Seen, stream: ByteStream, reader: BufferedByteReceiveStream
    ) -> bool:
        if request.path.startswith("/_"):
            await _write(stream, await self._own(request), request, 0)
            return True

        if len(self.seen) < _LOG_LIMIT:
            self.seen.append(request)

        play = self.handler(request)
        finished = False

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_watch, stream, reader, request, group)

                # Met here: the group would wrap it, and it concerns this connection alone.
                try:
                    await _write(stream, play, request, self.chunk)
                    finished = play.ending is Ending.COMPLETE
                except anyio.BrokenResourceError:
                    request.client_left = True

                group.cancel_scope.cancel()
        finally:
            request.ended = True
            self._ended.set()
            self._ended = anyio.Event()

        return finished and not request.client_left

    async def _own(self, request: Seen) -> Play:
        path, _, query = request.path.partition("?")

        if path == "/_reset":
            self.seen.clear()
            return Play(body=b"{}")

        if path != "/_log":
            return Play(status=404, body=b"{}")

        name, _, wanted = query.partition("=")

        if name == "ended":
            with anyio.move_on_after(10):
                while sum(entry.ended for entry in self.seen) < int(wanted):
                    await self._ended.wait()

        requests: list[Json] = [entry.as_json() for entry in self.seen]
        return Play(body=json.dumps({"requests": requests}).encode())


async def _watch(
    stream: ByteStream, reader: BufferedByteReceiveStream, request: Seen, group: TaskGroup
) -> None:
    """Notice a client that leaves while the response is being written."""
    while True:
        try:
            reader.feed_data(await stream.receive())
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            request.client_left = True
            group.cancel_scope.cancel()
            return


async def _write(stream: ByteStream, play: Play, request: Seen, chunk: int) -> None:
    if play.delay:
        await anyio.sleep(play.delay)

    if not play.silent:
        await stream.send(_head(play))

    size = chunk if play.chunk is None else play.chunk

    for piece in _pieces(play.body, size):
        data = b"%x\r\n%b\r\n" % (len(piece), piece) if play.streamed else piece
        await stream.send(data)
        request.bytes_sent += len(piece)

        if play.pause:
            await anyio.sleep(play.pause)
        else:
            await checkpoint()

    if play.ending is Ending.HANG:
        await anyio.sleep(_HANG_SECONDS)
    elif play.ending is Ending.COMPLETE and play.streamed:
        await stream.send(b"0\r\n\r\n")


def _head(play: Play) -> bytes:
    reason = _REASONS.get(play.status, "Status")
    lines = [f"HTTP/1.1 {play.status} {reason}", f"content-type: {play.content_type}"]
    lines += [f"{name}: {value}" for name, value in play.headers]

    if play.streamed:
        lines.append("transfer-encoding: chunked")
    else:
        promised = len(play.body) + (0 if play.ending is Ending.COMPLETE else 1)
        lines.append(f"content-length: {promised}")

    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _pieces(body: bytes, size: int) -> Iterator[bytes]:
    step = size or max(1, len(body))

    for start in range(0, len(body), step):
        yield body[start : start + step]


async def _read_request(reader: BufferedByteReceiveStream) -> Seen | None:
    try:
        head = await reader.receive_until(b"\r\n\r\n", _HEAD_LIMIT)
    except anyio.IncompleteRead:
        return None

    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers: dict[str, str] = {}

    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()

    request = Seen(method=method, path=path, headers=headers)

    if headers.get("transfer-encoding", "").lower() == "chunked":
        request.body = await _read_chunked(reader)
    elif length := int(headers.get("content-length", "0")):
        request.body = await reader.receive_exactly(min(length, _BODY_LIMIT))

    return request


async def _read_chunked(reader: BufferedByteReceiveStream) -> bytes:
    body = bytearray()
    size = math.inf

    while size and len(body) < _BODY_LIMIT:
        size = int((await reader.receive_until(b"\r\n", 1024)).split(b";")[0], 16)
        body += await reader.receive_exactly(int(size)) if size else b""
        await reader.receive_until(b"\r\n", 1024)

    return bytes(body)
