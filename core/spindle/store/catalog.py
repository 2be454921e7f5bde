"""Catalog records in the store, and overrides of published ones."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import RowMapping, delete, insert, select, update

from spindle.store.audit import AuditRow, add_audit
from spindle.store.database import Database, bump
from spindle.store.llm import project
from spindle.store.pins import forget_source
from spindle.store.tables import CATALOG, CATALOG_OVERRIDES
from spindle.store.versions import VersionRow, add_version
from spindle_spi.codec import decode, encode
from spindle_spi.records import SPEC_OF, CatalogRecord, Kind, Visibility
from spindle_spi.types import Json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

RecordKey: TypeAlias = tuple[Kind, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRow:
    """What somebody wants of one published record, against what its source gives it."""

    kind: Kind
    name: str
    source: str
    """The origin of the record; another source's record of the same name is another record."""
    wanted: Mapping[str, Json]
    """By field: visibility, team, owner, enabled, description, tags."""
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorship:
    """Who made a record and who changed it last; None where it was not remembered yet.

    Times are seconds since the epoch; who is an e-mail, `token:<id>` or the record's origin.
    """

    created_at: float | None = None
    created_by: str | None = None
    updated_at: float | None = None
    updated_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All that the catalog's tables hold, at one moment."""

    records: tuple[CatalogRecord, ...] = ()
    overrides: tuple[OverrideRow, ...] = ()


@dataclass(slots=True, kw_only=True)
class Amendment:
    """What is to be written, all of it or nothing."""

    records: dict[str, CatalogRecord] = field(default_factory=dict[str, CatalogRecord])
    """Whole records by id: new ones, and ones in the place of what they were."""
    deleted: set[str] = field(default_factory=set[str])
    """Ids of records."""
    overrides: dict[RecordKey, OverrideRow | None] = field(
        default_factory=dict[RecordKey, "OverrideRow | None"]
    )
    """None takes one back."""
    version: VersionRow | None = None
    """What to remember of it as a whole; its id is given when it is written."""
    forgotten_sources: set[str] = field(default_factory=set[str])
    """Sources of which every override and every pin goes."""
    audit: list[AuditRow] = field(default_factory=list["AuditRow"])
    """Who did it: written with it or not at all."""
    by: str | None = None
    """Who is remembered as the author of what is written."""


Decide: TypeAlias = Callable[[Contents], Amendment]


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

    async def authorship(self) -> dict[str, Authorship]:
        """Return who made and changed every record, by its id."""
        names = (CATALOG.c[each.name] for each in fields(Authorship))

        async with self._database.reading() as connection:
            found = await connection.execute(select(CATALOG.c.id, *names))
            return {
                row["id"]: Authorship(
                    created_at=row["created_at"],
                    created_by=row["created_by"],
                    updated_at=row["updated_at"],
                    updated_by=row["updated_by"],
                )
                for row in found.mappings()
            }

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
            await _write(connection, changes, epoch, origin)
            return len(gone) + len(changes)

    async def upsert(self, record: CatalogRecord) -> CatalogRecord:
        """Store one record, replacing that of the same kind and name; return it as stored."""
        async with self._database.writing() as connection:
            before = await _find(connection, record.kind, record.name)

            if before is not None and not _differs(before, record):
                return before

            epoch = await bump(connection)
            (stored,) = await _write(connection, [(before, record)], epoch, record.origin)
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

    async def contents(self) -> Contents:
        """Return everything, as one moment."""
        async with self._database.reading() as connection:
            return await _contents(connection)

    async def overrides(self) -> tuple[OverrideRow, ...]:
        """Return every override of a published record, by kind and name."""
        async with self._database.reading() as connection:
            return await _overrides(connection)

    async def amend(self, decide: Decide) -> int:
        """Write what `decide` makes of the contents; return the epoch of what was written.

        Nobody else writes between its look and its words, in no process: what it raises leaves
        everything as it was.
        """
        async with self._database.writing() as connection:
            contents = await _contents(connection)
            amendment = decide(contents)
            stored = {record.id: record for record in contents.records}
            epoch = await bump(connection)
            await _delete(connection, amendment.deleted)
            await _write(
                connection,
                [(stored.get(key), record) for key, record in amendment.records.items()],
                epoch,
                amendment.by,
            )
            await _override(connection, amendment, epoch)
            await add_audit(connection, amendment.audit)

            if amendment.version is not None:
                await add_version(connection, replace(amendment.version, id=epoch))

            return epoch


async def _contents(connection: AsyncConnection) -> Contents:
    return Contents(records=tuple(await _read(connection)), overrides=await _overrides(connection))


async def _overrides(connection: AsyncConnection) -> tuple[OverrideRow, ...]:
    table = CATALOG_OVERRIDES
    found = await connection.execute(select(table).order_by(table.c.kind, table.c.name))
    return tuple(
        OverrideRow(
            kind=Kind(row["kind"]),
            name=row["name"],
            source=row["source"],
            wanted=json.loads(row["wanted"]),
            epoch=row["epoch"],
        )
        for row in found.mappings()
    )


async def _override(connection: AsyncConnection, amendment: Amendment, epoch: int) -> None:
    table = CATALOG_OVERRIDES

    for source in amendment.forgotten_sources:
        await connection.execute(delete(table).where(table.c.source == source))
        await forget_source(connection, source)

    for (kind, name), row in amendment.overrides.items():
        is_it = (table.c.kind == kind.value) & (table.c.name == name)
        await connection.execute(delete(table).where(is_it))

        if row is not None:
            columns = {
                "kind": kind.value,
                "name": name,
                "source": row.source,
                "wanted": json.dumps(dict(row.wanted)),
                "epoch": epoch,
            }
            await connection.execute(insert(table).values(columns))


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
    by: str | None,
) -> list[CatalogRecord]:
    written: list[CatalogRecord] = []
    now = time.time()

    for before, record in changes:
        # What refers to the record by its id must go on finding it.
        kept = replace(record, id=before.id if before else record.id, epoch=epoch, server_ids=())
        columns = {**_columns(kept), "updated_at": now, "updated_by": by}

        if before is None:
            made = {"created_at": now, "created_by": by}
            await connection.execute(insert(CATALOG).values({**columns, **made}))
        else:
            await connection.execute(
                update(CATALOG).where(CATALOG.c.id == before.id).values(columns)
            )

        await project(connection, kept)
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
