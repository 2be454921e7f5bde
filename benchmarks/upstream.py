"""The upstream of every row: a tiny HTTP server on uvloop that answers at once, or paced.

`/v1/chat/completions` answers 1 KB of JSON, or 100 chunks spaced evenly when the body asks for a
stream; `/mcp` answers tools/list and tools/call of protocol 2026-07-28. Not measured itself.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNKS = 100
GAP = 0.01
MODEL = "bench"

_ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "x" * 700, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 200, "completion_tokens": 150, "total_tokens": 350},
    }
).encode()

_TOOL = {
    "name": "echo",
    "description": "Echo the text.",
    "inputSchema": {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    },
}
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
        "tools": [_TOOL],
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


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    event = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        "usage": None,
    }
    return b"data: " + json.dumps(event).encode() + b"\n\n"


_USAGE = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"bench","choices":[],"usage":{"prompt_tokens":200,"completion_tokens":100,'
    b'"total_tokens":300}}\n\ndata: [DONE]\n\n'
)
_STREAM = [
    _chunk({"role": "assistant", "content": ""}),
    *(_chunk({"content": f"word{number} "}) for number in range(CHUNKS - 2)),
    _chunk({}, "stop") + _USAGE,
]


class Upstream(asyncio.Protocol):
    """One connection: requests in, canned bytes out."""

    def __init__(self) -> None:
        self._buffer = b""
        self._write: Callable[[bytes], None] = _unconnected
        self._streams: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._write = getattr(transport, "write", _unconnected)

    def connection_lost(self, exc: Exception | None) -> None:
        for task in self._streams:
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
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if b" /mcp " in head[:40]:
            self._mcp(body)
        elif re.search(rb'"stream": *true', body):
            task = asyncio.ensure_future(self._stream())
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)
        else:
            self._send(_ANSWER)

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

    async def _stream(self) -> None:
        self._write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )

        for event in _STREAM:
            self._write(b"%x\r\n%b\r\n" % (len(event), event))
            await asyncio.sleep(GAP)

        self._write(b"0\r\n\r\n")


def _unconnected(data: bytes) -> None:
    raise ConnectionError(f"{len(data)} bytes for nobody")


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
