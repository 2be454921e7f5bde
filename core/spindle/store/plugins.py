"""Plugin entries in the store, as JSON. What they mean is the plugins' affair."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import RowMapping, delete, insert, select, update

from spindle.store.audit import add_audit
from spindle.store.database import Database, bump
from spindle.store.tables import PLUGINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.audit import AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRow:
    """One entry as it is kept; times in seconds since the epoch."""

    name: str
    entry: str
    """The entry as JSON."""
    created_at: float
    updated_at: float
    updated_by: str
    epoch: int


class StoredPlugins:
    """Keeps entries by name; every change raises the revision."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[PluginRow, ...]:
        """Return every row, by name."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(PLUGINS).order_by(PLUGINS.c.name))
            return tuple(_row(row) for row in found.mappings())

    async def get(self, name: str) -> PluginRow | None:
        """Return one row."""
        async with self._database.reading() as connection:
            return await _find(connection, name)

    async def create(
        self, name: str, entry: str, *, by: str, audit: Sequence[AuditRow] = ()
    ) -> PluginRow | None:
        """Store a new entry; None when the name is taken."""
        now = time.time()

        async with self._database.writing() as connection:
            if await _find(connection, name) is not None:
                return None

            row = PluginRow(
                name=name,
                entry=entry,
                created_at=now,
                updated_at=now,
                updated_by=by,
                epoch=await bump(connection),
            )
            await connection.execute(insert(PLUGINS).values(_columns(row)))
            await add_audit(connection, audit)
            return row

    async def update(
        self, row: PluginRow, entry: str, *, by: str, audit: Sequence[AuditRow] = ()
    ) -> PluginRow | None:
        """Change an entry that was read as `row`; None when it was changed or deleted since."""
        async with self._database.writing() as connection:
            if await _find(connection, row.name) != row:
                return None

            changed = {
                "entry": entry,
                "updated_at": time.time(),
                "updated_by": by,
                "epoch": await bump(connection),
            }
            await connection.execute(
                update(PLUGINS).where(PLUGINS.c.name == row.name).values(changed)
            )
            await add_audit(connection, audit)
            return await _find(connection, row.name)

    async def delete(self, row: PluginRow, *, audit: Sequence[AuditRow] = ()) -> bool:
        """Delete an entry that was read as `row`; False when it was changed or deleted since."""
        async with self._database.writing() as connection:
            if await _find(connection, row.name) != row:
                return False

            await connection.execute(delete(PLUGINS).where(PLUGINS.c.name == row.name))
            await add_audit(connection, audit)
            await bump(connection)
            return True


async def _find(connection: AsyncConnection, name: str) -> PluginRow | None:
    query = select(PLUGINS).where(PLUGINS.c.name == name)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else _row(row)


def _columns(row: PluginRow) -> dict[str, object]:
    return {column.name: getattr(row, column.name) for column in PLUGINS.columns}


def _row(row: RowMapping) -> PluginRow:
    return PluginRow(**row)
