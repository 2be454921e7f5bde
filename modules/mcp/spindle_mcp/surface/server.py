"""The SDK's low-level server over the catalog: what each method of the protocol answers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server import Server
from mcp.server.lowlevel import NotificationOptions
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from spindle_mcp.capabilities import UI
from spindle_mcp.eras import for_wire
from spindle_mcp.offers import OFFERS, TOOLS
from spindle_mcp.surface.dialogue.peers import declared
from spindle_mcp.surface.exchange import CURRENT, asked_in, session_id_in
from spindle_mcp.surface.requests import request_in
from spindle_mcp.surface.sessions import Session, owner_of
from spindle_mcp.surface.shelf.listings import listing
from spindle_mcp.surface.walks.errors import rpc_error
from spindle_spi.errors import GatewayError, Internal
from spindle_spi.observability import Level

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from mcp.server.context import CallNext
    from mcp.server.models import InitializationOptions

    from spindle_mcp.config import McpSettings
    from spindle_mcp.offers import Offer
    from spindle_mcp.surface.content import Content
    from spindle_mcp.surface.sessions import Sessions
    from spindle_mcp.surface.shelf.listeners import Listeners
    from spindle_mcp.surface.shelf.views import View
    from spindle_mcp.surface.walks.calls import ToolCalls
    from spindle_spi.observability import ObservabilityService
    from spindle_spi.types import JsonObject


class SpindleServer(Server[dict[str, Any]]):
    """Answers `initialize` for the endpoint that was asked, and says that lists may change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """Return what the handshake says."""
        options = super().create_initialization_options(
            notification_options
            or NotificationOptions(
                tools_changed=True, prompts_changed=True, resources_changed=True
            ),
            experimental_capabilities,
            extensions,
        )
        asked = CURRENT.get()

        if asked is not None and asked.view.instructions is not None:
            options.instructions = asked.view.instructions

        return options


