"""The audit log in the store: rows are added, and end by retention, never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from sqlalchemy import ColumnElement, RowMapping, func, insert, select
from sqlalchemy.exc import IntegrityError

from spindle.store.tables import AUDIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.database import Database

Stored = TypeVar("Stored")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One entry as it is kept; `before` and `after` are JSON text."""

    id: str
    """Rises with time."""
    at: float
    actor: str | None
    token_id: str | None
    action: str
    target_kind: str | None
    target: str
    decision: str
    reason: str
    request_id: str
    client_ip: str | None
    before: str | None
    after: str | None


Told: TypeAlias = Callable[[Stored], AuditRow]
"""Makes the entry about a row, which is known when it is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries are wanted; None does not narrow. `since` is inclusive, `until` exclusive."""

    actor: str | None = None
    action: str | None = None
    """An action, or a family of them: `users.*`."""
    target: str | None = None
    decision: str | None = None
    request_id: str | None = None
    since: float | None = None
    until: float | None = None


async def tell(connection: AsyncConnection, told: Told[Stored] | None, row: Stored) -> None:
    """Add the entry about a row as it was stored, inside the caller's transaction."""
    if told is not None:
        await add_audit(connection, [told(row)])


async def add_audit(connection: AsyncConnection, rows: Sequence[AuditRow]) -> None:
    """Add entries inside the caller's transaction: with the change, or not at all."""
    if rows:
        await connection.execute(insert(AUDIT), [_columns(row) for row in rows])


class AuditLog:
    """Reads and writes entries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, rows: Sequence[AuditRow]) -> None:
        """Add entries in one transaction; those that are there already are left alone."""
        try:
            await self._add(rows)
        except IntegrityError:
            # A commit whose answer got lost: the entries come a second time.
            known = await self._known([row.id for row in rows])
            await self._add([row for row in rows if row.id not in known])

    async def page(
        self, wanted: AuditFilter, *, after: str | None = None, limit: int
    ) -> tuple[AuditRow, ...]:
        """Return entries older than the one with the id `after`, the newest first."""
        query = select(AUDIT).where(*_conditions(wanted)).order_by(AUDIT.c.id.desc()).limit(limit)

        if after is not None:
            query = query.where(AUDIT.c.id < after)

        async with self._database.reading() as connection:
            return tuple(_row(row) for row in (await connection.execute(query)).mappings())

    async def _add(self, rows: Sequence[AuditRow]) -> None:
        async with self._database.appending() as connection:
            await add_audit(connection, rows)

    async def _known(self, ids: Sequence[str]) -> frozenset[str]:
        async with self._database.reading() as connection:
            found = await connection.execute(select(AUDIT.c.id).where(AUDIT.c.id.in_(ids)))
            return frozenset(found.scalars())

    async def count(self) -> int:
        """Return how many entries there are."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(func.count()).select_from(AUDIT))
            return int(found.scalar_one())


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    found = [
        AUDIT.c[name] == value
        for name in ("actor", "target", "decision", "request_id")
        if (value := getattr(wanted, name)) is not None
    ]

    if wanted.action is not None:
        family, star, rest = wanted.action.partition("*")
        is_family = star and not rest and family.endswith(".")
        found.append(
            AUDIT.c.action.startswith(family, autoescape=True)
            if is_family
            else AUDIT.c.action == wanted.action
        )

    if wanted.since is not None:
        found.append(AUDIT.c.at >= wanted.since)

    if wanted.until is not None:
        found.append(AUDIT.c.at < wanted.until)

    return found


_NAMES = tuple(field.name for field in fields(AuditRow))


def _columns(row: AuditRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in _NAMES}


def _row(row: RowMapping) -> AuditRow:
    return AuditRow(**{name: row[name] for name in _NAMES})
