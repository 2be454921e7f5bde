"""Walk 3, `tools/call`: admit, check, hooks, upstream, hooks, settle. One permit, settled once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from spindle_mcp.eras import tool_result
from spindle_mcp.links import scoped_result
from spindle_mcp.surface.dialogue.rounds import Rounds
from spindle_mcp.surface.dialogue.state import Binding
from spindle_mcp.surface.walks.delegation import delegated
from spindle_mcp.surface.walks.errors import unknown_tool
from spindle_mcp.surface.walks.judge import Judge, prepared
from spindle_mcp.surface.walks.lease import CallLease, RenewingPeer
from spindle_mcp.surface.walks.walk import Aim, InFlight, admitted, round_of
from spindle_mcp.trace import traced
from spindle_spi.errors import Internal
from spindle_spi.invocation import InputRequired
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target, ToolSpec

if TYPE_CHECKING:
    from spindle_mcp.surface.dialogue.turns import Turns
    from spindle_mcp.surface.shelf.shown import ShownTool
    from spindle_mcp.surface.shelf.views import View
    from spindle_mcp.surface.walks.request import GovernedRequest
    from spindle_mcp.upstream.connections.base import Peer
    from spindle_mcp.upstream.fleet import Fleet
    from spindle_spi.admission import Permit
    from spindle_spi.ingress import Call
    from spindle_spi.services import Services
    from spindle_spi.types import Json, JsonObject

_METHOD: Final = "tools/call"


class ToolCalls:
    """Carries out `tools/call` for the surface."""

    def __init__(self, services: Services, fleet: Fleet, turns: Turns, in_flight: InFlight) -> None:
        self._services = services
        self._catalog = services.catalog
        self._fleet = fleet
        self._rounds = Rounds(fleet)
        self._turns = turns
        self._in_flight = in_flight

    def forget(self, key: str) -> None:
        """Close what is open at upstreams for a peer that is no more."""
        self._fleet.release(key)

    async def roots_changed(self, key: str) -> None:
        """Tell upstreams that what a peer gives as its roots is not what it was."""
        await self._fleet.roots_changed(key)

    async def call(
        self, view: View, call: Call, request: GovernedRequest
    ) -> JsonObject | InputRequired:
        """Call a tool by the name this view shows; returns the neutral result.

        The state of an `InputRequired` is sealed for this client.

        Raises:
            GatewayError: No such tool for this caller, not permitted, refused, or failed.
            MCPError: The client's state is not good for this request.
        """
        tool = view.tools.get(request.name)

        if tool is None and view.is_readable:
            raise unknown_tool(request.name)

        call = traced(call, request.traceparent)

        async def work(
            peer: Peer | None, state: Json, outlives: bool
        ) -> JsonObject | InputRequired:
            return await self._run(
                tool,
                call,
                replace(request, peer=peer, state=state, outlives=outlives or request.outlives),
            )

        result = await self._turns.take(
            call,
            Binding(method=_METHOD, target=request.name, arguments=request.arguments),
            work,
            gateway=None if tool is None else tool.gateway,
            peer=request.peer,
            state=request.state,
            responses=request.responses,
        )

        if isinstance(result, InputRequired) or tool is None or tool.gateway is None:
            return result

        if tool.is_bare:
            return result

        return scoped_result(tool.gateway, result, lambda uri: view.place_of(uri) is not None)

    async def _run(
        self, tool: ShownTool | None, call: Call, request: GovernedRequest
    ) -> JsonObject | InputRequired:
        with self._in_flight:
            if not request.outlives:
                return await self._carry_out(tool, call, request, None)

            # The permit must not go with the HTTP exchange, which may end before the tool does.
            async with CallLease(self._services, call) as lease:
                return await self._carry_out(tool, call, request, lease)

    async def _carry_out(
        self, tool: ShownTool | None, call: Call, request: GovernedRequest, lease: CallLease | None
    ) -> JsonObject | InputRequired:
        if lease is not None and request.peer is not None:
            request = replace(request, peer=RenewingPeer(request.peer, lease))

        request = replace(request, caller=call.context)
        lease_id = None if lease is None else lease.id
        name = request.name if tool is None else tool.record.name
        aim = Aim(Target(kind=Kind.TOOL, name=name), Action.EXECUTE, unknown_tool(request.name))

        if tool is None or not tool.is_ours:
            # Another module serves it, or the caller may not read the list it is in.
            fault = None if tool is None else tool.arguments.fault_in(request.arguments)

            if fault is not None:
                return _faulty(fault)

            return await delegated(self._catalog, call, aim, request, lease_id)

        answer = partial(self._answer, tool, call, request)
        return await admitted(self._catalog, call, aim, lease_id, answer)

    async def _answer(
        self, tool: ShownTool, call: Call, request: GovernedRequest, permit: Permit
    ) -> JsonObject | InputRequired:
        fault = tool.arguments.fault_in(request.arguments)

        if fault is not None:
            return _faulty(fault)

        request = replace(request, traceparent=call.context.trace.traceparent)

        if not permit.hooks:
            return await call_upstream(self._rounds, permit, request, deadline=call.deadline)

        judge = Judge(self._services, call, permit)
        request = replace(
            await prepared(judge, request), arguments=await judge.arguments(request.arguments)
        )
        result = await call_upstream(
            self._rounds, permit, request, deadline=call.deadline, judge=judge
        )
        return result if isinstance(result, InputRequired) else await judge.result(result)


async def call_upstream(
    rounds: Rounds,
    permit: Permit,
    request: GovernedRequest,
    *,
    deadline: float | None,
    judge: Judge | None = None,
) -> JsonObject | InputRequired:
    """Call the tool of a permit at its gateway; what follows admission and hooks.

    Raises:
        GatewayError: The gateway could not be reached, refused the call, or was too slow.
    """
    spec = permit.record.spec

    if not isinstance(spec, ToolSpec) or spec.gateway is None:
        raise Internal(f"The tool {permit.record.name!r} has no gateway.", code="mcp.tool.orphan")

    params: JsonObject = {"name": spec.upstream_name, "arguments": request.arguments}

    asked = round_of(permit, request, deadline, _METHOD, params)
    answer = await rounds.request(spec.gateway, asked, judge)
    return answer if isinstance(answer, InputRequired) else tool_result(answer, spec.gateway)


def _faulty(fault: str) -> JsonObject:
    return {"content": [{"type": "text", "text": fault}], "isError": True}
