"""Upstreams of the current protocol, over HTTP: one self-contained POST for each request.

Our own small client: raw dictionaries, bounded answers, and a request is cancelled by closing it.
On aiohttp, which is why this file may use asyncio.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    encode_header_value,
    find_invalid_x_mcp_header,
    mcp_param_headers,
    x_mcp_header_map,
)
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)

from spindle_mcp.eras import MODERN
from spindle_mcp.text import decode, encode
from spindle_mcp.trace import TRACEPARENT
from spindle_mcp.upstream.base import CLIENT_NAME, Endpoint, ToolCall, Upstream
from spindle_mcp.upstream.credentials.proven import posted
from spindle_mcp.upstream.faults import (
    RpcRefused,
    explained,
    garbled,
    refused_by_status,
    too_slow,
    unreachable,
)
from spindle_mcp.upstream.pinned import Pinned
from spindle_mcp.upstream.sse import EventReader, EventTooLong
from spindle_spi.errors import InvalidArgument
from spindle_spi.invocation import Progress

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.invocation import ProgressSink
    from spindle_spi.secret import Secret
    from spindle_spi.types import Json, JsonObject

_KEEPALIVE_SECONDS: Final = 4.0
"""Shorter than what common servers keep, so that a connection is rarely reused as it is closed."""
_MAX_PAGES: Final = 100
_LIST_CHANGED: Final = "notifications/tools/list_changed"


class ModernUpstream(Upstream):
    """Speaks 2026-07-28. Stateless: it is never lost, a request either works or fails."""

    era = "modern"

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession) -> None:
        self._endpoint = endpoint
        self._gateway = endpoint.gateway
        self._session = session
        self._ids = itertools.count(1)
        self._header_maps: dict[str, dict[tuple[str, ...], str]] = {}
        self._announces_changes = False
        self._meta: JsonObject = {
            PROTOCOL_VERSION_META_KEY: MODERN,
            CLIENT_INFO_META_KEY: {"name": CLIENT_NAME, "version": endpoint.version},
            CLIENT_CAPABILITIES_META_KEY: {},
        }
        self._headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            MCP_PROTOCOL_VERSION_HEADER: MODERN,
        }

        if endpoint.credential is not None:
            self.take_credential(endpoint.credential)

    def take_credential(self, credential: Secret) -> bool:
        """See `Upstream`: no request knows of the one before."""
        self._headers["authorization"] = f"Bearer {credential.reveal()}"
        return True

    async def discover(self) -> JsonObject:
        """Ask what the upstream is.

        Raises:
            RpcRefused: It answered with a JSON-RPC error.
            GatewayError: It could not be asked, or did not answer as an MCP server does.
        """
        found = await self._exchange("server/discover", {}, seconds=self._endpoint.connect_seconds)
        self._announces_changes = _announces_changes(found)
        return found

    async def list_tools(self) -> list[JsonObject]:
        """See `Upstream`."""
        tools: list[JsonObject] = []
        params: JsonObject = {}

        for _ in range(_MAX_PAGES):
            page = await self._exchange(
                "tools/list", params, seconds=self._endpoint.connect_seconds
            )
            listed = page.get("tools")

            if not isinstance(listed, list):
                raise garbled(self._gateway, "something that is no list of tools")

            tools += [tool for tool in listed if isinstance(tool, dict)]
            cursor = page.get("nextCursor")

            if not isinstance(cursor, str):
                break

            params = {"cursor": cursor}

        self._header_maps = _header_maps(tools)
        return tools

    async def call_tool(self, call: ToolCall) -> JsonObject:
        """See `Upstream`."""
        headers = {MCP_NAME_HEADER: encode_header_value(call.name)}
        header_map = self._header_maps.get(call.name)

        if header_map:
            headers |= mcp_param_headers(header_map, call.arguments)

        seconds = call.silence

        if call.deadline is not None:
            seconds = min(seconds, call.deadline - time.monotonic())

        try:
            return await self._exchange(
                "tools/call",
                _params_of(call),
                seconds=seconds,
                headers=headers,
                caller=call.caller,
                relay=None if call.progress is None else _Relay(call.progress, call),
            )
        except RpcRefused as exc:
            raise explained(exc) from exc

    async def changed(self) -> None:
        """Listen for the announcement that the tools changed, where the upstream makes it."""
        if not self._announces_changes:
            await asyncio.Event().wait()

        params: JsonObject = {"notifications": {"toolsListChanged": True}}
        await self._exchange(
            "subscriptions/listen", params, seconds=None, until_notified=_LIST_CHANGED
        )

    async def _exchange(  # noqa: PLR0913 - one parameter for each thing that may be said
        self,
        method: str,
        params: JsonObject,
        *,
        seconds: float | None,
        headers: Mapping[str, str] | None = None,
        relay: _Relay | None = None,
        until_notified: str = "",
        caller: AuthenticatedContext | None = None,
    ) -> JsonObject:
        request_id = next(self._ids)
        meta = self._meta if relay is None else {**self._meta, "progressToken": request_id}
        named = params.get("_meta")

        if isinstance(named, dict):
            meta = {**meta, **named}

        body = _encoded(
            {
                "jsonrpc": "2.0",
                "id": request_id,
                "method": method,
                "params": {**params, "_meta": meta},
            }
        )
        sent = {**self._headers, MCP_METHOD_HEADER: method, **(headers or {})}

        try:
            async with asyncio.timeout(seconds) as clock:
                if relay is not None:
                    relay.clock = clock

                async with posted(self._session, self._endpoint, body, sent, caller) as response:
                    return await self._read(response, request_id, relay, until_notified)
        except aiohttp.ClientError as exc:
            raise unreachable(self._gateway) from exc
        except TimeoutError as exc:
            raise too_slow(self._gateway) from exc
        except OSError as exc:
            raise unreachable(self._gateway) from exc

    async def _read(
        self,
        response: aiohttp.ClientResponse,
        request_id: int,
        relay: _Relay | None,
        until_notified: str,
    ) -> JsonObject:
        kind = response.content_type

        if response.status == 200 and kind == "text/event-stream":
            return await self._read_events(response, request_id, relay, until_notified)

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

        return self._result(message)

    async def _read_events(
        self,
        response: aiohttp.ClientResponse,
        request_id: int,
        relay: _Relay | None,
        until_notified: str,
    ) -> JsonObject:
        reader = EventReader(self._endpoint.max_result_bytes)

        try:
            async for chunk in response.content.iter_any():
                for data in reader.feed(chunk):
                    message = self._message(data)

                    if message.get("id") == request_id and "method" not in message:
                        return self._result(message)

                    method = message.get("method")

                    if method == "notifications/progress" and relay is not None:
                        await relay.take(message.get("params"), request_id)
                    elif until_notified and method == until_notified:
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

    def _result(self, message: JsonObject) -> JsonObject:
        error = message.get("error")

        if isinstance(error, dict):
            code = error.get("code")
            raise RpcRefused(self._gateway, code if isinstance(code, int) else 0, error.get("data"))

        result = message.get("result")

        if not isinstance(result, dict):
            raise garbled(self._gateway, "something that is no MCP message")

        return result

    def _refused(self, response: aiohttp.ClientResponse) -> Exception:
        retry_after = response.headers.get("retry-after")
        return refused_by_status(self._gateway, response.status, retry_after)


def _params_of(call: ToolCall) -> JsonObject:
    params: JsonObject = {"name": call.name, "arguments": call.arguments}

    if call.traceparent is not None:
        params["_meta"] = {TRACEPARENT: call.traceparent}

    return params


class _Relay:
    """Passes an upstream's progress on; each word of it gives the upstream more time."""

    def __init__(self, sink: ProgressSink, call: ToolCall) -> None:
        self._sink = sink
        self._call = call
        self.clock: asyncio.Timeout | None = None

    async def take(self, params: Json, token: int) -> None:
        """Take the parameters of one progress notification."""
        if not isinstance(params, dict) or params.get("progressToken") != token:
            return

        progress, total = params.get("progress"), params.get("total")
        message = params.get("message")

        if not isinstance(progress, int | float):
            return

        if self.clock is not None:
            seconds = self._call.silence

            if self._call.deadline is not None:
                seconds = min(seconds, self._call.deadline - time.monotonic())

            self.clock.reschedule(asyncio.get_running_loop().time() + seconds)

        await self._sink(
            Progress(
                progress=float(progress),
                total=float(total) if isinstance(total, int | float) else None,
                message=message if isinstance(message, str) else None,
            )
        )


