"""The transport over HTTP: one aiohttp session for each provider, every wait and size bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from yarl import URL

from spindle_llm.relay.transport import Transport, UpstreamRequest, UpstreamResponse
from spindle_spi.errors import GatewayError, UpstreamError, UpstreamTimeout

_POOL_WAIT = 30.0
"""Seconds a request waits for one of the provider's connections to come free."""

_STALE_WITHIN = 0.5
"""A pooled connection that the upstream has closed fails at once; one at work fails later."""

_FOREIGN = (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLimits:
    """The bounds of one provider's traffic."""

    connect: float
    """Seconds to make a connection."""
    silence: float
    """Seconds without a byte."""
    connections: int = 1000
    verify_cert: bool = True


class AiohttpTransport(Transport):
    """Make it inside the running loop; the session belongs to it."""

    def __init__(self, limits: TransportLimits) -> None:
        self._limits = limits
        self._urls: dict[str, URL] = {}
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=_POOL_WAIT, sock_connect=limits.connect, sock_read=limits.silence
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limits.connections,
                keepalive_timeout=30.0,
                ssl=bool(limits.verify_cert),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            trust_env=False,
            raise_for_status=False,
        )

    async def open(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a request; a connection that turns out to be closed already is replaced once."""
        started = time.monotonic()

        try:
            return await self._send(request)
        except aiohttp.ServerDisconnectedError as exc:
            if time.monotonic() - started > _STALE_WITHIN:
                raise _translated(exc) from exc
        except _FOREIGN as exc:
            raise _translated(exc) from exc

        try:
            return await self._send(request)
        except _FOREIGN as exc:
            raise _translated(exc) from exc

    async def close(self) -> None:
        """Close the session and what is open in it."""
        await self._session.close()

    async def _send(self, request: UpstreamRequest) -> UpstreamResponse:
        url = self._urls.get(request.url)

        if url is None:
            url = self._urls[request.url] = URL(request.url)

        response = await self._session.request(
            request.method,
            url,
            data=request.body or None,
            headers=request.headers,
            allow_redirects=False,
            timeout=self._timeout_of(request),
        )
        return AiohttpResponse(response)

    def _timeout_of(self, request: UpstreamRequest) -> aiohttp.ClientTimeout:
        if request.silence is None and request.deadline is None:
            return self._timeout

        silence = min(request.silence or self._limits.silence, self._limits.silence)
        total = None if request.deadline is None else request.deadline - time.monotonic()

        if total is not None and total <= 0:
            raise UpstreamTimeout("The call's time was over before the upstream was asked.")

        return aiohttp.ClientTimeout(
            total=total, connect=_POOL_WAIT, sock_connect=self._limits.connect, sock_read=silence
        )


class AiohttpResponse(UpstreamResponse, AsyncIterator[bytes]):
    """An answer of aiohttp; its own iterator, because a generator would cost a task to close."""

    __slots__ = ("_content", "_response")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        return self._response.headers

    def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the body, one item per read."""
        return self

    async def __anext__(self) -> bytes:
        """Return what the next read gives."""
        try:
            data = await self._content.readany()
        except _FOREIGN as exc:
            raise _translated(exc) from exc

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

        if self._content.at_eof():
            self._response.release()
        else:
            self._response.close()


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
        return UpstreamError("The upstream cannot be reached.", code="upstream_unreachable")

    if isinstance(exc, aiohttp.ClientPayloadError):
        return UpstreamError("The upstream cut its answer.", code="upstream_cut")

    if isinstance(exc, aiohttp.ClientResponseError | ValueError):
        return UpstreamError("The upstream does not speak HTTP.", code="upstream_garbage")

    return UpstreamError("The upstream closed the connection.", code="upstream_closed")
