"""A request for what another module serves: through the core, in as many rounds as it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spindle_mcp.capabilities import callbacks_in
from spindle_mcp.surface.dialogue.rounds import asking
from spindle_spi.errors import FailedPrecondition, NotFound
from spindle_spi.invocation import Complete, InputRequired, Invocation, Streaming

if TYPE_CHECKING:
    from spindle_mcp.surface.walks.request import GovernedRequest
    from spindle_mcp.surface.walks.walk import Aim
    from spindle_spi.catalog import CatalogService
    from spindle_spi.ingress import Call
    from spindle_spi.types import JsonObject


async def delegated(
    catalog: CatalogService, call: Call, aim: Aim, request: GovernedRequest, lease_id: str | None
) -> JsonObject | InputRequired:
    """Have the core carry out a request; `request.arguments` is its neutral payload.

    Raises:
        NotFound: It is absent or hidden.
        GatewayError: It is not permitted, was refused, or failed.
    """
    peer = request.peer
    invocation = Invocation(
        target=aim.target,
        action=aim.action,
        arguments=request.arguments,
        client_capabilities={} if peer is None else callbacks_in(peer.capabilities),
        responses=request.responses,
        state=request.state if isinstance(request.state, str) else None,
        deadline=call.deadline,
        depth=call.depth + 1,
        lease_id=lease_id,
    )
    progress = peer.progress if peer is not None and request.wants_progress else None

    async def send(again: JsonObject) -> JsonObject:
        try:
            result = await catalog.invoke(call.context, _again(invocation, again), progress)
        except NotFound as exc:
            raise aim.unknown from exc

        match result:
            case Complete():
                return result.payload
            case InputRequired():
                return {
                    "resultType": "input_required",
                    "inputRequests": result.requests,
                    "requestState": result.state,
                }
            case Streaming():
                await result.close()
                raise FailedPrecondition("The tool answers in pieces.", code="mcp.tool.streams")

    return await asking(send, "spindle", peer)


def _again(invocation: Invocation, again: JsonObject) -> Invocation:
    responses, state = again.get("inputResponses"), again.get("requestState")

    if not again:
        return invocation

    return replace(
        invocation,
        responses=responses if isinstance(responses, dict) else {},
        state=state if isinstance(state, str) else None,
    )
