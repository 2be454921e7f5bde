"""The upstream of every row: a tiny HTTP server on uvloop that answers at once, or paced.

`/v1/chat/completions` answers 1 KB of JSON, or 100 chunks spaced evenly when the body asks for a
stream; `/v1/messages` the same in Anthropic's dialect; `/mcp` answers tools/list and tools/call of
protocol 2026-07-28; `GET /` says how many connections are open. Not measured itself.
A body that says `"max_tokens": N` gets a stream of N chunks at once, and one with the user `late`
waits for its answer.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import TYPE_CHECKING, ClassVar

import uvloop

from benchmarks import dialects
from benchmarks.tools import TOOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

GAP = 0.01
LATE = 0.2
"""Seconds until the answer to a body that says `"user": "late"`."""

_META = {"io.modelcontextprotocol/serverInfo": {"name": "bench", "version": "1"}}
_RESULTS: dict[str, dict[str, object]] = {
    "server/discover": {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {}},
        "ttlMs": 3_600_000,
        "cacheScope": "public",
        "_meta": _META,
    },
    "tools/list": {
        "resultType": "complete",
        "tools": TOOLS,
        "ttlMs": 3_600_000,
        "cacheScope": "public",
        "_meta": _META,
    },
    "tools/call": {
        "resultType": "complete",
        "content": [{"type": "text", "text": "hello"}],
        "isError": False,
        "_meta": _META,
    },
}

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STREAMED = re.compile(rb'"stream": *true')
_AT_ONCE = re.compile(rb'"max_tokens": *(\d{1,2})\b')
_IS_LATE = re.compile(rb'"user": *"late"')


class Upstream(asyncio.Protocol):
    """One connection: requests in, canned bytes out."""

    open: ClassVar[int] = 0
    """Connections at this moment."""

    def __init__(self) -> None:
        self._buffer = b""
        self._write: Callable[[bytes], None] = _unconnected
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._write = getattr(transport, "write", _unconnected)
        Upstream.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        Upstream.open -= 1

        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data

        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            found = _LENGTH.search(head)
            total = end + 4 + (int(found.group(1)) if found else 0)

            if len(self._buffer) < total:
                return

            body, self._buffer = self._buffer[end + 4 : total], self._buffer[total:]
            self._answer(head[:80], body)

    def _answer(self, head: bytes, body: bytes) -> None:
        dialect = dialects.ANTHROPIC if b"/messages" in head else dialects.OPENAI

        if head.startswith(b"GET / "):
            # The one that asks is not counted.
            self._send(b"%d" % (Upstream.open - 1))
        elif head.startswith(b"GET "):
            self._send(b'{"object":"list","data":[]}')
        elif b" /mcp " in head:
            self._mcp(body)
        elif _STREAMED.search(body):
            self._spawn(self._stream(dialect, body))
        elif _IS_LATE.search(body):
            self._spawn(self._answer_late(dialect))
        else:
            self._send(dialect.answer)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _mcp(self, body: bytes) -> None:
        message = json.loads(body)
        result = _RESULTS.get(message["method"])
        answer: dict[str, object] = {"jsonrpc": "2.0", "id": message.get("id")}

        if result is None:
            answer["error"] = {"code": -32601, "message": "unknown method"}
        else:
            answer["result"] = result

        self._send(json.dumps(answer).encode())

    def _send(self, body: bytes) -> None:
        self._write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
            + body
        )

    async def _answer_late(self, dialect: dialects.Dialect) -> None:
        await asyncio.sleep(LATE)
        self._send(dialect.answer)

    async def _stream(self, dialect: dialects.Dialect, body: bytes) -> None:
        short = _AT_ONCE.search(body)
        gap = GAP if short is None else 0.0
        events = dialect.events if short is None else dialect.first(int(short.group(1)))

        if _IS_LATE.search(body):
            await asyncio.sleep(LATE)

        self._write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )

        for event in events:
            self._write(b"%x\r\n%b\r\n" % (len(event), event))
            await asyncio.sleep(gap)

        self._write(b"0\r\n\r\n")


def _unconnected(data: bytes) -> None:
    raise ConnectionError(f"{len(data)} bytes for nobody")


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
