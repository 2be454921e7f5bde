"""Catalog records in the store."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import RowMapping, delete, insert, select, update

from spindle.store.database import Database, bump
from spindle.store.tables import CATALOG
from spindle_spi.codec import decode, encode
from spindle_spi.records import SPEC_OF, CatalogRecord, Kind, Visibility

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection


class Catalog:
    """Keeps records by kind and name; every change raises the revision.

    A changed record's epoch is the new revision. `server_ids` are derived, not stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[CatalogRecord, ...]:
        """Return every record, by kind and name."""
        async with self._database.reading() as connection:
            return tuple(await _read(connection))

    async def replace(self, origin: str, records: Sequence[CatalogRecord]) -> int:
        """Make `records` all there is of an origin; return how many rows changed.

        A record of the same kind and name from another origin is taken over. Nothing is written
        and the revision stays when everything is as it was.
        """
        async with self._database.writing() as connection:
            stored = {(record.kind, record.name): record for record in await _read(connection)}
            wanted = {
                (record.kind, record.name): replace(record, origin=origin) for record in records
            }
            gone = [
                record.id
                for key, record in stored.items()
                if record.origin == origin and key not in wanted
            ]
            changes = [
                (stored.get(key), record)
                for key, record in wanted.items()
                if _differs(stored.get(key), record)
            ]

            if not gone and not changes:
                return 0

            epoch = await bump(connection)
            await _delete(connection, gone)
            await _write(connection, changes, epoch)
            return len(gone) + len(changes)

    async def upsert(self, record: CatalogRecord) -> CatalogRecord:
        """Store one record, replacing that of the same kind and name; return it as stored."""
        async with self._database.writing() as connection:
            before = await _find(connection, record.kind, record.name)

            if before is not None and not _differs(before, record):
                return before

            (stored,) = await _write(connection, [(before, record)], await bump(connection))
            return stored

    async def delete(self, kind: Kind, name: str) -> bool:
        """Delete a record; False when there is none."""
        async with self._database.writing() as connection:
            before = await _find(connection, kind, name)

            if before is None:
                return False

            await _delete(connection, [before.id])
            await bump(connection)
            return True


async def _read(connection: AsyncConnection) -> list[CatalogRecord]:
    query = select(CATALOG).order_by(CATALOG.c.kind, CATALOG.c.name)
    return [_record(row) for row in (await connection.execute(query)).mappings()]


async def _find(connection: AsyncConnection, kind: Kind, name: str) -> CatalogRecord | None:
    query = select(CATALOG).where(CATALOG.c.kind == kind.value, CATALOG.c.name == name)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else _record(row)


async def _delete(connection: AsyncConnection, ids: Iterable[str]) -> None:
    for record_id in ids:
        await connection.execute(delete(CATALOG).where(CATALOG.c.id == record_id))


async def _write(
    connection: AsyncConnection,
    changes: Iterable[tuple[CatalogRecord | None, CatalogRecord]],
    epoch: int,
) -> list[CatalogRecord]:
    written: list[CatalogRecord] = []

    for before, record in changes:
        # What refers to the record by its id must go on finding it.
        kept = replace(record, id=before.id if before else record.id, epoch=epoch, server_ids=())
        columns = _columns(kept)

        if before is None:
            await connection.execute(insert(CATALOG).values(columns))
        else:
            await connection.execute(
                update(CATALOG).where(CATALOG.c.id == before.id).values(columns)
            )

        written.append(kept)

    return written


def _differs(before: CatalogRecord | None, record: CatalogRecord) -> bool:
    return before is None or before != replace(
        record, id=before.id, epoch=before.epoch, server_ids=()
    )


def _columns(record: CatalogRecord) -> Mapping[str, object]:
    return {
        "id": record.id,
        "kind": record.kind.value,
        "name": record.name,
        "spec": encode(record.spec, SPEC_OF[record.kind]).decode(),
        "module": record.module,
        "description": record.description,
        "owner": record.owner,
        "team": record.team,
        "visibility": record.visibility.value,
        "enabled": record.enabled,
        "origin": record.origin,
        "tags": json.dumps(record.tags),
        "epoch": record.epoch,
    }


def _record(row: RowMapping) -> CatalogRecord:
    kind = Kind(row["kind"])
    return CatalogRecord(
        id=row["id"],
        kind=kind,
        name=row["name"],
        spec=decode(row["spec"], SPEC_OF[kind]),
        module=row["module"],
        description=row["description"],
        owner=row["owner"],
        team=row["team"],
        visibility=Visibility(row["visibility"]),
        enabled=row["enabled"],
        origin=row["origin"],
        tags=tuple(json.loads(row["tags"])),
        epoch=row["epoch"],
    )
