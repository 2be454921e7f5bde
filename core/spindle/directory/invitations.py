"""Invitations: a link that makes whoever holds it a member of a team, once."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from spindle.audit import AuditEntry
from spindle.authority import actor_of, check_grant, need, sees_team
from spindle.directory.names import SERVICE_DOMAIN, email_of, missing, text_of
from spindle.directory.shown import shown_invitation, shown_token
from spindle.people import compile_people
from spindle.store import TokenRow
from spindle.store.invitations import known_user
from spindle.store.rows import InvitationRow, UserRow
from spindle.tokens import hash_token, mint
from spindle_spi.errors import Conflict, InvalidArgument, NotFound, PermissionDenied
from spindle_spi.policy import holds_in
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from spindle.audit import Audit
    from spindle.store import Store
    from spindle_spi.context import AuthenticatedContext

_DAY = 86_400.0
_MOST_DAYS = 30
_MARK = "spi_"


class InvitationDesk:
    """Keeps invitations."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self._store = store
        self._audit = audit

    async def seen(self, context: AuthenticatedContext) -> list[InvitationRow]:
        """Return the invitations to teams the caller may invite to."""
        return [row for row in await self._store.invitations.all() if _sees(context, row)]

    async def get(self, context: AuthenticatedContext, invitation_id: str) -> InvitationRow:
        """Return one invitation.

        Raises:
            NotFound: Absent, or hidden from the caller.
        """
        row = await self._store.invitations.get(invitation_id)

        if row is None or not _sees(context, row):
            raise missing("invitation", invitation_id)

        return row

    async def create(
        self,
        context: AuthenticatedContext,
        *,
        team: str,
        role: str,
        platform_role: str | None = None,
        email: str | None = None,
        days: float = 7.0,
    ) -> tuple[Secret, InvitationRow]:
        """Make an invitation; the text of its link is returned once and never kept.

        Raises:
            PermissionDenied: The caller may not, or a role is above their own rights.
            NotFound: No such team for this caller.
        """
        found = await self._store.teams.get(team) if sees_team(context, team) else None

        if found is None:
            raise missing("team", team)

        need(context, "teams.invite", team)
        _refuse_limited(context)

        if not 0 < days <= _MOST_DAYS:
            raise InvalidArgument(f"days: more than 0 and {_MOST_DAYS} at most.")

        people = compile_people(await self._store.users.everybody())

        for each, where in ((role, team), (platform_role, None)):
            if each is not None and each not in people.roles:
                raise InvalidArgument(f"role: there is no role {each!r}.")

            check_grant(context, each or "", people.permissions_of(each), where)

        secret = Secret(_MARK + secrets.token_urlsafe(32))
        now = time.time()
        row = InvitationRow(
            id=uuid4().hex,
            hash=hash_token(secret.reveal()),
            team=team,
            role=role,
            platform_role=platform_role,
            email=None if email is None else email_of(email),
            created_by=actor_of(context),
            created_at=now,
            expires_at=now + days * _DAY,
        )
        entry = AuditEntry(action="teams.invite", target=row.id, after=shown_invitation(row))
        await self._store.invitations.create(row, [self._audit.row(context, entry)])
        return secret, row

    async def revoke(self, context: AuthenticatedContext, row: InvitationRow) -> None:
        """Revoke an open invitation.

        Raises:
            Conflict: It is not open any more.
        """
        entry = AuditEntry(
            action="teams.revoke_invitation", target=row.id, before=shown_invitation(row)
        )

        if not await self._store.invitations.revoke(row.id, [self._audit.row(context, entry)]):
            raise Conflict("The invitation is not open any more.", code="core.invitation.closed")

    async def find(self, secret: str) -> InvitationRow:
        """Return the open invitation of a link.

        Raises:
            NotFound: There is none: never made, taken, revoked or over; the answer is the same.
        """
        row = await self._store.invitations.find(hash_token(secret))

        if row is None:
            raise _no_invitation()

        return row

    async def accept(self, context: AuthenticatedContext, secret: str) -> InvitationRow:
        """Take an invitation as the caller, who has an e-mail.

        Raises:
            InvalidArgument: The caller has no e-mail.
            NotFound: No such open invitation for them.
        """
        email = context.subject.user_email

        if email is None or "@" not in email or email.lower().endswith(f"@{SERVICE_DOMAIN}"):
            raise InvalidArgument("Only a person with an e-mail can take an invitation.")

        return await self._accept(context, await self.find(secret), email.lower(), "")

    async def accept_new(
        self, context: AuthenticatedContext, secret: str, *, name: str, email: str
    ) -> tuple[InvitationRow, Secret, TokenRow]:
        """Take an invitation as somebody new, and return a token for its team, shown once.

        Raises:
            NotFound: No such open invitation for this e-mail.
            Conflict: There is a user with this e-mail: they take it with their own credential.
        """
        row = await self.find(secret)
        address = email_of(email)

        if address.endswith(f"@{SERVICE_DOMAIN}"):
            raise InvalidArgument("email: that is a service account's.")

        if row.email is not None and row.email != address:
            raise _no_invitation()

        if await self._store.users.get(address) is not None:
            raise known_user()

        text, prefix, digest = mint()
        token = TokenRow(
            id=uuid4().hex,
            name=f"invitation to {row.team}",
            prefix=prefix,
            hash=digest,
            created_at=time.time(),
            user_email=address,
            teams=(row.team,),
            permissions=("*",),
            created_by=address,
        )
        await self._accept(context, row, address, text_of("name", name), token)
        return row, text, token

    async def _accept(
        self,
        context: AuthenticatedContext,
        row: InvitationRow,
        email: str,
        name: str,
        token: TokenRow | None = None,
    ) -> InvitationRow:
        if row.email is not None and row.email != email:
            raise _no_invitation()

        known = await self._store.users.get(email)

        if known is not None and known.disabled_at is not None:
            raise _no_invitation()

        user = known or UserRow(email=email, name=name, role=row.platform_role)
        entries = [
            AuditEntry(
                action="teams.accept_invitation",
                target=row.id,
                after={"team": row.team, "role": row.role, "email": email},
            )
        ]

        if token is not None:
            entries.append(
                AuditEntry(action="tokens.create", target=token.id, after=shown_token(token))
            )

        audit = [self._audit.row(context, entry) for entry in entries]

        if not await self._store.invitations.accept(row, user, audit, token=token):
            raise _no_invitation()

        return row


def _sees(context: AuthenticatedContext, row: InvitationRow) -> bool:
    is_held = holds_in(context.visibility_scope, "teams.invite", row.team)
    return is_held and sees_team(context, row.team)


def _refuse_limited(context: AuthenticatedContext) -> None:
    scope = context.visibility_scope

    if scope.server_id or scope.ip_restrictions or scope.time_restrictions:
        # Whoever takes it is a member, with a token that has none of these limits.
        raise PermissionDenied(
            "An invitation would be worth more than your own credential: yours is limited to a "
            "virtual server, addresses or hours.",
            code="core.token.above",
        )


def _no_invitation() -> NotFound:
    return NotFound("There is no such invitation.", code="core.invitation.not_found")
