"""Upstreams of the current protocol: each request is self-contained; over HTTP, a POST each.

Our own small client: raw dictionaries, bounded answers, and a request is cancelled by closing it.
"""

from __future__ import annotations

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
from spindle_mcp.upstream.connections.announcements import Announcements
from spindle_mcp.upstream.connections.base import (
    CLIENT_NAME,
    LISTS,
    Change,
    Endpoint,
    Request,
    Upstream,
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
    from spindle_mcp.upstream.http.exchange import Hearing
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
        self._listens = True
        self._announcements = Announcements(self._wanted, self._listen)
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
        """See `Upstream`; whoever reads a list hears of what changes in it from then on."""
        await self._announcements.begin()
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
        """Return what the upstream announces, where it does."""
        await self._announcements.begin()
        return await self._announcements.next()

    async def watch(self, uris: frozenset[str]) -> None:
        """See `Upstream`; returns when the upstream has heard of it, or soon."""
        self._watched = uris
        await self._announcements.begin()

    async def close(self) -> None:
        """Listen no more."""
        await self._announcements.close()

    def _wanted(self) -> JsonObject:
        """Return the filter of what there is to listen for, empty if nothing."""
        if not self._listens:
            return {}

        wanted: JsonObject = {
            f"{name}ListChanged": True
            for name in sorted(LISTS)
            if _announces(self.capabilities, name)
        }

        if self._watched:
            wanted["resourceSubscriptions"] = [*sorted(self._watched)]

        return wanted

    async def _listen(self, wanted: JsonObject, hearing: Hearing) -> None:
        params: JsonObject = {"notifications": wanted, "_meta": self._meta}
        request_id = self._exchanges.next_id()

        try:
            await self._exchanges.send(
                request_id, "subscriptions/listen", params, seconds=None, hearing=hearing
            )
        except RpcRefused:
            # It says more of itself than is true; it is asked again when it is connected again.
            self._listens = False

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

    upstream = ModernUpstream(endpoint, HttpExchanges(endpoint, transport))

    try:
        yield upstream
    finally:
        # Whoever is cancelled here leaves no connection behind; neither takes long.
        with anyio.CancelScope(shield=True):
            await upstream.close()
            await transport.close()


def _announces(capabilities: JsonObject, name: str) -> bool:
    offered = capabilities.get(name)
    return isinstance(offered, dict) and offered.get("listChanged") is True
