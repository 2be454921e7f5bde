"""HTTP/1.1 on the wire: httptools' protocol of uvicorn, with what it leaves to be desired.

An offer to speak another protocol (`Upgrade: h2c` of Java's client, on a POST with a body) is
ignored, as the standard lets a server do; without this the body would be lost. Trailers stay out of
the headers that were decided on. What is no HTTP at all is refused in our envelope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from spindle.ingress.requests import new_request_id
from spindle_spi.errors import InvalidArgument
from spindle_spi.shapes import ENVELOPE

if TYPE_CHECKING:
    from collections.abc import Sequence

_FRAMING: Final = (b"content-length", b"transfer-encoding")


class Protocol(HttpToolsProtocol):
    """One connection."""

    _framing: Sequence[tuple[bytes, bytes]] = ()
    _has_begun = False
    """A first request came, so there is a `cycle`."""

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        self._unset_keepalive_if_required()

        try:
            while data:
                data = data[self._parse(data) :]
        except httptools.HttpParserError:
            self.send_400_response("The request is not valid HTTP.")

    def _parse(self, data: bytes) -> int:
        """Parse up to the end, or to behind a head with an offer; return how far."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            rest: int = offer.args[0]
            self._decline_upgrade()
            return rest

        return len(data)

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, and close; an answer under way is only cut."""
        if self._is_answering():
            self.transport.close()
            return

        request_id = new_request_id()
        error = ENVELOPE.render(InvalidArgument(msg, code="core.http_invalid"), request_id)
        head = [f"HTTP/1.1 {error.status} Bad Request", f"x-request-id: {request_id}"]
        head += [f"{name}: {value}" for name, value in error.headers]
        head += [f"content-length: {len(error.body)}", "connection: close"]
        self.transport.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + error.body)
        self.transport.close()

    def on_headers_complete(self) -> None:
        """Start the request."""
        super().on_headers_complete()
        self._has_begun = True
        self._framing = [header for header in self.headers if header[0] in _FRAMING]
        # From here on come trailers, and the request's headers are decided on already.
        self.headers = []

    def on_message_complete(self) -> None:
        """End the request; a declined upgrade only ended its head."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _is_answering(self) -> bool:
        cycle = self.cycle if self._has_begun else None
        return cycle is not None and cycle.response_started and not cycle.response_complete

    def _decline_upgrade(self) -> None:
        """Go on behind the head with a parser that knows nothing of the offer."""
        lines = [name + b": " + value for name, value in self._framing]
        again = _Again(self)
        self.parser = httptools.HttpRequestParser(again)
        self.parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *lines, b"", b""]))
        again.is_known = False


class _Again:
    """Passes on what a parser hears, once the head it is told a second time is over.

    Apart from the protocol so that only connections with such an offer pay for it.
    """

    def __init__(self, protocol: Protocol) -> None:
        self.is_known = True
        self._protocol = protocol
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete

    def on_message_begin(self) -> None:
        if not self.is_known:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self.is_known:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_known:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self.is_known:
            self._protocol.on_headers_complete()
