"""API tokens, as their holders and administrators keep them.

Whose they are: everybody's own (those of their e-mail; without one, those a token made), those for
somebody's teams alone for who holds `tokens.manage` there, and all for an administrator. Others'
tokens are absent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from spindle.audit import AuditEntry
from spindle.authority import actor_of, check_worth, need, sees_everything
from spindle.directory.limits import check_limits, inherited
from spindle.directory.names import missing, overtaken, text_of
from spindle.directory.shown import shown_token
from spindle.people import compile_people, credential_of_token
from spindle.store import TokenRow
from spindle.tokens import mint
from spindle_spi.context import TimeWindow
from spindle_spi.errors import Conflict, InvalidArgument, PermissionDenied
from spindle_spi.policy import granted, holds, holds_in

if TYPE_CHECKING:
    from spindle.audit import Audit
    from spindle.people import People
    from spindle.store import Store
    from spindle.store.audit import AuditRow
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.secret import Secret

_MOST = 1000
"""Valid tokens of one person, or made by one token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWish:
    """What a token is to be; what is left open is the caller's own."""

    name: str = "token"
    user: str | None = None
    """Whose it is to be; None for the caller's own."""
    unowned: bool = False
    """Nobody's: it has its role by name."""
    is_any_user: bool = False
    """`user` may be somebody who is no user yet."""
    role: str | None = None
    is_admin: bool = False
    teams: tuple[str, ...] | None = None
    permissions: tuple[str, ...] | None = None
    server_id: str | None = None
    ip_restrictions: tuple[str, ...] = ()
    time_restrictions: tuple[TimeWindow, ...] = ()
    expires_at: float | None = None


