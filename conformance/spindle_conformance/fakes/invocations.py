"""Cross-protocol calls at a fake host: admit, hooks, owner, hooks, settle."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from spindle_conformance.fakes.admission import FakeAdmission
from spindle_conformance.fakes.plugins import FakePlugins
from spindle_spi.admission import Outcome, Permit, Status
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
    StreamEvent,
    Streaming,
)
from spindle_spi.module import Module
from spindle_spi.payloads import (
    lift_arguments,
    lift_chat_answer,
    lift_contents,
    lift_model_request,
    lift_tool_result,
    write_back,
)
from spindle_spi.plugin import REQUEST_PHASES, HookPhase, Segment, phases_of
from spindle_spi.records import Kind
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from spindle_spi.context import AuthenticatedContext

_Lifter = Callable[[JsonObject], tuple[Segment, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeInvoker:
    """Carries out `CatalogService.invoke` on the modules that serve the records."""

    admission: FakeAdmission
    plugins: FakePlugins
    owners: Mapping[str, Module]

    def module_of_family(self, family: str) -> str:
        """Return the id of the module here that speaks a protocol family.

        Raises:
            FailedPrecondition: None does.
        """
        for module_id, module in self.owners.items():
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

        permit = self.admission.admit(
            context, invocation.target, invocation.action, lease_id=invocation.lease_id
        )

        try:
            result = await self._carry_out(context, invocation, permit, progress)
        except BaseException as exc:
            self._settle(permit, _failed(exc))
            raise

        if isinstance(result, Streaming):
            return Streaming(_SettledStream(result, lambda ended: self._settle(permit, ended)))

        usage = result.usage if isinstance(result, Complete) else None
        self._settle(permit, Outcome(status=Status.OK, usage=usage))
        return result

    def _settle(self, permit: Permit, outcome: Outcome) -> None:
        try:
            self.admission.settle(permit.id, outcome)
        except NotFound:
            # The lease ended first, and the call is recorded as lost; how it ended stands.
            return

    async def _carry_out(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        permit: Permit,
        progress: ProgressSink | None,
    ) -> Result:
        phases = phases_of(permit.record.kind)

        if phases is None or permit.record.kind is Kind.AGENT:
            raise Unsupported(f"A {permit.record.kind} cannot be called.")

        before, after = phases
        arguments = await self._hooked(context, permit, before, invocation.arguments)
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

        if not isinstance(result, Complete):
            return result

        payload = await self._hooked(context, permit, after, result.payload)
        return replace(result, payload=payload)

    async def _hooked(
        self, context: AuthenticatedContext, permit: Permit, phase: HookPhase, payload: JsonObject
    ) -> JsonObject:
        if not permit.hooks.names_in(phase):
            return payload

        before = _lifter(permit.record.kind, is_request=phase in REQUEST_PHASES)(payload)
        held = self.admission.held(context, permit.id)
        return write_back(payload, before, await self.plugins.run(held, phase, before))

    async def _at_owner(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        permit: Permit,
        progress: ProgressSink | None,
    ) -> Result:
        owner = self.owners.get(permit.record.module)

        if owner is None:
            raise Unavailable(
                f"What serves the {permit.record.kind} {permit.record.name!r} is not running.",
                code="core.owner.unavailable",
            )

        if invocation.deadline is None:
            return await owner.invoke(context, invocation, progress)

        remaining = invocation.deadline - time.monotonic()

        if remaining > 0:
            with anyio.move_on_after(remaining):
                return await owner.invoke(context, invocation, progress)

        raise UpstreamTimeout("The call did not end before its deadline.")


class _SettledStream(AsyncIterator[StreamEvent]):
    """The owner's events; whatever ends them settles the permit, even an end before the start."""

    def __init__(self, source: Streaming, settle: Callable[[Outcome], None]) -> None:
        self._source = source
        self._settle = settle
        self._has_begun = False
        self._is_ended = False

    async def __anext__(self) -> StreamEvent:
        if self._is_ended:
            raise StopAsyncIteration

        try:
            event = await anext(self._source.events)
        except StopAsyncIteration:
            await self._end(Outcome(status=Status.OK, stream=True))
            raise
        except BaseException as exc:
            failed = replace(_failed(exc), stream=True)
            await self._end(replace(failed, status=Status.PARTIAL) if self._has_begun else failed)
            raise

        self._has_begun = True
        return event

    async def aclose(self) -> None:
        """Tell the owner that nobody reads on, and settle. Idempotent."""
        status = Status.PARTIAL if self._has_begun else Status.CANCELLED
        await self._end(Outcome(status=status, stream=True))

    async def _end(self, outcome: Outcome) -> None:
        if self._is_ended:
            return

        self._is_ended = True

        with anyio.CancelScope(shield=True):
            try:
                await self._source.close()
            finally:
                self._settle(outcome)


def _lifter(kind: Kind, *, is_request: bool) -> _Lifter:
    match kind:
        case Kind.MODEL:
            return lift_model_request if is_request else lift_chat_answer
        case Kind.TOOL:
            return lift_arguments if is_request else lift_tool_result
        case _:
            return lift_arguments if is_request else lift_contents


def _failed(exc: BaseException) -> Outcome:
    if isinstance(exc, PluginDenied):
        return Outcome(status=Status.DENIED, error_code=exc.code)

    if isinstance(exc, GatewayError):
        return Outcome(status=Status.ERROR, error_code=exc.code)

    if isinstance(exc, anyio.get_cancelled_exc_class()):
        return Outcome(status=Status.CANCELLED)

    return Outcome(status=Status.ERROR, error_code=Internal.default_code)
