"""Budgets on the request path: reserve, settle, and slices leased from the database.

The common way is arithmetic in memory, on accounts that are looked up once for a caller. When the
slice of this process is too small for a call, it waits for a larger one; see
`spindle.store.spending` for how slices are granted.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from spindle.accounting import worst_case
from spindle.accounts import Account
from spindle.store.budgets import BudgetRow
from spindle.store.rows import Spending
from spindle.store.spending import Pair, SpendKey
from spindle.terms import KnownTerms
from spindle_spi.errors import FailedPrecondition, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spindle.config.budgets import BudgetSettings
    from spindle.store import Store
    from spindle_spi.admission import Estimate
    from spindle_spi.context import Subject
    from spindle_spi.records import CatalogRecord

_MOST_KNOWN = 20_000
_EACH = "*"
_NOTHING: frozenset[str] = frozenset()


@dataclass(slots=True)
class Charge:
    """What a call may spend at most, and of which budgets."""

    holding: Holding
    need: Pair
    unpriced: frozenset[str] = _NOTHING
    """Ids of alternatives that must not answer: nobody knows what they cost."""

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Return the accounts of its budgets."""
        return self.holding.accounts


@dataclass(frozen=True, slots=True)
class Holding:
    """The budgets that concern a caller, until the first of their periods ends."""

    accounts: tuple[Account, ...]
    keys: tuple[SpendKey, ...]
    until: float
    needs_price: bool
    """Whether one of them is a hard one in money."""


