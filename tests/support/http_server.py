"""A small HTTP server on a loopback port for fakes of other parties: real sockets, HTTP/1.1."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from anyio.abc import SocketAttribute

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from anyio.abc import SocketStream


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """What goes back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])


@asynccontextmanager
async def serve_http(answer: Callable[[Asked], Awaitable[Answered]]) -> AsyncGenerator[str]:
    """Serve on a free port; yields the URL. One request for each connection."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port: int = listener.extra(SocketAttribute.local_port)

    async def handle(stream: SocketStream) -> None:
        async with stream:
            try:
                asked = await _read(stream)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

            answered = await answer(asked)
            headers = {
                "content-type": "application/json",
                "content-length": str(len(answered.body)),
                "connection": "close",
            } | answered.headers
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())

            try:
                await stream.send(f"HTTP/1.1 {answered.status} X\r\n{lines}\r\n".encode())
                await stream.send(answered.body)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                # The client had enough of it.
                return

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)

        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            group.cancel_scope.cancel()


async def _read(stream: SocketStream) -> Asked:
    data = b""

    while b"\r\n\r\n" not in data:
        data += await stream.receive()

    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }

    while len(body) < int(headers.get("content-length", "0")):
        body += await stream.receive()

    return Asked(method, target, headers, body)
