"""The module as the host sees it: what it declares, its one long-lived task, and calls to it."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

import anyio
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from spindle_mcp.authorization.resource import CHALLENGE, metadata_routes
from spindle_mcp.authorization.routes import authorization_routes
from spindle_mcp.config import SCHEMA, settings_from
from spindle_mcp.documentation import operation_at
from spindle_mcp.links import scoped_result
from spindle_mcp.offers import OFFERS
from spindle_mcp.surface.accelerated import FastPath
from spindle_mcp.surface.calls import ToolRequest, call_upstream
from spindle_mcp.surface.content import Content
from spindle_mcp.surface.endpoint import Endpoint
from spindle_mcp.surface.exchange import MESSAGES
from spindle_mcp.surface.fetches import Fetches
from spindle_mcp.surface.listeners import Listeners
from spindle_mcp.surface.older import OlderStreams, not_served
from spindle_mcp.surface.parking import Parking
from spindle_mcp.surface.peers import InvocationPeer
from spindle_mcp.surface.resuming import ResumableSessions
from spindle_mcp.surface.rounds import Rounds
from spindle_mcp.surface.search import SearchedCalls, searched_above
from spindle_mcp.surface.server import Surface
from spindle_mcp.surface.sessions import Sessions
from spindle_mcp.surface.state import StateSeal
from spindle_mcp.surface.subscriptions import Subscriptions
from spindle_mcp.surface.turns import Turns
from spindle_mcp.surface.vectors import vectors_of
from spindle_mcp.surface.views import Views
from spindle_mcp.surface.walk import InFlight
from spindle_mcp.upstream.fleet import Fleet
from spindle_spi.descriptor import ModuleDescriptor, PluginParity
from spindle_spi.errors import Internal, Unavailable
from spindle_spi.ingress import IngressPrefix, IngressRoute
from spindle_spi.invocation import Complete, InputRequired
from spindle_spi.module import Health, HealthState, Module
from spindle_spi.records import Kind
from spindle_spi.shapes import JSON_RPC

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spindle_mcp.authorization.flow import Authorizations
    from spindle_mcp.config import McpSettings
    from spindle_mcp.surface.server import SpindleServer
    from spindle_spi.config_secrets import Deployment
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.ingress import Call
    from spindle_spi.invocation import Invocation, ProgressSink, Result
    from spindle_spi.module import ModuleContext, Started
    from spindle_spi.services import Services
    from spindle_spi.types import Json, JsonObject, Receive, Scope, Send

_UNBOUNDED: Final = 2**40
"""The host bounds request bodies; the SDK's own bound must not be the lower one."""
_PERMISSION: Final = "servers.use"


