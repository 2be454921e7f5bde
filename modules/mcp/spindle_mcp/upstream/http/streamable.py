"""Streamable HTTP as the protocol before 2026 has it: the SDK's transport, with bounds of ours.

One failed POST would end the SDK's whole session, so its client is wrapped: a transport error
becomes an error answer to that one request.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
from mcp.client.streamable_http import streamable_http_client

from spindle_mcp.text import encode
from spindle_mcp.upstream.connections.streams import TOO_LONG, TRANSPORT_FAILED
from spindle_mcp.upstream.credentials.proven import ProvenTransport
from spindle_mcp.upstream.http.pinned import pin

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_mcp.upstream.connections.base import Endpoint
    from spindle_mcp.upstream.connections.streams import TransportStreams


class _OneRequestOnly(httpx2.AsyncBaseTransport):
    """Answers in place of a broken connection, so that only the one request fails."""

    def __init__(self, endpoint: Endpoint) -> None:
        limits = httpx2.Limits(max_connections=endpoint.max_connections)
        self._inner = httpx2.AsyncHTTPTransport(limits=limits)
        self._address = endpoint.address
        self._limit = endpoint.max_result_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._address is not None:
            pin(request, self._address)

        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.TransportError:
            return _error_answer(TRANSPORT_FAILED)

        if response.headers.get("content-type", "").startswith("text/event-stream"):
            return response

        return await self._bounded(response)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _bounded(self, response: httpx2.Response) -> httpx2.Response:
        """Read a plain answer to its end, within the limit."""
        body = bytearray()

        try:
            async for chunk in response.aiter_bytes():
                body += chunk

                if len(body) > self._limit:
                    await response.aclose()
                    return _error_answer(TOO_LONG)
        except httpx2.TransportError:
            return _error_answer(TRANSPORT_FAILED)

        kept = [
            (name, value)
            for name, value in response.headers.raw
            if name.lower() not in (b"content-encoding", b"content-length", b"transfer-encoding")
        ]
        return httpx2.Response(response.status_code, headers=kept, content=bytes(body))


@asynccontextmanager
async def streamable_streams(endpoint: Endpoint) -> AsyncGenerator[TransportStreams]:
    """Open a pool of connections and the streams over it; nothing is sent yet."""
    headers: dict[str, str] = {}

    if endpoint.credential is not None:
        headers["authorization"] = f"Bearer {endpoint.credential.reveal()}"

    # Calls have time limits of their own; a session may be silent as long as it likes.
    timeout = httpx2.Timeout(endpoint.connect_seconds, read=None, pool=None)

    async with (
        httpx2.AsyncClient(
            headers=headers,
            timeout=timeout,
            transport=ProvenTransport(endpoint, _OneRequestOnly(endpoint)),
        ) as client,
        streamable_http_client(
            endpoint.url, http_client=client, max_sse_event_size=endpoint.max_result_bytes
        ) as streams,
    ):
        yield streams


def _error_answer(code: int) -> httpx2.Response:
    body = encode(
        {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": "transport error"}}
    )
    return httpx2.Response(502, headers={"content-type": "application/json"}, content=body)
