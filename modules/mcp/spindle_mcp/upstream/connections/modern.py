"""Upstreams of the current protocol: each request is self-contained; over HTTP, a POST each.

Our own small client: raw dictionaries, bounded answers, and a request is cancelled by closing it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, Final

import anyio
from mcp.shared.inbound import MCP_NAME_HEADER, encode_header_value, mcp_param_headers
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)

from spindle_mcp.capabilities import OURS, relayed_capabilities
from spindle_mcp.eras import MODERN
from spindle_mcp.trace import TRACEPARENT
from spindle_mcp.upstream.connections.base import (
    CLIENT_NAME,
    EVERYTHING,
    LISTS,
    Change,
    Endpoint,
    Request,
    Upstream,
    change_in,
)
from spindle_mcp.upstream.connections.relay import LOG, PROGRESS, pass_on, progress_in, seconds_left
from spindle_mcp.upstream.faults import RpcRefused, explained, garbled
from spindle_mcp.upstream.http.exchange import Exchanges, HttpExchanges, TimeLimit
from spindle_mcp.upstream.http.headers import HeaderMap, header_maps
from spindle_mcp.upstream.http.pinned import Pinned
from spindle_transport.aiohttp_transport import AiohttpTransport, TransportLimits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_mcp.upstream.connections.base import Peer
    from spindle_spi.invocation import Progress
    from spindle_spi.secret import Secret
    from spindle_spi.types import Json, JsonObject

_PAUSE_SECONDS: Final = 4.0
"""Shorter than what common servers keep, so that a connection is rarely reused as it is closed."""
_MAX_PAGES: Final = 100


class ModernUpstream(Upstream):
    """Speaks 2026-07-28. Stateless: it is never lost, a request either works or fails."""

    era = "modern"

    def __init__(self, endpoint: Endpoint, exchanges: Exchanges) -> None:
        self._endpoint = endpoint
        self._gateway = endpoint.gateway
        self._exchanges = exchanges
        self._header_maps: dict[str, HeaderMap] = {}
        self._watched: frozenset[str] = frozenset()
        self._watches_others = asyncio.Event()
        self.capabilities = {}
        self._meta: JsonObject = {
            PROTOCOL_VERSION_META_KEY: MODERN,
            CLIENT_INFO_META_KEY: {"name": CLIENT_NAME, "version": endpoint.version},
            CLIENT_CAPABILITIES_META_KEY: OURS,
        }

    def take_credential(self, credential: Secret) -> bool:
        """See `Upstream`."""
        return self._exchanges.take_credential(credential)

    async def discover(self) -> JsonObject:
        """Ask what the upstream is.

        Raises:
            RpcRefused: It answered with a JSON-RPC error.
            GatewayError: It could not be asked, or did not answer as an MCP server does.
        """
        found = await self._ask("server/discover", {})
        capabilities, instructions = found.get("capabilities"), found.get("instructions")
        self.capabilities = capabilities if isinstance(capabilities, dict) else {}
        self.instructions = instructions if isinstance(instructions, str) else None
        return found

    async def list_all(self, method: str, key: str) -> list[JsonObject]:
        """See `Upstream`."""
        entries: list[JsonObject] = []
        params: JsonObject = {}

        for _ in range(_MAX_PAGES):
            page = await self._ask(method, params)
            listed = page.get(key)

            if not isinstance(listed, list):
                raise garbled(self._gateway, f"something that is no list of {key}")

            entries += [entry for entry in listed if isinstance(entry, dict)]
            cursor = page.get("nextCursor")

            if not isinstance(cursor, str):
                break

            params = {"cursor": cursor}

        if key == "tools":
            self._header_maps = header_maps(entries)

        return entries

    async def request(self, request: Request) -> JsonObject:
        """See `Upstream`."""
        request_id = self._exchanges.next_id()
        peer = request.peer

        try:
            return await self._exchanges.send(
                request_id,
                request.method,
                {**request.params, "_meta": self._meta_of(request, request_id)},
                seconds=seconds_left(request),
                headers=self._headers_of(request),
                caller=request.caller,
                hearing=None if peer is None else _Relay(request, peer),
            )
        except RpcRefused as exc:
            raise explained(exc) from exc

    async def changed(self) -> Change:
        """Listen for what the upstream announces, where it does."""
        announced = [name for name in LISTS if _announces(self.capabilities, name)]

        while True:
            if announced or self._watched:
                heard = await self._heard(announced)

                if heard is not None:
                    return heard
            else:
                await self._watch_others()

    async def watch(self, uris: frozenset[str]) -> None:
        """See `Upstream`: the filter of the next `subscriptions/listen`, which begins at once."""
        if uris != self._watched:
            self._watched = uris
            self._watches_others.set()

    async def _heard(self, announced: list[str]) -> Change | None:
        """Listen until something changed; None: other resources are watched by now."""
        wanted: JsonObject = {f"{name}ListChanged": True for name in announced}

        if self._watched:
            wanted["resourceSubscriptions"] = [*sorted(self._watched)]

        listening = _Listening()
        stream = asyncio.ensure_future(self._listen(wanted, listening))
        others = asyncio.ensure_future(self._watch_others())

        try:
            await asyncio.wait((stream, others), return_when=asyncio.FIRST_COMPLETED)

            if not stream.done():
                return None

            stream.result()
            return listening.heard
        finally:
            for task in (stream, others):
                task.cancel()

            await asyncio.gather(stream, others, return_exceptions=True)

    async def _watch_others(self) -> None:
        await self._watches_others.wait()
        self._watches_others.clear()

    async def _listen(self, wanted: JsonObject, listening: _Listening) -> None:
        params: JsonObject = {"notifications": wanted, "_meta": self._meta}
        await self._exchanges.send(
            self._exchanges.next_id(),
            "subscriptions/listen",
            params,
            seconds=None,
            hearing=listening,
        )

    async def _ask(self, method: str, params: JsonObject) -> JsonObject:
        return await self._exchanges.send(
            self._exchanges.next_id(),
            method,
            {**params, "_meta": self._meta},
            seconds=self._endpoint.connect_seconds,
        )

    def _headers_of(self, request: Request) -> dict[str, str]:
        if request.name is None:
            return {}

        headers = {MCP_NAME_HEADER: encode_header_value(request.name)}

        if request.method == "tools/call":
            header_map = self._header_maps.get(request.name)
            arguments = request.params.get("arguments")

            if header_map and isinstance(arguments, dict):
                headers |= mcp_param_headers(header_map, arguments)

        return headers

    def _meta_of(self, request: Request, request_id: int) -> JsonObject:
        peer = request.peer
        meta: JsonObject = {**request.meta, **self._meta}

        if request.traceparent is not None:
            meta[TRACEPARENT] = request.traceparent

        if peer is None:
            return meta

        meta[CLIENT_CAPABILITIES_META_KEY] = relayed_capabilities(peer.capabilities)

        if request.wants_progress:
            meta["progressToken"] = request_id

        if peer.log_level is not None:
            meta[LOG_LEVEL_META_KEY] = peer.log_level

        return meta


class _Relay:
    """Hears the stream of one request; each word of progress gives the upstream more time."""

    def __init__(self, request: Request, peer: Peer) -> None:
        self._request = request
        self._peer = peer
        self.limit: TimeLimit | None = None

    async def hear(self, method: str, params: Json, request_id: int) -> bool:
        """See `Hearing`."""
        # A client that does not read must not hold the upstream for longer than silence would.
        with anyio.fail_after(seconds_left(self._request)):
            if method == PROGRESS and self._request.wants_progress:
                await self._take_progress(progress_in(params, request_id))
            elif method == LOG:
                await pass_on(self._peer, params)

        return False

    async def _take_progress(self, update: Progress | None) -> None:
        if update is None:
            return

        if self.limit is not None:
            self.limit.extend(seconds_left(self._request))

        await self._peer.progress(update)


class _Listening:
    """Hears a `subscriptions/listen` stream up to the first change it tells of."""

    def __init__(self) -> None:
        self.limit: TimeLimit | None = None
        self.heard = EVERYTHING
        """What changed; a stream that ended may have kept anything from us."""

    async def hear(self, method: str, params: Json, request_id: int) -> bool:
        """See `Hearing`."""
        del request_id
        change = change_in(method, params)

        if change is None:
            return False

        self.heard = change
        return True


@asynccontextmanager
async def open_modern(endpoint: Endpoint) -> AsyncGenerator[ModernUpstream]:
    """Open a connection pool to one upstream; nothing is sent yet."""
    limits = TransportLimits(
        connect=endpoint.connect_seconds,
        silence=inf,
        connections=endpoint.max_connections,
        pause=_PAUSE_SECONDS,
        resolver=None if endpoint.address is None else Pinned(endpoint.address),
    )
    transport = AiohttpTransport(limits)

    try:
        yield ModernUpstream(endpoint, HttpExchanges(endpoint, transport))
    finally:
        await transport.close()


def _announces(capabilities: JsonObject, name: str) -> bool:
    offered = capabilities.get(name)
    return isinstance(offered, dict) and offered.get("listChanged") is True
