"""Users and service accounts, as administrators keep them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spindle.audit import AuditEntry
from spindle.authority import check_grant, check_worth, need, need_everything, sees_everything
from spindle.directory.names import (
    SERVICE_DOMAIN,
    email_of,
    missing,
    name_of,
    overtaken,
    taken,
    text_of,
)
from spindle.directory.shown import shown_user
from spindle.people import compile_people, credential_of
from spindle.store.rows import UserRow
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from spindle.audit import Audit
    from spindle.people import People
    from spindle.store import Store
    from spindle.store.audit import AuditRow
    from spindle.store.people import PeopleRows
    from spindle_spi.context import AuthenticatedContext


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """What is to be different about a user; None leaves it."""

    name: str | None = None
    role: str | None = None
    """An empty text takes the platform-wide role away."""
    is_admin: bool | None = None
    disabled: bool | None = None


class UserDesk:
    """Keeps users."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self._store = store
        self._audit = audit

    async def seen(
        self, context: AuthenticatedContext, *, service: bool | None = None
    ) -> tuple[list[UserRow], PeopleRows]:
        """Return the users the caller may know of; with `service`, service accounts or people."""
        rows = await self._store.users.everybody()
        users = [
            user
            for user in rows.users
            if service in (None, user.is_service) and _sees(context, rows, user)
        ]
        return users, rows

    async def get(self, context: AuthenticatedContext, email: str) -> tuple[UserRow, PeopleRows]:
        """Return one user.

        Raises:
            NotFound: Absent, or hidden from the caller.
        """
        users, rows = await self.seen(context)
        wanted = email.lower()

        for user in users:
            if user.email == wanted:
                return user, rows

        raise missing("user", email)

    async def create(
        self,
        context: AuthenticatedContext,
        *,
        email: str,
        name: str = "",
        role: str | None = None,
        is_admin: bool = False,
    ) -> UserRow:
        """Make a user.

        Raises:
            PermissionDenied: The caller may not, or not one who is worth more than they are.
            Conflict: The e-mail is taken.
        """
        address = email_of(email)

        if address.endswith(f"@{SERVICE_DOMAIN}"):
            raise InvalidArgument(f"email: addresses @{SERVICE_DOMAIN} are service accounts'.")

        user = UserRow(email=address, name=text_of("name", name), role=role, is_admin=is_admin)
        return await self._create(context, user)

    async def create_service(
        self, context: AuthenticatedContext, *, name: str, role: str | None = None
    ) -> UserRow:
        """Make a service account: a user that never logs in and is used through its tokens.

        Raises:
            PermissionDenied: The caller may not, or not one who is worth more than they are.
            Conflict: The name is taken.
        """
        slug = name_of("name", name).lower().replace(" ", "-")
        address = f"{slug}@{SERVICE_DOMAIN}"
        user = UserRow(email=address, name=name, role=role, is_service=True)
        return await self._create(context, user)

    async def change(
        self, context: AuthenticatedContext, before: UserRow, change: UserChange
    ) -> UserRow:
        """Change a user as they were read.

        Raises:
            PermissionDenied: The caller may not, or one of the two is worth more than they are.
            Conflict: It would leave nobody who can administer the gateway.
            FailedPrecondition: Somebody else changed the user meanwhile (412).
        """
        need(context, "users.update")
        rows = await self._store.users.everybody()
        people = compile_people(rows)
        after = _changed(before, change)
        self._check(context, people, before)
        self._check(context, people, after)

        def told(stored: UserRow) -> AuditRow:
            entry = AuditEntry(
                action="users.update",
                target=before.email,
                before=shown_user(before, rows.memberships),
                after=shown_user(stored, rows.memberships),
            )
            return self._audit.row(context, entry)

        stored = await self._store.users.change(before, after, told)

        if stored is None:
            raise overtaken("user", before.email)

        return stored

    async def delete(self, context: AuthenticatedContext, user: UserRow) -> None:
        """Delete a user with their memberships, and revoke their tokens.

        Raises:
            PermissionDenied: The caller may not, or the user is worth more than they are.
            Conflict: It would leave nobody who can administer the gateway.
        """
        need(context, "users.delete")
        rows = await self._store.users.everybody()
        self._check(context, compile_people(rows), user)

        before = shown_user(user, rows.memberships)
        entry = AuditEntry(action="users.delete", target=user.email, before=before)

        if not await self._store.users.delete(user.email, [self._audit.row(context, entry)]):
            raise missing("user", user.email)

    async def _create(self, context: AuthenticatedContext, user: UserRow) -> UserRow:
        need(context, "users.create")
        people = compile_people(await self._store.users.everybody())
        self._check(context, people, user)

        def told(stored: UserRow) -> AuditRow:
            after = shown_user(stored, ())
            entry = AuditEntry(action="users.create", target=user.email, after=after)
            return self._audit.row(context, entry)

        stored = await self._store.users.create(user, told)

        if stored is None:
            raise taken("user", user.email)

        return stored

    def _check(self, context: AuthenticatedContext, people: People, user: UserRow) -> None:
        """Check that what a user would be worth is no more than what the caller is worth."""
        if user.role is not None and user.role not in people.roles:
            raise InvalidArgument(f"role: there is no role {user.role!r}.")

        if user.is_admin:
            need_everything(context, "make or change an administrator")

        check_grant(context, user.role or "", people.permissions_of(user.role))
        known = people.users.get(user.email)

        if known is not None:
            person = replace(known, role=user.role, is_admin=user.is_admin)
            whole = credential_of(
                person, people, token_id="", claimed_teams=None, expires_at=None
            )  # fmt: skip
            check_worth(_without_limits(context), whole)


def _without_limits(context: AuthenticatedContext) -> AuthenticatedContext:
    """Return a caller whose address and hours do not matter: users have none of their own."""
    scope = replace(context.visibility_scope, ip_restrictions=(), time_restrictions=())
    return replace(context, visibility_scope=scope)


def _changed(user: UserRow, change: UserChange) -> UserRow:
    after = user

    if change.name is not None:
        after = replace(after, name=text_of("name", change.name))

    if change.role is not None:
        after = replace(after, role=change.role or None)

    if change.is_admin is not None:
        if change.is_admin and user.is_service:
            raise InvalidArgument("is_admin: a service account is no administrator.")

        after = replace(after, is_admin=change.is_admin)

    if change.disabled is not None and change.disabled != (user.disabled_at is not None):
        after = replace(after, disabled_at=time.time() if change.disabled else None)

    return after


def _sees(context: AuthenticatedContext, rows: PeopleRows, user: UserRow) -> bool:
    if sees_everything(context) or user.email == context.subject.user_email:
        return True

    mine = context.subject.token_teams or ()
    return any(row.email == user.email and row.team in mine for row in rows.memberships)
