"""One POST to a modern upstream and what comes back on it, bounded. On aiohttp, hence asyncio."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Protocol

import aiohttp
from mcp.shared.inbound import MCP_METHOD_HEADER, MCP_PROTOCOL_VERSION_HEADER

from spindle_mcp.eras import MODERN
from spindle_mcp.text import decode, encode
from spindle_mcp.upstream.credentials.proven import posted
from spindle_mcp.upstream.faults import (
    RpcRefused,
    garbled,
    refused_by_status,
    too_slow,
    unreachable,
)
from spindle_mcp.upstream.http.sse import EventReader, EventTooLong
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_mcp.upstream.connections.base import Endpoint
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.secret import Secret
    from spindle_spi.types import Json, JsonObject


class Hearing(Protocol):
    """Who hears what is said on a request's stream before its answer."""

    clock: asyncio.Timeout | None
    """The request's time limit, for whoever may extend it."""

    async def hear(self, method: str, params: Json, request_id: int) -> bool:
        """Take a notification; True ends the request, which then has an empty result."""
        ...


class Exchanges(Protocol):
    """Sends the requests of one upstream."""

    def take_credential(self, credential: Secret) -> bool:
        """Send another credential from now on; False when that takes another connection."""
        ...

    def next_id(self) -> int:
        """Return an id for a request."""
        ...

    async def send(  # noqa: PLR0913 - one parameter for each thing that may be said
        self,
        request_id: int,
        method: str,
        params: JsonObject,
        *,
        seconds: float | None,
        headers: Mapping[str, str] | None = None,
        hearing: Hearing | None = None,
        caller: AuthenticatedContext | None = None,
    ) -> JsonObject:
        """Send a request and return its result.

        Raises:
            RpcRefused: It was answered with a JSON-RPC error.
            GatewayError: No answer, none in time, or none that is one.
        """
        ...


class HttpExchanges:
    """One POST for each."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession) -> None:
        self._endpoint = endpoint
        self._gateway = endpoint.gateway
        self._session = session
        self._ids = itertools.count(1)
        self._headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            MCP_PROTOCOL_VERSION_HEADER: MODERN,
        }

        if endpoint.credential is not None:
            self.take_credential(endpoint.credential)

    def take_credential(self, credential: Secret) -> bool:
        """See `Exchanges`: no request knows of the one before."""
        self._headers["authorization"] = f"Bearer {credential.reveal()}"
        return True

    def next_id(self) -> int:
        """See `Exchanges`."""
        return next(self._ids)

    async def send(  # noqa: PLR0913 - one parameter for each thing that may be said
        self,
        request_id: int,
        method: str,
        params: JsonObject,
        *,
        seconds: float | None,
        headers: Mapping[str, str] | None = None,
        hearing: Hearing | None = None,
        caller: AuthenticatedContext | None = None,
    ) -> JsonObject:
        """See `Exchanges`."""
        body = encoded({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        sent = {**self._headers, MCP_METHOD_HEADER: method, **(headers or {})}

        try:
            async with asyncio.timeout(seconds) as clock:
                if hearing is not None:
                    hearing.clock = clock

                async with posted(self._session, self._endpoint, body, sent, caller) as response:
                    return await self._read(response, request_id, hearing)
        except aiohttp.ClientError as exc:
            raise unreachable(self._gateway) from exc
        except TimeoutError as exc:
            raise too_slow(self._gateway) from exc
        except OSError as exc:
            raise unreachable(self._gateway) from exc

    async def _read(
        self, response: aiohttp.ClientResponse, request_id: int, hearing: Hearing | None
    ) -> JsonObject:
        kind = response.content_type

        if response.status == 200 and kind == "text/event-stream":
            return await self._read_events(response, request_id, hearing)

        if kind != "application/json":
            if response.status == 200:
                raise garbled(self._gateway, "something that is no MCP message")

            raise self._refused(response)

        message = self._message(await self._read_body(response))

        if response.status != 200 and "error" not in message:
            raise self._refused(response)

        # An error met before the request was understood carries no id.
        if "error" not in message and message.get("id") != request_id:
            raise garbled(self._gateway, "an answer to something else")

        return result_in(self._gateway, message)

    async def _read_events(
        self, response: aiohttp.ClientResponse, request_id: int, hearing: Hearing | None
    ) -> JsonObject:
        reader = EventReader(self._endpoint.max_result_bytes)

        try:
            async for chunk in response.content.iter_any():
                for data in reader.feed(chunk):
                    message = self._message(data)
                    method = message.get("method")

                    if method is None and message.get("id") == request_id:
                        return result_in(self._gateway, message)

                    if hearing is None or not isinstance(method, str):
                        continue

                    if await hearing.hear(method, message.get("params"), request_id):
                        return {}
        except EventTooLong as exc:
            raise garbled(self._gateway, "more than is taken from an upstream") from exc

        raise unreachable(self._gateway)

    async def _read_body(self, response: aiohttp.ClientResponse) -> bytes:
        limit = self._endpoint.max_result_bytes
        chunks: list[bytes] = []
        size = 0

        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)

            if size > limit:
                raise garbled(self._gateway, "more than is taken from an upstream")

        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _message(self, data: bytes) -> JsonObject:
        try:
            message = decode(data)
        except ValueError as exc:
            raise garbled(self._gateway, "something that is no JSON") from exc

        if not isinstance(message, dict):
            raise garbled(self._gateway, "something that is no MCP message")

        return message

    def _refused(self, response: aiohttp.ClientResponse) -> Exception:
        retry_after = response.headers.get("retry-after")
        return refused_by_status(self._gateway, response.status, retry_after)


def result_in(gateway: str, message: JsonObject) -> JsonObject:
    """Return the result that an answer holds.

    Raises:
        RpcRefused: It is an error.
        UpstreamError: It is no answer.
    """
    error = message.get("error")

    if isinstance(error, dict):
        code = error.get("code")
        raise RpcRefused(gateway, code if isinstance(code, int) else 0, error.get("data"))

    result = message.get("result")

    if not isinstance(result, dict):
        raise garbled(gateway, "something that is no MCP message")

    return result


def encoded(message: JsonObject) -> bytes:
    """Return a message as bytes.

    Raises:
        InvalidArgument: The caller's part of it is no JSON.
    """
    try:
        return encode(message)
    except ValueError as exc:
        raise InvalidArgument("The arguments hold a number that is not JSON.") from exc
