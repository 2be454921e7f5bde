"""Walk 3, `tools/call`: admit, check, hooks, upstream, hooks, settle. One permit, settled once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from spindle_mcp.eras import tool_result
from spindle_mcp.links import scoped_result
from spindle_mcp.surface.errors import unknown_tool
from spindle_mcp.surface.walk import (
    Aim,
    InFlight,
    Lease,
    Renewing,
    admitted,
    answered,
    asks_for_more,
    peer_for,
    silence_of,
)
from spindle_mcp.trace import traced
from spindle_mcp.upstream.base import Peer, Request
from spindle_spi.errors import Internal, NotFound
from spindle_spi.invocation import Complete, Invocation, ProgressSink
from spindle_spi.payloads import lift_arguments, lift_document, lift_tool_result, write_back
from spindle_spi.plugin import HookPhase
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target, ToolSpec
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from spindle_mcp.surface.shown import ShownTool
    from spindle_mcp.surface.views import View
    from spindle_mcp.upstream.fleet import Fleet
    from spindle_spi.admission import Permit
    from spindle_spi.ingress import Call
    from spindle_spi.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """One `tools/call`, as either path of the surface read it."""

    name: str
    arguments: JsonObject
    meta: JsonObject = field(default_factory=dict[str, Json])
    """What of the message's `_meta` goes on to upstreams."""
    peer: Peer | None = None
    wants_progress: bool = False
    traceparent: str | None = None
    """The trace that the message itself names."""
    outlives: bool = False
    """The call goes on when its HTTP exchange ends: so it is before 2026."""


class ToolCalls:
    """Carries out `tools/call` for the surface."""

    def __init__(self, services: Services, fleet: Fleet, in_flight: InFlight) -> None:
        self._services = services
        self._catalog = services.catalog
        self._fleet = fleet
        self._in_flight = in_flight

    async def call(self, view: View, call: Call, request: ToolRequest) -> JsonObject:
        """Call a tool by the name this view shows; returns the neutral result.

        Raises:
            GatewayError: No such tool for this caller, not permitted, refused, or failed.
        """
        tool = view.tools.get(request.name)

        if tool is None and view.is_readable:
            raise unknown_tool(request.name)

        call = traced(call, request.traceparent)

        with self._in_flight:
            if not request.outlives:
                result = await self._carry_out(tool, call, request, None)
            else:
                # The permit must not go with the HTTP exchange, which may end before the tool does.
                async with Lease(self._services, call) as lease:
                    result = await self._carry_out(tool, call, request, lease)

        if tool is None or tool.gateway is None or tool.is_bare:
            return result

        return scoped_result(tool.gateway, result, view.resources.__contains__)

    async def _carry_out(
        self, tool: ShownTool | None, call: Call, request: ToolRequest, lease: Lease | None
    ) -> JsonObject:
        if tool is None or not tool.is_ours:
            return await self._delegate(tool, call, request, lease)

        return await admitted(
            self._catalog,
            call,
            Aim(
                Target(kind=Kind.TOOL, name=tool.record.name),
                Action.EXECUTE,
                unknown_tool(request.name),
            ),
            lease,
            partial(self._answer, tool, call, request, lease),
        )

    async def _answer(  # the order of these steps is the policy of a tool call
        self,
        tool: ShownTool,
        call: Call,
        request: ToolRequest,
        lease: Lease | None,
        permit: Permit,
    ) -> JsonObject:
        arguments = request.arguments
        fault = tool.arguments.fault_in(arguments)

        if fault is not None:
            return {"content": [{"type": "text", "text": fault}], "isError": True}

        if permit.hooks.request:
            arguments = await self._hooked(call, permit, HookPhase.PRE_INVOKE, arguments)

        result = await call_upstream(
            self._fleet,
            permit,
            replace(
                request,
                arguments=arguments,
                peer=peer_for(request.peer, permit, lease),
                traceparent=call.context.trace.traceparent,
            ),
            deadline=call.deadline,
        )

        if permit.hooks.answer:
            result = await self._hooked(call, permit, HookPhase.POST_INVOKE, result)

        return result

    async def _delegate(
        self, tool: ShownTool | None, call: Call, request: ToolRequest, lease: Lease | None
    ) -> JsonObject:
        """Call a tool another module serves, or one whose list the caller may not read."""
        if tool is not None:
            fault = tool.arguments.fault_in(request.arguments)

            if fault is not None:
                return {"content": [{"type": "text", "text": fault}], "isError": True}

        name = request.name if tool is None else tool.record.name
        progress: ProgressSink | None = None

        if request.peer is not None and request.wants_progress:
            peer = request.peer if lease is None else Renewing(request.peer, lease)
            progress = peer.progress

        try:
            result = await self._catalog.invoke(
                call.context,
                Invocation(
                    target=Target(kind=Kind.TOOL, name=name),
                    arguments=request.arguments,
                    deadline=call.deadline,
                    depth=call.depth + 1,
                    lease_id=None if lease is None else lease.id,
                ),
                progress,
            )
        except NotFound as exc:
            raise unknown_tool(request.name) from exc

        if not isinstance(result, Complete):
            raise asks_for_more()

        return result.payload

    async def _hooked(
        self, call: Call, permit: Permit, phase: HookPhase, payload: JsonObject
    ) -> JsonObject:
        lift = lift_arguments if phase is HookPhase.PRE_INVOKE else lift_tool_result
        role = "arguments" if phase is HookPhase.PRE_INVOKE else "result"
        before = (*lift(payload), *lift_document(permit.hooks, payload, role))
        after = await self._services.plugin.execute_hook(call.context, permit.id, phase, before)
        return write_back(payload, before, after)


async def call_upstream(
    fleet: Fleet, permit: Permit, request: ToolRequest, *, deadline: float | None
) -> JsonObject:
    """Call the tool of a permit at its gateway; what follows admission and hooks.

    Raises:
        GatewayError: The gateway could not be reached, refused the call, or was too slow.
    """
    spec = permit.record.spec

    if not isinstance(spec, ToolSpec) or spec.gateway is None:
        raise Internal(f"The tool {permit.record.name!r} has no gateway.", code="mcp.tool.orphan")

    answer = await fleet.request(
        spec.gateway,
        Request(
            method="tools/call",
            params={"name": spec.upstream_name, "arguments": request.arguments},
            meta=request.meta,
            name=spec.upstream_name,
            silence=silence_of(permit),
            deadline=deadline,
            peer=request.peer,
            wants_progress=request.wants_progress,
            traceparent=request.traceparent,
        ),
    )

    return tool_result(answered(answer), spec.gateway)
