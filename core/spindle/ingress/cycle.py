"""One request and its answer on a connection: uvicorn's cycle, with an answer that costs less.

A head that says its length is held until the body comes, and goes out with it: each write wakes
the client once more. A client of HTTP/1.0 knows no chunks: the end of the connection is the end.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from uvicorn._types import ASGISendEvent, HTTPScope
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LINES: Final = re.compile(
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++: [^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+\r\n"
)
_DECISIVE: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_BODILESS: Final = (204, 304)


class Cycle(RequestResponseCycle):
    """Reads as uvicorn's does, and writes by itself."""

    def __init__(
        self,
        scope: HTTPScope,
        connection: HttpToolsProtocol,
        *,
        keep_alive: bool,
        on_response: Callable[[], None],
    ) -> None:
        self.scope = scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.logger = connection.logger
        self.default_headers = connection.server_state.default_headers
        self.message_event = asyncio.Event()
        self.on_response = on_response
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = connection.expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding = False
        self._left: int | None = None
        """Bytes of the body still to come; None where its length was not said."""
        self._held = b""

    async def send(self, message: ASGISendEvent) -> None:
        """Write an event of the answer; after the client has left, nothing.

        Raises:
            RuntimeError: It does not belong here, or breaks the framing.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()

        if self.disconnected:
            return

        if message["type"] == "http.response.body":
            if not self.response_started or self.response_complete:
                raise RuntimeError("A body needs a head, and ends once.")

            self._write(message.get("body", b""), is_last=not message.get("more_body", False))
        elif message["type"] == "http.response.start" and not self.response_started:
            self.response_started = True
            self.waiting_for_100_continue = False
            self._start(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"{message['type']} at the wrong time.")

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        lines = [STATUS_LINE[status]]
        is_closing = False

        for name, value in (*self.default_headers, *headers):
            lines.append(b"%b: %b\r\n" % (name, value))
            name = name.lower()

            if name not in _DECISIVE:
                continue

            if name == b"content-length":
                self._left = int(value)
            elif name == b"transfer-encoding":
                raise RuntimeError("How an answer is framed is not its handler's to say.")
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive, is_closing = False, True

        if not self.keep_alive and not is_closing:
            lines.append(b"connection: close\r\n")

        if self._left is None:
            self._frame(status, lines)

        lines.append(b"\r\n")
        head = b"".join(lines)

        # Each line is one: no value smuggles in another.
        if head.count(b"\r\n") != len(lines) or not _LINES.fullmatch(head, len(lines[0])):
            raise RuntimeError("An answer has a header that is not valid.")

        if self._left:
            self._held = head
        else:
            self.transport.write(head)

    def _frame(self, status: int, lines: list[bytes]) -> None:
        """Say how the end of a body is known whose length was not said."""
        if status in _BODILESS or self.scope["method"] == "HEAD":
            self._left = 0
        elif self.scope["http_version"] != "1.0":
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")

    def _write(self, body: bytes, *, is_last: bool) -> None:
        if self.chunked_encoding:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""

            if is_last:
                data += b"0\r\n\r\n"
        else:
            data = self._sized(body, is_last=is_last)

        if data:
            self.transport.write(data)

        if is_last:
            self.response_complete = True
            self.message_event.set()

            if not self.keep_alive:
                self.transport.close()

            self.on_response()

    def _sized(self, body: bytes, *, is_last: bool) -> bytes:
        """Return what goes out of a body that is not in chunks, behind the head if that waits."""
        if self.scope["method"] == "HEAD":
            body, self._left = b"", 0
        elif self._left is not None:
            self._left -= len(body)

            if self._left < 0 or (is_last and self._left):
                raise RuntimeError("The body is not as long as its head said.")

        if self._held:
            body, self._held = self._held + body, b""

        return body
