"""The transport over HTTP: aiohttp's connections, one pool for each upstream, all of it bounded.

Of aiohttp the connections and the parser are used. A request of ours is one head and one body, so
what its session does beside that (cookies, redirects, forms, a task to write with) is not needed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from spindle_spi.errors import GatewayError, UpstreamError, UpstreamTimeout
from spindle_transport.exchange import Transport, UpstreamRequest, UpstreamResponse
from spindle_transport.kept_connections import Held, KeptConnections
from spindle_transport.patience import Patience

_POOL_WAIT = 30.0
"""Seconds a request waits for one of the upstream's connections to come free."""

_STALE_WITHIN = 0.5
"""A pooled connection that the upstream has closed fails at once; one at work fails later."""

_UNTIMED = 0.05
"""Seconds before a timer is made for an answer; most have come by then."""

_MOST_ROUTES = 1024
_COPIED = 1024 * 1024
"""Bytes of a body that is copied behind its head, which saves a write."""

_FOREIGN = (aiohttp.ClientError, HttpProcessingError, asyncio.TimeoutError, OSError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLimits:
    """The bounds of one upstream's traffic."""

    connect: float
    """Seconds to make a connection."""
    silence: float
    """Seconds without a byte; may be infinite, where each request has its deadline."""
    connections: int = 1000
    pause: float = 30.0
    """Seconds a connection is kept without being used."""
    verify_cert: bool = True
    resolver: AbstractResolver | None = None
    """Who finds addresses of hosts; None is the system's way."""


class _Route:
    """Where requests to one URL go."""

    __slots__ = ("_begin", "_headers", "_method", "address", "host", "place", "target")

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        parsed = URL(url)
        self.address = aiohttp.ClientRequest("POST", parsed, loop=loop)
        """How the pool makes connections; it is never sent."""
        self.place = self.address.connection_key
        """What connections are told apart by."""
        self.target = parsed.raw_path_qs
        named = self.address.headers
        self.host = "".join(
            f"{name}: {named[name]}\r\n" for name in ("Host", "Authorization") if name in named
        )
        self._method = ""
        self._headers: Mapping[str, str] = {}
        self._begin = ""

    def head(self, request: UpstreamRequest) -> bytes:
        """Return the head of a request.

        Raises:
            ValueError: A header would be more than one.
        """
        method, headers = request.method, request.headers

        # A provider's headers are the same object until its record or its key changes, and it is
        # held here, so that no other one comes to be in its place.
        if headers is not self._headers or method != self._method:
            self._begin = f"{method} {self.target} HTTP/1.1\r\n{self.host}{_lines(headers)}"
            self._method, self._headers = method, headers

        size = len(request.body)

        if size or method == "POST":
            return f"{self._begin}Content-Length: {size}\r\n\r\n".encode()

        return f"{self._begin}\r\n".encode()


class AiohttpTransport(Transport):
    """Make it inside the running loop; the connections belong to it."""

    def __init__(self, limits: TransportLimits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._routes: dict[str, _Route] = {}
        self._timeout = self._bound(_POOL_WAIT)
        self._patience = Patience(_UNTIMED)
        self._connector = aiohttp.TCPConnector(
            limit=limits.connections,
            keepalive_timeout=limits.pause,
            ssl=bool(limits.verify_cert),
            resolver=limits.resolver,
        )
        self._connections = KeptConnections(
            self._connector, self._loop, limit=limits.connections, pause=limits.pause
        )

    async def open(self, request: UpstreamRequest) -> AiohttpResponse:
        """Send a request; a connection that turns out to be closed already is replaced once."""
        started = time.monotonic()

        try:
            return await self._send(request)
        except aiohttp.ServerDisconnectedError as exc:
            if not request.is_repeatable or time.monotonic() - started > _STALE_WITHIN:
                raise _translated(exc) from exc
        except _FOREIGN as exc:
            raise _translated(exc) from exc

        try:
            return await self._send(request)
        except _FOREIGN as exc:
            raise _translated(exc) from exc

    async def close(self) -> None:
        """Close every connection."""
        self._connections.close_kept()
        await self._connector.close()

    async def _send(self, request: UpstreamRequest) -> AiohttpResponse:
        if self._connector.closed:
            raise RuntimeError("The transport is closed.")

        route = self._routes.get(request.url) or self._route(request.url)
        left = None if request.deadline is None else request.deadline - time.monotonic()

        if left is not None and left <= 0:
            raise UpstreamTimeout("The call's time was over before the upstream was asked.")

        head = route.head(request)
        connections, place = self._connections, route.place
        held = connections.take(place)

        if held is None:
            timeout = self._timeout if left is None else self._bound(left)
            held = await connections.connect(place, route.address, timeout)

        if held is None:
            raise aiohttp.ServerDisconnectedError

        held.prepare(is_bodiless=request.method == "HEAD")
        transport = held.transport

        if len(request.body) <= _COPIED:
            transport.write(head + request.body)
        else:
            transport.write(head)
            transport.write(request.body)

        silence = min(request.silence or self._limits.silence, self._limits.silence)
        response = AiohttpResponse(held, connections, self._loop, silence, request.deadline)
        response.watch(self._patience)

        try:
            await response.begin()
        except BaseException:
            response.abandon()
            raise

        return response

    def _route(self, url: str) -> _Route:
        if len(self._routes) >= _MOST_ROUTES:
            self._routes.clear()

        route = self._routes[url] = _Route(url, self._loop)
        return route

    def _bound(self, seconds: float) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(
            total=None,
            connect=min(_POOL_WAIT, seconds),
            sock_connect=min(self._limits.connect, seconds),
        )


class AiohttpResponse(UpstreamResponse, AsyncIterator[bytes]):
    """An answer on its connection; its own iterator, because a generator costs a task to close.

    One timer watches over it. It looks when the answer may have been silent for too long, so that
    nothing is done about it for each read.
    """

    __slots__ = (
        "_connections",
        "_content",
        "_deadline",
        "_headers",
        "_held",
        "_loop",
        "_protocol",
        "_silence",
        "_status",
        "_timer",
        "_waits_since",
        "is_over",
    )

    def __init__(
        self,
        held: Held,
        connections: KeptConnections,
        loop: asyncio.AbstractEventLoop,
        silence: float,
        deadline: float | None,
    ) -> None:
        self._held: Held | None = held
        self._connections = connections
        self._protocol = held.protocol
        self._loop = loop
        self._silence = silence
        self._deadline = inf if deadline is None else deadline
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._content = aiohttp.EMPTY_PAYLOAD
        self._waits_since = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self.is_over = False
        """Nobody reads on."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        return self._headers

    def watch(self, patience: Patience) -> None:
        """See to it that no wait is too long; what takes no time at all needs no timer."""
        now = self._waits_since
        due = min(now + self._silence, self._deadline)

        if due - now > 2 * _UNTIMED:
            patience.add(self)
        else:
            self._look_in(due - now)

    async def begin(self) -> None:
        """Wait for status and headers."""
        while True:
            message, content = await self._protocol.read()
            status = message.code

            # What is said before the answer is none.
            if status >= 200 or status == 101:
                break

        self._status = status
        self._headers = message.headers
        self._content = content
        self._waits_since = inf

    def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the body, one item per read."""
        return self

    async def __anext__(self) -> bytes:
        """Return what the next read gives."""
        # The usual whole answer came in one piece: there is nothing to wait for.
        if self._content.at_eof():
            raise StopAsyncIteration

        self._waits_since = time.monotonic()

        try:
            data = await self._content.readany()
        except _FOREIGN as exc:
            raise _translated(exc) from exc

        self._waits_since = inf

        if not data:
            raise StopAsyncIteration

        return data

    async def aclose(self, *, patience: float = 0.0) -> None:
        """Give the connection back if the body was read to its end; close it otherwise."""
        if patience and not self._content.at_eof():
            with suppress(*_FOREIGN):
                async with asyncio.timeout(patience):
                    while await self._content.readany():
                        pass

        self._end(is_whole=self._content.at_eof())

    def extend(self, seconds: float) -> None:
        """Move the deadline that the request had to so long from now."""
        # The timer finds that out when it looks.
        self._deadline = time.monotonic() + seconds

    def abandon(self) -> None:
        """Close the connection."""
        self._end(is_whole=False)

    def _end(self, *, is_whole: bool) -> None:
        held, self._held = self._held, None
        self.is_over = True

        if self._timer is not None:
            self._timer.cancel()

        if held is None:
            return

        if is_whole:
            self._connections.release(held)
        else:
            self._connections.close(held)

    def late(self) -> None:
        """End a wait that has been too long; look again when it may be."""
        if self.is_over:
            return

        now = time.monotonic()
        since = min(self._waits_since, now)
        due = min(since + self._silence, self._deadline)

        if due > now:
            self._look_in(due - now)
            return

        late = aiohttp.SocketTimeoutError()

        if self._status:
            self._content.set_exception(late)
        else:
            self._protocol.set_exception(late)

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()

        self._timer = self._loop.call_later(seconds, self.late)


def _lines(headers: Mapping[str, str]) -> str:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])

    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers) or "\0" in lines:
        raise ValueError("A header of a request is not valid.")

    return lines


def _translated(exc: Exception) -> GatewayError:
    """Return the error of ours for one of aiohttp's; its text may tell of internals, ours not."""
    if isinstance(exc, asyncio.TimeoutError):
        return UpstreamTimeout("The upstream did not answer in time.")

    if isinstance(exc, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
        return UpstreamError(
            "The upstream's certificate is not accepted.",
            code="upstream_certificate",
            retryable=False,
        )

    if isinstance(exc, aiohttp.ClientConnectorError):
        return UpstreamError(
            "The upstream cannot be reached.", code="upstream_unreachable", http_status=503
        )

    if isinstance(exc, aiohttp.ClientPayloadError):
        return UpstreamError("The upstream cut its answer.", code="upstream_cut")

    if isinstance(exc, HttpProcessingError | ValueError):
        return UpstreamError("The upstream does not speak HTTP.", code="upstream_garbage")

    return UpstreamError("The upstream closed the connection.", code="upstream_closed")
