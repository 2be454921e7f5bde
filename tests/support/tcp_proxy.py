"""A TCP proxy that can be taken away and put back: refusing, or swallowing everything."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from anyio.abc import SocketAttribute, SocketStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@dataclass(slots=True)
class TcpProxy:
    """Passes bytes on to HOST:PORT while `is_open`; a client is cut when it is not."""

    target: str
    port: int = 0
    is_open: bool = True
    is_deaf: bool = False
    """Connections stay, and nothing passes."""
    _streams: set[SocketStream] = field(default_factory=set[SocketStream])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def cut(self) -> None:
        """Refuse everybody and end every connection."""
        self.is_open = False

        for stream in tuple(self._streams):
            await stream.aclose()

    def mend(self) -> None:
        self.is_open = True
        self.is_deaf = False

    async def handle(self, client: SocketStream) -> None:
        if not self.is_open:
            await client.aclose()
            return

        host, _, port = self.target.rpartition(":")

        async with client, await anyio.connect_tcp(host, int(port)) as server:
            self._streams |= {client, server}

            async with anyio.create_task_group() as group:
                group.start_soon(self._pass_on, client, server, group.cancel_scope)
                group.start_soon(self._pass_on, server, client, group.cancel_scope)

            self._streams -= {client, server}

    async def _pass_on(
        self, source: SocketStream, sink: SocketStream, scope: anyio.CancelScope
    ) -> None:
        try:
            while True:
                data = await source.receive()

                # What was swallowed is lost: the connection is of no use any more.
                if not self.is_deaf:
                    await sink.send(data)
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            scope.cancel()


@asynccontextmanager
async def proxied(target: str) -> AsyncGenerator[TcpProxy]:
    """Give a proxy in front of HOST:PORT."""
    proxy = TcpProxy(target)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        proxy.port = listener.extra(SocketAttribute.local_port)

        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, proxy.handle)
            yield proxy
            group.cancel_scope.cancel()
