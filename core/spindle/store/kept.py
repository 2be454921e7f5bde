"""Secrets that modules keep for single persons: rows of the same table, under names of their own.

They change often and one at a time, and nobody but their person needs them: so they raise no
revision, and no process reads them before it is asked for one.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from spindle.store.secrets import KEPT, SealedRow, sealed_row
from spindle.store.tables import SECRETS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.database import Database


def kept_name(module: str, name: str, owner: str) -> str:
    """Return what a row is called; an address may be too long for a name, its digest is not."""
    digest = hashlib.blake2b(owner.encode(), digest_size=16).hexdigest()
    return f"{KEPT}{module}/{name}/{digest}"


class KeptSecrets:
    """Keeps ciphertexts by module, name and person."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, row_name: str) -> SealedRow | None:
        """Return a row."""
        query = select(SECRETS).where(SECRETS.c.name == row_name)

        async with self._database.reading() as connection:
            found = (await connection.execute(query)).mappings().one_or_none()

        return None if found is None else sealed_row(found)

    async def put(
        self, row_name: str, ciphertext: str, *, key_id: str, owner: str, version: int | None
    ) -> int | None:
        """Store a ciphertext in the place of a version; return the new one, None if it is not it.

        A `version` of 0 wants none to be there, None takes any.
        """
        now = time.time()
        query = select(SECRETS.c.epoch).where(SECRETS.c.name == row_name)

        async with self._database.writing() as connection:
            found: int | None = (await connection.execute(query)).scalar_one_or_none()
            before = found or 0

            if version is not None and version != before:
                return None

            changed = {
                "ciphertext": ciphertext,
                "key_id": key_id,
                "updated_at": now,
                "updated_by": owner,
                "epoch": before + 1,
            }

            if found is None:
                fresh = {"name": row_name, "created_at": now, **changed}
                await connection.execute(insert(SECRETS).values(fresh))
                return 1

            same = (SECRETS.c.name == row_name) & (SECRETS.c.epoch == before)
            done = await connection.execute(update(SECRETS).where(same).values(changed))
            return before + 1 if done.rowcount else None

    async def delete(self, row_name: str) -> bool:
        """Delete a row; True for the one who did."""
        async with self._database.writing() as connection:
            gone = await connection.execute(delete(SECRETS).where(SECRETS.c.name == row_name))
            return gone.rowcount == 1

    async def of_owner(self, module: str, owner: str) -> tuple[SealedRow, ...]:
        """Return what a module keeps of one person, by name."""
        theirs = _under(f"{KEPT}{module}/") & (SECRETS.c.updated_by == owner)
        query = select(SECRETS).where(theirs).order_by(SECRETS.c.name)

        async with self._database.reading() as connection:
            return tuple(sealed_row(row) for row in (await connection.execute(query)).mappings())

    async def newest(self, module: str, name: str) -> SealedRow | None:
        """Return what changed last of all persons' rows of a name."""
        query = (
            select(SECRETS)
            .where(_under(f"{KEPT}{module}/{name}/"))
            .order_by(SECRETS.c.updated_at.desc())
            .limit(1)
        )

        async with self._database.reading() as connection:
            found = (await connection.execute(query)).mappings().one_or_none()

        return None if found is None else sealed_row(found)


async def forget_owner(connection: AsyncConnection, owner: str) -> None:
    """Delete everything that is kept of a person, in the caller's transaction."""
    await connection.execute(
        delete(SECRETS).where(_under(KEPT) & (SECRETS.c.updated_by == owner.lower()))
    )


def _under(prefix: str) -> ColumnElement[bool]:
    return SECRETS.c.name.startswith(prefix, autoescape=True)
