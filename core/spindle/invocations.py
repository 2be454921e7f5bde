"""Cross-protocol calls: admit, pre-hooks, owner, post-hooks, settle, each in its one place."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import anyio
import msgspec
import structlog

from spindle.accounting import estimate_of
from spindle.plugins import run_phase
from spindle.streams import SettledStream
from spindle_spi.admission import Estimate, Outcome, Permit, Status
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import (
    ContractViolation,
    FailedPrecondition,
    GatewayError,
    Internal,
    NotFound,
    Origin,
    PluginDenied,
    Unavailable,
    Unsupported,
    UpstreamTimeout,
)
from spindle_spi.invocation import (
    MAX_DEPTH,
    Complete,
    InputRequired,
    Invocation,
    ProgressSink,
    Result,
    Streaming,
)
from spindle_spi.module import Module
from spindle_spi.payloads import (
    lift_arguments,
    lift_chat_answer,
    lift_contents,
    lift_document,
    lift_model_request,
    lift_tool_result,
    write_back,
)
from spindle_spi.plugin import REQUEST_PHASES, HookPhase, PluginInput, Segment, phases_of
from spindle_spi.records import Kind
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from spindle.admission import Admission

_LOG = structlog.get_logger("spindle.invocations")

Lifter = Callable[[JsonObject], tuple[Segment, ...]]
CallOwner = Callable[
    [Module, AuthenticatedContext, Invocation, ProgressSink | None], Awaitable[Result]
]

_LIFTERS: dict[Kind, tuple[Lifter, Lifter]] = {
    Kind.TOOL: (lift_arguments, lift_tool_result),
    Kind.MODEL: (lift_model_request, lift_chat_answer),
    Kind.RESOURCE: (lift_arguments, lift_contents),
    Kind.RESOURCE_TEMPLATE: (lift_arguments, lift_contents),
    Kind.PROMPT: (lift_arguments, lift_contents),
}


async def call_directly(
    module: Module,
    context: AuthenticatedContext,
    invocation: Invocation,
    progress: ProgressSink | None,
) -> Result:
    """Call the owner in-process."""
    return await module.invoke(context, invocation, progress)


class Invoker:
    """Carries out `CatalogService.invoke`."""

    def __init__(self, *, admission: Admission, owners: Mapping[str, Module]) -> None:
        self._admission = admission
        self._owners = owners
        self.call_owner: CallOwner = call_directly
        """How an owner is reached; the host replaces it for another transport."""

    def module_of_family(self, family: str) -> str:
        """Return the id of the running module that speaks a protocol family.

        Raises:
            FailedPrecondition: None does.
        """
        for module_id, module in self._owners.items():
            if module.descriptor.protocol_family == family:
                return module_id

        raise FailedPrecondition(f"No module here speaks {family}.", code="core.owner.unavailable")

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        """See `CatalogService.invoke`."""
        if invocation.depth > MAX_DEPTH:
            raise FailedPrecondition(
                f"Calls may nest {MAX_DEPTH} deep.", code="core.invoke.too_deep"
            )

        estimate: Estimate | None = None

        if self._admission.is_limited and invocation.target.kind is Kind.MODEL:
            arguments = invocation.arguments
            estimate = estimate_of(arguments, len(msgspec.json.encode(arguments)))

        permit = await self._admission.enter(
            context,
            invocation.target,
            invocation.action,
            estimate,
            lease_id=invocation.lease_id,
        )
        started = time.perf_counter()

        try:
            result = await self._carry_out(context, invocation, permit, progress)
        except BaseException as exc:
            await self._settle(permit, _failed(exc, _elapsed(started)))
            raise

        if isinstance(result, Streaming):
            settle = partial(self._settle, permit)
            deadline = invocation.deadline
            return Streaming(SettledStream(result, settle, started=started, deadline=deadline))

        usage = result.usage if isinstance(result, Complete) else None
        await self._settle(
            permit, Outcome(status=Status.OK, usage=usage, total_ms=_elapsed(started))
        )
        return result

    async def _settle(self, permit: Permit, outcome: Outcome) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self._admission.settle(permit.id, outcome)
            except NotFound:
                # The lease ended first, and the call is recorded as lost; how it ended stands.
                _LOG.warning("call outlived its lease", record=permit.record.name)
            except Unavailable:
                if outcome.status is Status.OK:
                    raise

                # What the caller is told is why the call failed, not that noting it failed too.

    async def _carry_out(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        permit: Permit,
        progress: ProgressSink | None,
    ) -> Result:
        lifters, phases = _LIFTERS.get(permit.record.kind), phases_of(permit.record.kind)

        if lifters is None or phases is None:
            raise Unsupported(f"A {permit.record.kind} cannot be called.")

        (lift_request, lift_answer), (before, after) = lifters, phases
        arguments = invocation.arguments

        if permit.hooks.request:
            arguments = await self._hooked(context, permit, before, lift_request, arguments)

        # An answer that plugins must judge is asked for whole: nothing of it leaves unjudged.
        carried = replace(
            invocation,
            permit=permit,
            arguments=arguments,
            stream=invocation.stream and not permit.hooks.answer,
        )
        result = await self._at_owner(context, carried, permit, progress)

        if isinstance(result, Streaming) and not carried.stream:
            await result.close()
            raise ContractViolation(
                f"The module {permit.record.module} streams what was asked for whole.",
                origin=Origin.MODULE,
            )

        if permit.hooks.answer and isinstance(result, InputRequired):
            raise Unsupported(
                "The answer asks for more input, which the plugins here cannot judge."
            )

        if permit.hooks.answer and isinstance(result, Complete):
            payload = await self._hooked(context, permit, after, lift_answer, result.payload)
            return replace(result, payload=payload)

        return result

    async def _hooked(
        self,
        context: AuthenticatedContext,
        permit: Permit,
        phase: HookPhase,
        lift: Lifter,
        payload: JsonObject,
    ) -> JsonObject:
        names = permit.hooks.names_in(phase)
        before = (*lift(payload), *_document(permit, phase, payload))
        call = PluginInput(
            context=context,
            target_kind=permit.record.kind,
            target_name=permit.record.name,
            phase=phase,
        )
        held = self._admission.open_permit(context, permit.id)
        after = await run_phase(held.plugins, names, call, before)
        held.receipts.add(phase)
        return write_back(payload, before, after)

    async def _at_owner(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        permit: Permit,
        progress: ProgressSink | None,
    ) -> Result:
        owner = self._owners.get(permit.record.module)

        if owner is None:
            raise Unavailable(
                f"What serves the {permit.record.kind} {permit.record.name!r} is not running.",
                code="core.owner.unavailable",
            )

        deadline = invocation.deadline

        if deadline is None:
            return await self._call(owner, context, invocation, progress)

        remaining = deadline - time.monotonic()

        if remaining > 0:
            with anyio.move_on_after(remaining):
                return await self._call(owner, context, invocation, progress)

        raise UpstreamTimeout("The call did not end before its deadline.")

    async def _call(
        self,
        owner: Module,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None,
    ) -> Result:
        try:
            return await self.call_owner(owner, context, invocation, progress)
        except GatewayError:
            raise
        except Exception as exc:
            module_id = owner.descriptor.module_id
            _LOG.error("module failed", module=module_id, exc_info=exc)
            raise Internal("Something went wrong here.", origin=Origin.MODULE) from exc


def _failed(exc: BaseException, elapsed: float) -> Outcome:
    if isinstance(exc, PluginDenied):
        return Outcome(status=Status.DENIED, total_ms=elapsed, error_code=exc.code)

    if isinstance(exc, GatewayError):
        return Outcome(status=Status.ERROR, total_ms=elapsed, error_code=exc.code)

    if isinstance(exc, anyio.get_cancelled_exc_class()):
        return Outcome(status=Status.CANCELLED, total_ms=elapsed)

    return Outcome(status=Status.ERROR, total_ms=elapsed, error_code=Internal.default_code)


def _elapsed(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _document(permit: Permit, phase: HookPhase, payload: JsonObject) -> tuple[Segment, ...]:
    if permit.record.kind is not Kind.TOOL:
        return ()

    role = "arguments" if phase in REQUEST_PHASES else "result"
    return lift_document(permit.hooks, payload, role)
