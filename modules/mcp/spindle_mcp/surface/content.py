"""The protocol's methods for resources, prompts and completion, over the walks behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import mcp_types as types

from spindle_mcp.results import COMPLETE, GET, READ, on_wire
from spindle_mcp.surface.exchange import asked_in, session_id_in
from spindle_mcp.surface.requests import request_in
from spindle_spi.policy import Action, allow, permission_for
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from mcp.server import Server, ServerRequestContext

    from spindle_mcp.surface.sessions import Sessions
    from spindle_mcp.surface.shelf.listeners import Listeners
    from spindle_mcp.surface.walks.fetches import Fetches
    from spindle_spi.types import Json, JsonObject

    Context = ServerRequestContext[dict[str, Any]]

_READ: Final = permission_for(Kind.RESOURCE, Action.EXECUTE)


class Content:
    """The handlers; `install` gives them to a server."""

    def __init__(self, fetches: Fetches, listeners: Listeners, sessions: Sessions) -> None:
        self._fetches = fetches
        self._listeners = listeners
        self._sessions = sessions

    def install(self, server: Server[dict[str, Any]]) -> None:
        """Have a server answer these methods."""
        server.add_request_handler(READ, types.ReadResourceRequestParams, self._read)
        server.add_request_handler(GET, types.GetPromptRequestParams, self._get)
        server.add_request_handler(COMPLETE, types.CompleteRequestParams, self._complete)
        server.add_request_handler(
            "resources/subscribe", types.SubscribeRequestParams, self._subscribe
        )
        server.add_request_handler(
            "resources/unsubscribe", types.UnsubscribeRequestParams, self._unsubscribe
        )

    async def _read(self, ctx: Context, params: types.ReadResourceRequestParams) -> Any:
        asked = asked_in(ctx)
        result = await self._fetches.read(
            asked.view, asked.call, request_in(ctx, self._sessions, params.uri, {})
        )
        return on_wire(READ, ctx.protocol_version, result)

    async def _get(self, ctx: Context, params: types.GetPromptRequestParams) -> Any:
        asked = asked_in(ctx)
        arguments: JsonObject = {**(params.arguments or {})}
        request = request_in(ctx, self._sessions, params.name, arguments)
        result = await self._fetches.render(asked.view, asked.call, request)
        return on_wire(GET, ctx.protocol_version, result)

    async def _complete(self, ctx: Context, params: types.CompleteRequestParams) -> Any:
        asked = asked_in(ctx)
        said = _dumped(params)
        ref = said.pop("ref")
        assert isinstance(ref, dict)
        request = request_in(ctx, self._sessions, "", said)
        result = await self._fetches.complete(asked.view, asked.call, ref, request)
        return on_wire(COMPLETE, ctx.protocol_version, result)

    async def _subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> Any:
        asked = asked_in(ctx)
        allow(asked.call.context, _READ)
        place = await self._fetches.place_of(asked.view, asked.call.context, params.uri)
        await self._listeners.subscribe(session_id_in(ctx), place)
        return {}

    async def _unsubscribe(self, ctx: Context, params: types.UnsubscribeRequestParams) -> Any:
        await self._listeners.unsubscribe(session_id_in(ctx), params.uri)
        return {}


def _dumped(params: types.CompleteRequestParams) -> JsonObject:
    dumped: dict[str, Json] = params.model_dump(
        mode="json", by_alias=True, exclude_none=True, include={"ref", "argument", "context"}
    )
    return dumped
