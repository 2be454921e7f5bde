"""What every process spent of budgets, or holds of them as a slice.

All that is spent or held of a budget in a period is at most its limit, but for what calls used
beyond what was reserved for them. A slice is granted in one transaction that locks the budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import RowMapping, case, delete, insert, select, update

from spindle.store.tables import BUDGET_SPEND, BUDGETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Column, ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.rows import Spending

NANO = 1_000_000_000
"""Billionths in a US dollar."""
_SHARE = 8
"""A process takes this part of what is left: slices shrink as a budget runs out."""


class Pair(NamedTuple):
    """Money in billionths of a dollar, and tokens."""

    nano: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The limits of a budget; None is none."""

    nano: int | None
    tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendKey:
    """One budget of one holder in one period."""

    budget_id: str
    holder: str
    period_start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What came of asking for a slice."""

    slice: Pair | None
    """None when what is left is less than what was asked for."""
    spent: Pair
    """By everybody, as far as it is written."""
    held: Pair
    """By others, unspent."""
    is_renewed: bool
    """False when the process's earlier slice had expired: nothing of it is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a process wants of a budget."""

    process: str
    pair: Pair
    bound: Bound
    unwritten: Callable[[], Pair]
    """Tells what it spent of earlier slices and has not written by then."""
    seconds: float
    """How long it wants to hold the slice."""


async def grant(connection: AsyncConnection, key: SpendKey, ask: Ask, dialect: str) -> Granted:
    """Give a slice of what is left, of at least what is asked for, or nothing."""
    now = time.time()
    await _lock(connection, key.budget_id, dialect)
    rows = await _spend_rows(connection, key)
    own = next((row for row in rows if row["process"] == ask.process), None)
    is_renewed = own is not None and own["expires_at"] > now
    mine = _leased(own) if own is not None and is_renewed else ask.unwritten()
    others = [row for row in rows if row is not own]
    spent = _total(_spent(row) for row in rows)
    held = _total(_held(row) for row in others if row["expires_at"] > now)
    slice_ = _slice(ask.bound, ask.pair, _total((spent, held, mine)))
    granted = slice_ or Pair()
    await _fold(connection, key, [row for row in others if row["expires_at"] <= now])
    await _put(
        connection,
        key,
        ask.process,
        is_new=own is None,
        leased=_total((mine, granted)),
        expires_at=now + ask.seconds,
    )
    return Granted(slice=slice_, spent=spent, held=held, is_renewed=is_renewed)


async def keep(
    connection: AsyncConnection,
    process: str,
    given_back: Mapping[SpendKey, Pair],
    *,
    seconds: float,
) -> tuple[SpendKey, ...]:
    """Let a process hold its slices longer, less what it gives back of each.

    Returns those that had expired before: they are lost.
    """
    table, now = BUDGET_SPEND.c, time.time()
    lost: list[SpendKey] = []

    for key, back in given_back.items():
        kept = await connection.execute(
            update(BUDGET_SPEND)
            .where(*matching(key), table.process == process, table.expires_at > now)
            .values(
                leased_nano=table.leased_nano - back.nano,
                leased_tokens=table.leased_tokens - back.tokens,
                expires_at=now + seconds,
            )
        )

        if kept.rowcount == 0:
            lost.append(key)

    return tuple(lost)


def sums_of(spendings: Iterable[Spending]) -> dict[str, dict[SpendKey, Pair]]:
    """Return what was spent of each budget, by process."""
    # Calls of one caller name the very same keys: they are added up before the keys are looked at.
    by_keys: dict[tuple[str, int], tuple[tuple[SpendKey, ...], int, int]] = {}

    for keys, process, nano, tokens in spendings:
        place = (process, id(keys))
        _, nanos, all_tokens = by_keys.get(place, (keys, 0, 0))
        by_keys[place] = (keys, nanos + nano, all_tokens + tokens)

    sums: dict[str, dict[SpendKey, Pair]] = {}

    for (process, _), (keys, nano, tokens) in by_keys.items():
        of_process = sums.setdefault(process, {})

        for key in keys:
            before = of_process.get(key, Pair())
            of_process[key] = Pair(before.nano + nano, before.tokens + tokens)

    return sums


