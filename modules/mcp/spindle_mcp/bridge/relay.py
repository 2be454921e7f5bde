"""Carries messages between a client on lines and an MCP endpoint over HTTP, in both eras.

It adds the transport's headers and judges nothing: what a message means is the endpoint's affair.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import anyio
import httpx2
from mcp_types.jsonrpc import HEADER_MISMATCH, INVALID_REQUEST, PARSE_ERROR

from spindle_mcp.bridge.messages import (
    SESSION_HEADER,
    Dialogue,
    answers,
    failure,
    is_request,
    listing_of,
    modern_version,
)
from spindle_mcp.bridge.streams import MAX_LINE
from spindle_mcp.text import decode, encode
from spindle_mcp.upstream.http.sse import EventReader, EventTooLong

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from spindle_spi.types import Json, JsonObject

_STREAM_PAUSE: Final = 1.0
_FAREWELL_SECONDS: Final = 1.0

Write = Callable[[bytes], Awaitable[None]]
Complain = Callable[[str], None]


class _Interrupted(Exception):
    """The endpoint's answer broke off or made no sense; says how."""


class Bridge:
    """One client's conversation with one endpoint."""

    def __init__(
        self, client: httpx2.AsyncClient, url: str, write: Write, complain: Complain
    ) -> None:
        self._client = client
        self._url = url
        self._write = write
        self._complain = complain
        self._dialogue = Dialogue()
        self._waiting: dict[str, anyio.CancelScope] = {}

    async def run(self, lines: AsyncIterable[bytes]) -> None:
        """Carry messages until the client closes its side and its requests are answered."""
        async with anyio.create_task_group() as streams:
            async with anyio.create_task_group() as requests:
                async for line in lines:
                    if line.strip():
                        await self._take(line.strip(), requests, streams)

            streams.cancel_scope.cancel()

        await self._say_farewell()

    async def _take(self, line: bytes, requests: TaskGroup, streams: TaskGroup) -> None:
        try:
            message = decode(line)
        except ValueError:
            await self._write(failure(None, "Parse error", PARSE_ERROR))
            return

        if not isinstance(message, dict):
            await self._write(failure(None, "Not one JSON-RPC message", INVALID_REQUEST))
        elif message.get("method") == "initialize":
            # Nothing may overtake the handshake.
            await self._ask(message)
        elif message.get("method") == "subscriptions/listen":
            streams.start_soon(self._ask, message)
        elif is_request(message):
            requests.start_soon(self._ask, message)
        else:
            await self._tell(message, streams)

    async def _ask(self, message: JsonObject) -> None:
        """Carry a request there and its answer back."""
        request_id = message.get("id")
        key = repr(request_id)

        with anyio.CancelScope() as scope:
            self._waiting[key] = scope

            try:
                answer = await self._exchange(message)

                if _error_code(answer) == HEADER_MISMATCH and message.get("method") == "tools/call":
                    # The tool's mirrored arguments are not known here, or not any more.
                    await self._exchange(listing_of(message), is_ours=True)
                    answer = await self._exchange(message)

                await self._write(encode({**answer, "id": request_id}))
            except (httpx2.TransportError, _Interrupted) as exc:
                self._complain(f"{message.get('method')}: {_why(exc)}")
                await self._write(failure(request_id, f"The gateway did not answer: {_why(exc)}"))
            finally:
                if self._waiting.get(key) is scope:
                    del self._waiting[key]

    async def _exchange(self, message: JsonObject, *, is_ours: bool = False) -> JsonObject:
        """Send a request; pass on what comes before its answer, and return the answer."""
        request_id = message.get("id")

        async with (
            self._client.stream(
                "POST",
                self._url,
                content=encode(message),
                headers=self._dialogue.headers_for(message),
            ) as response,
            aclosing(_messages(response)) as messages,
        ):
            if message.get("method") == "initialize":
                self._dialogue.session_id = response.headers.get(SESSION_HEADER)

            async for found in messages:
                # An error met before the request was understood carries no id.
                is_refusal = "error" in found and found.get("id") is None

                if is_refusal or answers(found, request_id):
                    self._dialogue.learn(found.get("result"))
                    return found

                if not is_ours:
                    await self._write(encode(found))

        raise _Interrupted("it closed the connection")

    async def _tell(self, message: JsonObject, streams: TaskGroup) -> None:
        """Carry a notification, or the client's answer to something the endpoint asked."""
        if message.get("method") == "notifications/cancelled":
            params = message.get("params")
            request_id = params.get("requestId") if isinstance(params, dict) else None
            scope = self._waiting.get(repr(request_id))

            if self._dialogue.version is None:
                # In the current protocol closing the exchange is the cancellation.
                if scope is not None:
                    scope.cancel()

                return

        if modern_version(message) is not None:
            return

        try:
            response = await self._client.post(
                self._url, content=encode(message), headers=self._dialogue.headers_for(message)
            )
        except httpx2.TransportError as exc:
            self._complain(f"{message.get('method')}: {_why(exc)}")
            return

        if message.get("method") == "notifications/initialized" and response.is_success:
            streams.start_soon(self._follow)

    async def _follow(self) -> None:
        """Pass on what the endpoint says by itself, for as long as there is a session."""
        while True:
            headers = {**self._dialogue.headers_for({}), "accept": "text/event-stream"}

            try:
                async with self._client.stream("GET", self._url, headers=headers) as response:
                    if response.is_client_error:
                        return

                    async for message in _messages(response):
                        await self._write(encode(message))
            except (httpx2.TransportError, _Interrupted) as exc:
                self._complain(f"event stream: {_why(exc)}")

            await anyio.sleep(_STREAM_PAUSE)

    async def _say_farewell(self) -> None:
        if self._dialogue.session_id is None:
            return

        with anyio.move_on_after(_FAREWELL_SECONDS):
            try:
                await self._client.delete(self._url, headers=self._dialogue.headers_for({}))
            except httpx2.TransportError:
                return


async def _messages(response: httpx2.Response) -> AsyncGenerator[JsonObject]:
    """Iterate over the messages of an answer, whichever form it has."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()

    if kind == "text/event-stream":
        reader = EventReader(MAX_LINE)

        async for chunk in response.aiter_bytes():
            for data in _fed(reader, chunk):
                yield _message(data)

        return

    body = bytearray()

    async for chunk in response.aiter_bytes():
        body += chunk

        if len(body) > MAX_LINE:
            raise _Interrupted("it answered with too much")

    if kind == "application/json":
        yield _message(body)
    else:
        raise _Interrupted(f"it answered with the HTTP status {response.status_code}")


def _fed(reader: EventReader, chunk: bytes) -> list[bytes]:
    try:
        return reader.feed(chunk)
    except EventTooLong as exc:
        raise _Interrupted("it answered with too much") from exc


def _message(data: bytes | bytearray) -> JsonObject:
    try:
        message = decode(data)
    except ValueError as exc:
        raise _Interrupted("it answered with something that is no JSON") from exc

    if not isinstance(message, dict):
        raise _Interrupted("it answered with something that is no message")

    return message


def _error_code(answer: JsonObject) -> Json:
    error = answer.get("error")
    return error.get("code") if isinstance(error, dict) else None


def _why(exc: Exception) -> str:
    return str(exc) or type(exc).__name__
