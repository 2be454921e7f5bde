"""Walk 3, `tools/call`: admit, check, hooks, upstream, hooks, settle. One permit, settled once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from spindle_mcp.eras import tool_result
from spindle_mcp.links import scoped_result
from spindle_mcp.surface.delegation import delegated
from spindle_mcp.surface.errors import unknown_tool
from spindle_mcp.surface.judge import Judge, prepared
from spindle_mcp.surface.lease import CallLease, RenewingPeer
from spindle_mcp.surface.rounds import Rounds
from spindle_mcp.surface.state import Binding
from spindle_mcp.surface.walk import Aim, InFlight, admitted, round_of
from spindle_mcp.trace import traced
from spindle_mcp.upstream.base import Peer
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import Internal
from spindle_spi.invocation import InputRequired
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target, ToolSpec
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from spindle_mcp.surface.shown import ShownTool
    from spindle_mcp.surface.turns import Turns
    from spindle_mcp.surface.views import View
    from spindle_mcp.upstream.fleet import Fleet
    from spindle_spi.admission import Permit
    from spindle_spi.ingress import Call
    from spindle_spi.services import Services

_METHOD: Final = "tools/call"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """One `tools/call`, as either path of the surface read it."""

    name: str
    arguments: JsonObject
    meta: JsonObject = field(default_factory=dict[str, Json])
    """What of the message's `_meta` goes on to upstreams."""
    peer: Peer | None = None
    wants_progress: bool = False
    responses: JsonObject = field(default_factory=dict[str, Json])
    """What the client answers to an earlier round."""
    state: Json = None
    """What it was given to hold in that round."""
    traceparent: str | None = None
    """The trace that the message itself names."""
    caller: AuthenticatedContext | None = None
    """For whom, where an upstream is shown that."""
    outlives: bool = False
    """The call goes on when its HTTP exchange ends: so it is before 2026."""


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

    async def call(
        self, view: View, call: Call, request: ToolRequest
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
        self, tool: ShownTool | None, call: Call, request: ToolRequest
    ) -> JsonObject | InputRequired:
        with self._in_flight:
            if not request.outlives:
                return await self._carry_out(tool, call, request, None)

            # The permit must not go with the HTTP exchange, which may end before the tool does.
            async with CallLease(self._services, call) as lease:
                return await self._carry_out(tool, call, request, lease)

    async def _carry_out(
        self, tool: ShownTool | None, call: Call, request: ToolRequest, lease: CallLease | None
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
        self, tool: ShownTool, call: Call, request: ToolRequest, permit: Permit
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
    request: ToolRequest,
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
