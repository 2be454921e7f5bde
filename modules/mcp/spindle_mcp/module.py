"""The module as the host sees it: what it declares, its one long-lived task, and calls to it."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.assembly import Assembly, assemble
from spindle_mcp.authorization.resource import CHALLENGE, metadata_routes
from spindle_mcp.authorization.routes import authorization_routes
from spindle_mcp.config import SCHEMA
from spindle_mcp.documentation import operation_at
from spindle_mcp.links import scoped_result
from spindle_mcp.offers import OFFERS
from spindle_mcp.surface.dialogue.peers import InvocationPeer
from spindle_mcp.surface.dialogue.rounds import Rounds
from spindle_mcp.surface.exchange import MESSAGES
from spindle_mcp.surface.http.older import OlderStreams, not_served
from spindle_mcp.surface.walks.calls import call_upstream
from spindle_mcp.surface.walks.request import GovernedRequest
from spindle_mcp.surface.walks.walk import InFlight
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
    from spindle_spi.config_secrets import Deployment
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.ingress import Call
    from spindle_spi.invocation import Invocation, ProgressSink, Result
    from spindle_spi.module import ModuleContext, Started
    from spindle_spi.types import Json, JsonObject, Receive, Scope, Send

_PERMISSION: Final = "servers.use"


class McpModule(Module):
    """Serves the catalog over MCP, and what upstream MCP servers offer to the catalog."""

    def __init__(self) -> None:
        self._version = _own_version()
        self._assembly: Assembly | None = None
        self._in_flight = InFlight()

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
                    challenge=None if path == MESSAGES else CHALLENGE,
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
            IngressPrefix(prefix="/servers", errors=JSON_RPC),
        )

    async def run(self, context: ModuleContext, started: Started) -> None:
        """Serve until cancelled; whatever fails here fails the module, which is then built anew."""
        _keep_libraries_quiet()
        assembly = assemble(context, self._version, self._in_flight)

        def ready() -> None:
            self._assembly = assembly
            started()

        try:
            await assembly.run(ready)
        finally:
            self._assembly = None

    async def drain(self, deadline: float) -> None:
        """End the streams that only wait for news, and wait for the calls in flight."""
        assembly = self._assembly

        if assembly is None:
            return

        assembly.listeners.close()
        assembly.endpoint.close_streams()

        if assembly.older is not None:
            assembly.older.close()

        with anyio.move_on_after(deadline - time.monotonic()):
            await self._in_flight.idle()

    async def health(self) -> Health:
        """See `Module`."""
        if self._assembly is None:
            return Health(state=HealthState.FAILED, message="not running")

        fleet = self._assembly.fleet
        broken, details = fleet.broken(), fleet.describe()

        if broken:
            message = f"not connected: {', '.join(broken)}"
            return Health(state=HealthState.DEGRADED, message=message, details=details)

        return Health(state=HealthState.READY, details=details)

    async def stats(self) -> JsonObject:
        """See `Module`."""
        assembly = self._assembly
        return {
            "in_flight": self._in_flight.count,
            "parked": 0 if assembly is None else assembly.parking.waiting,
            "listeners": 0 if assembly is None else len(assembly.listeners),
            "streams": 0 if assembly is None else assembly.endpoint.streams,
            "gateways": {} if assembly is None else assembly.fleet.describe(),
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

        running = self._running()
        request = GovernedRequest(
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
            result = await call_upstream(Rounds(running.fleet), permit, request, deadline=deadline)
        else:
            result = await running.fetches.invoked(context, permit, request, deadline)

        if isinstance(result, InputRequired):
            return result

        gateway = "" if permit.backend is None else permit.backend.name
        return Complete(payload=scoped_result(gateway, result))

    def _running(self) -> Assembly:
        if self._assembly is None:
            raise Unavailable("MCP is not served right now.", code="mcp.down", retry_after=1.0)

        return self._assembly

    async def _known_outside(self) -> tuple[Deployment, bool]:
        return await self._deployment(), self._running().settings.root_metadata

    async def _deployment(self) -> Deployment:
        return await self._running().context.services.config_secrets.deployment()

    def _desk(self) -> Authorizations:
        running = self._running()

        # With it comes what speaks OAuth: nobody needs that where nobody acts for persons.
        from spindle_mcp.authorization.flow import Authorizations

        return Authorizations(running.context.services, running.fleet)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        assembly = self._running()
        await assembly.endpoint.serve(scope, receive, send, call)

    async def _stream_older(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        await self._older_streams().stream(scope, receive, send, call)

    async def _take_older(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        await self._older_streams().message(scope, receive, send, call)

    def _older_streams(self) -> OlderStreams:
        older = self._running().older

        if older is None:
            raise not_served()

        return older


def _keep_libraries_quiet() -> None:
    # The SDK and its client tell of every session and every request, with ids that are secret.
    for library in ("mcp", "httpx2"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _own_version() -> str:
    try:
        return version("spindle")
    except PackageNotFoundError:
        return "0"
