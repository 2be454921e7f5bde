"""What bundles changed: who, when, and the records before and after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import RowMapping, delete, insert, select

from spindle.store.tables import VERSIONS
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.database import Database

KEPT: Final = 200
"""Versions that stay; the oldest goes when one is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One change by a bundle."""

    id: int = 0
    """The revision that it made: later versions have higher ones."""
    at: float
    actor: str
    """E-mail or token id of who did it."""
    action: str
    """apply or rollback."""
    note: str
    before: JsonObject
    """The touched records as a bundle; null where there was none."""
    after: JsonObject


class Versions:
    """Reads versions; they are written with the change they tell of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[VersionRow, ...]:
        """Return every version, the newest first."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(VERSIONS).order_by(VERSIONS.c.id.desc()))
            return tuple(_row(row) for row in found.mappings())


async def add_version(connection: AsyncConnection, row: VersionRow) -> None:
    """Write a version inside the caller's transaction, and let the oldest go."""
    columns = {
        "id": row.id,
        "at": row.at,
        "actor": row.actor,
        "action": row.action,
        "note": row.note,
        "before": json.dumps(row.before),
        "after": json.dumps(row.after),
    }
    await connection.execute(insert(VERSIONS).values(columns))
    kept = select(VERSIONS.c.id).order_by(VERSIONS.c.id.desc()).limit(KEPT)
    oldest = (await connection.execute(kept)).scalars().all()[-1]
    await connection.execute(delete(VERSIONS).where(VERSIONS.c.id < oldest))


def _row(row: RowMapping) -> VersionRow:
    return VersionRow(
        id=row["id"],
        at=row["at"],
        actor=row["actor"],
        action=row["action"],
        note=row["note"],
        before=json.loads(row["before"]),
        after=json.loads(row["after"]),
    )
