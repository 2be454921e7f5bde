"""Invitations to teams in the store: the hash of a link's text, never the text."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select, update

from spindle.store.audit import add_audit
from spindle.store.database import Database, bump
from spindle.store.people import add_user
from spindle.store.rows import InvitationRow, MembershipRow, UserRow
from spindle.store.tables import INVITATIONS, MEMBERSHIPS, TOKENS
from spindle.store.teams import put_member
from spindle.store.tokens import add_token
from spindle_spi.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.audit import AuditRow
    from spindle.store.rows import TokenRow


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
        self,
        invitation: InvitationRow,
        user: UserRow,
        audit: Sequence[AuditRow] = (),
        *,
        token: TokenRow | None = None,
    ) -> bool:
        """Take an invitation as a user, who is made unless there is one; False when it is not open.

        A member's role is not changed: an invitation gives, it takes nothing away. Who gets a
        `token` proves nothing: the e-mail has to be nobody's yet, no other token's either.

        Raises:
            Conflict: It is somebody's; the invitation stays open.
        """
        mine = (INVITATIONS.c.id == invitation.id) & _open()
        taken = {"accepted_at": time.time(), "accepted_by": user.email}

        async with self._database.writing() as connection:
            epoch = await bump(connection)
            done = await connection.execute(update(INVITATIONS).where(mine).values(taken))

            if done.rowcount == 0:
                return False

            is_held = token is not None and await _has_token(connection, user.email)
            added = None if is_held else await add_user(connection, user, epoch)

            if token is not None:
                if added is None:
                    raise known_user()

                await add_token(connection, token)

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


def known_user() -> Conflict:
    """Return the error for an e-mail that nobody new may say is theirs."""
    return Conflict(
        "There is an account for that e-mail: take the invitation with its own token.",
        code="core.invitation.known_user",
    )


async def _has_token(connection: AsyncConnection, email: str) -> bool:
    theirs = (func.lower(TOKENS.c.user_email) == email) & TOKENS.c.revoked_at.is_(None)
    return (
        await connection.execute(select(TOKENS.c.id).where(theirs).limit(1))
    ).first() is not None


def _open() -> ColumnElement[bool]:
    return (
        INVITATIONS.c.revoked_at.is_(None)
        & INVITATIONS.c.accepted_at.is_(None)
        & (INVITATIONS.c.expires_at > time.time())
    )
