"""A request that the SDK handed us, as the walks take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle_mcp.eras import MODERN
from spindle_mcp.surface.dialogue.peers import ContextPeer
from spindle_mcp.surface.exchange import asked_in, session_id_in
from spindle_mcp.surface.walks.request import GovernedRequest
from spindle_mcp.trace import relayed_meta, traceparent_in

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

    from spindle_mcp.surface.sessions import Sessions
    from spindle_spi.types import Json, JsonObject


def request_in(
    ctx: ServerRequestContext[dict[str, Any]], sessions: Sessions, name: str, arguments: JsonObject
) -> GovernedRequest:
    """Return it, with its name and arguments as its method has them."""
    raw = ctx.params or {}
    is_modern = ctx.protocol_version == MODERN
    responses: Json = raw.get("inputResponses") if is_modern else None
    return GovernedRequest(
        name=name,
        arguments=arguments,
        meta=relayed_meta(ctx.meta),
        peer=ContextPeer(ctx, asked_in(ctx), sessions.find(session_id_in(ctx))),
        wants_progress=ctx.meta is not None and "progress_token" in ctx.meta,
        responses=responses if isinstance(responses, dict) else {},
        state=raw.get("requestState") if is_modern else None,
        traceparent=traceparent_in(ctx.meta),
        outlives=not is_modern,
    )
