"""The one place where a call is decided, and the one place where it ends.

admit: see, may, limits, reserve, plugin plan. settle: usage, price, record.
"""

from __future__ import annotations

import itertools
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from spindle.accounting import NO_USAGE, plausible, usage_row
from spindle.accounts import SliceTooSmall
from spindle.allowance import Held
from spindle.decisions import Decision, Decisions, alternatives, permitted_record
from spindle.leases import Leases
from spindle.plugins import PluginRegistry
from spindle.plugins.host import JUDGING
from spindle.refusals import call_refused, content_refused, unheard
from spindle.store.rows import Companion
from spindle_spi.admission import (
    Estimate,
    Outcome,
    Permit,
    Status,
    TokenUsage,
    is_unhooked,
    limits_of,
)
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import ContractViolation, NotFound, PermissionDenied, Unavailable
from spindle_spi.plugin import HookPhase
from spindle_spi.policy import Action, is_same_caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle.allowance import Allowance
    from spindle.events.completed import Completions
    from spindle.ledger import Ledger
    from spindle.plugins.policy import PluginPolicy
    from spindle.refusals import Refusals
    from spindle.snapshots import Snapshots
    from spindle.store import UsageRow
    from spindle.telemetry.calls import CallObserver
    from spindle_spi.records import CatalogRecord, Target


@dataclass(slots=True)
class OpenPermit:
    """A permit that is not settled yet, with what its hooks left behind."""

    permit: Permit
    decision: Decision
    context: AuthenticatedContext
    action: Action
    at: float
    started: float
    holder: str
    """Id of the module that admitted it and alone may settle it; empty for the core."""
    plugins: PluginRegistry
    """What it was admitted under: its plan names these, whatever is in force by now."""
    receipts: set[HookPhase]
    taken: Held | None = None
    """What it takes of limits and budgets; None when it takes nothing."""
    estimate: Estimate | None = None
    """What its surface said before it began."""


_NOBODY: frozenset[str] = frozenset()


class Gate(Protocol):
    """Somebody who has to be awaited before a call is admitted, and may refuse it."""

    async def check(
        self, context: AuthenticatedContext, record: CatalogRecord, action: Action
    ) -> None:
        """Let the call pass, or raise."""
        ...


