"""Custom roles in the store. The built-in ones are `spindle_spi.policy.ROLES` and never here."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from sqlalchemy import RowMapping, delete, func, insert, select, update

from spindle.store.administrators import guarded
from spindle.store.audit import add_audit, tell
from spindle.store.database import Database, bump
from spindle.store.holders import Holder
from spindle.store.rows import RoleRow
from spindle.store.tables import INVITATIONS, MEMBERSHIPS, ROLES, TOKENS, USERS
from spindle.store.tokens import valid_tokens
from spindle_spi.codec import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.audit import AuditRow, Told

_Names = tuple[str, ...]


class Roles:
    """Keeps custom roles by name; every change raises the revision, which is its epoch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[RoleRow, ...]:
        """Return every custom role, by name."""
        async with self._database.reading() as connection:
            return tuple(await read_roles(connection))

    async def create(
        self,
        name: str,
        description: str,
        permissions: tuple[str, ...],
        told: Told[RoleRow] | None = None,
    ) -> bool:
        """Store a new role; False when the name is taken."""
        async with self._database.writing() as connection:
            found = await connection.execute(select(ROLES.c.name).where(ROLES.c.name == name))

            if found.first() is not None:
                return False

            now = time.time()
            columns = {
                "name": name,
                "description": description,
                "permissions": json.dumps(permissions),
                "created_at": now,
                "updated_at": now,
                "epoch": await bump(connection),
            }
            await connection.execute(insert(ROLES).values(columns))
            await tell(connection, told, await _find(connection, name))
            return True

    async def update(
        self,
        name: str,
        description: str,
        permissions: tuple[str, ...],
        *,
        epoch: int,
        told: Told[RoleRow] | None = None,
    ) -> bool:
        """Change a role that is still as it was at `epoch`; False when it is not.

        Raises:
            Conflict: It would leave nobody who can administer the gateway.
        """
        async with guarded(self._database) as (connection, new):
            columns = {
                "description": description,
                "permissions": json.dumps(permissions),
                "updated_at": time.time(),
                "epoch": new,
            }
            same = (ROLES.c.name == name) & (ROLES.c.epoch == epoch)
            changed = await connection.execute(update(ROLES).where(same).values(columns))

            if changed.rowcount != 1:
                return False

            await tell(connection, told, await _find(connection, name))
            return True

    async def delete(self, name: str, audit: Sequence[AuditRow] = ()) -> tuple[Holder, ...]:
        """Delete a role nobody has; else return who has it and leave it."""
        async with self._database.writing() as connection:
            used = await _users_of(connection, name)

            if not used:
                gone = await connection.execute(delete(ROLES).where(ROLES.c.name == name))
                await add_audit(connection, audit if gone.rowcount else ())
                await bump(connection)

            return used


async def read_roles(connection: AsyncConnection) -> list[RoleRow]:
    """Return every custom role, by name."""
    rows = await connection.execute(select(ROLES).order_by(ROLES.c.name))
    return [_role(row) for row in rows.mappings()]


async def _find(connection: AsyncConnection, name: str) -> RoleRow:
    found = await connection.execute(select(ROLES).where(ROLES.c.name == name))
    return _role(found.mappings().one())


async def _users_of(connection: AsyncConnection, name: str) -> tuple[Holder, ...]:
    users = select(USERS.c.email).where(USERS.c.role == name)
    members = select(MEMBERSHIPS.c.email, MEMBERSHIPS.c.team).where(MEMBERSHIPS.c.role == name)
    tokens = await valid_tokens(connection, TOKENS.c.role == name)
    open_ones = INVITATIONS.c.revoked_at.is_(None) & INVITATIONS.c.accepted_at.is_(None)
    named = (INVITATIONS.c.role == name) | (INVITATIONS.c.platform_role == name)
    running = INVITATIONS.c.expires_at > time.time()
    invited = select(func.count()).select_from(INVITATIONS).where(open_ones, named, running)
    found = [
        *(
            Holder(text=f"the user {email}", email=email)
            for (email,) in await connection.execute(users)
        ),
        *(
            Holder(text=f"the member {email} of {team}", email=email, team=team)
            for email, team in await connection.execute(members)
        ),
        *(Holder(text=f"the token {token.name!r}", token=token) for token in tokens),
    ]

    if (await connection.execute(invited)).scalar_one():
        found.append(Holder(text="an open invitation"))

    return tuple(found)


def _role(row: RowMapping) -> RoleRow:
    return RoleRow(
        name=row["name"],
        description=row["description"],
        permissions=decode(row["permissions"], _Names),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        epoch=row["epoch"],
    )
