"""What a call may take: limits of a minute and budgets, decided together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle.accounting import spent_of
from spindle.budgets import Charge
from spindle.limits import Taken
from spindle_spi.errors import Unavailable
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from spindle.budgets import Budgets
    from spindle.decisions import Decision
    from spindle.limits import Limits
    from spindle.store.rows import Spending
    from spindle_spi.admission import Estimate, TokenUsage
    from spindle_spi.context import AuthenticatedContext

_TRIES = 32
_BYTES_PER_TOKEN = 4
"""What limits of a minute count of a request before its usage is known."""


@dataclass(slots=True)
class Held:
    """What an open permit took."""

    rates: Taken
    charge: Charge | None


class Allowance:
    """Limits and budgets of a process."""

    def __init__(self, limits: Limits, budgets: Budgets) -> None:
        self.limits = limits
        self.budgets = budgets

    @property
    def is_active(self) -> bool:
        """Whether anything is limited at all."""
        return self.limits.is_active or self.budgets.is_active

    @property
    def is_awaited(self) -> bool:
        """Whether `prepare` has to be awaited before each `take`."""
        return self.limits.is_awaited

    async def close(self) -> None:
        """Give back what is leased."""
        await self.budgets.close()
        await self.limits.close()

    async def prepare(
        self, context: AuthenticatedContext, decision: Decision, estimate: Estimate | None
    ) -> None:
        """Fetch what is shared with other processes and missing here for one call.

        Raises:
            RateLimited: A minute is full, or a budget used up.
            FailedPrecondition: A budget is in money, and the model has no price.
            Unavailable: It cannot be told.
        """
        charge = self._charge(decision, estimate)
        tokens = _tokens(decision, estimate)

        for _ in range(_TRIES):
            has_waited = await self.limits.prepare(context, decision.team, tokens)

            if charge is not None:
                has_waited |= await self.budgets.prepare(charge)

            # While one thing was waited for, others may have taken what was there.
            if not has_waited:
                return

        raise Unavailable(
            "Too many calls want the last of a limit or budget at once.",
            code="core.allowance.contended",
            retry_after=1.0,
        )

    def take(
        self, context: AuthenticatedContext, decision: Decision, estimate: Estimate | None
    ) -> Held:
        """Take what one call may need; all of it or nothing.

        Raises:
            SliceTooSmall: `prepare` has to be awaited, right before the next try.
            RateLimited: A minute is full.
            FailedPrecondition: A budget is in money, and the model has no price.
        """
        charge = self._charge(decision, estimate)
        rates: Taken = ()

        if charge is not None:
            self.budgets.check(charge)

        if self.limits.is_active:
            rates = self.limits.take(context, decision.team, _tokens(decision, estimate))

        if charge is not None:
            self.budgets.reserve(charge)

        return Held(rates, charge)

    def settle(self, held: Held, cost_usd: float | None, usage: TokenUsage) -> Spending | None:
        """Correct what a call took to what it used; return what it spent of budgets."""
        if held.rates:
            self.limits.settle(held.rates, usage.input_tokens + usage.output_tokens)

        if held.charge is None:
            return None

        return self.budgets.settle(held.charge, spent_of(cost_usd, usage))

    def _charge(self, decision: Decision, estimate: Estimate | None) -> Charge | None:
        if not self.budgets.is_active or decision.record.kind is not Kind.MODEL:
            return None

        return self.budgets.charge(
            decision.subject, decision.team, decision.records, estimate, decision.backends
        )


def _tokens(decision: Decision, estimate: Estimate | None) -> int:
    if decision.record.kind is not Kind.MODEL:
        return 0

    return 1 if estimate is None else max(1, estimate.input_bytes // _BYTES_PER_TOKEN)
