"""Events on their way out: written with the usage row they tell of, gone when published."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert, select, update

from spindle.store.rows import OutboxRow
from spindle.store.tables import OUTBOX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.database import Database


class Outbox:
    """Rows are claimed for a while, so that two processes do not publish the same one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, process: str, *, seconds: float, most: int) -> tuple[OutboxRow, ...]:
        """Take the oldest rows that nobody holds, in order."""
        now = time.time()
        is_free = OUTBOX.c.claimed_until < now
        oldest = (
            select(OUTBOX.c.id).where(is_free).order_by(OUTBOX.c.at, OUTBOX.c.id).limit(most)
        ).scalar_subquery()
        taken = (
            update(OUTBOX)
            # Asked once more: whoever waited for a row's lock finds it held.
            .where(OUTBOX.c.id.in_(oldest), is_free)
            .values(claimed_by=process, claimed_until=now + seconds)
            .returning(OUTBOX.c.id, OUTBOX.c.at, OUTBOX.c.type, OUTBOX.c.body)
        )

        async with self._database.writing() as connection:
            found = (await connection.execute(taken)).mappings().all()

        rows = (OutboxRow(**row) for row in found)
        return tuple(sorted(rows, key=lambda row: (row.at, row.id)))

    async def remove(self, ids: Sequence[str]) -> None:
        """Forget rows that were published."""
        if not ids:
            return

        async with self._database.writing() as connection:
            await connection.execute(delete(OUTBOX).where(OUTBOX.c.id.in_(ids)))

    async def release(self, process: str) -> None:
        """Give back what a process holds."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(OUTBOX)
                .where(OUTBOX.c.claimed_by == process)
                .values(claimed_by=None, claimed_until=0.0)
            )

    async def drop_before(self, at: float) -> int:
        """Drop rows older than a moment; return how many there were."""
        async with self._database.writing() as connection:
            return int((await connection.execute(delete(OUTBOX).where(OUTBOX.c.at < at))).rowcount)

    async def count(self) -> int:
        """Return how many rows wait."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(func.count()).select_from(OUTBOX))
            return int(found.scalar_one())


async def add_events(connection: AsyncConnection, rows: Sequence[OutboxRow]) -> None:
    """Write events inside the caller's transaction."""
    if rows:
        await connection.execute(
            insert(OUTBOX),
            [
                {
                    "id": row.id,
                    "at": row.at,
                    "type": row.type,
                    "body": row.body,
                    "claimed_by": None,
                    "claimed_until": 0.0,
                }
                for row in rows
            ],
        )
