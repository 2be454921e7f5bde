"""The HTTP of REST upstreams: one request, one bounded answer, no redirects. On aiohttp."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp
import anyio
from yarl import URL

from spindle_mcp.upstream.connections.base import CLIENT_NAME
from spindle_mcp.upstream.faults import garbled, too_slow, unreachable
from spindle_mcp.upstream.http.pinned import Pinned

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_mcp.upstream.connections.base import Endpoint
    from spindle_mcp.upstream.openapi.building import RestRequest

_KEEPALIVE_SECONDS: Final = 4.0
MAX_REFUSAL: Final = 16_384
"""What is read of an answer that is no success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestResponse:
    """An answer, read as a whole unless it is a refusal."""

    status: int
    content_type: str
    """In lower case, without parameters; empty when the API does not say."""
    charset: str | None
    retry_after: str | None
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the API did what it was asked."""
        return 200 <= self.status < 300


class RestClient:
    """Asks one host."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession) -> None:
        self._gateway = endpoint.gateway
        self._limit = endpoint.max_result_bytes
        self._session = session
        self._agent = f"{CLIENT_NAME}/{endpoint.version}"

    async def ask(
        self, request: RestRequest, *, seconds: float, traceparent: str | None = None
    ) -> RestResponse:
        """Send a request and read its answer.

        Raises:
            UpstreamError: The host cannot be reached, was too slow, or said too much.
        """
        headers = {**request.headers, "user-agent": self._agent}

        if traceparent is not None:
            headers["traceparent"] = traceparent

        try:
            with anyio.fail_after(max(seconds, 0)):
                async with self._session.request(
                    request.method,
                    # It is escaped already, to the letter.
                    URL(request.url, encoded=True),
                    data=request.body,
                    headers=headers,
                    allow_redirects=False,
                ) as response:
                    return await self._read(response)
        except aiohttp.ClientError as exc:
            raise unreachable(self._gateway) from exc
        except TimeoutError as exc:
            raise too_slow(self._gateway) from exc
        except OSError as exc:
            raise unreachable(self._gateway) from exc

    async def _read(self, response: aiohttp.ClientResponse) -> RestResponse:
        is_success = 200 <= response.status < 300
        limit = self._limit if is_success else MAX_REFUSAL
        chunks: list[bytes] = []
        size = 0

        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)

            if size > limit:
                if is_success:
                    raise garbled(self._gateway, "more than is taken from an upstream")

                break

        said = "content-type" in response.headers
        return RestResponse(
            status=response.status,
            content_type=response.content_type.lower() if said else "",
            charset=response.charset,
            retry_after=response.headers.get("retry-after"),
            body=b"".join(chunks)[:limit],
        )


@asynccontextmanager
async def open_client(endpoint: Endpoint, address: str | None) -> AsyncGenerator[RestClient]:
    """Open a connection pool to one host, at an address if somebody judged that; sends nothing."""
    connector = aiohttp.TCPConnector(
        limit=endpoint.max_connections,
        keepalive_timeout=_KEEPALIVE_SECONDS,
        resolver=None if address is None else Pinned(address),
    )
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=endpoint.connect_seconds)

    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("user-agent", "content-type"),
    ) as session:
        yield RestClient(endpoint, session)
