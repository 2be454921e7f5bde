"""Pinned definitions in the store: what was seen first, and what somebody approved since."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import ColumnElement, and_, delete, insert, select

from spindle.store.audit import add_audit
from spindle.store.database import Database, bump
from spindle.store.tables import PINS
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.audit import AuditRow

PinKey: TypeAlias = tuple[str, Kind, str]
"""Source, kind and name."""

_BATCH = 200
"""Rows that one statement names."""


@dataclass(frozen=True, slots=True)
class Pin:
    """What of a definition is known to be good, and what is known not to be."""

    digest: str
    """Of the definition in force; empty when none ever was."""
    rejected: str
    """Digest of the definition that somebody refused; empty when nobody did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinWrite:
    """What is to be kept of one definition."""

    key: PinKey
    pin: Pin
    definition: str | None
    """As canonical JSON; None leaves the one that is kept."""
    before: Pin | None
    """What was known when this was decided; None when nothing was."""


class Pins:
    """Keeps pins by source, kind and name; every change raises the revision."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[PinKey, Pin]:
        """Return every pin, without the definitions."""
        table = PINS.c

        async with self._database.reading() as connection:
            found = await connection.execute(
                select(table.source, table.kind, table.name, table.digest, table.rejected)
            )
            return {
                (source, Kind(kind), name): Pin(digest, rejected)
                for source, kind, name, digest, rejected in found
            }

    async def definitions(self, keys: Iterable[PinKey]) -> dict[PinKey, str]:
        """Return the definitions in force of some pins, as canonical JSON."""
        table, known = PINS.c, dict[PinKey, str]()

        async with self._database.reading() as connection:
            for some in _batches(keys):
                found = await connection.execute(
                    select(table.source, table.kind, table.name, table.definition).where(_any(some))
                )
                known |= {(source, Kind(kind), name): text for source, kind, name, text in found}

        return known

    async def see(self, writes: Sequence[PinWrite], gone: Iterable[PinKey] = ()) -> bool:
        """Keep what was seen, unless somebody else has kept something by now; `gone` is forgotten.

        Returns whether anything was written.
        """
        async with self._database.writing() as connection:
            fresh = await _undisputed(connection, writes)
            forgotten = tuple(gone)

            if not fresh and not forgotten:
                return False

            await _write(connection, fresh, by="")
            await _forget(connection, forgotten)
            return True

    async def decide(
        self, writes: Sequence[PinWrite], *, by: str, audit: Sequence[AuditRow]
    ) -> bool:
        """Keep what somebody decided, all of it or nothing; False when it was decided meanwhile."""
        async with self._database.writing() as connection:
            if len(await _undisputed(connection, writes)) < len(writes):
                return False

            await _write(connection, writes, by=by)
            await add_audit(connection, audit)
            return True


async def forget_source(connection: AsyncConnection, source: str) -> None:
    """Forget all pins of a source, inside the caller's transaction."""
    await connection.execute(delete(PINS).where(PINS.c.source == source))


async def _undisputed(connection: AsyncConnection, writes: Sequence[PinWrite]) -> list[PinWrite]:
    table, known = PINS.c, dict[PinKey, Pin]()

    for some in _batches(write.key for write in writes):
        found = await connection.execute(
            select(table.source, table.kind, table.name, table.digest, table.rejected).where(
                _any(some)
            )
        )
        known |= {
            (source, Kind(kind), name): Pin(digest, rejected)
            for source, kind, name, digest, rejected in found
        }

    return [write for write in writes if known.get(write.key) == write.before]


async def _write(connection: AsyncConnection, writes: Sequence[PinWrite], *, by: str) -> None:
    if not writes:
        return

    epoch, now = await bump(connection), time.time()
    kept = [write.key for write in writes if write.definition is None]
    texts = dict[PinKey, str]()

    for some in _batches(kept):
        table = PINS.c
        found = await connection.execute(
            select(table.source, table.kind, table.name, table.definition).where(_any(some))
        )
        texts |= {(source, Kind(kind), name): text for source, kind, name, text in found}

    await _forget(connection, [write.key for write in writes if write.before is not None])
    rows = [
        {
            "source": write.key[0],
            "kind": write.key[1].value,
            "name": write.key[2],
            "digest": write.pin.digest,
            "rejected": write.pin.rejected,
            "definition": texts.get(write.key, "")
            if write.definition is None
            else write.definition,
            "at": now,
            "by": by,
            "epoch": epoch,
        }
        for write in writes
    ]
    await connection.execute(insert(PINS), rows)


async def _forget(connection: AsyncConnection, keys: Iterable[PinKey]) -> None:
    for some in _batches(keys):
        await connection.execute(delete(PINS).where(_any(some)))


def _any(keys: Sequence[PinKey]) -> ColumnElement[bool]:
    """Return what is true of the rows of keys, all of which have one source and kind."""
    table = PINS.c
    source, kind, _ = keys[0]
    names = [name for _, _, name in keys]
    return and_(table.source == source, table.kind == kind.value, table.name.in_(names))


def _batches(keys: Iterable[PinKey]) -> Iterable[Sequence[PinKey]]:
    by_place: dict[tuple[str, Kind], list[PinKey]] = {}

    for key in keys:
        by_place.setdefault(key[:2], []).append(key)

    for found in by_place.values():
        for start in range(0, len(found), _BATCH):
            yield found[start : start + _BATCH]
