"""The protocol on a real socket in this process, in front of a small application."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import anyio
import uvicorn

from spindle.ingress.bounds import Bounds, Doorkeeper
from spindle.ingress.protocol import protocol_over
from spindle_spi.types import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from anyio.abc import SocketStream

    from spindle_spi.types import Message, Receive, Send

Application: TypeAlias = "Callable[[Scope, Receive, Send], Awaitable[None]]"

START: Message = {"type": "http.response.start", "status": 200, "headers": []}


@dataclass(slots=True)
class Wire:
    """A server; `seen` are the scopes of its requests."""

    door: Doorkeeper
    port: int = 0
    seen: list[Scope] = field(default_factory=list[Scope])
    release: anyio.Event = field(default_factory=anyio.Event)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`/refuse` reads nothing, `/hold` answers late, all else answers what it read, in two."""
        self.seen.append(scope)

        if scope["path"] == "/refuse":
            head = {**START, "status": 413, "headers": [(b"content-length", b"7")]}
            await send(head)
            await send({"type": "http.response.body", "body": b"refused"})
            return

        read = b""

        while True:
            message = await receive()

            if message["type"] == "http.disconnect":
                return

            read += message["body"]

            if not message["more_body"]:
                break

        if scope["path"] == "/hold":
            await self.release.wait()

        await send(START)
        await send({"type": "http.response.body", "body": b"got ", "more_body": True})
        await send({"type": "http.response.body", "body": b"%d" % len(read)})

    async def connect(self) -> SocketStream:
        return await anyio.connect_tcp("127.0.0.1", self.port)

    async def ask(self, data: bytes) -> bytes:
        """Send on a connection of its own, and read to its end."""
        async with await self.connect() as stream:
            await stream.send(data)
            return await read_all(stream)


async def read_all(stream: SocketStream) -> bytes:
    """Read until the other side ends the connection."""
    came = b""

    with anyio.fail_after(10):
        try:
            while True:
                came += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return came


@asynccontextmanager
async def wired(
    bounds: Bounds = Bounds(),  # noqa: B008
    keep_alive: int = 5,
    app: Application | None = None,
) -> AsyncGenerator[Wire]:
    """Serve until the block is left: the wire's own application, or another one."""
    wire = Wire(Doorkeeper(bounds))
    server = uvicorn.Server(
        uvicorn.Config(
            wire.app if app is None else app,
            http=protocol_over(wire.door),
            port=0,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=1,
        )
    )
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    wire.port = server.servers[0].sockets[0].getsockname()[1]

    try:
        yield wire
    finally:
        for connection in tuple(server.server_state.connections):
            connection.transport.abort()

        server.servers[0].close()
        await server.shutdown()
