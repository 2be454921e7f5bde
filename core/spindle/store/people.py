"""Users in the store, and everything about people that a snapshot is compiled from."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import RowMapping, delete, insert, select, update

from spindle.store.administrators import guarded, keeping_one
from spindle.store.audit import add_audit, tell
from spindle.store.database import Database, bump
from spindle.store.kept import forget_owner
from spindle.store.roles import read_roles
from spindle.store.rows import MembershipRow, RoleRow, TeamRow, UserRow
from spindle.store.tables import MEMBERSHIPS, TEAMS, TOKENS, USERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.audit import AuditRow, Told


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleRows:
    """Everybody at one moment."""

    users: tuple[UserRow, ...]
    teams: tuple[TeamRow, ...]
    memberships: tuple[MembershipRow, ...]
    roles: tuple[RoleRow, ...]


class Users:
    """Keeps users by e-mail; every change raises the revision, which is its epoch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def everybody(self) -> PeopleRows:
        """Return users, teams, memberships and custom roles, as of one moment."""
        async with self._database.reading() as connection:
            users = await connection.execute(select(USERS).order_by(USERS.c.email))
            teams = await connection.execute(select(TEAMS).order_by(TEAMS.c.name))
            members = await connection.execute(
                select(MEMBERSHIPS).order_by(MEMBERSHIPS.c.email, MEMBERSHIPS.c.team)
            )
            return PeopleRows(
                users=tuple(_user(row) for row in users.mappings()),
                teams=tuple(TeamRow(**row) for row in teams.mappings()),
                memberships=tuple(MembershipRow(**row) for row in members.mappings()),
                roles=tuple(await read_roles(connection)),
            )

    async def get(self, email: str) -> UserRow | None:
        """Return a user."""
        async with self._database.reading() as connection:
            return await find_user(connection, email)

    async def find_external(self, issuer: str, subject: str) -> UserRow | None:
        """Return the user an identity provider knows by this subject."""
        same = (USERS.c.issuer == issuer) & (USERS.c.subject == subject)

        async with self._database.reading() as connection:
            row = (await connection.execute(select(USERS).where(same))).mappings().one_or_none()
            return None if row is None else _user(row)

    async def create(self, user: UserRow, told: Told[UserRow] | None = None) -> UserRow | None:
        """Store a new user and return them; None when the e-mail is taken."""
        async with self._database.writing() as connection:
            stored = await add_user(connection, user, await bump(connection))

            if stored is not None:
                await tell(connection, told, stored)

            return stored

    async def change(
        self, before: UserRow, after: UserRow, told: Told[UserRow] | None = None
    ) -> UserRow | None:
        """Change a user who is still as `before`; None when they are not.

        Raises:
            Conflict: It would leave nobody who can administer the gateway.
        """
        async with guarded(self._database) as (connection, epoch):
            is_worth_same = _worth(before) == _worth(after)
            changed = replace(
                after,
                email=before.email,
                created_at=before.created_at,
                updated_at=time.time(),
                authority=before.authority if is_worth_same else epoch,
                epoch=epoch,
            )
            same = (USERS.c.email == before.email) & (USERS.c.epoch == before.epoch)
            done = await connection.execute(update(USERS).where(same).values(asdict(changed)))

            if done.rowcount != 1:
                return None

            await tell(connection, told, changed)
            return changed

    async def delete(self, email: str, audit: Sequence[AuditRow] = ()) -> bool:
        """Delete a user, end their memberships and revoke their tokens; False without one.

        Raises:
            Conflict: It would leave nobody who can administer the gateway.
        """
        async with guarded(self._database) as (connection, _):
            theirs = (TOKENS.c.user_email == email) & TOKENS.c.revoked_at.is_(None)
            ended = {"revoked_at": time.time(), "epoch": TOKENS.c.epoch + 1}
            gone = await connection.execute(delete(USERS).where(USERS.c.email == email))

            if gone.rowcount == 0:
                return False

            # Without their person they would be worth what they were made with.
            await connection.execute(update(TOKENS).where(theirs).values(ended))
            # Who gets this address one day is somebody else.
            await forget_owner(connection, email)
            await add_audit(connection, audit)
            return True


async def find_user(connection: AsyncConnection, email: str) -> UserRow | None:
    """Return a user."""
    found = await connection.execute(select(USERS).where(USERS.c.email == email))
    row = found.mappings().one_or_none()
    return None if row is None else _user(row)


async def add_user(connection: AsyncConnection, user: UserRow, epoch: int) -> UserRow | None:
    """Store a new user in the caller's transaction; None when the e-mail is taken.

    Raises:
        Conflict: Tokens of that e-mail would lose what the last administrator needs.
    """
    if await find_user(connection, user.email) is not None:
        return None

    now = time.time()
    stored = replace(user, created_at=now, updated_at=now, authority=epoch, epoch=epoch)

    # What tokens of this e-mail were made with ends: they are worth what the user is.
    async with keeping_one(connection):
        await connection.execute(insert(USERS).values(asdict(stored)))

    return stored


def _worth(user: UserRow) -> tuple[object, ...]:
    return user.role, user.is_admin, user.disabled_at is None


def _user(row: RowMapping) -> UserRow:
    return UserRow(**row)
