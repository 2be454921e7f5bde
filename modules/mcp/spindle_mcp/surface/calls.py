"""Walk 3, `tools/call`: admit, check, hooks, upstream, hooks, settle. One permit, settled once."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.eras import tool_result
from spindle_mcp.surface.errors import unknown_tool
from spindle_mcp.trace import traced
from spindle_mcp.upstream.base import ToolCall
from spindle_spi.admission import Attempt, Outcome, Permit, Status
from spindle_spi.errors import FailedPrecondition, GatewayError, Internal, NotFound, PluginDenied
from spindle_spi.invocation import Complete, Invocation, Progress, ProgressSink
from spindle_spi.payloads import lift_arguments, lift_document, lift_tool_result, write_back
from spindle_spi.plugin import HookPhase
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target, ToolSpec
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from spindle_mcp.surface.views import ShownTool, View
    from spindle_mcp.upstream.fleet import Fleet
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.ingress import Call
    from spindle_spi.services import Services

_DEFAULT_SILENCE: Final = 60.0
_LEASE_SECONDS: Final = 3600.0
_LONGEST_SILENCE: Final = _LEASE_SECONDS / 2
_CLEAN_UP_SECONDS: Final = 5.0
_MS: Final = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """One `tools/call`, as either path of the surface read it."""

    name: str
    arguments: JsonObject
    progress: ProgressSink | None = None
    traceparent: str | None = None
    """The trace that the message itself names."""
    outlives: bool = False
    """The call goes on when its HTTP exchange ends: so it is before 2026."""


class ToolCalls:
    """Carries out `tools/call` for the surface."""

    def __init__(self, services: Services, fleet: Fleet) -> None:
        self._services = services
        self._catalog = services.catalog
        self._fleet = fleet
        self._idle = anyio.Event()
        self.in_flight = 0
        """How many calls are being carried out."""

    async def idle(self) -> None:
        """Return when no call is in flight."""
        while self.in_flight:
            self._idle = anyio.Event()
            await self._idle.wait()

    async def call(self, view: View, call: Call, request: ToolRequest) -> JsonObject:
        """Call a tool by the name this view shows; returns the neutral result.

        Raises:
            GatewayError: No such tool for this caller, not permitted, refused, or failed.
        """
        tool = view.tools.get(request.name)

        if tool is None and view.is_readable:
            raise unknown_tool(request.name)

        self.in_flight += 1
        call = traced(call, request.traceparent)

        try:
            if not request.outlives:
                return await self._carry_out(tool, call, request, None)

            # The permit must not go with the HTTP exchange, which may end before the tool does.
            async with _Lease(self._services, call) as lease:
                return await self._carry_out(tool, call, request, lease)
        finally:
            self.in_flight -= 1

            if not self.in_flight:
                self._idle.set()

    async def _carry_out(
        self, tool: ShownTool | None, call: Call, request: ToolRequest, lease: _Lease | None
    ) -> JsonObject:
        if tool is None or not tool.is_ours:
            return await self._delegate(tool, call, request, lease)

        try:
            permit = await self._catalog.admit(
                call.context,
                Target(kind=Kind.TOOL, name=tool.record.name),
                Action.EXECUTE,
                lease_id=None if lease is None else lease.id,
            )
        except NotFound as exc:
            raise unknown_tool(request.name) from exc

        started = time.perf_counter()

        try:
            result = await self._answer(tool, call, request, permit, lease)
        except BaseException as exc:
            await self._settle_failed(permit, exc, started)
            raise

        failed = result.get("isError") is True
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

    async def _answer(  # the order of these steps is the policy of a tool call
        self,
        tool: ShownTool,
        call: Call,
        request: ToolRequest,
        permit: Permit,
        lease: _Lease | None,
    ) -> JsonObject:
        arguments = request.arguments
        fault = tool.arguments.fault_in(arguments)

        if fault is not None:
            return {"content": [{"type": "text", "text": fault}], "isError": True}

        if permit.hooks.request:
            arguments = await self._hooked(call, permit, HookPhase.PRE_INVOKE, arguments)

        progress = request.progress

        if progress is not None and permit.hooks.answer:
            # A message is content, and nobody judges it on its way: only the numbers pass.
            progress = _without_message(progress)

        if progress is not None and lease is not None:
            progress = lease.renewing(progress)

        result = await call_upstream(
            self._fleet,
            permit,
            arguments,
            deadline=call.deadline,
            progress=progress,
            context=call.context,
        )

        if permit.hooks.answer:
            result = await self._hooked(call, permit, HookPhase.POST_INVOKE, result)

        return result

    async def _delegate(
        self, tool: ShownTool | None, call: Call, request: ToolRequest, lease: _Lease | None
    ) -> JsonObject:
        """Call a tool another module serves, or one whose list the caller may not read."""
        if tool is not None:
            fault = tool.arguments.fault_in(request.arguments)

            if fault is not None:
                return {"content": [{"type": "text", "text": fault}], "isError": True}

        name = request.name if tool is None else tool.record.name
        progress = request.progress

        if progress is not None and lease is not None:
            progress = lease.renewing(progress)

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
            raise FailedPrecondition(
                "The tool asks for more input, which is not relayed.", code="mcp.input_required"
            )

        return result.payload

    async def _hooked(
        self, call: Call, permit: Permit, phase: HookPhase, payload: JsonObject
    ) -> JsonObject:
        lift = lift_arguments if phase is HookPhase.PRE_INVOKE else lift_tool_result
        role = "arguments" if phase is HookPhase.PRE_INVOKE else "result"
        before = (*lift(payload), *lift_document(permit.hooks, payload, role))
        after = await self._services.plugin.execute_hook(call.context, permit.id, phase, before)
        return write_back(payload, before, after)

    async def _settle_failed(self, permit: Permit, exc: BaseException, started: float) -> None:
        outcome = failed_outcome(exc)
        outcome = replace(
            outcome,
            total_ms=_elapsed(started),
            attempts=(_attempt(permit, outcome.status.value, started),),
        )

        with anyio.move_on_after(_CLEAN_UP_SECONDS, shield=True):
            try:
                await self._catalog.settle(permit.id, outcome)
            except NotFound:
                # The lease ended first, and the core has settled it as lost.
                return


async def call_upstream(
    fleet: Fleet,
    permit: Permit,
    arguments: JsonObject,
    *,
    deadline: float | None,
    progress: ProgressSink | None,
    context: AuthenticatedContext,
) -> JsonObject:
    """Call the tool of a permit at its gateway; what follows admission and hooks.

    Raises:
        GatewayError: The gateway could not be reached, refused the call, or was too slow.
    """
    spec = permit.record.spec

    if not isinstance(spec, ToolSpec) or spec.gateway is None:
        raise Internal(f"The tool {permit.record.name!r} has no gateway.", code="mcp.tool.orphan")

    answer = await fleet.call_tool(
        spec.gateway,
        ToolCall(
            name=spec.upstream_name,
            arguments=arguments,
            silence=_silence(permit),
            deadline=deadline,
            progress=progress,
            traceparent=context.trace.traceparent,
            caller=context,
        ),
    )

    if answer.get("resultType", "complete") != "complete":
        raise FailedPrecondition(
            "The tool asks for more input, which is not relayed.", code="mcp.input_required"
        )

    return tool_result(answer, spec.gateway)


def failed_outcome(exc: BaseException) -> Outcome:
    """Return how a call ended that raised."""
    if isinstance(exc, PluginDenied):
        return Outcome(status=Status.DENIED, error_code=exc.code)

    if isinstance(exc, GatewayError):
        return Outcome(status=Status.ERROR, error_code=exc.code)

    if isinstance(exc, Exception):
        return Outcome(status=Status.ERROR, error_code=Internal.default_code)

    return Outcome(status=Status.CANCELLED)


class _Lease:
    """A lease of one call that outlives its HTTP exchange; progress renews it."""

    def __init__(self, services: Services, call: Call) -> None:
        self._catalog = services.catalog
        self._context = call.context
        self._renew_at = 0.0
        self.id = ""

    async def __aenter__(self) -> _Lease:
        self.id = (await self._catalog.open_lease(self._context, _LEASE_SECONDS)).id
        self._renew_at = time.monotonic() + _LEASE_SECONDS / 3
        return self

    async def __aexit__(self, *exc: object) -> None:
        with anyio.move_on_after(_CLEAN_UP_SECONDS, shield=True):
            await self._catalog.close_lease(self.id)

    def renewing(self, progress: ProgressSink) -> ProgressSink:
        """Return the sink, which then also keeps the lease alive."""

        async def relay(update: Progress) -> None:
            now = time.monotonic()

            if now >= self._renew_at:
                self._renew_at = now + _LEASE_SECONDS / 3
                await self._catalog.renew_lease(self.id, _LEASE_SECONDS)

            await progress(update)

        return relay


def _without_message(progress: ProgressSink) -> ProgressSink:
    async def relay(update: Progress) -> None:
        await progress(Progress(progress=update.progress, total=update.total))

    return relay


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
