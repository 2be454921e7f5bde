"""HTTP with server-sent events as the protocol had it in 2024: one stream in, a POST for each out.

Our own, because the SDK's loses every message after the first that cannot be delivered, and takes
events of any length.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

import anyio
import httpx2
from mcp.shared.message import SessionMessage

from spindle_mcp.text import decode
from spindle_mcp.upstream.connections.streams import TRANSPORT_FAILED, Arrivals, written
from spindle_mcp.upstream.credentials.proven import ProvenTransport
from spindle_mcp.upstream.faults import garbled, refused_by_status, too_long, too_slow, unreachable
from spindle_mcp.upstream.http.pinned import pin
from spindle_mcp.upstream.http.sse import EventReader, EventTooLong
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp_types.jsonrpc import JSONRPCMessage

    from spindle_mcp.upstream.connections.base import Endpoint
    from spindle_mcp.upstream.connections.streams import TransportStreams

_FORGOTTEN: Final = frozenset({404, 410})
"""What servers answer when they do not know the session in the address of a POST."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@asynccontextmanager
async def sse_streams(endpoint: Endpoint) -> AsyncGenerator[TransportStreams]:
    """Open the event stream of an upstream, and the streams of a session over it.

    Raises:
        GatewayError: The upstream cannot be reached, refuses, or names no address for messages.
    """
    put, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, taken = anyio.create_memory_object_stream[SessionMessage](0)

    with put, incoming, outgoing, taken:
        async with _client(endpoint) as client, _events(client, endpoint) as events:
            way = _Way(client, endpoint, put)

            with anyio.move_on_after(endpoint.connect_seconds) as scope:
                await way.find_target(events)

            if scope.cancelled_caught:
                raise too_slow(endpoint.gateway)

            async with anyio.create_task_group() as group:
                group.start_soon(way.receive, events)
                group.start_soon(way.send, taken)
                yield incoming, outgoing
                group.cancel_scope.cancel()


class _Way:
    """One session's way in both directions."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        endpoint: Endpoint,
        put: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._put = put
        self._arrivals = Arrivals(put)
        self._target = ""

    async def find_target(self, events: AsyncIterator[tuple[bytes, bytes]]) -> None:
        """Wait for the address that messages go to.

        Raises:
            UpstreamError: There is none, or it is somebody else's.
        """
        async for event, data in events:
            if event != b"endpoint":
                continue

            target = _joined(self._endpoint.url, data.decode(errors="replace"))

            # The credential goes with every message: nobody else is sent it.
            if target is None or _origin(target) != _origin(self._endpoint.url):
                raise garbled(self._endpoint.gateway, "an address for messages of another origin")

            self._target = target
            return

        raise unreachable(self._endpoint.gateway)

    async def receive(self, events: AsyncIterator[tuple[bytes, bytes]]) -> None:
        """Hand on what comes until the stream ends; a session does not outlive its stream."""
        failure: UpstreamError = unreachable(self._endpoint.gateway)

        with self._put:
            try:
                async for event, data in events:
                    if event == b"message":
                        await self._take(data)
            except UpstreamError as exc:
                failure = exc

            await self._arrivals.fail_all(failure)

    async def send(self, taken: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Deliver each message by itself: a slow one does not hold up the others."""
        async with anyio.create_task_group() as group:
            async for message in taken:
                self._arrivals.expect(message.message)
                group.start_soon(self._deliver, message.message)

    async def _take(self, data: bytes) -> None:
        try:
            message = decode(data)
        except ValueError:
            return

        await self._arrivals.take(message)

    async def _deliver(self, message: JSONRPCMessage) -> None:
        try:
            async with self._client.stream(
                "POST",
                self._target,
                content=written(message),
                headers={"content-type": "application/json"},
            ) as response:
                status = response.status_code
        except httpx2.TransportError:
            await self._arrivals.fail(message, TRANSPORT_FAILED)
            return

        if status in _FORGOTTEN:
            await self._arrivals.lose_session(message)
        elif not 200 <= status < 300:
            await self._arrivals.fail(message, TRANSPORT_FAILED)


class _Pinning(httpx2.AsyncBaseTransport):
    """Connects to a judged address."""

    def __init__(self, endpoint: Endpoint) -> None:
        # One connection is the event stream's.
        limits = httpx2.Limits(max_connections=endpoint.max_connections + 1)
        self._inner = httpx2.AsyncHTTPTransport(limits=limits)
        self._address = endpoint.address

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._address is not None:
            pin(request, self._address)

        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _client(endpoint: Endpoint) -> httpx2.AsyncClient:
    headers: dict[str, str] = {}

    if endpoint.credential is not None:
        headers["authorization"] = f"Bearer {endpoint.credential.reveal()}"

    timeout = httpx2.Timeout(endpoint.connect_seconds, read=None, pool=None)
    return httpx2.AsyncClient(
        headers=headers, timeout=timeout, transport=ProvenTransport(endpoint, _Pinning(endpoint))
    )


@asynccontextmanager
async def _events(
    client: httpx2.AsyncClient, endpoint: Endpoint
) -> AsyncGenerator[AsyncIterator[tuple[bytes, bytes]]]:
    gateway = endpoint.gateway

    headers = {"accept": "text/event-stream", "cache-control": "no-store"}
    request = client.build_request("GET", endpoint.url, headers=headers)

    try:
        with anyio.fail_after(endpoint.connect_seconds):
            response = await client.send(request, stream=True)
    except httpx2.TransportError as exc:
        raise unreachable(gateway) from exc
    except TimeoutError as exc:
        raise too_slow(gateway) from exc

    try:
        if response.status_code != 200:
            raise refused_by_status(
                gateway, response.status_code, response.headers.get("retry-after")
            )

        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise garbled(gateway, "something that is no event stream")

        async with aclosing(_read(response, endpoint)) as events:
            yield events
    finally:
        with anyio.CancelScope(shield=True):
            await response.aclose()


async def _read(
    response: httpx2.Response, endpoint: Endpoint
) -> AsyncGenerator[tuple[bytes, bytes]]:
    reader = EventReader(endpoint.max_result_bytes)

    try:
        async for chunk in response.aiter_bytes():
            for event in reader.feed_events(chunk):
                yield event
    except EventTooLong as exc:
        raise too_long(endpoint.gateway) from exc
    except httpx2.TransportError as exc:
        raise unreachable(endpoint.gateway) from exc


def _joined(url: str, target: str) -> str | None:
    try:
        joined = urljoin(url, target)
        # Also a port that is none is found here.
        _origin(joined)
    except ValueError:
        return None

    return joined


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