class TokenDesk:
    """Keeps tokens."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self._store = store
        self._audit = audit

    async def seen(self, context: AuthenticatedContext) -> list[TokenRow]:
        """Return the tokens the caller may know of."""
        return [row for row in await self._store.tokens.all() if sees_token(context, row)]

    async def get(self, context: AuthenticatedContext, token_id: str) -> TokenRow:
        """Return one token, by its id or the only one with a prefix.

        Raises:
            NotFound: Absent, or hidden from the caller.
        """
        row = await self._store.tokens.get(token_id)

        if row is None or not sees_token(context, row):
            raise missing("token", token_id)

        return row

    async def create(
        self, context: AuthenticatedContext, wish: TokenWish
    ) -> tuple[Secret, TokenRow]:
        """Make a token; its text is returned once and never kept.

        Raises:
            PermissionDenied: The caller may not, or it would be worth more than they are.
            NotFound: It is to be another user's, and the caller may not know of them.
        """
        people = compile_people(await self._store.users.everybody())
        _check_permission(context, wish)
        secret, prefix, digest = mint()
        row = await self._row(context, people, wish, prefix, digest)
        self._check(context, people, row)
        await self._check_number(row)
        entry = AuditEntry(action="tokens.create", target=row.id, after=shown_token(row))
        await self._store.tokens.create(row, [self._audit.row(context, entry)])
        return secret, row

    async def change(
        self, context: AuthenticatedContext, before: TokenRow, after: TokenRow
    ) -> TokenRow:
        """Change a token as it was read.

        Raises:
            PermissionDenied: The caller may not, or it is or would be worth more than they are.
            Conflict: It is revoked, or nobody could administer the gateway any more.
            FailedPrecondition: Somebody else changed it meanwhile (412).
        """
        _check_manages(context, before, "tokens.update", "tokens.create")
        _refuse_revoked(before)
        check_limits(after)
        text_of("name", after.name)
        people = compile_people(await self._store.users.everybody())
        self._check(context, people, before)
        self._check(context, people, await self._limited(context, people, after))

        def told(stored: TokenRow) -> AuditRow:
            entry = AuditEntry(
                action="tokens.update",
                target=before.id,
                before=shown_token(before),
                after=shown_token(stored),
            )
            return self._audit.row(context, entry)

        stored = await self._store.tokens.change(before, after, told)

        if stored is None:
            raise overtaken("token", before.name)

        return stored

    async def rotate(
        self, context: AuthenticatedContext, before: TokenRow
    ) -> tuple[Secret, TokenRow]:
        """Give a token a new text; the old one ends at once, the settings stay.

        Raises:
            PermissionDenied: The caller may not, or it is worth more than they are.
            Conflict: It is revoked.
            FailedPrecondition: Somebody else changed it meanwhile (412).
        """
        _check_manages(context, before, "tokens.create")
        _refuse_revoked(before)

        if before.user_email is not None and not (
            _is_own(context, before) or sees_everything(context)
        ):
            # Its text acts as its person: a manager of a team may end it, not have it.
            raise PermissionDenied("Only its owner or an administrator may rotate that token.")

        people = compile_people(await self._store.users.everybody())

        if before.id != context.subject.token_id:
            self._check(context, people, before)
            self._check_same(before, await self._limited(context, people, before))

        secret, prefix, digest = mint()
        after = replace(before, prefix=prefix, hash=digest)

        def told(stored: TokenRow) -> AuditRow:
            entry = AuditEntry(action="tokens.rotate", target=before.id, after=shown_token(stored))
            return self._audit.row(context, entry)

        stored = await self._store.tokens.change(before, after, told)

        if stored is None:
            raise overtaken("token", before.name)

        return secret, stored

    async def revoke(
        self, context: AuthenticatedContext, row: TokenRow, *, keeps_administrator: bool = True
    ) -> None:
        """Revoke a token for good.

        Raises:
            PermissionDenied: The caller may not.
            Conflict: It was revoked before, or nobody could administer the gateway any more.
        """
        _check_manages(context, row, "tokens.revoke")
        tokens = self._store.tokens
        revoke = tokens.revoke_guarded if keeps_administrator else tokens.revoke

        entry = AuditEntry(action="tokens.revoke", target=row.id, before=shown_token(row))

        if not await revoke(row.id, audit=[self._audit.row(context, entry)]):
            _refuse_revoked(replace(row, revoked_at=row.revoked_at or time.time()))

    async def _row(
        self,
        context: AuthenticatedContext,
        people: People,
        wish: TokenWish,
        prefix: str,
        digest: str,
    ) -> TokenRow:
        user = _owner(context, people, wish)
        person = None if user is None else people.users.get(user)
        mine = await self._own(context)
        role = wish.role

        if role is None and person is None:
            # Without a person to be worth something, it has a role by name.
            role = "platform_admin" if wish.is_admin else "developer"

        _check_role(people, role, wish)
        teams = wish.teams

        if teams is None and person is None and not wish.is_admin:
            teams = () if sees_everything(context) else context.subject.token_teams or ()

        row = TokenRow(
            id=uuid4().hex,
            name=text_of("name", wish.name),
            prefix=prefix,
            hash=digest,
            created_at=time.time(),
            user_email=user,
            is_admin=wish.is_admin and person is None,
            teams=None if teams is None else tuple(dict.fromkeys(teams)),
            permissions=("*",) if wish.permissions is None else tuple(sorted(wish.permissions)),
            role=role or "",
            server_id=wish.server_id,
            ip_restrictions=wish.ip_restrictions,
            time_restrictions=wish.time_restrictions,
            expires_at=wish.expires_at,
            created_by=actor_of(context),
        )
        check_limits(row)

        if row.expires_at is not None and row.expires_at <= row.created_at:
            raise InvalidArgument("expires_at: that is in the past.")

        return inherited(context, people, row, mine)

    async def _limited(
        self, context: AuthenticatedContext, people: People, row: TokenRow
    ) -> TokenRow:
        """Return a token with what the caller's own limits make of it; raise if that is less."""
        limited = inherited(context, people, row, await self._own(context))
        self._check_same(row, limited)
        return limited

    def _check_same(self, row: TokenRow, limited: TokenRow) -> None:
        if limited != row:
            raise PermissionDenied(
                "That would be worth more than your own credential: yours is limited.",
                code="core.token.above",
            )

    def _check(self, context: AuthenticatedContext, people: People, row: TokenRow) -> None:
        """Check that a token is worth no more than the caller."""
        worth = credential_of_token(row, people)

        if worth is not None:
            check_worth(context, worth)

    async def _own(self, context: AuthenticatedContext) -> TokenRow | None:
        """Return the token the caller came with, if it is one of ours."""
        token_id = context.subject.token_id
        row = None if token_id is None else await self._store.tokens.get(token_id)
        return row if row is not None and row.id == token_id else None

    async def _check_number(self, row: TokenRow) -> None:
        now = time.time()
        same = [
            each
            for each in await self._store.tokens.all()
            if (each.user_email, each.created_by) == (row.user_email, row.created_by)
            and each.revoked_at is None
            and (each.expires_at is None or each.expires_at > now)
        ]

        if len(same) >= _MOST:
            raise Conflict(
                f"There are {_MOST} valid tokens already: revoke some first.",
                code="core.token.too_many",
            )


