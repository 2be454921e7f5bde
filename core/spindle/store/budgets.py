"""Budgets in the store, and what every process spent of them or holds as a slice.

All that is spent or held of a budget in a period is at most its limit, but for what calls used
beyond what was reserved for them. A slice is granted in one transaction that locks the budget.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import RowMapping, case, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from spindle.store.database import Database, bump
from spindle.store.tables import BUDGET_SPEND, BUDGETS
from spindle_spi.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Column, ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.rows import SpendRow

NANO = 1_000_000_000
"""Billionths in a US dollar."""
_SHARE = 8
"""A process takes this part of what is left: slices shrink as a budget runs out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """How much may be spent in a period."""

    id: str = ""
    scope: str
    """global, token, user or team."""
    name: str = ""
    """Id, e-mail or name of the holder; `*` is each one apart; empty for the global scope."""
    period: str
    """day, week, month or total."""
    limit_usd: float | None = None
    limit_tokens: int | None = None
    is_hard: bool = True
    """A soft one is only reported."""
    created_at: float = 0.0
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
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
class Total:
    """What is spent and held of a budget by one holder in one period."""

    key: SpendKey
    spent: Pair
    held: Pair


class Budgets:
    """Keeps budgets and their spending. Every change of a budget raises the revision."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.process = secrets.token_hex(8)
        """Whose slices this process's are."""

    async def all(self) -> tuple[BudgetRow, ...]:
        """Return every budget, by scope, name and period."""
        order = (BUDGETS.c.scope, BUDGETS.c.name, BUDGETS.c.period)

        async with self._database.reading() as connection:
            found = await connection.execute(select(BUDGETS).order_by(*order))
            return tuple(BudgetRow(**row) for row in found.mappings())

    async def get(self, budget_id: str) -> BudgetRow | None:
        """Return one budget."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(BUDGETS).where(BUDGETS.c.id == budget_id))
            row = found.mappings().one_or_none()

        return None if row is None else BudgetRow(**row)

    async def create(self, row: BudgetRow) -> BudgetRow:
        """Store a new budget and return it with its id.

        Raises:
            Conflict: There is one for this holder and period.
        """
        try:
            async with self._database.writing() as connection:
                epoch = await bump(connection)
                stored = replace(row, id=uuid4().hex, created_at=time.time(), epoch=epoch)
                await connection.execute(
                    insert(BUDGETS), [{c.name: getattr(stored, c.name) for c in BUDGETS.columns}]
                )
                return stored
        except IntegrityError:
            raise Conflict(
                "There is a budget for this holder and period: change that one.",
                code="core.budget.exists",
            ) from None

    async def change(self, row: BudgetRow) -> BudgetRow | None:
        """Store a budget's new figures if it is still at the epoch it was read at."""
        async with self._database.writing() as connection:
            changed = await connection.execute(
                update(BUDGETS)
                .where(BUDGETS.c.id == row.id, BUDGETS.c.epoch == row.epoch)
                .values(
                    limit_usd=row.limit_usd,
                    limit_tokens=row.limit_tokens,
                    is_hard=row.is_hard,
                    epoch=await bump(connection),
                )
                .returning(BUDGETS)
            )
            found = changed.mappings().one_or_none()

        return None if found is None else BudgetRow(**found)

    async def delete(self, budget_id: str) -> bool:
        """Delete a budget with its spending; False when there is none."""
        async with self._database.writing() as connection:
            gone = await connection.execute(delete(BUDGETS).where(BUDGETS.c.id == budget_id))

            if gone.rowcount == 0:
                return False

            await connection.execute(
                delete(BUDGET_SPEND).where(BUDGET_SPEND.c.budget_id == budget_id)
            )
            await bump(connection)
            return True

    async def totals(self, starts: Mapping[str, int]) -> tuple[Total, ...]:
        """Return what every holder spent and holds, of budgets by id since their period's start."""
        table = BUDGET_SPEND.c
        held_nano = _positive_alive(table.leased_nano)
        held_tokens = _positive_alive(table.leased_tokens)
        query = (
            select(
                table.budget_id,
                table.holder,
                table.period_start,
                func.sum(table.spent_nano).label("nano"),
                func.sum(table.spent_tokens).label("tokens"),
                func.sum(held_nano).label("held_nano"),
                func.sum(held_tokens).label("held_tokens"),
            )
            .where(table.budget_id.in_(list(starts)))
            .group_by(table.budget_id, table.holder, table.period_start)
            .order_by(table.budget_id, table.holder)
        )

        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()

        return tuple(
            Total(
                key=SpendKey(
                    budget_id=row.budget_id, holder=row.holder, period_start=row.period_start
                ),
                spent=Pair(int(row.nano), int(row.tokens)),
                held=Pair(int(row.held_nano), int(row.held_tokens)),
            )
            for row in rows
            if starts.get(row.budget_id) == row.period_start
        )

    async def lease(
        self,
        key: SpendKey,
        bound: Bound,
        ask: Pair,
        unwritten: Callable[[], Pair],
        *,
        seconds: float,
    ) -> Granted:
        """Take a slice of what is left, of at least what is asked for, or nothing.

        `unwritten` tells what this process spent of earlier slices and has not written by then.
        """
        async with self._database.writing() as connection:
            now = time.time()
            await _lock(connection, key.budget_id, self._database.engine.dialect.name)
            rows = await _spend_rows(connection, key)
            own = next((row for row in rows if row["process"] == self.process), None)
            is_renewed = own is not None and own["expires_at"] > now
            mine = _leased(own) if own is not None and is_renewed else unwritten()
            others = [row for row in rows if row is not own]
            spent = _total(_spent(row) for row in rows)
            held = _total(_held(row) for row in others if row["expires_at"] > now)
            slice_ = _slice(bound, ask, _total((spent, held, mine)))
            granted = slice_ or Pair()
            await _fold(connection, key, [row for row in others if row["expires_at"] <= now])
            await _put(
                connection,
                key,
                self.process,
                is_new=own is None,
                leased=_total((mine, granted)),
                expires_at=now + seconds,
            )

        return Granted(slice=slice_, spent=spent, held=held, is_renewed=is_renewed)

    async def renew(
        self, given_back: Mapping[SpendKey, Pair], *, seconds: float
    ) -> tuple[SpendKey, ...]:
        """Keep this process's slices for some seconds more, less what it gives back of each.

        Returns those that had expired before: they are lost.
        """
        table = BUDGET_SPEND.c
        lost: list[SpendKey] = []

        async with self._database.writing() as connection:
            now = time.time()

            for key, back in given_back.items():
                kept = await connection.execute(
                    update(BUDGET_SPEND)
                    .where(
                        *_matching(key),
                        table.process == self.process,
                        table.expires_at > now,
                    )
                    .values(
                        leased_nano=table.leased_nano - back.nano,
                        leased_tokens=table.leased_tokens - back.tokens,
                        expires_at=now + seconds,
                    )
                )

                if kept.rowcount == 0:
                    lost.append(key)

        return tuple(lost)

    async def forget_before(self, budget_id: str, period_start: int) -> None:
        """Drop the spending of periods that are long over."""
        table = BUDGET_SPEND.c

        async with self._database.writing() as connection:
            await connection.execute(
                delete(BUDGET_SPEND).where(
                    table.budget_id == budget_id, table.period_start < period_start
                )
            )


