"""Usage rows in the store. The cheap path: tuples straight to the driver, one batch at a time."""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from spindle.store.outbox import add_events
from spindle.store.rows import UsageRow
from spindle.store.spending import add_spendings
from spindle.store.tables import USAGE
from spindle_spi.admission import Attempt
from spindle_spi.codec import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Dialect
    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.database import Database
    from spindle.store.rows import Companion

_NAMES = tuple(field.name for field in fields(UsageRow))
_INT_MAX = 2**63 - 1
_JSON = msgspec.json.Encoder()
_plain = attrgetter(*_NAMES[:-2])
_LOOKED_UP = 500
_BLOCKS: Final = (500, 100, 20)
"""Rows of one statement, of which the driver keeps the compiled form."""

_Value: TypeAlias = str | int | float | bool | None
_Row: TypeAlias = tuple[_Value, ...]


class Usage:
    """Writes what calls used. Writing a row again changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.engine.dialect
        self._insert = insert_statement(dialect)
        sizes = () if database.is_postgresql else _BLOCKS
        self._blocks = [(size, insert_statement(dialect, size)) for size in sizes]

    async def add_many(
        self, rows: Sequence[UsageRow], companions: Sequence[Companion] = (), *, again: bool = False
    ) -> None:
        """Write a batch in one transaction: all of it, with what belongs to the rows, or nothing.

        `again` says that an earlier try may have been committed: such a row's companion is left
        out.
        """
        if not rows:
            return

        try:
            await self._write(
                [(*_plain(row), _attempts(row), row.caller_team) for row in rows],
                companions,
                again=again,
            )
        except (UnicodeEncodeError, OverflowError, IntegrityError):
            # One row with a lone surrogate or an absurd figure must not hold up the others.
            await self._write([_made_to_fit(row) for row in rows], companions, again=again)

    async def count(self) -> int:
        """Return how many rows there are."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(func.count()).select_from(USAGE))
            return int(found.scalar_one())

    async def _write(
        self, rows: list[_Row], companions: Sequence[Companion], *, again: bool
    ) -> None:
        async with self._database.writing() as connection:
            known: set[str] = set()

            if again and companions:
                ids = [companion.id for companion in companions]

                for start in range(0, len(ids), _LOOKED_UP):
                    part = ids[start : start + _LOOKED_UP]
                    found = await connection.execute(select(USAGE.c.id).where(USAGE.c.id.in_(part)))
                    known.update(found.scalars())

            await self._put(connection, rows)
            fresh = [companion for companion in companions if companion.id not in known]
            spendings = [one.spends for one in fresh if one.spends is not None]
            await add_spendings(connection, spendings)
            await add_events(connection, [one.event for one in fresh if one.event is not None])

    async def _put(self, connection: AsyncConnection, rows: list[_Row]) -> None:
        """Insert rows, on SQLite many by one statement.

        Its driver gives the interpreter away and takes it back for each statement: for each row,
        that costs the event loop more than the row.
        """
        done = 0

        for size, statement in self._blocks:
            while len(rows) - done >= size:
                block = tuple(chain.from_iterable(rows[done : done + size]))
                await connection.exec_driver_sql(statement, block)
                done += size

        if done < len(rows):
            await connection.exec_driver_sql(self._insert, rows[done:])


def insert_statement(dialect: Dialect, rows: int = 1) -> str:
    """Return the statement in the words of a driver; a row that is there already is left alone.

    Several rows at once are for drivers whose parameters have no numbers.
    """
    # Both engines spell the end alike; their own constructs would cost an import each.
    start, values, row = str(insert(USAGE).compile(dialect=dialect)).rpartition(" VALUES ")
    return f"{start}{values}{', '.join([row] * rows)} ON CONFLICT DO NOTHING"


def _attempts(row: UsageRow) -> str:
    return _JSON.encode(row.attempts).decode() if row.attempts else "[]"


def _made_to_fit(row: UsageRow) -> _Row:
    # This codec escapes what is not ASCII, so it takes any text.
    attempts = encode(row.attempts, tuple[Attempt, ...]).decode()
    return (*map(_fit, _plain(row)), attempts, _fit(row.caller_team))


def _fit(value: _Value) -> _Value:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()

    if isinstance(value, float):
        return value if math.isfinite(value) else 0.0

    return max(-_INT_MAX, min(_INT_MAX, value)) if isinstance(value, int) else value