@asynccontextmanager
async def open_modern(endpoint: Endpoint) -> AsyncGenerator[ModernUpstream]:
    """Open a connection pool to one upstream; nothing is sent yet."""
    connector = aiohttp.TCPConnector(
        limit=endpoint.max_connections,
        keepalive_timeout=_KEEPALIVE_SECONDS,
        resolver=None if endpoint.address is None else Pinned(endpoint.address),
    )
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=endpoint.connect_seconds)

    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("user-agent",),
    ) as session:
        yield ModernUpstream(endpoint, session)


def _encoded(message: JsonObject) -> bytes:
    try:
        return encode(message)
    except ValueError as exc:
        raise InvalidArgument("The arguments hold a number that is not JSON.") from exc


def has_bad_headers(tool: JsonObject) -> bool:
    """Tell whether a tool wants arguments mirrored into headers in a way clients must refuse."""
    return find_invalid_x_mcp_header(tool.get("inputSchema")) is not None


def _header_maps(tools: list[JsonObject]) -> dict[str, dict[tuple[str, ...], str]]:
    maps: dict[str, dict[tuple[str, ...], str]] = {}

    for tool in tools:
        name = tool.get("name")

        if isinstance(name, str) and not has_bad_headers(tool):
            found = x_mcp_header_map(tool.get("inputSchema"))

            if found:
                maps[name] = found

    return maps


def _announces_changes(discovered: JsonObject) -> bool:
    capabilities = discovered.get("capabilities")
    tools = capabilities.get("tools") if isinstance(capabilities, dict) else None
    return isinstance(tools, dict) and tools.get("listChanged") is True
