"""Budgets on the request path: reserve, settle, and slices leased from the database.

The common way is arithmetic in memory. When the slice of this process is too small for a call,
it waits for a larger one; see `spindle.store.budgets` for how slices are granted.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio
import structlog

from spindle.accounting import is_priced, worst_case
from spindle.store.budgets import NANO, Bound, BudgetRow, Pair, SpendKey
from spindle.store.rows import SpendRow
from spindle_spi.errors import FailedPrecondition, RateLimited, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from spindle.config.budgets import BudgetSettings
    from spindle.store import Store
    from spindle.store.budgets import Granted
    from spindle_spi.admission import Estimate
    from spindle_spi.context import Subject
    from spindle_spi.records import CatalogRecord

_LOG = structlog.get_logger("spindle.budgets")

_MOST_KNOWN = 20_000
_REFUSED_SECONDS = 1.0
"""How long a refusal is not asked about again: an empty budget costs no transaction for each."""
_EACH = "*"


def period_of(period: str, now: float) -> tuple[int, int | None]:
    """Return when the period of a moment begins and ends, in UTC; None for one without an end."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    if period == "day":
        start, end = today, today + timedelta(days=1)
    elif period == "week":
        start = today - timedelta(days=today.weekday())
        end = start + timedelta(days=7)
    elif period == "month":
        start = today.replace(day=1)
        end = (start + timedelta(days=32)).replace(day=1)
    else:
        return 0, None

    return int(start.timestamp()), int(end.timestamp())


class Account:
    """What this process knows of one budget of one holder in one period."""

    def __init__(self, row: BudgetRow, holder: str, now: float) -> None:
        start, self.ends_at = period_of(row.period, now)
        self.key = SpendKey(budget_id=row.id, holder=holder, period_start=start)
        self.lock = anyio.Lock()
        self.leased = Pair()
        """Granted and not spent; less than nothing after calls that used more than reserved."""
        self.reserved = Pair()
        self.unwritten = Pair()
        """Spent, and not in the database yet."""
        self.spent = Pair()
        """By everybody, at the last look."""
        self.good_until = 0.0
        """On the monotonic clock; the slice is certainly this process's until then."""
        self.is_used = False
        self.is_reported = False
        self._refused_until = 0.0
        self._refused = Pair()
        self._mark = Pair()
        self.row = row
        self.bound = bound_of(row)

    def change(self, row: BudgetRow) -> None:
        """Go on under new figures."""
        self.row, self.bound = row, bound_of(row)
        self._refused_until = 0.0

    def is_short(self, need: Pair, now: float) -> bool:
        """Tell whether a slice has to be asked for before a call may be reserved."""
        if not self.row.is_hard:
            return False

        # Asked several times for each call, hence without pairs in between.
        bound, leased, reserved = self.bound, self.leased, self.reserved
        return (
            now >= self.good_until
            or (bound.nano is not None and need.nano > leased.nano - reserved.nano)
            or (bound.tokens is not None and need.tokens > leased.tokens - reserved.tokens)
        )

    def missing(self, need: Pair) -> Pair:
        """Return what the slice lacks for a call."""
        free, bound = minus(self.leased, self.reserved), self.bound
        return Pair(
            0 if bound.nano is None else max(0, need.nano - free.nano),
            0 if bound.tokens is None else max(0, need.tokens - free.tokens),
        )

    def in_transaction(self) -> Pair:
        """Return what is spent and not written, when a slice is granted: what follows is on it."""
        self._mark = self.leased
        return self.unwritten

    def take(self, granted: Granted, need: Pair, *, asked_at: float, seconds: float) -> None:
        """Note what the database said.

        Raises:
            RateLimited: It is less than what the call may need.
        """
        if not granted.is_renewed:
            # The time of the slice was over: it was anybody's.
            self.leased = minus(self.leased, self._mark)

        self.spent = granted.spent

        if granted.slice is None:
            self._refused, self._refused_until = need, asked_at + _REFUSED_SECONDS
            self.good_until = asked_at if not granted.is_renewed else self.good_until
            raise self.exceeded(need)

        self.leased = plus(self.leased, granted.slice)
        # Some seconds before the database lets others have it: clocks differ.
        self.good_until = asked_at + seconds * 2 / 3

    def check_refused(self, need: Pair, now: float) -> None:
        """Refuse what was refused a moment ago.

        Raises:
            RateLimited: It was.
        """
        refused = self._refused

        if (
            now < self._refused_until
            and need.nano >= refused.nano
            and need.tokens >= refused.tokens
        ):
            raise self.exceeded(need)

    def exceeded(self, need: Pair) -> RateLimited:
        """Return the error of a call that does not fit."""
        until = None if self.ends_at is None else max(1.0, self.ends_at - time.time())
        start = (
            "It does not start again by itself."
            if self.ends_at is None
            else f"It starts again at {iso(self.ends_at)}."
        )
        return RateLimited(
            f"The {name_of(self.row)} is used up, or what is left is less than the "
            f"{_shown(need, self.bound)} this call may need. {start}",
            code="budget_exceeded",
            retryable=False,
            retry_after=until,
        )

    def report(self) -> None:
        """Say once that a soft budget is exceeded."""
        used, bound = plus(self.spent, self.unwritten), self.bound
        is_over = (bound.nano is not None and used.nano > bound.nano) or (
            bound.tokens is not None and used.tokens > bound.tokens
        )

        if is_over and not self.is_reported:
            self.is_reported = True
            _LOG.warning("soft budget exceeded", budget=self.row.id, holder=self.key.holder)

    def give_back(self) -> Pair:
        """Take out of the slice what was of no use lately; it is to be given back."""
        free = minus(self.leased, self.reserved)
        is_idle = not self.is_used
        self.is_used = False

        if not is_idle:
            return Pair()

        back = Pair(max(0, free.nano), max(0, free.tokens))
        self.leased = minus(self.leased, back)
        return back

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is to be remembered here."""
        return self.reserved == Pair() and self.unwritten == Pair()


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call may spend at most, and of which budgets."""

    accounts: tuple[Account, ...]
    need: Pair
    unpriced: frozenset[str] = frozenset()
    """Ids of alternatives that must not answer: nobody knows what they cost."""


