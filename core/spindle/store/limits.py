"""Rate limits that administrators set, in the store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from spindle.store.database import Database, bump
from spindle.store.tables import RATE_LIMITS, TOKENS
from spindle_spi.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitRow:
    """What one holder may do in a minute."""

    id: str = ""
    scope: str
    """token, user, team or role."""
    name: str
    """Id, e-mail or name of the holder; `*` stands for each one that has no row of its own."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    created_at: float = 0.0
    epoch: int = 0


class RateLimits:
    """Keeps limits by scope and name; every change raises the revision."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[RateLimitRow, ...]:
        """Return every limit, by scope and name."""
        query = select(RATE_LIMITS).order_by(RATE_LIMITS.c.scope, RATE_LIMITS.c.name)

        async with self._database.reading() as connection:
            return tuple(_row(row) for row in (await connection.execute(query)).mappings())

    async def roles(self) -> Mapping[str, str]:
        """Return the role of every token in force, by token id."""
        query = select(TOKENS.c.id, TOKENS.c.role).where(TOKENS.c.revoked_at.is_(None))

        async with self._database.reading() as connection:
            return {row.id: row.role for row in await connection.execute(query)}

    async def get(self, limit_id: str) -> RateLimitRow | None:
        """Return one limit."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(RATE_LIMITS).where(RATE_LIMITS.c.id == limit_id)
            )
            row = found.mappings().one_or_none()

        return None if row is None else _row(row)

    async def create(self, row: RateLimitRow) -> RateLimitRow:
        """Store a new limit and return it with its id.

        Raises:
            Conflict: There is one for this holder.
        """
        try:
            async with self._database.writing() as connection:
                epoch = await bump(connection)
                stored = RateLimitRow(
                    id=uuid4().hex,
                    scope=row.scope,
                    name=row.name,
                    requests_per_minute=row.requests_per_minute,
                    tokens_per_minute=row.tokens_per_minute,
                    created_at=time.time(),
                    epoch=epoch,
                )
                await connection.execute(insert(RATE_LIMITS), [_columns(stored)])
                return stored
        except IntegrityError:
            raise Conflict(
                f"There is a limit for the {row.scope} {row.name!r}: change that one.",
                code="core.limit.exists",
            ) from None

    async def change(self, row: RateLimitRow) -> RateLimitRow | None:
        """Store a limit's new figures if it is still at the epoch it was read at."""
        matching = (RATE_LIMITS.c.id == row.id) & (RATE_LIMITS.c.epoch == row.epoch)

        async with self._database.writing() as connection:
            changed = await connection.execute(
                update(RATE_LIMITS)
                .where(matching)
                .values(
                    requests_per_minute=row.requests_per_minute,
                    tokens_per_minute=row.tokens_per_minute,
                    epoch=await bump(connection),
                )
                .returning(RATE_LIMITS)
            )
            found = changed.mappings().one_or_none()

        return None if found is None else _row(found)

    async def delete(self, limit_id: str) -> bool:
        """Delete a limit; False when there is none."""
        async with self._database.writing() as connection:
            gone = await connection.execute(delete(RATE_LIMITS).where(RATE_LIMITS.c.id == limit_id))

            if gone.rowcount == 0:
                return False

            await bump(connection)
            return True


def _columns(row: RateLimitRow) -> Mapping[str, object]:
    return {column.name: getattr(row, column.name) for column in RATE_LIMITS.columns}


def _row(row: RowMapping) -> RateLimitRow:
    return RateLimitRow(**row)
