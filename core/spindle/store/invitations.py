"""Invitations to teams in the store: the hash of a link's text, never the text."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from spindle.store.audit import add_audit
from spindle.store.database import Database, bump
from spindle.store.people import add_user
from spindle.store.rows import InvitationRow, MembershipRow, UserRow
from spindle.store.tables import INVITATIONS, MEMBERSHIPS
from spindle.store.teams import put_member

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement

    from spindle.store.audit import AuditRow


class Invitations:
    """Keeps invitations; each is taken once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, invitation: InvitationRow, audit: Sequence[AuditRow] = ()) -> None:
        """Store a new invitation."""
        async with self._database.writing() as connection:
            await connection.execute(insert(INVITATIONS).values(asdict(invitation)))
            await add_audit(connection, audit)

    async def all(self) -> tuple[InvitationRow, ...]:
        """Return every invitation, the oldest first."""
        async with self._database.reading() as connection:
            query = select(INVITATIONS).order_by(INVITATIONS.c.created_at, INVITATIONS.c.id)
            found = await connection.execute(query)
            return tuple(InvitationRow(**row) for row in found.mappings())

    async def get(self, invitation_id: str) -> InvitationRow | None:
        """Return an invitation."""
        return await self._one(INVITATIONS.c.id == invitation_id)

    async def find(self, digest: str) -> InvitationRow | None:
        """Return the open invitation with this hash: not taken, not revoked, not over."""
        return await self._one((INVITATIONS.c.hash == digest) & _open())

    async def revoke(self, invitation_id: str, audit: Sequence[AuditRow] = ()) -> bool:
        """Revoke an open invitation; False when there is none."""
        mine = (INVITATIONS.c.id == invitation_id) & _open()

        async with self._database.writing() as connection:
            done = await connection.execute(
                update(INVITATIONS).where(mine).values(revoked_at=time.time())
            )

            if done.rowcount != 1:
                return False

            await add_audit(connection, audit)
            return True

    async def accept(
        self, invitation: InvitationRow, user: UserRow, audit: Sequence[AuditRow] = ()
    ) -> bool:
        """Take an invitation as a user, who is made unless there is one; False when it is not open.

        A member's role is not changed: an invitation gives, it takes nothing away.
        """
        mine = (INVITATIONS.c.id == invitation.id) & _open()
        taken = {"accepted_at": time.time(), "accepted_by": user.email}

        async with self._database.writing() as connection:
            epoch = await bump(connection)
            done = await connection.execute(update(INVITATIONS).where(mine).values(taken))

            if done.rowcount == 0:
                return False

            await add_user(connection, user, epoch)
            same = (MEMBERSHIPS.c.team == invitation.team) & (MEMBERSHIPS.c.email == user.email)
            held = await connection.execute(select(MEMBERSHIPS.c.role).where(same))

            if held.first() is None:
                member = MembershipRow(email=user.email, team=invitation.team, role=invitation.role)
                await put_member(connection, member, epoch)

            await add_audit(connection, audit)
            return True

    async def _one(self, condition: ColumnElement[bool]) -> InvitationRow | None:
        async with self._database.reading() as connection:
            found = await connection.execute(select(INVITATIONS).where(condition))
            row = found.mappings().one_or_none()
            return None if row is None else InvitationRow(**row)


def _open() -> ColumnElement[bool]:
    return (
        INVITATIONS.c.revoked_at.is_(None)
        & INVITATIONS.c.accepted_at.is_(None)
        & (INVITATIONS.c.expires_at > time.time())
    )
