"""One request and its answer: what passes between a handler and the server is watched here."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from spindle_spi.errors import GatewayError, Origin, PayloadTooLarge, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from spindle_spi.context import Subject, TraceContext
    from spindle_spi.shapes import ErrorShape
    from spindle_spi.types import Message, Receive, Send

HeaderPairs: TypeAlias = "Iterable[tuple[bytes, bytes]]"

_REQUEST_ID = b"x-request-id"
_ORIGIN = b"x-spindle-origin"
_AUTHENTICATE = b"www-authenticate"
_FIRST_ERROR = 400
_FIRST_OF_SERVER = 500
CLOSE = (b"connection", b"close")

SECURITY: Sequence[tuple[bytes, bytes]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
"""On every answer of the control plane; what a handler says itself stands."""
SECURITY_TLS: Sequence[tuple[bytes, bytes]] = (
    *SECURITY,
    (b"strict-transport-security", b"max-age=31536000"),
)
"""The same where the client came by https."""


class ConnectionCut(Exception):
    """Raised to the server to end a connection whose answer cannot be finished."""


class Exchange:
    """The `receive` and `send` a handler gets.

    Counts bytes, bounds the body, adds the request id, and cuts the answer of a caller whose token
    was revoked or changed at its next event.
    """

    __slots__ = (
        "_receive",
        "_send",
        "added",
        "body_limit",
        "challenge",
        "errors",
        "is_complete",
        "is_current",
        "is_gone",
        "is_head",
        "is_started",
        "received",
        "refusal",
        "request_id",
        "sent",
        "status",
        "parent_span",
        "subject",
        "trace",
    )

    def __init__(
        self, receive: Receive, send: Send, *, request_id: str, errors: ErrorShape, is_head: bool
    ) -> None:
        self._receive = receive
        self._send = send
        self.request_id = request_id
        self.errors = errors
        self.is_head = is_head
        self.body_limit = 0
        self.added: Sequence[tuple[bytes, bytes]] = ()
        """Headers the answer gets beside its own, unless it names them itself."""
        self.challenge: bytes | None = None
        """`WWW-Authenticate` of a refusal, in the place of the shape's own."""
        self.trace: TraceContext | None = None
        """Of a request that is traced."""
        self.parent_span: str | None = None
        self.subject: Subject | None = None
        self.is_current: Callable[[Subject], bool] | None = None
        self.status = 0
        self.sent = 0
        self.received = 0
        self.is_started = False
        self.is_complete = False
        self.is_gone = False
        """The client has left."""
        self.refusal: GatewayError | None = None
        """Raised out of `receive` or `send`; it stands even when a handler swallows it."""

    def watch(self, subject: Subject, is_current: Callable[[Subject], bool]) -> None:
        """Cut the answer when this caller's token stops being current."""
        self.subject = subject
        self.is_current = is_current

    async def receive(self) -> Message:
        """Return the next event of the request.

        Raises:
            PayloadTooLarge: The body is bigger than the route takes.
        """
        message = await self._receive()

        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))

            if self.received > self.body_limit:
                raise self._refuse(too_large(self.body_limit))
        else:
            self.is_gone = not self.is_complete

        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Pass the next event of the answer on; returns the server's own awaitable.

        Raises:
            Unauthenticated: The caller's token was revoked; nothing more goes out.
        """
        check, subject = self.is_current, self.subject

        if check is not None and subject is not None and not check(subject):
            raise self._refuse(Unauthenticated("The token is not valid any more."))

        if message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))
            self.is_complete = not message.get("more_body", False)

            if self.is_head:
                return self._end_head()
        elif message["type"] == "http.response.start":
            self.is_started = True
            self.status = message["status"]
            message = self._with_request_id(message)

            if self.status >= _FIRST_ERROR:
                message = _with_origin(message)

        return self._send(message)

    async def fail(self, error: GatewayError, extra: HeaderPairs = ()) -> None:
        """Answer with an error in the route's shape; nothing may have been sent before."""
        rendered = self.errors.render(error, self.request_id)
        headers = [(name.encode("latin-1"), value.encode()) for name, value in rendered.headers]

        if self.challenge is not None:
            headers = [pair for pair in headers if pair[0] != _AUTHENTICATE]
            headers.append((_AUTHENTICATE, self.challenge))

        headers += [(b"content-length", b"%d" % len(rendered.body)), *extra]
        start: Message = {
            "type": "http.response.start",
            "status": rendered.status,
            "headers": headers,
        }
        self.is_started = True
        self.is_complete = True
        self.status = rendered.status
        self.sent += len(rendered.body)
        await self._send(self._with_request_id(start))
        await self._send({"type": "http.response.body", "body": rendered.body})

    def _refuse(self, error: GatewayError) -> GatewayError:
        self.refusal = error
        return error

    def _with_request_id(self, message: Message) -> Message:
        headers: HeaderPairs = message.get("headers", ())

        if self.added:
            named = {name for name, _ in headers}
            headers = [*headers, *(pair for pair in self.added if pair[0] not in named)]
            message = {**message, "headers": headers}

        for name, _ in headers:
            if name == _REQUEST_ID:
                return message

        # A handler may send the same constant message to everybody, so it is not changed.
        added = (_REQUEST_ID, self.request_id.encode())
        return {**message, "headers": [*headers, added]}

    async def _end_head(self) -> None:
        # An answer to HEAD ends with its head, even where GET would stream for hours.
        if not self.is_gone:
            self.is_complete = True
            self.is_gone = True
            await self._send({"type": "http.response.body", "body": b""})


def _with_origin(message: Message) -> Message:
    """Return a start that says whose error it is; what a handler's library refused says nothing."""
    headers: HeaderPairs = message.get("headers", ())

    if any(name == _ORIGIN for name, _ in headers):
        return message

    origin = Origin.CLIENT if message["status"] < _FIRST_OF_SERVER else Origin.MODULE
    return {**message, "headers": [*headers, (_ORIGIN, origin.value.encode())]}


def too_large(limit: int) -> PayloadTooLarge:
    """Return the error for a body over `limit` bytes."""
    return PayloadTooLarge(f"The request body may have {limit} bytes at most.")
