"""What a call may take: limits of a minute and budgets, decided together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle.accounting import spent_of, team_of
from spindle.budgets import Charge
from spindle.limits import Taken
from spindle_spi.errors import Unavailable
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from spindle.budgets import Budgets
    from spindle.limits import Limits
    from spindle.store.rows import SpendRow
    from spindle_spi.admission import Estimate, TokenUsage
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import CatalogRecord

_TRIES = 32
_BYTES_PER_TOKEN = 4
"""What limits of a minute count of a request before its usage is known."""


@dataclass(frozen=True, slots=True)
class Held:
    """What an open permit took."""

    rates: Taken
    charge: Charge | None


class Allowance:
    """Limits and budgets of a process."""

    def __init__(self, limits: Limits, budgets: Budgets) -> None:
        self.limits = limits
        self.budgets = budgets
        self._ready: tuple[AuthenticatedContext, CatalogRecord, Estimate | None, Charge] | None = (
            None
        )
        """What `prepare` reckoned for the `take` that follows it at once."""

    @property
    def is_active(self) -> bool:
        """Whether anything is limited at all."""
        return self.limits.is_active or self.budgets.is_active

    @property
    def is_awaited(self) -> bool:
        """Whether `prepare` has to be awaited before `take`."""
        return self.budgets.is_active or self.limits.is_awaited

    async def close(self) -> None:
        """Give back what is leased."""
        await self.budgets.close()
        await self.limits.close()

    async def prepare(
        self,
        context: AuthenticatedContext,
        record: CatalogRecord,
        others: tuple[CatalogRecord, ...],
        estimate: Estimate | None,
    ) -> None:
        """Fetch what is shared with other processes and missing here for one call.

        Raises:
            RateLimited: A minute is full, or a budget used up.
            FailedPrecondition: A budget is in money, and the model has no price.
            Unavailable: It cannot be told.
        """
        team = team_of(context.subject, record)
        charge = self._charge(context, team, (record, *others), estimate)
        tokens = _tokens(record, estimate)

        for _ in range(_TRIES):
            has_waited = await self.limits.prepare(context, team, tokens)

            if charge is not None:
                has_waited |= await self.budgets.prepare(charge)

            # While one thing was waited for, others may have taken what was there.
            if not has_waited:
                self._ready = None if charge is None else (context, record, estimate, charge)
                return

        raise Unavailable(
            "Too many calls want the last of a limit or budget at once.",
            code="core.allowance.contended",
            retry_after=1.0,
        )

    def take(
        self,
        context: AuthenticatedContext,
        record: CatalogRecord,
        others: tuple[CatalogRecord, ...],
        estimate: Estimate | None,
    ) -> Held:
        """Take what one call may need; all of it or nothing.

        Raises:
            RateLimited: A minute is full, or a budget used up.
            FailedPrecondition: A budget is in money, and the model has no price.
        """
        team = team_of(context.subject, record)
        ready, self._ready = self._ready, None

        if (
            ready is not None
            and ready[0] is context
            and ready[1] is record
            and ready[2] is estimate
        ):
            charge: Charge | None = ready[3]
        else:
            charge = self._charge(context, team, (record, *others), estimate)

        if charge is not None:
            self.budgets.check(charge)

        rates: Taken = ()

        if self.limits.is_active:
            rates = self.limits.take(context, team, _tokens(record, estimate))

        if charge is not None:
            self.budgets.reserve(charge)

        return Held(rates, charge)

    def settle(self, held: Held, cost_usd: float | None, usage: TokenUsage) -> tuple[SpendRow, ...]:
        """Correct what a call took to what it used; return what it spent of budgets."""
        spent = spent_of(cost_usd, usage)
        self.limits.settle(held.rates, spent.tokens)
        return () if held.charge is None else self.budgets.settle(held.charge, spent)

    def _charge(
        self,
        context: AuthenticatedContext,
        team: str | None,
        records: tuple[CatalogRecord, ...],
        estimate: Estimate | None,
    ) -> Charge | None:
        if not self.budgets.is_active or records[0].kind is not Kind.MODEL:
            return None

        return self.budgets.charge(context.subject, team, records, estimate)


def _tokens(record: CatalogRecord, estimate: Estimate | None) -> int:
    if record.kind is not Kind.MODEL:
        return 0

    return 1 if estimate is None else max(1, estimate.input_bytes // _BYTES_PER_TOKEN)
