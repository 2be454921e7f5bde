"""HTTP to identity providers: guarded addresses, bounded answers, no redirects, no proxies."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import httpx2
import msgspec

from spindle.config.auth import is_loopback_host
from spindle.egress import safe_address
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from spindle_spi.types import Json, JsonObject

SECONDS = 5.0
"""Longest any exchange with a provider may take."""

_MAX_BYTES = 1_048_576


class FetchFailed(Exception):
    """The provider gave nothing usable; the reason is for the log, never for a client."""


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, limit: int) -> None:
        self._inner = inner
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = 0

        async for chunk in self._inner:
            length += len(chunk)

            if length > self._limit:
                raise FetchFailed("the answer is too long")

            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Connects to the address that was judged, and to no other."""

    def __init__(self, hosts: Iterable[str], *, max_bytes: int = _MAX_BYTES) -> None:
        self._hosts = frozenset(hosts)
        self._max_bytes = max_bytes
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request.

        Raises:
            FetchFailed: The address is refused, or the answer is too long.
        """
        url = request.url

        if url.scheme != "https" and not (is_loopback_host(url.host) and url.host in self._hosts):
            raise FetchFailed("the address is not https")

        try:
            address = await safe_address(str(url), self._hosts)
        except InvalidArgument as exc:
            raise FetchFailed("the address is refused") from exc

        # The certificate is still that of the name; only the look-up is not repeated.
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        request.headers["host"] = url.netloc.decode("ascii")
        # What unpacks to more than the bound would pass the count of bytes on the wire.
        request.headers["accept-encoding"] = "identity"
        request.url = url.copy_with(host=address)
        response = await self._inner.handle_async_request(request)

        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise FetchFailed("the answer is packed")

        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        response.stream = _BoundedStream(stream, self._max_bytes)
        return response

    async def aclose(self) -> None:
        """Close its connections."""
        await self._inner.aclose()


def hosts_of(*urls: str | None) -> frozenset[str]:
    """Return the hosts of URLs the operator wrote: those are the operator's own choice."""
    return frozenset(
        host for url in urls if url is not None and (host := urlsplit(url).hostname) is not None
    )


async def fetch_json(
    url: str, *, hosts: Iterable[str], headers: dict[str, str] | None = None
) -> JsonObject:
    """Return the JSON object at a URL.

    Raises:
        FetchFailed: There is none.
    """
    try:
        with anyio.fail_after(SECONDS):
            async with httpx2.AsyncClient(
                transport=GuardedTransport(hosts), trust_env=False, timeout=SECONDS
            ) as client:
                response = await client.get(
                    url, headers={"accept": "application/json"} | (headers or {})
                )
    except TimeoutError as exc:
        raise FetchFailed("no answer in time") from exc
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as exc:
        raise FetchFailed(type(exc).__name__) from exc

    if response.status_code != 200:
        raise FetchFailed(f"status {response.status_code}")

    return json_object(response.content)


def json_object(text: bytes | str) -> JsonObject:
    """Return text as a JSON object.

    Raises:
        FetchFailed: It is none.
    """
    try:
        value: Json = msgspec.json.decode(text)
    except (ValueError, RecursionError) as exc:
        raise FetchFailed("no JSON") from exc

    if not isinstance(value, dict):
        raise FetchFailed("no JSON object")

    return value