class Surface:
    """The handlers of the server."""

    def __init__(
        self,
        calls: ToolCalls,
        content: Content,
        listeners: Listeners,
        sessions: Sessions,
        observability: ObservabilityService,
        settings: McpSettings,
    ) -> None:
        self._calls = calls
        self._content = content
        self._listeners = listeners
        self._sessions = sessions
        self._observability = observability
        self._input_seconds = settings.input_seconds
        self._list_ttl_ms = int(settings.list_ttl_seconds * 1000)

    def build(self, version: str) -> SpindleServer:
        """Return the server."""
        server = SpindleServer(
            "spindle",
            version=version,
            title="Spindle",
            get_tool_input_schema=_input_schema,
            on_call_tool=self._call_tool,
            on_subscriptions_listen=self._listeners.listen,
        )
        server.add_request_handler("server/discover", types.RequestParams, self._discover)

        for offer in OFFERS:
            server.add_request_handler(
                offer.method, types.PaginatedRequestParams, partial(self._list, offer)
            )

        self._content.install(server)
        server.extensions[UI] = {}
        server.add_notification_handler(
            "notifications/initialized", types.NotificationParams, self._initialized
        )
        server.add_notification_handler(
            "notifications/cancelled", types.CancelledNotificationParams, self._cancelled
        )
        server.add_notification_handler(
            "notifications/roots/list_changed", types.NotificationParams, self._roots_changed
        )
        server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self._set_level)
        # The SDK's own middleware makes spans; the host traces by itself.
        server.middleware[:] = [self._translate, self._count]
        self._server = server
        return server

    async def _translate(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> Any:
        """Turn our errors into the protocol's, and hide what nobody expected."""
        try:
            return await call_next(ctx)
        except (MCPError, ValidationError):
            raise
        except Exception as exc:
            asked = CURRENT.get()
            request_id = "" if asked is None else asked.call.request_id
            raise self.report(exc, ctx.method, request_id, ctx.protocol_version) from exc

    async def _count(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> Any:
        """Count a session for its credential from its handshake to its end."""
        if ctx.method == "initialize" and ctx.request is not None:
            credential = asked_in(ctx).call.context.subject.token_id
            # The SDK offers no other way to learn that a session ended.
            connection = ctx.session._connection  # pyright: ignore[reportPrivateUsage]
            connection.exit_stack.callback(self._sessions.shares.take(credential))

        return await call_next(ctx)

    def report(self, exc: Exception, method: str, request_id: str, version: str) -> MCPError:
        """Return what a client is told of a failure; what nobody expected is logged."""
        if isinstance(exc, MCPError):
            return exc

        if isinstance(exc, GatewayError):
            return rpc_error(exc, request_id, version)

        self._observability.log(
            Level.ERROR,
            "mcp.request.failed",
            {"method": method, "error": type(exc).__name__, "detail": str(exc)},
        )
        return rpc_error(Internal("The request failed for a reason of ours."), request_id)

    async def _discover(
        self, ctx: ServerRequestContext[dict[str, Any]], params: types.RequestParams | None
    ) -> types.DiscoverResult:
        del params
        asked = asked_in(ctx)
        return types.DiscoverResult(
            supported_versions=list(MODERN_PROTOCOL_VERSIONS),
            capabilities=self._server.get_capabilities(protocol_version=ctx.protocol_version),
            instructions=asked.view.instructions,
            ttl_ms=self._list_ttl_ms,
            cache_scope="private",
        )

    async def _initialized(
        self, ctx: ServerRequestContext[dict[str, Any]], params: types.NotificationParams
    ) -> None:
        del params
        asked, session_id = asked_in(ctx), session_id_in(ctx)
        # The SDK offers no other way to learn that a session ended.
        connection = ctx.session._connection  # pyright: ignore[reportPrivateUsage]

        if session_id is None or not await self._listeners.add(session_id, asked, ctx.session):
            return

        self._sessions.add(
            Session(
                id=session_id,
                owner=owner_of(asked),
                version=ctx.protocol_version,
                capabilities=declared(ctx),
                patience=self._input_seconds,
                tell=ctx.session.send_notification,
            )
        )
        connection.exit_stack.callback(self._listeners.remove, session_id)
        connection.exit_stack.callback(self._sessions.remove, session_id)
        connection.exit_stack.callback(self._calls.forget, f"session:{session_id}")

    async def _set_level(
        self, ctx: ServerRequestContext[dict[str, Any]], params: types.SetLevelRequestParams
    ) -> types.EmptyResult:
        session = self._sessions.find(session_id_in(ctx))

        if session is not None:
            session.level = params.level

        return types.EmptyResult()

    async def _cancelled(
        self,
        ctx: ServerRequestContext[dict[str, Any]],
        params: types.CancelledNotificationParams,
    ) -> None:
        session_id = session_id_in(ctx)

        if session_id is not None and params.request_id is not None:
            # What the SDK carries out it has cancelled by itself.
            self._sessions.cancel(session_id, params.request_id)

    async def _roots_changed(
        self, ctx: ServerRequestContext[dict[str, Any]], params: types.NotificationParams
    ) -> None:
        del params
        session = self._sessions.find(session_id_in(ctx))

        if session is not None:
            await self._calls.roots_changed(session.key)

    async def _list(
        self,
        offer: Offer,
        ctx: ServerRequestContext[dict[str, Any]],
        params: types.PaginatedRequestParams,
    ) -> Any:
        return self.listing(asked_in(ctx).view, ctx.protocol_version, offer, params.cursor)

    def listing(
        self, view: View, version: str, offer: Offer = TOOLS, cursor: str | None = None
    ) -> JsonObject:
        """Return a page of a view's list, as a version of the protocol has it."""
        return listing(view, version, offer, self._list_ttl_ms, cursor)

    async def _call_tool(
        self, ctx: ServerRequestContext[dict[str, Any]], params: types.CallToolRequestParams
    ) -> Any:
        asked = asked_in(ctx)
        request = request_in(ctx, self._sessions, params.name, params.arguments or {})
        result = await self._calls.call(asked.view, asked.call, request)
        return for_wire(ctx.protocol_version, result)


def _input_schema(name: str) -> Any:
    """Return the schema the SDK compares mirrored headers with; only of what the caller sees."""
    asked = CURRENT.get()
    tool = None if asked is None else asked.view.tools.get(name)
    return None if tool is None else tool.input_schema