class Admission:
    """Admits and settles."""

    def __init__(
        self,
        *,
        snapshots: Snapshots,
        plugins: PluginPolicy,
        allowance: Allowance,
        ledger: Ledger,
        observer: CallObserver,
    ) -> None:
        self._snapshots = snapshots
        self._plugins = plugins
        self._allowance = allowance
        self._ledger = ledger
        self._observer = observer
        self._decisions = Decisions()
        self._open: dict[str, OpenPermit] = {}
        self._prefix = f"pm_{secrets.token_hex(8)}_"
        self._numbers = itertools.count(1)
        self.leases = Leases(self._lose)
        self.gates: list[Gate] = []
        """Asked in order before `admit`; none by default, so that nothing is awaited."""
        self._barred = _NOBODY
        """Alternatives the gates do not let through, from `pass_gates` to `admit`."""
        self.refusals: Refusals = unheard
        """Told of calls that are refused for who asks."""
        self.admitted: Callable[[AuthenticatedContext, CatalogRecord, Action], None] | None = None
        """Told of calls that are admitted, when somebody keeps them."""
        self.completions: Completions | None = None
        """What makes events of calls, when they are published."""

    @property
    def is_limited(self) -> bool:
        """Whether an estimate is of use."""
        return self._allowance.is_active

    @property
    def is_awaited(self) -> bool:
        """Whether `pass_gates` has to be awaited right before `admit`."""
        return bool(self.gates) or self._allowance.is_awaited

    async def enter(
        self,
        context: AuthenticatedContext,
        target: Target,
        action: Action,
        estimate: Estimate | None = None,
        *,
        lease_id: str | None = None,
        holder: str = "",
    ) -> Permit:
        """Admit a call; waits only for gates, or for what is shared with other processes."""
        if self.is_awaited:
            await self.pass_gates(context, target, action, estimate)

        try:
            return self.admit(context, target, action, estimate, lease_id=lease_id, holder=holder)
        except SliceTooSmall:
            await self.pass_gates(context, target, action, estimate)

        return self.admit(context, target, action, estimate, lease_id=lease_id, holder=holder)

    async def pass_gates(
        self,
        context: AuthenticatedContext,
        target: Target,
        action: Action,
        estimate: Estimate | None = None,
    ) -> None:
        """Ask every gate about a call that the caller may make by our own rules.

        At the end what limits and budgets share with other processes is at hand here; `admit`
        takes it, so nothing may be awaited in between.

        Raises:
            GatewayError: As `admit` does, or as a gate does.
        """
        barred = _NOBODY

        try:
            record = permitted_record(self._snapshots.current, context, target, action)

            if self.gates:
                for gate in self.gates:
                    await gate.check(context, record, action)

                barred = await self._barred_of(context, record, action)

            if self._allowance.is_active and not JUDGING.get():
                current = self._snapshots.current
                decision = self._decisions.of(current, context, target, action)
                await self._allowance.prepare(context, decision, estimate)
        except (NotFound, PermissionDenied) as error:
            self.refusals(call_refused(context, target, action, error))
            raise

        # For `admit`, which comes next: nothing else runs in between.
        self._barred = barred

    async def _barred_of(
        self, context: AuthenticatedContext, record: CatalogRecord, action: Action
    ) -> frozenset[str]:
        """Return the ids of alternatives that a gate does not let through, or cannot judge."""
        others, _ = alternatives(self._snapshots.current, context, record)
        barred: set[str] = set()

        for other in others:
            try:
                for gate in self.gates:
                    await gate.check(context, other, action)
            except (PermissionDenied, Unavailable):
                barred.add(other.id)

        return frozenset(barred)

    def admit(
        self,
        context: AuthenticatedContext,
        target: Target,
        action: Action,
        estimate: Estimate | None = None,
        *,
        lease_id: str | None = None,
        holder: str = "",
    ) -> Permit:
        """Decide one call for a holder; see `CatalogService.admit`.

        Raises:
            SliceTooSmall: `pass_gates` has to be awaited, right before the next try.
        """
        barred, self._barred = self._barred, _NOBODY
        snapshot = self._snapshots.current

        try:
            decision = self._decisions.of(snapshot, context, target, action)
        except (NotFound, PermissionDenied) as error:
            self.refusals(call_refused(context, target, action, error))
            raise

        if self._ledger.is_stuck():
            raise Unavailable(
                "Usage cannot be recorded at the moment.", code="core.usage.unavailable"
            )

        plugins, record = self._plugins.current, decision.record
        others, other_backends = decision.others, decision.other_backends
        limits, taken = decision.limits, None

        if self._allowance.is_active and not JUDGING.get():
            # What a plugin asks is part of the call it judges, which was counted.
            taken = self._allowance.take(context, decision, estimate)

            if taken.charge is not None and taken.charge.unpriced:
                barred |= taken.charge.unpriced

        if barred:
            others, other_backends = decision.without(barred)
            limits = limits_of(decision.backend, 1 + len(others))

        permit_id = f"{self._prefix}{next(self._numbers):x}"
        permit = Permit(
            id=permit_id,
            lease_id=self.leases.attach(context, lease_id, permit_id),
            record=record,
            backend=decision.backend,
            secrets=decision.secrets,
            hooks=plugins.plan(record, context, others, snapshot.by_id),
            limits=limits,
            alternatives=others,
            alternative_backends=other_backends,
        )
        self._open[permit_id] = OpenPermit(
            permit,
            decision,
            context,
            action,
            time.time(),
            time.perf_counter(),
            holder,
            plugins,
            # As a default factory `set[HookPhase]` would take ten times as long.
            set(),
            taken,
            estimate,
        )

        if self.admitted is not None:
            self.admitted(context, record, action)

        return permit

    def open_permit(self, context: AuthenticatedContext, permit_id: str) -> OpenPermit:
        """Return an unsettled permit of this caller.

        Raises:
            NotFound: No such permit, or not this caller's.
        """
        held = self._open.get(permit_id)

        if held is None or not is_same_caller(held.context, context):
            raise NotFound("No such permit.", code="core.permit.not_found")

        return held

    async def settle(self, permit_id: str, outcome: Outcome, *, holder: str = "") -> None:
        """End a permit of a holder; see `CatalogService.settle`."""
        held = self._open.get(permit_id)

        if held is None or held.holder != holder:
            raise NotFound("No such permit.", code="core.permit.not_found")

        permit = held.permit
        is_unjudged = bool(permit.hooks) and is_unhooked(permit, outcome, held.receipts)

        if is_unjudged:
            outcome = replace(outcome, status=Status.ERROR, error_code="core.settle.unhooked")

        await self._conclude(permit_id, held, outcome)

        if is_unjudged:
            raise ContractViolation(
                f"The hooks of the {permit.record.kind.value} {permit.record.name!r} did not run.",
                code="core.settle.unhooked",
            )

    def has_open(self) -> int:
        """Return how many permits are open."""
        return len(self._open)

    async def _lose(self, permit_id: str) -> None:
        held = self._open.get(permit_id)

        if held is None:
            return

        elapsed = (time.perf_counter() - held.started) * 1000

        try:
            await self._conclude(permit_id, held, Outcome(status=Status.LOST, total_ms=elapsed))
        except Unavailable:
            # Nobody is left to be told; the ledger keeps the row and has said so.
            return

    async def _conclude(self, permit_id: str, held: OpenPermit, outcome: Outcome) -> None:
        # Everything up to the ledger happens at once: whoever comes second finds nothing.
        del self._open[permit_id]
        self.leases.detach(held.permit.lease_id, permit_id)
        usage = plausible(outcome.usage)
        row = usage_row(held, outcome, usage or NO_USAGE)
        self._observer.observe(held, outcome, usage, row.cost_usd)

        if outcome.status is Status.DENIED:
            self.refusals(content_refused(held.context, held.permit.record, held.action, outcome))

        if held.taken is None and self.completions is None:
            await self._ledger.add(row)
            return

        await self._ledger.add(row, self._companion(held, outcome, row, usage or NO_USAGE))

    def _companion(
        self, held: OpenPermit, outcome: Outcome, row: UsageRow, usage: TokenUsage
    ) -> Companion | None:
        taken, completions = held.taken, self.completions
        spends = None if taken is None else self._allowance.settle(taken, row.cost_usd, usage)
        event = None if completions is None else completions.event_of(held, outcome, row)

        if spends is None and event is None:
            return None

        return Companion(row.id, spends, event)
