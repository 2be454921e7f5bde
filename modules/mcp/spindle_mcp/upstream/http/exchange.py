"""One POST to a modern upstream and what comes back on it, bounded."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Final, Protocol

import anyio
from mcp.shared.inbound import MCP_METHOD_HEADER, MCP_PROTOCOL_VERSION_HEADER

from spindle_mcp.eras import MODERN
from spindle_mcp.text import decode, encode
from spindle_mcp.upstream.credentials.challenge import refusal_in
from spindle_mcp.upstream.faults import (
    RpcRefused,
    garbled,
    refused_by_status,
    too_slow,
    unreachable,
)
from spindle_mcp.upstream.http.sse import EventReader, EventTooLong
from spindle_spi.errors import GatewayError, InvalidArgument, UpstreamTimeout
from spindle_transport.exchange import UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from spindle_mcp.upstream.connections.base import Endpoint
    from spindle_mcp.upstream.credentials.source import HeaderSource
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.secret import Secret
    from spindle_spi.types import Json, JsonObject
    from spindle_transport.aiohttp_transport import AiohttpResponse, AiohttpTransport

_CALL: Final = "tools/call"
"""The only request that may do something, and so goes out once."""
_PATIENCE: Final = 0.05
"""Seconds for the end of a stream whose answer is here; without it the connection is lost."""


class TimeLimit(Protocol):
    """How long a request may still take."""

    def extend(self, seconds: float) -> None:
        """Let it be so long from now."""
        ...


class Hearing(Protocol):
    """Who hears what is said on a request's stream before its answer."""

    limit: TimeLimit | None
    """The request's, for whoever may extend it."""

    async def hear(self, method: str, params: Json, request_id: int) -> bool:
        """Take a notification; True ends the request, which then has an empty result.

        Raises:
            TimeoutError: Whoever is told of it does not take it.
        """
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

    def __init__(self, endpoint: Endpoint, transport: AiohttpTransport) -> None:
        self._endpoint = endpoint
        self._gateway = endpoint.gateway
        self._transport = transport
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
        request = UpstreamRequest(
            url=self._endpoint.url,
            headers={**self._headers, MCP_METHOD_HEADER: method, **(headers or {})},
            body=encoded({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}),
            deadline=None if seconds is None else time.monotonic() + seconds,
            is_repeatable=method != _CALL,
        )
        response = await self._proven(request, caller)

        try:
            return await self._read(response, request_id, hearing)
        finally:
            await response.aclose()

    async def _proven(
        self, request: UpstreamRequest, caller: AuthenticatedContext | None
    ) -> AiohttpResponse:
        """Open a request for a caller; a refusal is met once more if there is more to show."""
        source = self._endpoint.headers

        if source is None:
            return await self._open(request)

        plain = request.headers

        try:
            with anyio.fail_after(_left(request.deadline)):
                for is_last in (False, True):
                    proof = await source.headers(caller)
                    request.headers = {**plain, **proof}
                    response = await self._open(request)

                    if not await _is_mended(source, caller, proof, response, is_last=is_last):
                        break
        except TimeoutError as exc:
            raise too_slow(self._gateway) from exc

        return response

    async def _open(self, request: UpstreamRequest) -> AiohttpResponse:
        try:
            return await self._transport.open(request)
        except GatewayError as exc:
            raise self._named(exc) from exc

    async def _read(
        self, response: AiohttpResponse, request_id: int, hearing: Hearing | None
    ) -> JsonObject:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()

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
        self, response: AiohttpResponse, request_id: int, hearing: Hearing | None
    ) -> JsonObject:
        reader = EventReader(self._endpoint.max_result_bytes)
        chunks = response.chunks()

        if hearing is not None:
            hearing.limit = response

        while chunk := await self._next(chunks):
            try:
                events = reader.feed(chunk)
            except EventTooLong as exc:
                raise garbled(self._gateway, "more than is taken from an upstream") from exc

            for data in events:
                message = self._message(data)
                method = message.get("method")

                if method is None and message.get("id") == request_id:
                    await response.aclose(patience=_PATIENCE)
                    return result_in(self._gateway, message)

                if hearing is None or not isinstance(method, str):
                    continue

                if await self._hear(hearing, method, message.get("params"), request_id):
                    return {}

        raise unreachable(self._gateway)

    async def _hear(self, hearing: Hearing, method: str, params: Json, request_id: int) -> bool:
        try:
            return await hearing.hear(method, params, request_id)
        except TimeoutError as exc:
            raise too_slow(self._gateway) from exc

    async def _read_body(self, response: AiohttpResponse) -> bytes:
        limit = self._endpoint.max_result_bytes
        pieces: list[bytes] = []
        size = 0
        chunks = response.chunks()

        while chunk := await self._next(chunks):
            pieces.append(chunk)
            size += len(chunk)

            if size > limit:
                raise garbled(self._gateway, "more than is taken from an upstream")

        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes:
        """Return the next piece of an answer; none at its end."""
        try:
            return await anext(chunks, b"")
        except GatewayError as exc:
            raise self._named(exc) from exc

    def _named(self, failure: GatewayError) -> GatewayError:
        """Return a failure of the transport as that of this gateway."""
        if isinstance(failure, UpstreamTimeout):
            return too_slow(self._gateway)

        return unreachable(self._gateway)

    def _message(self, data: bytes) -> JsonObject:
        try:
            message = decode(data)
        except ValueError as exc:
            raise garbled(self._gateway, "something that is no JSON") from exc

        if not isinstance(message, dict):
            raise garbled(self._gateway, "something that is no MCP message")

        return message

    def _refused(self, response: AiohttpResponse) -> Exception:
        retry_after = response.headers.get("retry-after")
        return refused_by_status(self._gateway, response.status, retry_after)


async def _is_mended(
    source: HeaderSource,
    caller: AuthenticatedContext | None,
    proof: Mapping[str, str],
    response: AiohttpResponse,
    *,
    is_last: bool,
) -> bool:
    """Tell whether to send a request once more; an answer that is not read is let go."""
    said = response.headers.items()
    challenges = (value for name, value in said if name.lower() == "www-authenticate")
    refusal = refusal_in(response.status, challenges)

    try:
        is_mended = await source.mends(caller, proof, refusal, is_last=is_last)
    except BaseException:
        response.abandon()
        raise

    if is_mended:
        response.abandon()

    return is_mended


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


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
