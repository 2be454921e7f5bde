"""Budgets and limits as administrators handle them: checked, shown, with what is spent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from spindle.accounts import bound_of
from spindle.periods import iso, period_of
from spindle.store.spending import NANO, Pair
from spindle_spi.errors import InvalidArgument
from spindle_spi.policy import granted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.store import Store
    from spindle.store.budgets import BudgetRow, Total
    from spindle.store.limits import RateLimitRow
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import JsonObject

BUDGET_SCOPES: Final = ("global", "token", "user", "team")
PERIODS: Final = ("day", "week", "month", "total")
LIMIT_SCOPES: Final = ("token", "user", "team", "role")
_MOST_TOKENS = 2**62
_MOST_DOLLARS = 1_000_000_000.0


def check_budget(row: BudgetRow) -> None:
    """Refuse a budget that means nothing.

    Raises:
        InvalidArgument: It does; the message names the key.
    """
    if row.scope not in BUDGET_SCOPES:
        raise InvalidArgument(f"scope: expected one of {', '.join(BUDGET_SCOPES)}.")

    if row.period not in PERIODS:
        raise InvalidArgument(f"period: expected one of {', '.join(PERIODS)}.")

    if (row.scope == "global") != (not row.name):
        raise InvalidArgument("name: expected whose it is (`*` for each), but none for global.")

    if row.limit_usd is None and row.limit_tokens is None:
        raise InvalidArgument("limit_usd: expected it, or limit_tokens, or both.")

    if row.limit_usd is not None and not 0 <= row.limit_usd <= _MOST_DOLLARS:
        raise InvalidArgument(f"limit_usd: expected 0 to {_MOST_DOLLARS:.0f}.")

    if row.limit_tokens is not None and not 0 <= row.limit_tokens <= _MOST_TOKENS:
        raise InvalidArgument("limit_tokens: expected a whole number of at least 0.")


def check_limit(row: RateLimitRow) -> None:
    """Refuse a limit that means nothing.

    Raises:
        InvalidArgument: It does; the message names the key.
    """
    if row.scope not in LIMIT_SCOPES:
        raise InvalidArgument(f"scope: expected one of {', '.join(LIMIT_SCOPES)}.")

    if not row.name or (row.scope == "role" and row.name == "*"):
        raise InvalidArgument("name: expected whose it is; `*` for each token, user or team.")

    for name in ("requests_per_minute", "tokens_per_minute"):
        value = getattr(row, name)

        if value is not None and not 1 <= value <= _MOST_TOKENS:
            raise InvalidArgument(f"{name}: expected a whole number of at least 1, or null.")


def sees(context: AuthenticatedContext, scope: str, name: str, family: str) -> bool:
    """Tell whether a caller may know of a budget or limit.

    Those who read the family see all, or their teams' alone if their token names teams. Others see
    what concerns them.
    """
    subject = context.subject
    teams = subject.token_teams or ()
    is_own = (
        (scope == "token" and name == subject.token_id)
        or (scope == "user" and subject.user_email is not None and name == subject.user_email)
        or (scope == "team" and name in teams)
    )

    if not teams and granted(context.visibility_scope.permissions, f"{family}.read"):
        return True

    return is_own


def show_limit(row: RateLimitRow) -> JsonObject:
    """Return a limit as JSON."""
    return {
        "id": row.id,
        "scope": row.scope,
        "name": row.name,
        "requests_per_minute": row.requests_per_minute,
        "tokens_per_minute": row.tokens_per_minute,
        "created_at": iso(row.created_at),
    }


def show_budget(row: BudgetRow, totals: Sequence[Total] = ()) -> JsonObject:
    """Return a budget as JSON, with what is spent of it in the current period by each holder."""
    start, end = period_of(row.period, time.time())
    bound = bound_of(row)
    spending: list[JsonObject] = [
        {
            "holder": total.key.holder or None,
            "spent_usd": total.spent.nano / NANO,
            "spent_tokens": total.spent.tokens,
            "held_usd": total.held.nano / NANO,
            "held_tokens": total.held.tokens,
            "left_usd": None if bound.nano is None else _left(bound.nano, total.spent.nano) / NANO,
            "left_tokens": (
                None if bound.tokens is None else _left(bound.tokens, total.spent.tokens)
            ),
        }
        for total in totals
        if total.key.budget_id == row.id and (total.spent != Pair() or total.held != Pair())
    ]
    return {
        "id": row.id,
        "scope": row.scope,
        "name": row.name or None,
        "period": row.period,
        "limit_usd": row.limit_usd,
        "limit_tokens": row.limit_tokens,
        "mode": "hard" if row.is_hard else "soft",
        "period_start": None if end is None else iso(start),
        "resets_at": None if end is None else iso(end),
        "spending": [*spending],
        "created_at": iso(row.created_at),
    }


async def totals_of(store: Store, rows: Sequence[BudgetRow]) -> tuple[Total, ...]:
    """Return what is spent of budgets in their current periods."""
    now = time.time()
    starts = {row.id: period_of(row.period, now)[0] for row in rows}
    return await store.budgets.totals(starts) if starts else ()


def _left(limit: int, spent: int) -> int:
    return max(0, limit - spent)