async def add_spends(connection: AsyncConnection, spends: Sequence[SpendRow]) -> None:
    """Write what was spent inside the caller's transaction; it is not held any more."""
    sums: dict[tuple[str, str, int, str], list[SpendRow]] = {}

    for spend in spends:
        place = (spend.budget_id, spend.holder, spend.period_start, spend.process)
        sums.setdefault(place, []).append(spend)

    table = BUDGET_SPEND.c

    for (budget_id, holder, start, process), rows in sorted(sums.items(), key=lambda item: item[0]):
        nano, tokens = sum(row.nano for row in rows), sum(row.tokens for row in rows)
        key = SpendKey(budget_id=budget_id, holder=holder, period_start=start)
        changed = await connection.execute(
            update(BUDGET_SPEND)
            .where(*_matching(key), table.process == process)
            .values(
                spent_nano=table.spent_nano + nano,
                spent_tokens=table.spent_tokens + tokens,
                leased_nano=table.leased_nano - nano,
                leased_tokens=table.leased_tokens - tokens,
            )
        )

        if changed.rowcount == 0:
            # Expired from the start: nothing is held by it until the next slice.
            values = _row_of(key, process, Pair(), 0.0)
            await connection.execute(
                insert(BUDGET_SPEND), [values | {"spent_nano": nano, "spent_tokens": tokens}]
            )


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
    found = await connection.execute(select(BUDGET_SPEND).where(*_matching(key)))
    return found.mappings().all()


async def _fold(connection: AsyncConnection, key: SpendKey, dead: Sequence[RowMapping]) -> None:
    """Put the rows of processes that are gone into one, which belongs to none."""
    named = [row for row in dead if row["process"]]

    if not named:
        return

    total = _total(_spent(row) for row in dead)
    processes = [row["process"] for row in dead]
    await connection.execute(
        delete(BUDGET_SPEND).where(*_matching(key), BUDGET_SPEND.c.process.in_(processes))
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
        .where(*_matching(key), BUDGET_SPEND.c.process == process)
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


def _matching(key: SpendKey) -> tuple[ColumnElement[bool], ...]:
    table = BUDGET_SPEND.c
    return (
        table.budget_id == key.budget_id,
        table.holder == key.holder,
        table.period_start == key.period_start,
    )


def _positive_alive(column: Column[int]) -> ColumnElement[int]:
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
