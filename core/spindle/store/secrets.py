"""Encrypted secrets in the store. What is inside is the vault's affair."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import RowMapping, delete, insert, select, update

from spindle.store.audit import add_audit
from spindle.store.database import Database, bump
from spindle.store.tables import SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.audit import AuditRow


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRow:
    """One secret as it is kept; times in seconds since the epoch."""

    name: str
    ciphertext: str
    key_id: str
    """Fingerprint of the key it was encrypted with."""
    created_at: float
    updated_at: float
    updated_by: str
    epoch: int
    """Rises with the value; a rotation leaves it alone."""


KEPT = "kept/"
"""How the names of secrets begin that modules keep for persons: see `store.kept`."""


def is_kept(name: str) -> bool:
    """Tell whether a name is of a secret that is kept for a person."""
    return name.startswith(KEPT)


class Secrets:
    """Keeps ciphertexts by name; a change of a value raises the revision."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[SealedRow, ...]:
        """Return every row, by name."""
        async with self._database.reading() as connection:
            return await _read(connection)

    async def shared(self) -> tuple[SealedRow, ...]:
        """Return every row but those that are kept for persons, by name."""
        query = select(SECRETS).where(~SECRETS.c.name.startswith(KEPT)).order_by(SECRETS.c.name)

        async with self._database.reading() as connection:
            return tuple(sealed_row(row) for row in (await connection.execute(query)).mappings())

    async def put(
        self,
        name: str,
        ciphertext: str,
        *,
        key_id: str,
        by: str,
        audit: Sequence[AuditRow] = (),
    ) -> SealedRow:
        """Store a ciphertext, replacing that of the same name; return the row."""
        now = time.time()

        async with self._database.writing() as connection:
            changed = {
                "ciphertext": ciphertext,
                "key_id": key_id,
                "updated_at": now,
                "updated_by": by,
                "epoch": await bump(connection),
            }
            updated = update(SECRETS).where(SECRETS.c.name == name).values(changed)

            if (await connection.execute(updated)).rowcount == 0:
                fresh = {"name": name, "created_at": now, **changed}
                await connection.execute(insert(SECRETS).values(fresh))

            await add_audit(connection, audit)
            query = select(SECRETS).where(SECRETS.c.name == name)
            return sealed_row((await connection.execute(query)).mappings().one())

    async def delete(self, name: str, *, audit: Sequence[AuditRow] = ()) -> bool:
        """Delete a secret; False when there is none."""
        async with self._database.writing() as connection:
            gone = await connection.execute(delete(SECRETS).where(SECRETS.c.name == name))

            if gone.rowcount == 0:
                return False

            await bump(connection)
            await add_audit(connection, audit)
            return True

    async def replace(
        self,
        sealed: Callable[[SealedRow], tuple[str, str]],
        *,
        audit: Sequence[AuditRow] = (),
    ) -> int:
        """Put another ciphertext and key id in the place of each, all or none; return how many.

        The values stay, hence the revision does: a process that has no new key yet goes on with
        what it has read.
        """
        async with self._database.writing() as connection:
            rows = await _read(connection, lock=True)

            for row in rows:
                ciphertext, key_id = sealed(row)
                await connection.execute(
                    update(SECRETS)
                    .where(SECRETS.c.name == row.name)
                    .values(ciphertext=ciphertext, key_id=key_id)
                )

            await add_audit(connection, audit)
            return len(rows)


async def _read(connection: AsyncConnection, *, lock: bool = False) -> tuple[SealedRow, ...]:
    query = select(SECRETS).order_by(SECRETS.c.name)
    found = await connection.execute(query.with_for_update() if lock else query)
    return tuple(sealed_row(row) for row in found.mappings())


def sealed_row(row: RowMapping) -> SealedRow:
    """Return a row of the table."""
    return SealedRow(
        name=row["name"],
        ciphertext=row["ciphertext"],
        key_id=row["key_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        updated_by=row["updated_by"],
        epoch=row["epoch"],
    )
