"""Walk 3, `tools/call`: admit, check, hooks, upstream, hooks, settle. One permit, settled once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.capabilities import callbacks_in
from spindle_mcp.eras import tool_result
from spindle_mcp.surface.errors import unknown_tool
from spindle_mcp.surface.judge import Judge, JudgedPeer
from spindle_mcp.surface.lease import (
    CLEAN_UP_SECONDS,
    LEASE_SECONDS,
    CallLease,
    RenewingPeer,
)
from spindle_mcp.surface.rounds import Rounds, asking
from spindle_mcp.surface.state import Binding
from spindle_mcp.trace import traced
from spindle_mcp.upstream.base import Peer, Request
from spindle_spi.admission import Attempt, Outcome, Permit, Status
from spindle_spi.errors import FailedPrecondition, GatewayError, Internal, NotFound, PluginDenied
from spindle_spi.invocation import Complete, InputRequired, Invocation, Streaming
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target, ToolSpec
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from spindle_mcp.surface.turns import Turns
    from spindle_mcp.surface.views import ShownTool, View
    from spindle_mcp.upstream.fleet import Fleet
    from spindle_spi.ingress import Call
    from spindle_spi.services import Services

_METHOD: Final = "tools/call"
_DEFAULT_SILENCE: Final = 60.0
_LONGEST_SILENCE: Final = LEASE_SECONDS / 2
_MS: Final = 1000.0


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
    outlives: bool = False
    """The call goes on when its HTTP exchange ends: so it is before 2026."""


class ToolCalls:
    """Carries out `tools/call` for the surface."""

    def __init__(self, services: Services, fleet: Fleet, turns: Turns) -> None:
        self._services = services
        self._catalog = services.catalog
        self._fleet = fleet
        self._rounds = Rounds(fleet)
        self._turns = turns
        self._idle = anyio.Event()
        self.in_flight = 0
        """How many calls are being carried out."""

    def forget(self, key: str) -> None:
        """Close what is open at upstreams for a peer that is no more."""
        self._fleet.release(key)

    async def idle(self) -> None:
        """Return when no call is in flight."""
        while self.in_flight:
            self._idle = anyio.Event()
            await self._idle.wait()

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

        return await self._turns.take(
            call,
            Binding(method=_METHOD, target=request.name, arguments=request.arguments),
            work,
            gateway=None if tool is None else tool.gateway,
            peer=request.peer,
            state=request.state,
            responses=request.responses,
        )

    async def _run(
        self, tool: ShownTool | None, call: Call, request: ToolRequest
    ) -> JsonObject | InputRequired:
        self.in_flight += 1

        try:
            if not request.outlives:
                return await self._carry_out(tool, call, request, None)

            # The permit must not go with the HTTP exchange, which may end before the tool does.
            async with CallLease(self._services, call) as lease:
                return await self._carry_out(tool, call, request, lease)
        finally:
            self.in_flight -= 1

            if not self.in_flight:
                self._idle.set()

    async def _carry_out(
        self, tool: ShownTool | None, call: Call, request: ToolRequest, lease: CallLease | None
    ) -> JsonObject | InputRequired:
        if lease is not None and request.peer is not None:
            request = replace(request, peer=RenewingPeer(request.peer, lease))

        lease_id = None if lease is None else lease.id

        if tool is None or not tool.is_ours:
            return await self._delegate(tool, call, request, lease_id)

        try:
            permit = await self._catalog.admit(
                call.context,
                Target(kind=Kind.TOOL, name=tool.record.name),
                Action.EXECUTE,
                lease_id=lease_id,
            )
        except NotFound as exc:
            raise unknown_tool(request.name) from exc

        started = time.perf_counter()

        try:
            result = await self._answer(tool, call, request, permit)
        except BaseException as exc:
            await self._settle_failed(permit, exc, started)
            raise

        failed = not isinstance(result, InputRequired) and result.get("isError") is True
        await self._catalog.settle(
            permit.id,
            Outcome(
                status=Status.ERROR if failed else Status.OK,
                total_ms=_elapsed(started),
                attempts=(_attempt(permit, "error" if failed else "ok", started),),
                error_code="mcp.tool.error" if failed else None,
            ),
        )
        return result

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
            request,
            arguments=await judge.arguments(request.arguments),
            responses={
                key: await judge.reply(reply) if isinstance(reply, dict) else reply
                for key, reply in request.responses.items()
            },
            # Nobody judges what is beside the arguments, so it does not go on.
            meta={} if judge.judges_requests else request.meta,
            peer=None if request.peer is None else JudgedPeer(request.peer, judge),
        )
        result = await call_upstream(
            self._rounds, permit, request, deadline=call.deadline, judge=judge
        )
        return result if isinstance(result, InputRequired) else await judge.result(result)

    async def _delegate(
        self, tool: ShownTool | None, call: Call, request: ToolRequest, lease_id: str | None
    ) -> JsonObject | InputRequired:
        """Call a tool another module serves, or one whose list the caller may not read."""
        if tool is not None:
            fault = tool.arguments.fault_in(request.arguments)

            if fault is not None:
                return _faulty(fault)

        name, peer = request.name if tool is None else tool.record.name, request.peer
        invocation = Invocation(
            target=Target(kind=Kind.TOOL, name=name),
            arguments=request.arguments,
            client_capabilities={} if peer is None else callbacks_in(peer.capabilities),
            responses=request.responses,
            state=request.state if isinstance(request.state, str) else None,
            deadline=call.deadline,
            depth=call.depth + 1,
            lease_id=lease_id,
        )

        async def send(again: JsonObject) -> JsonObject:
            return await self._invoke(call, _again(invocation, again), request)

        return await asking(send, "spindle", peer)

    async def _invoke(self, call: Call, invocation: Invocation, request: ToolRequest) -> JsonObject:
        peer = request.peer
        progress = peer.progress if peer is not None and request.wants_progress else None

        try:
            result = await self._catalog.invoke(call.context, invocation, progress)
        except NotFound as exc:
            raise unknown_tool(request.name) from exc

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

    async def _settle_failed(self, permit: Permit, exc: BaseException, started: float) -> None:
        outcome = failed_outcome(exc)
        outcome = replace(
            outcome,
            total_ms=_elapsed(started),
            attempts=(_attempt(permit, outcome.status.value, started),),
        )

        with anyio.move_on_after(CLEAN_UP_SECONDS, shield=True):
            try:
                await self._catalog.settle(permit.id, outcome)
            except NotFound:
                # The lease ended first, and the core has settled it as lost.
                return


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

    if request.responses:
        params["inputResponses"] = request.responses

    if request.state is not None:
        params["requestState"] = request.state

    answer = await rounds.request(
        spec.gateway,
        Request(
            method=_METHOD,
            params=params,
            meta=request.meta,
            name=spec.upstream_name,
            silence=_silence(permit),
            deadline=deadline,
            peer=request.peer,
            wants_progress=request.wants_progress,
            traceparent=request.traceparent,
        ),
        judge,
    )
    return answer if isinstance(answer, InputRequired) else tool_result(answer, spec.gateway)


def failed_outcome(exc: BaseException) -> Outcome:
    """Return how a call ended that raised."""
    if isinstance(exc, PluginDenied):
        return Outcome(status=Status.DENIED, error_code=exc.code)

    if isinstance(exc, GatewayError):
        return Outcome(status=Status.ERROR, error_code=exc.code)

    if isinstance(exc, Exception):
        return Outcome(status=Status.ERROR, error_code=Internal.default_code)

    return Outcome(status=Status.CANCELLED)


def _again(invocation: Invocation, again: JsonObject) -> Invocation:
    responses, state = again.get("inputResponses"), again.get("requestState")

    if not again:
        return invocation

    return replace(
        invocation,
        responses=responses if isinstance(responses, dict) else {},
        state=state if isinstance(state, str) else None,
    )


def _faulty(fault: str) -> JsonObject:
    return {"content": [{"type": "text", "text": fault}], "isError": True}


def _silence(permit: Permit) -> float:
    seconds = permit.limits.timeout or _DEFAULT_SILENCE
    return min(seconds, _LONGEST_SILENCE)


def _attempt(permit: Permit, outcome: str, started: float) -> Attempt:
    backend = permit.backend.name if permit.backend is not None else ""
    return Attempt(
        backend=backend,
        target=permit.record.name,
        outcome=outcome,
        milliseconds=_elapsed(started),
    )


def _elapsed(started: float) -> float:
    return (time.perf_counter() - started) * _MS
