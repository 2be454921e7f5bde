"""The SDK's low-level server over the catalog: what each method of the protocol answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server import Server
from mcp.server.lowlevel import NotificationOptions
from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import INTERNAL_ERROR, INVALID_PARAMS
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError
from starlette.requests import Request

from spindle_mcp.eras import MODERN, for_wire
from spindle_mcp.surface.calls import ToolRequest
from spindle_mcp.surface.errors import rpc_error
from spindle_mcp.surface.exchange import CURRENT, Asked, take
from spindle_mcp.surface.older import MESSAGES
from spindle_mcp.surface.peers import ContextPeer, declared
from spindle_mcp.surface.sessions import Session, owner_of
from spindle_mcp.trace import relayed_meta, traceparent_in
from spindle_spi.errors import GatewayError, Internal
from spindle_spi.observability import Level

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext
    from mcp.server.context import CallNext
    from mcp.server.models import InitializationOptions

    from spindle_mcp.surface.calls import ToolCalls
    from spindle_mcp.surface.listeners import Listeners
    from spindle_mcp.surface.sessions import Sessions
    from spindle_mcp.surface.views import View
    from spindle_spi.observability import ObservabilityService
    from spindle_spi.types import Json, JsonObject

    Context = ServerRequestContext[dict[str, Any], Request]


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
            notification_options or NotificationOptions(tools_changed=True),
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
        listeners: Listeners,
        sessions: Sessions,
        observability: ObservabilityService,
        *,
        list_ttl_seconds: float,
        input_seconds: float,
    ) -> None:
        self._calls = calls
        self._listeners = listeners
        self._sessions = sessions
        self._observability = observability
        self._input_seconds = input_seconds
        self._list_ttl_ms = int(list_ttl_seconds * 1000)

    def build(self, version: str) -> SpindleServer:
        """Return the server."""
        server = SpindleServer(
            "spindle",
            version=version,
            title="Spindle",
            get_tool_input_schema=_input_schema,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_subscriptions_listen=self._listeners.listen,
        )
        server.add_request_handler("server/discover", types.RequestParams, self._discover)
        server.add_notification_handler(
            "notifications/initialized", types.NotificationParams, self._initialized
        )
        server.add_notification_handler(
            "notifications/cancelled", types.CancelledNotificationParams, self._cancelled
        )
        server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self._set_level)
        # The SDK's own middleware makes spans; the host traces by itself.
        server.middleware[:] = [self._translate]
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
            raise self.report(exc, ctx.method, request_id) from exc

    def report(self, exc: Exception, method: str, request_id: str) -> MCPError:
        """Return what a client is told of a failure; what nobody expected is logged."""
        if isinstance(exc, MCPError):
            return exc

        if isinstance(exc, GatewayError):
            return rpc_error(exc, request_id)

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
        asked = _asked(ctx)
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
        asked, session_id = _asked(ctx), _session_id(ctx)
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
            )
        )
        connection.exit_stack.callback(self._listeners.remove, session_id)
        connection.exit_stack.callback(self._sessions.remove, session_id)
        connection.exit_stack.callback(self._calls.forget, f"session:{session_id}")

    async def _set_level(
        self, ctx: ServerRequestContext[dict[str, Any]], params: types.SetLevelRequestParams
    ) -> types.EmptyResult:
        session = self._sessions.find(_session_id(ctx))

        if session is not None:
            session.level = params.level

        return types.EmptyResult()

    async def _cancelled(
        self,
        ctx: ServerRequestContext[dict[str, Any]],
        params: types.CancelledNotificationParams,
    ) -> None:
        session_id = _session_id(ctx)

        if session_id is not None and params.request_id is not None:
            # What the SDK carries out it has cancelled by itself.
            self._sessions.cancel(session_id, params.request_id)

    async def _list_tools(
        self,
        ctx: ServerRequestContext[dict[str, Any]],
        params: types.PaginatedRequestParams | None,
    ) -> Any:
        if params is not None and params.cursor is not None:
            raise MCPError(INVALID_PARAMS, "Invalid cursor")

        return self.listing(_asked(ctx).view, ctx.protocol_version)

    def listing(self, view: View, version: str) -> JsonObject:
        """Return the list of tools of a view, as a version of the protocol has it."""
        tools: list[Json] = [*view.listed(version)]

        if version != MODERN:
            return {"tools": tools}

        return {
            "tools": tools,
            "resultType": "complete",
            "ttlMs": self._list_ttl_ms,
            "cacheScope": "private",
        }

    async def _call_tool(
        self, ctx: ServerRequestContext[dict[str, Any]], params: types.CallToolRequestParams
    ) -> Any:
        asked = _asked(ctx)
        raw = ctx.params or {}
        is_modern = ctx.protocol_version == MODERN
        responses: Json = raw.get("inputResponses") if is_modern else None
        result = await self._calls.call(
            asked.view,
            asked.call,
            ToolRequest(
                name=params.name,
                arguments=params.arguments or {},
                meta=relayed_meta(ctx.meta),
                peer=ContextPeer(ctx, asked, self._sessions.find(_session_id(ctx))),
                wants_progress=ctx.meta is not None and "progress_token" in ctx.meta,
                responses=responses if isinstance(responses, dict) else {},
                state=raw.get("requestState") if is_modern else None,
                traceparent=traceparent_in(ctx.meta),
                outlives=not is_modern,
            ),
        )
        return for_wire(ctx.protocol_version, result)


def _input_schema(name: str) -> Any:
    """Return the schema the SDK compares mirrored headers with; only of what the caller sees."""
    asked = CURRENT.get()
    tool = None if asked is None else asked.view.tools.get(name)
    return None if tool is None else tool.input_schema


def _session_id(ctx: ServerRequestContext[dict[str, Any]]) -> str | None:
    request = ctx.request

    if not isinstance(request, Request):
        return None

    if request.url.path.endswith(MESSAGES):
        return request.query_params.get("session_id")

    return request.headers.get("mcp-session-id")


def _asked(ctx: ServerRequestContext[dict[str, Any]]) -> Asked:
    request = ctx.request

    if not isinstance(request, Request):
        raise MCPError(INTERNAL_ERROR, "The request did not come over HTTP.")

    return take(request.scope)