@dataclass(frozen=True, slots=True)
class _Holding:
    accounts: tuple[Account, ...]
    until: float


class Budgets:
    """All budgets, as this process spends them."""

    def __init__(self, store: Store, settings: BudgetSettings) -> None:
        self._store = store
        self._settings = settings
        self._rows: dict[tuple[str, str], tuple[BudgetRow, ...]] = {}
        self._current: dict[tuple[str, str], Account] = {}
        self._all: dict[SpendKey, Account] = {}
        self._of: dict[tuple[str | None, str | None, str | None], _Holding] = {}
        """What concerns a caller, until the first of its periods ends."""
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
    ) -> Charge | None:
        """Return what a call of a model may spend; None when no budget is concerned.

        `records` are the model and, after it, what may answer in its place.

        Raises:
            FailedPrecondition: There is a budget in money, and no price.
        """
        accounts = self._accounts(subject, team)

        if not accounts:
            return None

        unpriced: frozenset[str] = frozenset()

        if self._settings.unpriced == "deny" and any(
            account.row.is_hard and account.bound.nano is not None for account in accounts
        ):
            unpriced = frozenset(record.id for record in records if not is_priced(record))

            if records[0].id in unpriced:
                raise FailedPrecondition(
                    f"The model {records[0].name!r} has no price, and a budget in money applies: "
                    "give it input_price and output_price (0 for a free one), or allow "
                    "budgets.unpriced.",
                    code="core.budget.unpriced",
                )

        priced = [record for record in records if record.id not in unpriced]
        return Charge(accounts, worst_case(priced, estimate, self._settings), unpriced)

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
            RateLimited: `prepare` was not awaited right before.
        """
        now = time.monotonic()

        for account in charge.accounts:
            if account.is_short(charge.need, now):
                raise account.exceeded(charge.need)

    def reserve(self, charge: Charge) -> None:
        """Take what a call may need out of the slices of all its budgets."""
        for account in charge.accounts:
            account.reserved = plus(account.reserved, charge.need)
            account.is_used = True

            if not account.row.is_hard:
                account.report()

    def settle(self, charge: Charge, spent: Pair) -> tuple[SpendRow, ...]:
        """Put back what a call did not need; return what is to be written with its usage."""
        for account in charge.accounts:
            account.reserved = minus(account.reserved, charge.need)
            account.leased = minus(account.leased, spent)
            account.unwritten = plus(account.unwritten, spent)

        if spent == Pair():
            return ()

        return tuple(
            SpendRow(
                budget_id=account.key.budget_id,
                holder=account.key.holder,
                period_start=account.key.period_start,
                process=self._store.budgets.process,
                nano=spent.nano,
                tokens=spent.tokens,
            )
            for account in charge.accounts
        )

    def written(self, spends: Iterable[SpendRow]) -> None:
        """Note that the database has what was spent."""
        for spend in spends:
            key = SpendKey(
                budget_id=spend.budget_id, holder=spend.holder, period_start=spend.period_start
            )
            account = self._all.get(key)

            if account is not None:
                account.unwritten = minus(account.unwritten, Pair(spend.nano, spend.tokens))

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
            if account.row.is_hard and (account.good_until > 0)
        }

        if hard:
            given_back = {key: account.give_back() for key, account in hard.items()}
            seconds, asked_at = self._settings.lease_seconds, time.monotonic()
            lost = await self._store.budgets.renew(given_back, seconds=seconds)

            for key, account in hard.items():
                if key in lost:
                    account.leased, account.good_until = Pair(), 0.0
                else:
                    account.good_until = max(account.good_until, asked_at + seconds * 2 / 3)

        soft = {
            key.budget_id: key.period_start
            for key, account in self._all.items()
            if not account.row.is_hard
        }

        if soft:
            for total in await self._store.budgets.totals(soft):
                account_ = self._all.get(total.key)

                if account_ is not None:
                    account_.spent = total.spent

    async def close(self) -> None:
        """Give back every slice."""
        given_back = {
            key: Pair(max(0, account.leased.nano), max(0, account.leased.tokens))
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
        return Pair() if account is None else account.reserved

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

    def _accounts(self, subject: Subject, team: str | None) -> tuple[Account, ...]:
        now, place = time.time(), (subject.token_id, subject.user_email, team)
        known = self._of.get(place)

        if known is not None and now < known.until:
            return known.accounts

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

        self._of[place] = _Holding(accounts, until)
        return accounts

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
            is_idle = is_full and not account.is_used and account.leased == Pair()

            if account.is_over and (is_past or is_idle or account not in kept):
                del self._all[key]

                if self._current.get((key.budget_id, key.holder)) is account:
                    del self._current[key.budget_id, key.holder]


def bound_of(row: BudgetRow) -> Bound:
    """Return a budget's limits as they are counted."""
    nano = None if row.limit_usd is None else round(row.limit_usd * NANO)
    return Bound(nano=nano, tokens=row.limit_tokens)


def name_of(row: BudgetRow) -> str:
    """Return what a budget is called in a sentence."""
    whose = "gateway's" if row.scope == "global" else f"{row.scope}'s"
    when = {"day": "daily ", "week": "weekly ", "month": "monthly "}.get(row.period, "")
    return f"{whose} {when}budget"


def plus(one: Pair, other: Pair) -> Pair:
    """Return the sum."""
    return Pair(one.nano + other.nano, one.tokens + other.tokens)


def minus(one: Pair, other: Pair) -> Pair:
    """Return the difference."""
    return Pair(one.nano - other.nano, one.tokens - other.tokens)


def iso(moment: float) -> str:
    """Return a moment as people and programs write it, in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _shown(need: Pair, bound: Bound) -> str:
    parts: list[str] = []

    if bound.nano is not None:
        parts.append(f"${need.nano / NANO:.6f}")

    if bound.tokens is not None:
        parts.append(f"{need.tokens} tokens")

    return " and ".join(parts)
