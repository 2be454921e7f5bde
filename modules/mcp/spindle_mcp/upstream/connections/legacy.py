"""Upstreams of the protocol before 2026: a session that `initialize` opened, over any transport.

On the SDK's dispatcher, which knows nothing of MCP: results pass as the upstream wrote them, and
its requests to clients go to those whose requests run.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

import anyio
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types.jsonrpc import CONNECTION_CLOSED, INVALID_REQUEST
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from spindle_mcp.capabilities import OURS
from spindle_mcp.eras import LEGACY
from spindle_mcp.trace import TRACEPARENT
from spindle_mcp.upstream.connections.base import (
    CLIENT_NAME,
    EVERYTHING,
    Change,
    Endpoint,
    Request,
    Upstream,
    change_in,
)
from spindle_mcp.upstream.connections.running import COMPLETED, Running, RunningRequests
from spindle_mcp.upstream.connections.streams import (
    NO_MESSAGES,
    PROGRAM_ENDED,
    TOO_LONG,
    TRANSPORT_FAILED,
)
from spindle_mcp.upstream.credentials.proven import failure_in
from spindle_mcp.upstream.faults import (
    LinksRequired,
    RpcRefused,
    SessionLost,
    ended,
    explained,
    garbled,
    no_messages,
    too_long,
    too_slow,
    unreachable,
)
from spindle_mcp.upstream.http.streamable import streamable_streams
from spindle_spi.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from contextvars import Context

    from mcp.shared.dispatcher import CallOptions, DispatchContext
    from mcp.shared.transport_context import TransportContext

    from spindle_mcp.upstream.connections.streams import MessageStreams, TransportStreams
    from spindle_spi.types import JsonObject

    Asked = DispatchContext[TransportContext]

_MAX_PAGES: Final = 100
_LATER: Final = frozenset({"inputResponses", "requestState"})
"""Parameters that this protocol does not have."""


class LegacyUpstream(Upstream):
    """One session. Once lost it is of no more use: open another."""

    era = "legacy"

    def __init__(
        self, endpoint: Endpoint, streams: TransportStreams, offered: JsonObject | None
    ) -> None:
        """`offered`: what the one client can do to whom the session belongs; None: to nobody."""
        self._endpoint = endpoint
        self._gateway = endpoint.gateway
        self._offered = offered
        self._reading = streams[0]
        self._dispatcher: JSONRPCDispatcher[TransportContext] = JSONRPCDispatcher(*streams)
        self._running = RunningRequests(is_own=offered is not None)
        self._options: CallOptions = {}
        self._watched: frozenset[str] = frozenset()
        self._level: str | None = None
        self._news = Change()
        self._has_news = anyio.Event()
        self._is_closed = False
        self.capabilities = {}

    async def run(self, *, task_status: Any) -> None:
        """Carry messages until cancelled, or until the connection ends."""
        try:
            await self._dispatcher.run(
                self._answer, self._take, self._hear, task_status=task_status
            )
        finally:
            self._is_closed = True
            self._wake(EVERYTHING)

    async def start(self) -> None:
        """Shake hands.

        Raises:
            GatewayError: The upstream refused, or is none.
        """
        result = await self._send(
            "initialize",
            {
                "protocolVersion": LEGACY,
                "capabilities": OURS if self._offered is None else self._offered,
                "clientInfo": {"name": CLIENT_NAME, "version": self._endpoint.version},
            },
            {"cancel_on_abandon": False},
        )
        version, capabilities = result.get("protocolVersion"), result.get("capabilities")
        instructions = result.get("instructions")

        if version not in HANDSHAKE_PROTOCOL_VERSIONS or not isinstance(capabilities, dict):
            raise garbled(self._gateway, "no MCP handshake")

        self._options = {"headers": {MCP_PROTOCOL_VERSION_HEADER: str(version)}}
        self.capabilities = capabilities
        self.instructions = instructions if isinstance(instructions, str) else None
        await self._dispatcher.notify("notifications/initialized", None, self._options)

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self._is_closed

    async def set_level(self, level: str | None) -> None:
        """Ask for log messages from this level on, where the upstream makes any.

        Raises:
            GatewayError: It could not be asked.
        """
        if level is None or level == self._level or "logging" not in self.capabilities:
            return

        self._level = level

        with anyio.move_on_after(self._endpoint.connect_seconds) as scope:
            try:
                await self._send("logging/setLevel", {"level": level}, self._options)
            except RpcRefused:
                # What it logs then is its own choice.
                return

        if scope.cancelled_caught:
            raise too_slow(self._gateway)

    async def roots_changed(self) -> None:
        """Say that the client's roots are not what they were, if it said it would."""
        roots = (self._offered or {}).get("roots")

        if isinstance(roots, dict) and roots.get("listChanged") is True:
            with anyio.move_on_after(self._endpoint.connect_seconds):
                await self._dispatcher.notify(
                    "notifications/roots/list_changed", None, self._options
                )

    async def changed(self) -> Change:
        """See `Upstream`; also returns when the session may be lost."""
        await self._has_news.wait()

        if self._is_closed:
            raise unreachable(self._gateway)

        news, self._news = self._news, Change()
        self._has_news = anyio.Event()
        return news

    async def list_all(self, method: str, key: str) -> list[JsonObject]:
        """See `Upstream`."""
        entries: list[JsonObject] = []
        params: JsonObject = {}

        with anyio.move_on_after(self._endpoint.connect_seconds) as scope:
            for _ in range(_MAX_PAGES):
                page = await self._send(method, params, self._options)
                listed = page.get(key)

                if isinstance(listed, list):
                    entries += [entry for entry in listed if isinstance(entry, dict)]

                cursor = page.get("nextCursor")

                if not isinstance(cursor, str):
                    break

                params = {"cursor": cursor}

        if scope.cancelled_caught:
            raise too_slow(self._gateway)

        return entries

    async def watch(self, uris: frozenset[str]) -> None:
        """See `Upstream`."""
        before, self._watched = self._watched, uris
        steps = [
            *(("resources/unsubscribe", uri) for uri in sorted(before - uris)),
            *(("resources/subscribe", uri) for uri in sorted(uris - before)),
        ]
        refusals: list[RpcRefused] = []

        with anyio.move_on_after(self._endpoint.connect_seconds) as scope:
            for method, uri in steps:
                try:
                    await self._send(method, {"uri": uri}, self._options)
                except RpcRefused as exc:
                    # One that it will not tell of keeps none of the others away.
                    refusals.append(exc)

        if scope.cancelled_caught:
            raise too_slow(self._gateway)

        if refusals:
            raise refusals[0]

    async def request(self, request: Request) -> JsonObject:
        """See `Upstream`."""
        running = self._running.begin(request)

        try:
            if running.is_told:
                return await self._carry_out_telling(running)

            return await self._carry_out(running)
        except RpcRefused as exc:
            failure = explained(exc)

            if isinstance(failure, LinksRequired):
                self._running.shown(failure.links, request.peer)

            raise failure from exc
        finally:
            self._running.end(running)

    async def _carry_out_telling(self, running: Running) -> JsonObject:
        outcome: JsonObject | GatewayError = {}

        async with anyio.create_task_group() as group:
            group.start_soon(running.deliver)

            try:
                outcome = await self._carry_out(running)
            except GatewayError as exc:
                # Not through the group, which would wrap it.
                outcome = exc
            finally:
                running.close()

        if isinstance(outcome, GatewayError):
            raise outcome

        return outcome

    async def _carry_out(self, running: Running) -> JsonObject:
        request = running.request
        meta: JsonObject = {**request.meta}

        if request.traceparent is not None:
            meta[TRACEPARENT] = request.traceparent

        if request.peer is not None and request.wants_progress:
            meta["progressToken"] = running.token

        params = {name: value for name, value in request.params.items() if name not in _LATER}

        if meta:
            params["_meta"] = meta

        with running.scope, running.sending():
            running.extend()
            return await self._send(request.method, params, self._options)

        raise too_slow(self._gateway)

    async def _send(self, method: str, params: JsonObject, options: CallOptions) -> JsonObject:
        try:
            return await self._dispatcher.send_raw_request(method, params, options)
        except MCPError as exc:
            raise self._translated(exc) from exc
        except RuntimeError as exc:
            raise unreachable(self._gateway) from exc

    async def _answer(
        self, context: Asked, method: str, params: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        del context
        # The SDK handles a request in the context of the transport's task that read it.
        return await self._running.ask(method, dict(params or {}), copy_context())

    async def _take(self, context: Asked, method: str, params: Mapping[str, Any] | None) -> None:
        """Take what may be long in handing on, and needs no order."""
        del context

        if method == COMPLETED:
            await self._running.completed(params or {})

    def _hear(self, method: str, params: Mapping[str, Any] | None) -> bool:
        """Take what the upstream says by itself, in the order in which it says it."""
        change = change_in(method, params)

        if change is not None:
            self._wake(change)
            return True

        came_in: Context | None = getattr(self._reading, "last_context", None)
        return self._running.hear(method, params or {}, came_in)

    def _translated(self, error: MCPError) -> Exception:
        if error.code == TRANSPORT_FAILED:
            return unreachable(self._gateway)

        unproven = failure_in(error.code, error.data)

        if unproven is not None:
            return unproven

        if error.code == TOO_LONG:
            return too_long(self._gateway)

        if error.code == NO_MESSAGES:
            return no_messages(self._gateway)

        if error.code == PROGRAM_ENDED:
            return ended(self._gateway, error.data if isinstance(error.data, int) else None)

        if error.code == CONNECTION_CLOSED:
            self._wake(EVERYTHING)
            return unreachable(self._gateway)

        if error.code == INVALID_REQUEST and "session" in error.message.lower():
            # What the SDK makes of a 404 to a request with a session.
            self._wake(EVERYTHING)
            return SessionLost(f"The gateway {self._gateway!r} has ended our session.")

        return RpcRefused(self._gateway, error.code, error.data)

    def _wake(self, change: Change) -> None:
        self._news |= change
        self._has_news.set()


@asynccontextmanager
async def open_legacy(
    endpoint: Endpoint,
    streams: MessageStreams | None = None,
    *,
    offered: JsonObject | None = None,
) -> AsyncGenerator[LegacyUpstream]:
    """Open a session over streams of messages; enter and leave this in one task.

    Without streams it is one over streamable HTTP. `offered` as for `LegacyUpstream`.

    Raises:
        GatewayError: The upstream cannot be reached, or does not shake hands.
    """
    async with streams or streamable_streams(endpoint) as opened:
        upstream = LegacyUpstream(endpoint, opened, offered)

        async with anyio.create_task_group() as group:
            await group.start(upstream.run)

            with anyio.move_on_after(endpoint.connect_seconds) as scope:
                await upstream.start()

            if scope.cancelled_caught:
                raise too_slow(endpoint.gateway)

            yield upstream
            group.cancel_scope.cancel()