async def add_spendings(connection: AsyncConnection, spendings: Iterable[Spending]) -> None:
    """Write what was spent inside the caller's transaction; it is not held any more.

    One statement for each budget, however many calls spent of it. In the order of the keys, so
    that two processes cannot wait for each other.
    """
    rows = [
        (key, process, spent)
        for process, sums in sums_of(spendings).items()
        for key, spent in sums.items()
    ]
    table = BUDGET_SPEND.c

    for key, process, spent in sorted(rows, key=_place):
        changed = await connection.execute(
            update(BUDGET_SPEND)
            .where(*matching(key), table.process == process)
            .values(
                spent_nano=table.spent_nano + spent.nano,
                spent_tokens=table.spent_tokens + spent.tokens,
                leased_nano=table.leased_nano - spent.nano,
                leased_tokens=table.leased_tokens - spent.tokens,
            )
        )

        if changed.rowcount == 0:
            # Expired from the start: nothing is held by it until the next slice.
            values = _row_of(key, process, Pair(), 0.0)
            await connection.execute(
                insert(BUDGET_SPEND),
                [values | {"spent_nano": spent.nano, "spent_tokens": spent.tokens}],
            )


def _place(row: tuple[SpendKey, str, Pair]) -> tuple[str, str, int, str]:
    key, process, _ = row
    return key.budget_id, key.holder, key.period_start, process


def _slice(bound: Bound, ask: Pair, committed: Pair) -> Pair | None:
    nano = _part(bound.nano, ask.nano, committed.nano)
    tokens = _part(bound.tokens, ask.tokens, committed.tokens)
    return None if nano is None or tokens is None else Pair(nano, tokens)


def _part(limit: int | None, ask: int, committed: int) -> int | None:
    if limit is None:
        return 0

    left = limit - committed

    if ask > left:
        return None

    return ask + (left - ask) // _SHARE


async def _lock(connection: AsyncConnection, budget_id: str, dialect: str) -> None:
    if dialect != "sqlite":
        # A writer of SQLite holds the whole file already.
        row = select(BUDGETS.c.id).where(BUDGETS.c.id == budget_id).with_for_update()
        await connection.execute(row)


async def _spend_rows(connection: AsyncConnection, key: SpendKey) -> Sequence[RowMapping]:
    found = await connection.execute(select(BUDGET_SPEND).where(*matching(key)))
    return found.mappings().all()


async def _fold(connection: AsyncConnection, key: SpendKey, dead: Sequence[RowMapping]) -> None:
    """Put the rows of processes that are gone into one, which belongs to none."""
    named = [row for row in dead if row["process"]]

    if not named:
        return

    total = _total(_spent(row) for row in dead)
    processes = [row["process"] for row in dead]
    await connection.execute(
        delete(BUDGET_SPEND).where(*matching(key), BUDGET_SPEND.c.process.in_(processes))
    )
    values = _row_of(key, "", Pair(), 0.0)
    await connection.execute(
        insert(BUDGET_SPEND), [values | {"spent_nano": total.nano, "spent_tokens": total.tokens}]
    )


async def _put(
    connection: AsyncConnection,
    key: SpendKey,
    process: str,
    *,
    is_new: bool,
    leased: Pair,
    expires_at: float,
) -> None:
    if is_new:
        await connection.execute(insert(BUDGET_SPEND), [_row_of(key, process, leased, expires_at)])
        return

    await connection.execute(
        update(BUDGET_SPEND)
        .where(*matching(key), BUDGET_SPEND.c.process == process)
        .values(leased_nano=leased.nano, leased_tokens=leased.tokens, expires_at=expires_at)
    )


def _row_of(key: SpendKey, process: str, leased: Pair, expires_at: float) -> dict[str, object]:
    return {
        "budget_id": key.budget_id,
        "holder": key.holder,
        "period_start": key.period_start,
        "process": process,
        "spent_nano": 0,
        "spent_tokens": 0,
        "leased_nano": leased.nano,
        "leased_tokens": leased.tokens,
        "expires_at": expires_at,
    }


def matching(key: SpendKey) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a key's rows."""
    table = BUDGET_SPEND.c
    return (
        table.budget_id == key.budget_id,
        table.holder == key.holder,
        table.period_start == key.period_start,
    )


def held_of(column: Column[int]) -> ColumnElement[int]:
    """Return how much of a column is held now: of a slice whose time is not over."""
    is_held = (column > 0) & (BUDGET_SPEND.c.expires_at > time.time())
    return case((is_held, column), else_=0)


def _spent(row: RowMapping) -> Pair:
    return Pair(row["spent_nano"], row["spent_tokens"])


def _leased(row: RowMapping) -> Pair:
    return Pair(row["leased_nano"], row["leased_tokens"])


def _held(row: RowMapping) -> Pair:
    # Less than nothing is what calls used beyond their slice: spent already, held by nobody.
    return Pair(max(0, row["leased_nano"]), max(0, row["leased_tokens"]))


def _total(pairs: Iterable[Pair]) -> Pair:
    listed = tuple(pairs)
    return Pair(sum(pair.nano for pair in listed), sum(pair.tokens for pair in listed))
