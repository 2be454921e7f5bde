"""Teams and who belongs to them, in the store."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from spindle.store.audit import add_audit, tell
from spindle.store.database import Database, bump
from spindle.store.holders import Holder
from spindle.store.rows import MembershipRow, TeamRow
from spindle.store.tables import CATALOG, MEMBERSHIPS, TEAMS, TOKENS, USERS
from spindle.store.tokens import valid_tokens
from spindle_spi.records import Visibility

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.audit import AuditRow, Told


class Teams:
    """Keeps teams by name, with their members; every change raises the revision."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> TeamRow | None:
        """Return a team."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(TEAMS).where(TEAMS.c.name == name))
            row = found.mappings().one_or_none()
            return None if row is None else TeamRow(**row)

    async def members(self, team: str) -> tuple[MembershipRow, ...]:
        """Return a team's members, by e-mail."""
        query = select(MEMBERSHIPS).where(MEMBERSHIPS.c.team == team).order_by(MEMBERSHIPS.c.email)

        async with self._database.reading() as connection:
            found = await connection.execute(query)
            return tuple(MembershipRow(**row) for row in found.mappings())

    async def create(
        self,
        name: str,
        description: str,
        origin: str = "api",
        *,
        told: Told[TeamRow] | None = None,
    ) -> TeamRow | None:
        """Store a new team and return it; None when the name is taken."""
        async with self._database.writing() as connection:
            taken = await connection.execute(select(TEAMS.c.name).where(TEAMS.c.name == name))

            if taken.first() is not None:
                return None

            now = time.time()
            team = TeamRow(
                name=name,
                description=description,
                origin=origin,
                created_at=now,
                updated_at=now,
                epoch=await bump(connection),
            )
            await connection.execute(insert(TEAMS).values(asdict(team)))
            await tell(connection, told, team)
            return team

    async def change(
        self, before: TeamRow, description: str, told: Told[TeamRow] | None = None
    ) -> TeamRow | None:
        """Change a team that is still as `before`; None when it is not."""
        async with self._database.writing() as connection:
            after = replace(
                before,
                description=description,
                updated_at=time.time(),
                epoch=await bump(connection),
            )
            same = (TEAMS.c.name == before.name) & (TEAMS.c.epoch == before.epoch)
            done = await connection.execute(update(TEAMS).where(same).values(asdict(after)))

            if done.rowcount != 1:
                return None

            await tell(connection, told, after)
            return after

    async def delete(self, name: str, audit: Sequence[AuditRow] = ()) -> tuple[Holder, ...]:
        """Delete a team without members, records and tokens; else return them and leave it.

        The audit entries are written by whoever deletes it, not by who finds it gone.
        """
        async with self._database.writing() as connection:
            # The lock on the revision keeps a member from coming in meanwhile.
            await bump(connection)
            members = select(MEMBERSHIPS.c.email).where(MEMBERSHIPS.c.team == name)
            held = (
                *(
                    Holder(text=f"the member {email}", email=email, team=name)
                    for (email,) in await connection.execute(members)
                ),
                *await _records_of(connection, name),
                *(
                    Holder(text=f"the token {token.name!r}", token=token)
                    # They would hold for another team of that name.
                    for token in await valid_tokens(connection, TOKENS.c.teams.is_not(None))
                    if name in (token.teams or ())
                ),
            )

            if not held:
                gone = await connection.execute(delete(TEAMS).where(TEAMS.c.name == name))
                await add_audit(connection, audit if gone.rowcount else ())

            return held

    async def put_member(self, member: MembershipRow, audit: Sequence[AuditRow] = ()) -> bool:
        """Make a user a member, or give a member another role; False without user or team."""
        async with self._database.writing() as connection:
            if not await put_member(connection, member, await bump(connection)):
                return False

            await add_audit(connection, audit)
            return True

    async def remove_member(self, team: str, email: str, audit: Sequence[AuditRow] = ()) -> bool:
        """Take a member out of a team; False when they are none."""
        async with self._database.writing() as connection:
            same = (MEMBERSHIPS.c.team == team) & (MEMBERSHIPS.c.email == email)
            gone = await connection.execute(delete(MEMBERSHIPS).where(same))

            if gone.rowcount == 0:
                return False

            await _note_change(connection, email, await bump(connection))
            await add_audit(connection, audit)
            return True


async def _records_of(connection: AsyncConnection, team: str) -> list[Holder]:
    columns = (CATALOG.c.kind, CATALOG.c.name, CATALOG.c.owner, CATALOG.c.visibility)
    found = await connection.execute(select(*columns).where(CATALOG.c.team == team))
    return [
        Holder(
            text=f"the {kind} {name!r}",
            email=owner,
            team=team,
            is_private=visibility == Visibility.PRIVATE,
        )
        for kind, name, owner, visibility in found
    ]


async def put_member(connection: AsyncConnection, member: MembershipRow, epoch: int) -> bool:
    """Make or change a membership in the caller's transaction; False without user or team."""
    user = await connection.execute(select(USERS.c.email).where(USERS.c.email == member.email))
    team = await connection.execute(select(TEAMS.c.name).where(TEAMS.c.name == member.team))

    if user.first() is None or team.first() is None:
        return False

    same = (MEMBERSHIPS.c.team == member.team) & (MEMBERSHIPS.c.email == member.email)
    given = {"role": member.role, "origin": member.origin}
    done = await connection.execute(update(MEMBERSHIPS).where(same).values(given))

    if done.rowcount == 0:
        columns = asdict(replace(member, created_at=time.time()))
        await connection.execute(insert(MEMBERSHIPS).values(columns))

    await _note_change(connection, member.email, epoch)
    return True


async def _note_change(connection: AsyncConnection, email: str, epoch: int) -> None:
    # What somebody's credentials are worth changed: calls under the old worth are cut.
    mine = USERS.c.email == email
    await connection.execute(update(USERS).where(mine).values(authority=epoch, epoch=epoch))
