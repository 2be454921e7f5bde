"""A client that sends chats over its own connections, and leaves when it is told to.

Bytes and no more: what a library would do for each request is not to be measured.
"""

from __future__ import annotations

import asyncio
import re
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from benchmarks.load import Request

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STATUS_AT = slice(9, 12)
_SECONDS = 30.0


class Leave(Enum):
    """When a client leaves."""

    NEVER = "never"
    BEFORE_THE_ANSWER = "before the answer"
    IN_THE_ANSWER = "in the answer"


class Client:
    """One client; it connects again after it left."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.body = b""
        """Of the last whole answer."""

    async def ask(self, request: Request, leave: Leave = Leave.NEVER) -> int:
        """Send a request and read its answer, or leave; return the status, 0 if there was none."""
        async with asyncio.timeout(_SECONDS):
            reader, writer = await self._connected()
            writer.write(encoded(request))

            if leave is Leave.BEFORE_THE_ANSWER:
                # Long enough to be on its way, short enough to have no answer.
                await asyncio.sleep(0.03)
                await self.close()
                return 0

            head = await reader.readuntil(b"\r\n\r\n")

            if leave is Leave.IN_THE_ANSWER:
                await reader.readuntil(b"\n\n")
                await self.close()
            elif found := _LENGTH.search(head):
                self.body = await reader.readexactly(int(found.group(1)))
            else:
                self.body = await reader.readuntil(b"\r\n0\r\n\r\n")

            return int(head[_STATUS_AT])

    async def close(self) -> None:
        """Leave."""
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            await writer.wait_closed()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=2**20)

        return self._streams


def encoded(request: Request) -> bytes:
    """Return a request as it goes over the wire."""
    lines = [f"POST {request.path} HTTP/1.1", "host: localhost"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines += [f"content-length: {len(request.body)}", "", request.body]
    return "\r\n".join(lines).encode()