def _owner(context: AuthenticatedContext, people: People, wish: TokenWish) -> str | None:
    """Return whose the token is to be.

    Another's token acts as them, and its text is the caller's to see: who makes one must be an
    administrator of the whole platform.
    """
    mine = context.subject.user_email

    if wish.unowned:
        if not holds(context.visibility_scope, "tokens.manage"):
            raise PermissionDenied("This token lacks the permission tokens.manage.")

        return None

    if wish.user is None:
        return mine

    user = wish.user.lower()

    if user == mine:
        return user

    if not sees_everything(context) or not (wish.is_any_user or user in people.users):
        raise missing("user", wish.user)

    need(context, "tokens.manage")
    return user


def _check_role(people: People, role: str | None, wish: TokenWish) -> None:
    if role is None:
        return

    if role not in people.roles:
        raise InvalidArgument(
            f"role: there is no role {role!r}; the roles are: {', '.join(sorted(people.roles))}."
        )

    offered = people.permissions_of(role)
    lacking = [entry for entry in wish.permissions or () if not granted(offered, entry)]

    if lacking:
        raise InvalidArgument(f"permissions: the role {role} does not have: {', '.join(lacking)}.")


def _check_permission(context: AuthenticatedContext, wish: TokenWish) -> None:
    teams = (None, *(wish.teams or context.subject.token_teams or ()))

    if not any(holds_in(context.visibility_scope, "tokens.create", team) for team in teams):
        raise PermissionDenied("This token lacks the permission tokens.create.")


def _is_own(context: AuthenticatedContext, row: TokenRow) -> bool:
    subject = context.subject

    if subject.user_email is not None:
        return row.user_email is not None and row.user_email.lower() == subject.user_email.lower()

    mine = subject.token_id
    return mine is not None and (row.id == mine or row.created_by == f"token:{mine}")


def _is_managed(context: AuthenticatedContext, row: TokenRow) -> bool:
    """Tell whether a token holds for teams alone in which the caller manages tokens."""
    mine = set(context.subject.token_teams or ())
    return bool(row.teams) and all(
        team in mine and holds_in(context.visibility_scope, "tokens.manage", team)
        for team in row.teams or ()
    )


def sees_token(context: AuthenticatedContext, row: TokenRow) -> bool:
    """Tell whether a caller may know of a token."""
    return sees_everything(context) or _is_own(context, row) or _is_managed(context, row)


def _check_manages(context: AuthenticatedContext, row: TokenRow, *permissions: str) -> None:
    """Check that the caller holds one of these where the token belongs."""
    scope = context.visibility_scope
    teams: tuple[str | None, ...] = (None, *(row.teams or context.subject.token_teams or ()))

    for permission in permissions:
        if any(holds_in(scope, permission, team) for team in teams):
            return

    raise PermissionDenied(f"This token lacks the permission {permissions[0]}.")


def _refuse_revoked(row: TokenRow) -> None:
    if row.revoked_at is not None:
        raise Conflict(f"The token {row.name!r} was revoked before.", code="core.token.revoked")
