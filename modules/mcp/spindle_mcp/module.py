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
from spindle_mcp.surface.accelerated import FastPath
from spindle_mcp.surface.calls import ToolCalls, call_upstream
from spindle_mcp.surface.endpoint import Endpoint
from spindle_mcp.surface.listeners import Listeners
from spindle_mcp.surface.server import Surface
from spindle_mcp.surface.sessions import Sessions
from spindle_mcp.surface.views import Views
from spindle_mcp.upstream.fleet import Fleet
from spindle_spi.descriptor import ModuleDescriptor, PluginParity
from spindle_spi.errors import Internal, Unavailable
from spindle_spi.ingress import IngressPrefix, IngressRoute
from spindle_spi.invocation import Complete
from spindle_spi.module import Health, HealthState, Module
from spindle_spi.records import Kind
from spindle_spi.shapes import JSON_RPC

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spindle_mcp.authorization.flow import Authorizations
    from spindle_spi.config_secrets import Deployment
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.ingress import Call
    from spindle_spi.invocation import Invocation, ProgressSink, Result
    from spindle_spi.module import ModuleContext, Started
    from spindle_spi.types import Json, JsonObject, Receive, Scope, Send

_UNBOUNDED: Final = 2**40
"""The host bounds request bodies; the SDK's own bound must not be the lower one."""
_PERMISSION: Final = "servers.use"


class McpModule(Module):
    """Serves the catalog's tools over MCP, and the tools of upstream MCP servers to the catalog."""

    def __init__(self) -> None:
        self._version = _own_version()
        self._endpoint: Endpoint | None = None
        self._fleet: Fleet | None = None
        self._listeners: Listeners | None = None
        self._calls: ToolCalls | None = None
        self._context: ModuleContext | None = None

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
                "prompt_rendering": False,
                "resource_reads": False,
                "tool_invocation": True,
                "agent_invocation": False,
                "provider_relay": False,
                "plugin_parity": True,
            },
            plugin_parity={
                "tools/call": PluginParity.FULL,
                "tools/call of other modules": PluginParity.DELEGATE,
            },
            serves=(Kind.TOOL.value,),
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
        for path, server_param in (("/mcp", None), ("/servers/{slug}/mcp", "slug")):
            for method in ("GET", "POST", "DELETE"):
                route = IngressRoute(
                    method=method,
                    path=path,
                    permission=_PERMISSION,
                    handler=self._serve,
                    errors=JSON_RPC,
                    server_param=server_param,
                    operation=partial(operation_at, method),
                    challenge=CHALLENGE,
                )
                yield route
                # The same without a word on metadata: there are clients that send no header of
                # their user's any more as soon as a server tells where tokens come from.
                yield replace(route, path=f"{path}-key", challenge=None)

    @property
    def prefixes(self) -> Sequence[IngressPrefix]:
        """See `Module`."""
        return (
            IngressPrefix(prefix="/mcp", errors=JSON_RPC),
            IngressPrefix(prefix="/servers", errors=JSON_RPC),
        )

    async def run(self, context: ModuleContext, started: Started) -> None:
        """Serve until cancelled; whatever fails here fails the module, which is then built anew."""
        # The SDK and its client tell of every session and every request, with ids that are secret.
        for library in ("mcp", "httpx2"):
            logging.getLogger(library).setLevel(logging.WARNING)

        settings = settings_from(context.config)
        services = context.services
        fleet = Fleet(services, settings, self._version)
        views = Views(services.catalog)
        listeners = Listeners(services.catalog, views, max_sessions=settings.max_sessions)
        calls = ToolCalls(services, fleet)
        sessions = Sessions(idle_seconds=settings.session_idle_seconds)
        surface = Surface(
            calls,
            listeners,
            sessions,
            services.observability,
            list_ttl_seconds=settings.list_ttl_seconds,
        )
        server = surface.build(self._version)
        fast = None

        if settings.accelerated:
            fast = FastPath(calls, sessions, surface, server.server_info_stamp)

        manager = StreamableHTTPSessionManager(
            server,
            session_idle_timeout=settings.session_idle_seconds,
            max_request_body_size=_UNBOUNDED,
            max_sessions=settings.max_sessions,
        )

        try:
            async with anyio.create_task_group() as group, manager.run():
                self._context = context
                self._calls = calls
                self._fleet = fleet
                self._listeners = listeners
                self._endpoint = Endpoint(manager, views, fast)
                group.start_soon(fleet.run)
                group.start_soon(listeners.run)
                started()
                await anyio.sleep_forever()
        finally:
            self._context = None
            self._endpoint = None
            self._fleet = None

    async def drain(self, deadline: float) -> None:
        """End the streams that only wait for news, and wait for the calls in flight."""
        if self._endpoint is None or self._calls is None or self._listeners is None:
            return

        self._listeners.close()
        self._endpoint.close_streams()

        with anyio.move_on_after(deadline - time.monotonic()):
            await self._calls.idle()

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
            "in_flight": 0 if self._calls is None else self._calls.in_flight,
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
        """Call one of our tools for somebody else, who has admitted it and runs its hooks."""
        if invocation.permit is None:
            raise Internal("The call carries no permit.", code="mcp.invoke.unpermitted")

        if self._fleet is None:
            raise _down()

        result = await call_upstream(
            self._fleet,
            invocation.permit,
            invocation.arguments,
            deadline=invocation.deadline,
            progress=progress,
            context=context,
        )
        return Complete(payload=result)

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


def _down() -> Unavailable:
    return Unavailable("MCP is not served right now.", code="mcp.down", retry_after=1.0)


def _own_version() -> str:
    try:
        return version("spindle")
    except PackageNotFoundError:
        return "0"