class McpModule(Module):
    """Serves the catalog over MCP, and what upstream MCP servers offer to the catalog."""

    def __init__(self) -> None:
        self._version = _own_version()
        self._endpoint: Endpoint | None = None
        self._fleet: Fleet | None = None
        self._listeners: Listeners | None = None
        self._context: ModuleContext | None = None
        self._fetches: Fetches | None = None
        self._in_flight = InFlight()
        self._older: OlderStreams | None = None
        self._parking: Parking | None = None

    @property
    def descriptor(self) -> ModuleDescriptor:
        """See `Module`."""
        return ModuleDescriptor(
            module_id="mcp",
            protocol_family="mcp",
            module_version=self._version,
            capabilities={
                "ingress": True,
                "transport": True,
                "request_streaming": False,
                "response_streaming": True,
                "session_state": True,
                "task_state": False,
                "replay": False,
                "subscriptions": True,
                "prompt_rendering": True,
                "resource_reads": True,
                "tool_invocation": True,
                "agent_invocation": False,
                "provider_relay": False,
                "plugin_parity": True,
            },
            plugin_parity={
                "tools/call": PluginParity.FULL,
                "resources/read": PluginParity.FULL,
                "prompts/get": PluginParity.FULL,
                "completion/complete": PluginParity.FULL,
                "tools/call of other modules": PluginParity.DELEGATE,
            },
            serves=tuple(offer.kind.value for offer in OFFERS),
        )

    @property
    def config_schema(self) -> Mapping[str, Json]:
        """See `Module`."""
        return SCHEMA

    @property
    def routes(self) -> Sequence[IngressRoute]:
        """See `Module`."""
        return (
            *self._endpoints(),
            *metadata_routes(self._known_outside),
            *authorization_routes(self._desk, self._deployment),
        )

    def _endpoints(self) -> Iterator[IngressRoute]:
        for prefix, server_param in (("", None), ("/servers/{slug}", "slug")):
            for method, path, handler in (
                ("GET", "/mcp", self._serve),
                ("POST", "/mcp", self._serve),
                ("DELETE", "/mcp", self._serve),
                ("GET", "/sse", self._stream_older),
                ("POST", MESSAGES, self._take_older),
            ):
                route = IngressRoute(
                    method=method,
                    path=f"{prefix}{path}",
                    permission=_PERMISSION,
                    handler=handler,
                    errors=JSON_RPC,
                    server_param=server_param,
                    operation=partial(operation_at, method, path),
                    challenge=CHALLENGE if path == "/mcp" else None,
                )
                yield route

                if path == "/mcp":
                    # The same without a word on metadata: there are clients that send no header
                    # of their user's any more as soon as a server tells where tokens come from.
                    yield replace(route, path=f"{prefix}{path}-key", challenge=None)

    @property
    def prefixes(self) -> Sequence[IngressPrefix]:
        """See `Module`."""
        return (
            IngressPrefix(prefix="/mcp", errors=JSON_RPC),
            IngressPrefix(prefix="/sse", errors=JSON_RPC),
            IngressPrefix(prefix=MESSAGES, errors=JSON_RPC),
            IngressPrefix(prefix="/servers", errors=JSON_RPC),
        )

    async def run(self, context: ModuleContext, started: Started) -> None:
        """Serve until cancelled; whatever fails here fails the module, which is then built anew."""
        _keep_libraries_quiet()
        settings = settings_from(context.config)
        services = context.services
        fleet = Fleet(services, settings, self._version)
        views = Views(
            services.catalog,
            name_length=settings.name_length,
            search_rule=searched_above(settings.search_above),
        )
        subscriptions = Subscriptions(fleet)
        fleet.on_updated = subscriptions.updated
        listeners = Listeners(
            services.catalog, views, subscriptions, max_sessions=settings.max_sessions
        )
        parking = Parking(most=settings.max_parked_calls, seconds=settings.input_seconds)
        seal = StateSeal(services, seconds=settings.input_seconds)
        turns = Turns(fleet, parking, seal)
        vectors = vectors_of(services, settings.search_model)
        calls = SearchedCalls(services, fleet, turns, self._in_flight, vectors=vectors)
        fetches = Fetches(services, fleet, turns, self._in_flight)
        sessions = Sessions(idle_seconds=settings.session_idle_seconds)
        surface = Surface(
            calls,
            Content(fetches, listeners, sessions),
            listeners,
            sessions,
            services.observability,
            settings,
        )
        server = surface.build(self._version)
        fast = (
            FastPath(
                calls,
                fetches,
                sessions,
                surface,
                server.server_info_stamp,
                # What goes round the SDK is not kept for who loses a stream.
                with_sessions=not settings.resumable,
            )
            if settings.accelerated
            else None
        )
        older = (
            OlderStreams(server, views, most=settings.max_sessions, max_body=_UNBOUNDED)
            if settings.legacy_sse
            else None
        )
        manager = _manager(server, services, settings)

        try:
            async with anyio.create_task_group() as group, manager.run():
                self._context = context
                self._fetches = fetches
                self._fleet = fleet
                self._listeners = listeners
                self._older = older
                self._parking = parking
                self._endpoint = Endpoint(manager, views, sessions, fast)
                group.start_soon(fleet.run)
                group.start_soon(parking.run)
                group.start_soon(listeners.run)
                started()
                await anyio.sleep_forever()
        finally:
            self._context = None
            self._older = self._endpoint = None
            self._fetches = self._fleet = None

    async def drain(self, deadline: float) -> None:
        """End the streams that only wait for news, and wait for the calls in flight."""
        if self._endpoint is None or self._listeners is None:
            return

        self._listeners.close()
        self._endpoint.close_streams()

        if self._older is not None:
            self._older.close()

        with anyio.move_on_after(deadline - time.monotonic()):
            await self._in_flight.idle()

    async def health(self) -> Health:
        """See `Module`."""
        if self._fleet is None:
            return Health(state=HealthState.FAILED, message="not running")

        broken = self._fleet.broken()

        if broken:
            return Health(
                state=HealthState.DEGRADED,
                message=f"not connected: {', '.join(broken)}",
                details=self._fleet.describe(),
            )

        return Health(state=HealthState.READY, details=self._fleet.describe())

    async def stats(self) -> JsonObject:
        """See `Module`."""
        return {
            "in_flight": self._in_flight.count,
            "parked": 0 if self._parking is None else self._parking.waiting,
            "listeners": 0 if self._listeners is None else len(self._listeners),
            "streams": 0 if self._endpoint is None else self._endpoint.streams,
            "gateways": {} if self._fleet is None else self._fleet.describe(),
        }

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        """Call a tool, read a resource or render a prompt of ours for somebody else.

        Who has admitted it and runs its hooks.
        """
        if invocation.permit is None:
            raise Internal("The call carries no permit.", code="mcp.invoke.unpermitted")

        if self._fleet is None or self._fetches is None:
            raise _down()

        request = ToolRequest(
            name=invocation.target.name,
            arguments=invocation.arguments,
            peer=InvocationPeer(invocation.client_capabilities, progress),
            responses=invocation.responses,
            state=invocation.state,
            wants_progress=progress is not None,
            traceparent=context.trace.traceparent,
            caller=context,
        )
        permit, deadline = invocation.permit, invocation.deadline

        if permit.record.kind is Kind.TOOL:
            result = await call_upstream(Rounds(self._fleet), permit, request, deadline=deadline)
        else:
            result = await self._fetches.invoked(context, permit, request, deadline)

        if isinstance(result, InputRequired):
            return result

        gateway = "" if permit.backend is None else permit.backend.name
        return Complete(payload=scoped_result(gateway, result))

    async def _known_outside(self) -> tuple[Deployment, bool]:
        context = self._running()
        deployment = await context.services.config_secrets.deployment()
        return deployment, settings_from(context.config).root_metadata

    async def _deployment(self) -> Deployment:
        return await self._running().services.config_secrets.deployment()

    def _desk(self) -> Authorizations:
        if self._fleet is None:
            raise _down()

        # With it comes what speaks OAuth: nobody needs that where nobody acts for persons.
        from spindle_mcp.authorization.flow import Authorizations

        return Authorizations(self._running().services, self._fleet)

    def _running(self) -> ModuleContext:
        if self._context is None:
            raise _down()

        return self._context

    async def _serve(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        endpoint = self._endpoint

        if endpoint is None:
            raise _down()

        await endpoint.serve(scope, receive, send, call)

    async def _stream_older(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        await self._older_streams().stream(scope, receive, send, call)

    async def _take_older(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        await self._older_streams().message(scope, receive, send, call)

    def _older_streams(self) -> OlderStreams:
        if self._endpoint is None:
            raise _down()

        if self._older is None:
            raise not_served()

        return self._older


def _manager(
    server: SpindleServer, services: Services, settings: McpSettings
) -> StreamableHTTPSessionManager:
    if settings.resumable:
        return ResumableSessions(
            services,
            server,
            seconds=settings.session_idle_seconds,
            most=settings.max_sessions,
            max_body=_UNBOUNDED,
        )

    return StreamableHTTPSessionManager(
        server,
        session_idle_timeout=settings.session_idle_seconds,
        max_request_body_size=_UNBOUNDED,
        max_sessions=settings.max_sessions,
    )


def _keep_libraries_quiet() -> None:
    # The SDK and its client tell of every session and every request, with ids that are secret.
    for library in ("mcp", "httpx2"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _down() -> Unavailable:
    return Unavailable("MCP is not served right now.", code="mcp.down", retry_after=1.0)


def _own_version() -> str:
    try:
        return version("spindle")
    except PackageNotFoundError:
        return "0"
