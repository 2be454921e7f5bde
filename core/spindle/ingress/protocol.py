"""HTTP/1.1 on the wire: httptools' protocol of uvicorn, with what it leaves to be desired.

An offer to speak another protocol (`Upgrade: h2c` of Java's client, on a POST with a body) is
ignored, as the standard lets a server do; without this the body would be lost. Trailers stay out of
the headers that were decided on. What is no HTTP at all is refused in our envelope, and so is what
is too big, too slow, or one connection too many. Timers are armed only for what did not come whole
in one packet, so that an ordinary request pays for none.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from spindle.ingress.bounds import Bounds, Doorkeeper
from spindle.ingress.cycle import Cycle
from spindle.ingress.lingering import Lingering
from spindle.ingress.requests import new_request_id
from spindle_spi.errors import GatewayError, InvalidArgument, Unavailable
from spindle_spi.shapes import ENVELOPE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from uvicorn._types import ASGI3Application

    from spindle.ingress.proxies import TrustedProxies

_FRAMING: Final = (b"content-length", b"transfer-encoding")
_PER_HEADER: Final = 4
"""Bytes of a header line beside name and value: colon, space, end."""
PROGRESS_BYTES: Final = 1024
"""What of a body has to come in `Bounds.body_seconds`."""
_RETRY_SECONDS: Final = 2.0


class Protocol(HttpToolsProtocol):
    """One connection."""

    door = Doorkeeper()
    """Whoever serves gives a subclass one of its own: `protocol_over`."""

    app: ASGI3Application
    _framing: Sequence[tuple[bytes, bytes]] = ()
    _has_begun = False
    """A first request came, so there is a `cycle`."""
    _bounds: Bounds
    _proxies: TrustedProxies | None = None
    """Set when the peer is one of them."""
    _way: Lingering | None = None
    """Stands for the transport once a request did not come whole in one packet."""
    _refusal: GatewayError | None = None
    _timer: asyncio.TimerHandle | None = None
    _idle_timer: asyncio.TimerHandle | None = None
    _idle_since: float | None = None
    """On the loop's clock; None while there is something to do."""
    _in_head = True
    _fed = 0
    """Bytes of the packets a head came in, what is behind it included."""
    _packet = 0
    _body_fed = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let a client in, or tell it that there is no room."""
        super().connection_made(transport)
        bounds = self._bounds = self.door.bounds
        peer = self.client[0] if self.client is not None else ""

        if not self.door.enter(peer):
            if self.door.total > 2 * bounds.max_connections:
                transport.abort()
                return

            full = Unavailable(
                "There are too many connections.",
                code="core.connections_full",
                retry_after=_RETRY_SECONDS,
            )
            self._refuse(full)
            return

        if bounds.proxies is not None and bounds.proxies.trusts(peer):
            self._proxies = bounds.proxies

        self._arm(bounds.header_seconds, self._on_late_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._disarm()

        if self._idle_timer is not None:
            self._idle_timer.cancel()

        self.door.leave(self.client[0] if self.client is not None else "")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        self._idle_since = None
        way = self._way

        if way is not None and way.is_over:
            way.drop(data)
            return

        self._packet = size = len(data)

        if self._in_head:
            self._fed += size

        try:
            while data:
                data = data[self._parse(data) :]
        except httptools.HttpParserError:
            self._refuse(
                self._refusal
                or InvalidArgument("The request is not valid HTTP.", code="core.http_invalid")
            )
            return

        if self._in_head:
            self._expect_head()
        else:
            self._expect_body(size)

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
        """Refuse what cannot be read."""
        self._refuse(InvalidArgument(msg, code="core.http_invalid"))

    def on_headers_complete(self) -> None:
        """Start the request."""
        bounds = self._bounds

        if (
            len(self.headers) > bounds.header_count
            or len(self.url) > bounds.request_line_bytes
            or max(self._fed, self._packet) > bounds.header_bytes
        ):
            self._check_head()

        if self._proxies is not None:
            self._look_behind(self._proxies)

        self._begin()
        self._has_begun = True
        self._in_head = False
        self._body_fed = 0
        self._disarm()
        self._framing = [header for header in self.headers if header[0] in _FRAMING]
        # From here on come trailers, and the request's headers are decided on already.
        self.headers = []

    def _begin(self) -> None:
        """Hand the request to the application, or let it wait for the one before it."""
        scope, parser = self.scope, self.parser
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        url = httptools.parse_url(self.url)
        scope["raw_path"] = url.path
        path = url.path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["query_string"] = url.query or b""
        # A client of HTTP/1.0 knows no answer before the answer.
        self.expect_100_continue &= version == "1.1"
        is_free = not self._has_begun or self.cycle.response_complete
        self.cycle = Cycle(
            scope,
            self,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

        if is_free:
            self._start_asgi_task(self.cycle, self.app)
        else:
            # Sent ahead.
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_message_complete(self) -> None:
        """End the request; a declined upgrade only ended its head."""
        if not self.parser.should_upgrade():
            self._in_head = True
            self._fed = 0

            if self._way is not None:
                self._way.is_whole = True

            self._disarm()
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the connection, or take what still comes before it is closed."""
        self.server_state.total_requests += 1

        if self._way is not None and self._way.is_over:
            self.flow.resume_reading()
            return

        if self.transport.is_closing():
            return

        self.flow.resume_reading()

        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return

        # One timer for all the pauses of a connection: making and cancelling one for each is dear.
        self._idle_since = self.loop.time()

        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._on_idle)

    def _on_idle(self) -> None:
        """Close a connection that nobody uses."""
        self._idle_timer = None

        # What is answered now arms it again.
        if self._idle_since is None:
            return

        left = self._idle_since + self.timeout_keep_alive - self.loop.time()

        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._on_idle)
        else:
            self.timeout_keep_alive_handler()

    def _expect_head(self) -> None:
        """Bound what is there of a head, and the time for the rest."""
        if self._fed > self._bounds.header_bytes:
            self._refuse(_head_too_big())
        elif self._timer is None and self._fed:
            self._arm(self._bounds.header_seconds, self._on_late_head)

    def _expect_body(self, size: int) -> None:
        """Bound the time for the rest of a body."""
        self._body_fed += size

        if self._timer is None:
            if self._way is None:
                self._way = Lingering(self.transport, self.loop)

            self._way.is_whole = False
            self.cycle.transport = self._way  # type: ignore[assignment]
            self._body_fed = 0
            self._arm(self._bounds.body_seconds, self._on_late_body)

    def _arm(self, seconds: float, late: Callable[[], None]) -> None:
        self._timer = self.loop.call_later(seconds, late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_late_head(self) -> None:
        self._timer = None

        if self._has_begun and not self.cycle.response_complete:
            # The head of the next request, sent ahead: its turn has not come.
            self._arm(self._bounds.header_seconds, self._on_late_head)
        elif self._fed:
            self._refuse(_late("The head of the request"))
        else:
            self.transport.close()

    def _on_late_body(self) -> None:
        self._timer = None
        is_waiting = self.flow.read_paused or self.cycle.waiting_for_100_continue

        if is_waiting or self._body_fed >= PROGRESS_BYTES:
            self._body_fed = 0
            self._arm(self._bounds.body_seconds, self._on_late_body)
        elif self.cycle.response_started:
            self.transport.close()
        else:
            self._refuse(_late("The body of the request"))

    def _check_head(self) -> None:
        """Refuse a head that is too big.

        Raises:
            InvalidArgument: It is; httptools gives a parser error of its own to our caller.
        """
        bounds = self._bounds
        size = len(self.url) + sum(
            len(name) + len(value) + _PER_HEADER for name, value in self.headers
        )

        if len(self.url) > bounds.request_line_bytes:
            self._refusal = InvalidArgument(
                f"The path may have {bounds.request_line_bytes} bytes at most.",
                code="core.path_too_long",
                http_status=414,
            )
        elif size > bounds.header_bytes or len(self.headers) > bounds.header_count:
            self._refusal = _head_too_big()

        if self._refusal is not None:
            raise self._refusal

    def _look_behind(self, proxies: TrustedProxies) -> None:
        """Put the client in the place of the proxy that passes it on."""
        assert self.client is not None
        address = proxies.client_of(self.client[0], self.headers)
        self.scope["client"] = None if address is None else (address, 0)
        scheme = proxies.scheme_of(self.headers)

        if scheme is not None:
            self.scope["scheme"] = scheme

    def _refuse(self, error: GatewayError) -> None:
        """Answer without a request, and close; an answer under way is only cut."""
        self._disarm()

        if self._is_answering():
            self.transport.close()
            return

        if self._has_begun:
            # Whoever works on the request finds its client gone, and says nothing into this.
            self.cycle.disconnected = True
            self.cycle.message_event.set()

        request_id = new_request_id()
        shown = ENVELOPE.render(error, request_id)
        head = [f"HTTP/1.1 {shown.status} {HTTPStatus(shown.status).phrase}"]
        head += [f"x-request-id: {request_id}"]
        head += [f"{name}: {value}" for name, value in shown.headers]
        head += [f"content-length: {len(shown.body)}", "connection: close"]
        self.transport.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + shown.body)
        self.flow.resume_reading()
        self._way = Lingering(self.transport, self.loop)
        self._way.close()

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


def protocol_over(door: Doorkeeper) -> type[Protocol]:
    """Return the protocol whose connections pass by a doorkeeper."""
    return type("Protocol", (Protocol,), {"door": door})


def _head_too_big() -> InvalidArgument:
    return InvalidArgument(
        "The headers of the request are too many or too long.",
        code="core.headers_too_large",
        http_status=431,
    )


def _late(what: str) -> InvalidArgument:
    return InvalidArgument(
        f"{what} did not come in time.", code="core.request_timeout", http_status=408
    )
