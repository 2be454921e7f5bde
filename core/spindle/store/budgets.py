"""Budgets in the store; `spindle.store.spending` knows what is spent of them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from spindle.store.database import Database, bump
from spindle.store.spending import Ask, Pair, SpendKey, grant, held_of, keep
from spindle.store.tables import BUDGET_SPEND, BUDGETS
from spindle_spi.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spindle.store.spending import Bound, Granted


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
        held_nano = held_of(table.leased_nano)
        held_tokens = held_of(table.leased_tokens)
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
        wanted = Ask(
            process=self.process, pair=ask, bound=bound, unwritten=unwritten, seconds=seconds
        )
        dialect = self._database.engine.dialect.name

        async with self._database.writing() as connection:
            return await grant(connection, key, wanted, dialect)

    async def renew(
        self, given_back: Mapping[SpendKey, Pair], *, seconds: float
    ) -> tuple[SpendKey, ...]:
        """Keep this process's slices for some seconds more, less what it gives back of each.

        Returns those that had expired before: they are lost.
        """
        async with self._database.writing() as connection:
            return await keep(connection, self.process, given_back, seconds=seconds)

    async def forget_before(self, budget_id: str, period_start: int) -> None:
        """Drop the spending of periods that are long over."""
        table = BUDGET_SPEND.c

        async with self._database.writing() as connection:
            await connection.execute(
                delete(BUDGET_SPEND).where(
                    table.budget_id == budget_id, table.period_start < period_start
                )
            )
