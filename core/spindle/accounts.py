"""What this process knows of a budget: its slice, what calls reserved of it, what they spent.

Sums are whole numbers, money in billionths of a dollar: every call changes them several times.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import structlog

from spindle.periods import iso, period_of
from spindle.store.spending import NANO, Bound, Pair, SpendKey
from spindle_spi.errors import RateLimited

if TYPE_CHECKING:
    from spindle.store.budgets import BudgetRow
    from spindle.store.spending import Granted

_LOG = structlog.get_logger("spindle.budgets")

_REFUSED_SECONDS = 1.0
"""How long a refusal is not asked about again: an empty budget costs no transaction for each."""


class SliceTooSmall(RateLimited):
    """A call has to wait for a larger slice; it is refused by its message if it cannot wait."""


class Account:
    """One budget of one holder in one period."""

    def __init__(self, row: BudgetRow, holder: str, now: float) -> None:
        start, self.ends_at = period_of(row.period, now)
        self.key = SpendKey(budget_id=row.id, holder=holder, period_start=start)
        self.lock = anyio.Lock()
        self.leased_nano = self.leased_tokens = 0
        """Granted and not spent; less than nothing after calls that used more than reserved."""
        self.reserved_nano = self.reserved_tokens = 0
        self.unwritten_nano = self.unwritten_tokens = 0
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
        self.is_hard = row.is_hard

    def change(self, row: BudgetRow) -> None:
        """Go on under new figures."""
        self.row, self.bound, self.is_hard = row, bound_of(row), row.is_hard
        self._refused_until = 0.0

    def is_short(self, need: Pair, now: float) -> bool:
        """Tell whether a slice has to be asked for before a call may be reserved."""
        if not self.is_hard:
            return False

        bound = self.bound
        return (
            now >= self.good_until
            or (bound.nano is not None and need.nano > self.leased_nano - self.reserved_nano)
            or (
                bound.tokens is not None and need.tokens > self.leased_tokens - self.reserved_tokens
            )
        )

    def missing(self, need: Pair) -> Pair:
        """Return what the slice lacks for a call."""
        bound = self.bound
        nano = need.nano - self.leased_nano + self.reserved_nano
        tokens = need.tokens - self.leased_tokens + self.reserved_tokens
        return Pair(
            0 if bound.nano is None else max(0, nano),
            0 if bound.tokens is None else max(0, tokens),
        )

    def in_transaction(self) -> Pair:
        """Return what is spent and not written, when a slice is granted: what follows is on it."""
        self._mark = Pair(self.leased_nano, self.leased_tokens)
        return Pair(self.unwritten_nano, self.unwritten_tokens)

    def take(self, granted: Granted, need: Pair, *, asked_at: float, seconds: float) -> None:
        """Note what the database said.

        Raises:
            RateLimited: It is less than what the call may need.
        """
        if not granted.is_renewed:
            # The time of the slice was over: it was anybody's.
            self._lease_more(-self._mark.nano, -self._mark.tokens)

        self.spent = granted.spent

        if granted.slice is None:
            self._refused, self._refused_until = need, asked_at + _REFUSED_SECONDS
            self.good_until = asked_at if not granted.is_renewed else self.good_until
            raise self.exceeded(need)

        self._lease_more(*granted.slice)
        # Some seconds before the database lets others have it: clocks differ.
        self.good_until = asked_at + seconds * 2 / 3

    def lose(self) -> None:
        """Note that the slice is not this process's any more."""
        self.leased_nano = self.leased_tokens = 0
        self.good_until = 0.0

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

    def exceeded(self, need: Pair) -> SliceTooSmall:
        """Return the error of a call that does not fit."""
        until = None if self.ends_at is None else max(1.0, self.ends_at - time.time())
        start = (
            "It does not start again by itself."
            if self.ends_at is None
            else f"It starts again at {iso(self.ends_at)}."
        )
        return SliceTooSmall(
            f"The {name_of(self.row)} is used up, or what is left is less than the "
            f"{_shown(need, self.bound)} this call may need. {start}",
            code="budget_exceeded",
            retryable=False,
            retry_after=until,
        )

    def report(self) -> None:
        """Say once that a soft budget is exceeded."""
        if self.is_reported:
            return

        bound, spent = self.bound, self.spent
        is_over = (bound.nano is not None and spent.nano + self.unwritten_nano > bound.nano) or (
            bound.tokens is not None and spent.tokens + self.unwritten_tokens > bound.tokens
        )

        if is_over:
            self.is_reported = True
            _LOG.warning("soft budget exceeded", budget=self.row.id, holder=self.key.holder)

    def give_back(self) -> Pair:
        """Take out of the slice what was of no use lately; it is to be given back."""
        is_idle = not self.is_used
        self.is_used = False

        if not is_idle:
            return Pair()

        back = Pair(
            max(0, self.leased_nano - self.reserved_nano),
            max(0, self.leased_tokens - self.reserved_tokens),
        )
        self._lease_more(-back.nano, -back.tokens)
        return back

    @property
    def is_leasing(self) -> bool:
        """Whether anything is leased, or owed."""
        return bool(self.leased_nano or self.leased_tokens)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is to be remembered here."""
        return not (
            self.reserved_nano
            or self.reserved_tokens
            or self.unwritten_nano
            or self.unwritten_tokens
        )

    def _lease_more(self, nano: int, tokens: int) -> None:
        self.leased_nano += nano
        self.leased_tokens += tokens


def bound_of(row: BudgetRow) -> Bound:
    """Return a budget's limits as they are counted."""
    nano = None if row.limit_usd is None else round(row.limit_usd * NANO)
    return Bound(nano=nano, tokens=row.limit_tokens)


def name_of(row: BudgetRow) -> str:
    """Return what a budget is called in a sentence."""
    whose = "gateway's" if row.scope == "global" else f"{row.scope}'s"
    when = {"day": "daily ", "week": "weekly ", "month": "monthly "}.get(row.period, "")
    return f"{whose} {when}budget"


def _shown(need: Pair, bound: Bound) -> str:
    parts: list[str] = []

    if bound.nano is not None:
        parts.append(f"${need.nano / NANO:.6f}")

    if bound.tokens is not None:
        parts.append(f"{need.tokens} tokens")

    return " and ".join(parts)
