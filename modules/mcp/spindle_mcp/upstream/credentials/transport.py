"""HTTP to authorization servers: judged addresses, bounded answers, no redirects, no proxies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio
import httpx2

from spindle_mcp.text import decode
from spindle_mcp.upstream.credentials.faults import ServerFailed
from spindle_spi.errors import GatewayError

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

Judge: TypeAlias = Callable[[str], Awaitable[str]]
"""Returns where to connect for a URL, or raises a GatewayError."""

SECONDS: Final = 10.0
"""Longest any exchange with an authorization server may take."""

_MAX_BYTES: Final = 262_144
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine."""


class JudgedTransport(httpx2.AsyncBaseTransport):
    """Connects to the address that was judged, and to no other."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request.

        Raises:
            ServerFailed: The address is refused, or the answer is too long.
        """
        url = request.url

        if url.scheme != "https" and url.host not in LOOPBACK:
            raise ServerFailed("its address is not https")

        try:
            address = await self._judge(str(url))
        except GatewayError as exc:
            raise ServerFailed("its address is not allowed") from exc

        # The certificate is still that of the name; only the look-up is not repeated.
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        request.headers["host"] = url.netloc.decode("ascii")
        # What unpacks to more than the bound would pass the count of bytes on the wire.
        request.headers["accept-encoding"] = "identity"
        request.url = url.copy_with(host=address)
        response = await self._inner.handle_async_request(request)

        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise ServerFailed("its answer is packed")

        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(stream)
        return response

    async def aclose(self) -> None:
        """Close its connections."""
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = 0

        async for chunk in self._inner:
            length += len(chunk)

            if length > _MAX_BYTES:
                raise ServerFailed("its answer is too long")

            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


async def send(judge: Judge, request: httpx2.Request) -> httpx2.Response:
    """Return the whole answer to one request; redirects are not followed.

    Raises:
        ServerFailed: There is none.
    """
    try:
        with anyio.fail_after(SECONDS):
            async with httpx2.AsyncClient(
                transport=JudgedTransport(judge), trust_env=False, timeout=SECONDS
            ) as client:
                return await client.send(request)
    except TimeoutError as exc:
        raise ServerFailed("it did not answer in time") from exc
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as exc:
        raise ServerFailed("it cannot be reached") from exc


async def fetch_json(judge: Judge, url: str) -> JsonObject | None:
    """Return the JSON object at a URL; None where there is none: a status of 4xx, or a web page.

    Raises:
        ServerFailed: Somebody is there, and answers something else.
    """
    try:
        request = httpx2.Request("GET", url, headers={"accept": "application/json"})
    except (httpx2.InvalidURL, ValueError) as exc:
        raise ServerFailed("its address is no URL") from exc

    response = await send(judge, request)

    # There are sites that answer whatever they do not know with their first page.
    is_page = response.headers.get("content-type", "").startswith("text/html")

    if 400 <= response.status_code < 500 or (is_page and response.status_code == 200):
        return None

    if response.status_code != 200:
        raise ServerFailed(f"it answered with the status {response.status_code}")

    return json_object(response.content)


def json_object(body: bytes) -> JsonObject:
    """Return a body as a JSON object.

    Raises:
        ServerFailed: It is none.
    """
    try:
        value = decode(body)
    except (ValueError, RecursionError) as exc:
        raise ServerFailed("its answer is no JSON") from exc

    if not isinstance(value, dict):
        raise ServerFailed("its answer is no JSON object")

    return value
