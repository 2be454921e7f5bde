"""Login sessions in the store, and what an identity provider says of a person at their login."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import RowMapping, delete, insert, select, update

from spindle.store.database import Database, bump
from spindle.store.people import add_user, find_user
from spindle.store.rows import MembershipRow, UserRow
from spindle.store.tables import LOGIN_SESSIONS, MEMBERSHIPS, TEAMS, USERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.ext.asyncio import AsyncConnection

_KEPT_SECONDS = 86_400.0
"""How long an ended session stays in the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRow:
    """One session of a person."""

    id: str
    hash: str
    """SHA-256 of what the browser holds, in hex."""
    user_email: str
    created_at: float
    seen_at: float
    """When it was last used, to the minute."""
    expires_at: float
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """A person as their identity provider tells of them."""

    email: str
    name: str
    issuer: str
    subject: str
    role: str | None
    """Platform-wide role of a person who is created."""
    teams: Mapping[str, str]
    """Role by team, from their groups."""
    syncs_teams: bool
    """Whether teams they were given this way before, and are not among these, are taken."""


class Logins:
    """Keeps login sessions; opening and ending one raises the revision, using one does not."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def live(self) -> tuple[LoginRow, ...]:
        """Return the sessions in force. Those of people who are disabled are ended for good."""
        now = time.time()
        open_ones = LOGIN_SESSIONS.c.revoked_at.is_(None) & (LOGIN_SESSIONS.c.expires_at > now)
        query = (
            select(LOGIN_SESSIONS, USERS.c.disabled_at)
            .join(USERS, USERS.c.email == LOGIN_SESSIONS.c.user_email)
            .where(open_ones)
        )

        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()

        lost = [row["id"] for row in rows if row["disabled_at"] is not None]

        if lost:
            # They must not come back when the person does.
            async with self._database.writing() as connection:
                ended = LOGIN_SESSIONS.c.id.in_(lost)
                await connection.execute(update(LOGIN_SESSIONS).where(ended).values(revoked_at=now))

        return tuple(_login(row) for row in rows if row["disabled_at"] is None)

    async def get(self, session_id: str) -> LoginRow | None:
        """Return a session, also an ended one."""
        query = select(LOGIN_SESSIONS).where(LOGIN_SESSIONS.c.id == session_id)

        async with self._database.reading() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            return None if row is None else _login(row)

    async def open(self, row: LoginRow, most: int) -> None:
        """Store a session and end the oldest ones of a person who has more than `most`."""
        mine = (LOGIN_SESSIONS.c.user_email == row.user_email) & LOGIN_SESSIONS.c.revoked_at.is_(
            None
        )
        newest = (
            select(LOGIN_SESSIONS.c.id)
            .where(mine)
            .order_by(LOGIN_SESSIONS.c.created_at.desc())
            .limit(most)
        )

        async with self._database.writing() as connection:
            await bump(connection)
            await connection.execute(insert(LOGIN_SESSIONS).values(asdict(row)))
            kept = [identity for (identity,) in await connection.execute(newest)]
            over = mine & LOGIN_SESSIONS.c.id.not_in(kept)
            await connection.execute(
                update(LOGIN_SESSIONS).where(over).values(revoked_at=row.created_at)
            )
            old = LOGIN_SESSIONS.c.expires_at < row.created_at - _KEPT_SECONDS
            await connection.execute(delete(LOGIN_SESSIONS).where(old))

    async def revoke(self, session_id: str) -> bool:
        """End a session; False when there is none in force."""
        one = (LOGIN_SESSIONS.c.id == session_id) & LOGIN_SESSIONS.c.revoked_at.is_(None)

        async with self._database.writing() as connection:
            ended = await connection.execute(
                update(LOGIN_SESSIONS).where(one).values(revoked_at=time.time())
            )

            if ended.rowcount == 0:
                return False

            await bump(connection)
            return True

    async def touch(self, seen: Mapping[str, float]) -> None:
        """Note when sessions were last used; no picture of the store changes by it."""
        async with self._database.writing() as connection:
            for session_id, at in seen.items():
                later = (LOGIN_SESSIONS.c.id == session_id) & (LOGIN_SESSIONS.c.seen_at < at)
                await connection.execute(update(LOGIN_SESSIONS).where(later).values(seen_at=at))

    async def welcome(self, person: External, *, creates: bool) -> UserRow | None:
        """Return the user a person is here, their teams as their groups say; None if nobody.

        An address that belongs to another account of the provider is nobody's.
        """
        async with self._database.writing() as connection:
            user = await _known(connection, person)

            if user is None and creates:
                user = await add_user(connection, _new(person), await bump(connection))

            if user is None or not _is_same(user, person):
                return None

            if user.issuer is None:
                user = await _link(connection, user, person)

            if await _sync(connection, user.email, person):
                # What their credentials are worth changed: calls under the old worth are cut.
                epoch = await bump(connection)
                mine = USERS.c.email == user.email
                await connection.execute(
                    update(USERS).where(mine).values(authority=epoch, epoch=epoch)
                )

            return user


async def _known(connection: AsyncConnection, person: External) -> UserRow | None:
    """Return the user of this subject, whatever their address is by now, or of this address."""
    same = (USERS.c.issuer == person.issuer) & (USERS.c.subject == person.subject)
    found = await connection.execute(select(USERS.c.email).where(same))
    email = found.scalar_one_or_none()
    return await find_user(connection, person.email if email is None else email)


async def _link(connection: AsyncConnection, user: UserRow, person: External) -> UserRow:
    linked = replace(
        user, issuer=person.issuer, subject=person.subject, epoch=await bump(connection)
    )
    await connection.execute(
        update(USERS)
        .where(USERS.c.email == user.email)
        .values(issuer=linked.issuer, subject=linked.subject, epoch=linked.epoch)
    )
    return linked


async def _sync(connection: AsyncConnection, email: str, person: External) -> bool:
    """Give and take the memberships that groups stand for; those of other origins stay."""
    mine = MEMBERSHIPS.c.email == email
    found = (await connection.execute(select(MEMBERSHIPS).where(mine))).mappings().all()
    held = {row["team"]: MembershipRow(**row) for row in found}
    teams = await _existing(connection, person.teams)
    is_changed = False

    for team in teams:
        role, old = person.teams[team], held.get(team)

        if old is None:
            row = MembershipRow(
                email=email, team=team, role=role, origin="oidc", created_at=time.time()
            )
            await connection.execute(insert(MEMBERSHIPS).values(asdict(row)))
            is_changed = True
        elif old.origin == "oidc" and old.role != role and person.syncs_teams:
            same = mine & (MEMBERSHIPS.c.team == team)
            await connection.execute(update(MEMBERSHIPS).where(same).values(role=role))
            is_changed = True

    if person.syncs_teams:
        gone = mine & (MEMBERSHIPS.c.origin == "oidc") & MEMBERSHIPS.c.team.not_in(teams)
        taken = await connection.execute(delete(MEMBERSHIPS).where(gone))
        is_changed = is_changed or taken.rowcount > 0

    return is_changed


async def _existing(connection: AsyncConnection, names: Iterable[str]) -> list[str]:
    query = select(TEAMS.c.name).where(TEAMS.c.name.in_(list(names))).order_by(TEAMS.c.name)
    return [name for (name,) in await connection.execute(query)]


def _new(person: External) -> UserRow:
    return UserRow(
        email=person.email,
        name=person.name,
        role=person.role,
        origin="oidc",
        issuer=person.issuer,
        subject=person.subject,
    )


def _is_same(user: UserRow, person: External) -> bool:
    return user.issuer is None or (user.issuer, user.subject) == (person.issuer, person.subject)


def _login(row: RowMapping) -> LoginRow:
    return LoginRow(
        id=row["id"],
        hash=row["hash"],
        user_email=row["user_email"],
        created_at=row["created_at"],
        seen_at=row["seen_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