class Budgets:
    """All budgets, as this process spends them."""

    def __init__(self, store: Store, settings: BudgetSettings) -> None:
        self._store = store
        self._settings = settings
        self._rows: dict[tuple[str, str], tuple[BudgetRow, ...]] = {}
        self._current: dict[tuple[str, str], Account] = {}
        self._all: dict[SpendKey, Account] = {}
        self._of: dict[tuple[str | None, str | None, str | None], Holding] = {}
        """What concerns a caller, until the first of its periods ends."""
        self._terms = KnownTerms()
        self.is_active = False

    async def read(self) -> Callable[[], None]:
        """Read the budgets; see `spindle.snapshots.Follower`."""
        rows = await self._store.budgets.all()

        def put() -> None:
            found: dict[tuple[str, str], tuple[BudgetRow, ...]] = {}
            by_id = {row.id: row for row in rows}

            for row in rows:
                name = row.name.lower() if row.scope == "user" else row.name
                found[row.scope, name] = (*found.get((row.scope, name), ()), row)

            self._rows = found
            self._of.clear()
            self._terms.forget()
            self.is_active = bool(rows)

            for key, account in tuple(self._current.items()):
                changed = by_id.get(key[0])

                if changed is None:
                    del self._current[key]
                elif changed != account.row:
                    account.change(changed)

        return put

    def charge(
        self,
        subject: Subject,
        team: str | None,
        records: Sequence[CatalogRecord],
        estimate: Estimate | None,
        backends: Sequence[CatalogRecord | None] = (),
    ) -> Charge | None:
        """Return what a call of a model may spend; None when no budget is concerned.

        `records` are the model and, after it, what may answer in its place; `backends` are their
        providers.

        Raises:
            FailedPrecondition: There is a budget in money, and no price.
        """
        holding = self._holding(subject, team)

        if not holding.accounts:
            return None

        known = self._terms.of(records, backends)

        if not holding.needs_price or self._settings.unpriced != "deny":
            return Charge(holding, worst_case(known.every, estimate, self._settings))

        if known.unpriced and records[0].id in known.unpriced:
            raise FailedPrecondition(
                f"The model {records[0].name!r} has no price, and a budget in money applies: "
                "give it input_price and output_price (0 for a free one), or allow "
                "budgets.unpriced.",
                code="core.budget.unpriced",
            )

        need = worst_case(known.priced, estimate, self._settings)
        return Charge(holding, need, known.unpriced)

    async def prepare(self, charge: Charge) -> bool:
        """Make the slices of this process large enough for a call; tells whether it waited.

        Raises:
            RateLimited: A budget is used up.
            Unavailable: The database is away.
        """
        has_waited = False

        for account in charge.accounts:
            if account.is_short(charge.need, time.monotonic()):
                await self._lease(account, charge.need)
                has_waited = True

        return has_waited

    def check(self, charge: Charge) -> None:
        """Make sure that `reserve` may follow.

        Raises:
            SliceTooSmall: `prepare` has to be awaited.
        """
        now, need = time.monotonic(), charge.need

        for account in charge.holding.accounts:
            if account.is_short(need, now):
                raise account.exceeded(need)

    def reserve(self, charge: Charge) -> None:
        """Take what a call may need out of the slices of all its budgets."""
        nano, tokens = charge.need

        for account in charge.holding.accounts:
            account.reserved_nano += nano
            account.reserved_tokens += tokens
            account.is_used = True

            if not account.is_hard:
                account.report()

    def settle(self, charge: Charge, spent: Pair) -> Spending | None:
        """Put back what a call did not need; return what is to be written with its usage."""
        nano, tokens = spent
        needed_nano, needed_tokens = charge.need
        holding = charge.holding

        for account in holding.accounts:
            account.reserved_nano -= needed_nano
            account.reserved_tokens -= needed_tokens
            account.leased_nano -= nano
            account.leased_tokens -= tokens
            account.unwritten_nano += nano
            account.unwritten_tokens += tokens

        if not nano and not tokens:
            return None

        return Spending(holding.keys, self._store.budgets.process, nano, tokens)

    def written(self, sums: Mapping[SpendKey, Pair]) -> None:
        """Note that the database has what was spent."""
        for key, spent in sums.items():
            account = self._all.get(key)

            if account is not None:
                account.unwritten_nano -= spent.nano
                account.unwritten_tokens -= spent.tokens

    async def run(self) -> None:
        """Keep the slices, give back what is not used, look at what others spent; for ever."""
        while True:
            await anyio.sleep(self._settings.lease_seconds / 4)

            try:
                await self.renew()
            except Unavailable:
                # The slices run out by themselves, and calls wait for the database then.
                continue

    async def renew(self) -> None:
        """Do it once.

        Raises:
            Unavailable: The database is away.
        """
        self._forget()
        hard = {
            key: account
            for key, account in self._all.items()
            if account.is_hard and account.good_until > 0
        }

        if hard:
            given_back = {key: account.give_back() for key, account in hard.items()}
            seconds, asked_at = self._settings.lease_seconds, time.monotonic()
            lost = await self._store.budgets.renew(given_back, seconds=seconds)

            for key, account in hard.items():
                if key in lost:
                    account.lose()
                else:
                    account.good_until = max(account.good_until, asked_at + seconds * 2 / 3)

        soft = {
            key.budget_id: key.period_start
            for key, account in self._all.items()
            if not account.is_hard
        }

        if soft:
            for total in await self._store.budgets.totals(soft):
                account_ = self._all.get(total.key)

                if account_ is not None:
                    account_.spent = total.spent

    async def close(self) -> None:
        """Give back every slice."""
        given_back = {
            key: Pair(max(0, account.leased_nano), max(0, account.leased_tokens))
            for key, account in self._all.items()
            if account.good_until > 0
        }

        if given_back:
            try:
                await self._store.budgets.renew(given_back, seconds=0.0)
            except Unavailable:
                # They run out by themselves.
                return

    def known(self) -> tuple[Account, ...]:
        """Return the accounts that are remembered."""
        return tuple(self._all.values())

    def reserved(self, key: SpendKey) -> Pair:
        """Return what calls in flight here have reserved."""
        account = self._all.get(key)

        if account is None:
            return Pair()

        return Pair(account.reserved_nano, account.reserved_tokens)

    async def _lease(self, account: Account, need: Pair) -> None:
        async with account.lock:
            now = time.monotonic()

            if not account.is_short(need, now):
                return

            account.check_refused(need, now)
            seconds = self._settings.lease_seconds
            granted = await self._store.budgets.lease(
                account.key,
                account.bound,
                account.missing(need),
                account.in_transaction,
                seconds=seconds,
            )
            account.take(granted, need, asked_at=now, seconds=seconds)

    def _holding(self, subject: Subject, team: str | None) -> Holding:
        now, place = time.time(), (subject.token_id, subject.user_email, team)
        known = self._of.get(place)

        if known is not None and now < known.until:
            return known

        rows, found = self._rows, list[tuple[BudgetRow, str]]()
        found += [(row, "") for row in rows.get(("global", ""), ())]
        email = None if subject.user_email is None else subject.user_email.lower()

        for scope, name in (("token", subject.token_id), ("user", email), ("team", team)):
            if name is not None:
                found += [(row, name) for row in rows.get((scope, name), ())]
                found += [(row, name) for row in rows.get((scope, _EACH), ())]

        accounts = tuple(self._account(row, holder, now) for row, holder in found)
        until = min((one.ends_at for one in accounts if one.ends_at is not None), default=math.inf)

        if len(self._of) >= _MOST_KNOWN:
            self._of.clear()

        holding = self._of[place] = Holding(
            accounts,
            tuple(one.key for one in accounts),
            until,
            any(one.is_hard and one.bound.nano is not None for one in accounts),
        )
        return holding

    def _account(self, row: BudgetRow, holder: str, now: float) -> Account:
        account = self._current.get((row.id, holder))

        if account is None or (account.ends_at is not None and now >= account.ends_at):
            fresh = Account(row, holder, now)
            account = self._all.setdefault(fresh.key, fresh)
            account.change(row)
            self._current[row.id, holder] = account

        return account

    def _forget(self) -> None:
        """Drop accounts of periods that are over, of budgets that are gone, and of the idle."""
        self._of.clear()
        now = time.time()
        kept = set(self._current.values())
        is_full = len(self._all) > _MOST_KNOWN

        for key, account in tuple(self._all.items()):
            is_past = account.ends_at is not None and now >= account.ends_at
            is_idle = is_full and not account.is_used and not account.is_leasing

            if account.is_over and (is_past or is_idle or account not in kept):
                del self._all[key]

                if self._current.get((key.budget_id, key.holder)) is account:
                    del self._current[key.budget_id, key.holder]
