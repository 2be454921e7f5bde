"""Users, teams and roles as the request path knows them: a part of the snapshot.

A credential that belongs to a person is worth what the person is worth now: role and membership
edits, and a disabled account, are in force with the next snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spindle.credentials import Credential
from spindle_spi.context import Subject, TeamGrant, VisibilityScope
from spindle_spi.policy import ROLES, granted, narrow, narrow_grants

if TYPE_CHECKING:
    from spindle.store import TokenRow
    from spindle.store.people import PeopleRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user, or a service account."""

    email: str
    name: str = ""
    role: str | None = None
    """Platform-wide role, beside those in teams."""
    is_admin: bool = False
    is_service: bool = False
    is_disabled: bool = False
    memberships: Mapping[str, str] = field(default_factory=dict[str, str])
    """Role by team."""
    epoch: int = 0
    """Rises when something changes that their credentials are worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Everybody, and what each role may do."""

    users: Mapping[str, Person] = field(default_factory=dict[str, Person])
    """By e-mail, in lower case."""
    teams: frozenset[str] = frozenset()
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(ROLES))
    """Permissions by role, the built-in ones among them."""

    def permissions_of(self, role: str | None) -> tuple[str, ...]:
        """Return what a role may do: nothing if there is none of that name."""
        return () if role is None else self.roles.get(role, ())


NOBODY = People()


def credential_of(
    person: Person,
    people: People,
    *,
    token_id: str,
    claimed_teams: tuple[str, ...] | None,
    permissions: tuple[str, ...] | None = None,
    expires_at: float | None,
) -> Credential:
    """Return what a credential of a person is worth now; the caller checks that they are enabled.

    `claimed_teams` and `permissions` only narrow: None leaves all teams, and all permissions. An
    administrator's teams are all there are; without claimed ones they see everything.
    """
    teams = _teams(person, claimed_teams)
    members = (team for team in person.memberships if teams is None or team in teams)
    grants = narrow_grants(
        (
            TeamGrant(team=team, permissions=people.permissions_of(person.memberships[team]))
            for team in sorted(members)
        ),
        permissions,
    )
    everywhere = narrow(people.permissions_of(person.role), permissions)
    return Credential(
        subject=Subject(
            user_email=person.email,
            is_admin=person.is_admin,
            token_teams=teams,
            token_id=token_id,
            token_epoch=person.epoch,
        ),
        scope=VisibilityScope(permissions=everywhere, team_grants=_added(grants, everywhere)),
        expires_at=expires_at,
    )


def credential_of_token(token: TokenRow, people: People) -> Credential | None:
    """Return what a token is worth now; None while its person is disabled.

    Without a person it has its role by name, narrowed by what it keeps of it.
    """
    kept = token.permissions

    if token.role:
        kept = narrow(people.permissions_of(token.role), kept)

    person = None if token.user_email is None else people.users.get(token.user_email.lower())

    if person is None:
        subject = Subject(
            user_email=token.user_email,
            is_admin=token.is_admin,
            token_teams=token.teams,
            token_id=token.id,
            token_epoch=token.epoch,
        )
        scope = VisibilityScope(permissions=kept)
    elif person.is_disabled:
        return None
    else:
        whole = credential_of(
            person,
            people,
            token_id=token.id,
            claimed_teams=token.teams,
            permissions=kept,
            expires_at=token.expires_at,
        )
        # Both only ever rise, and so does their sum.
        subject = replace(whole.subject, token_epoch=token.epoch + person.epoch)
        scope = whole.scope

    return Credential(
        subject=subject,
        scope=replace(
            scope,
            server_id=token.server_id,
            ip_restrictions=token.ip_restrictions,
            time_restrictions=token.time_restrictions,
        ),
        expires_at=token.expires_at,
    )


def compile_people(rows: PeopleRows) -> People:
    """Return everybody as the request path needs them."""
    memberships: dict[str, dict[str, str]] = {}

    for row in rows.memberships:
        memberships.setdefault(row.email, {})[row.team] = row.role

    return People(
        users={
            user.email: Person(
                email=user.email,
                name=user.name,
                role=user.role,
                is_admin=user.is_admin,
                is_service=user.is_service,
                is_disabled=user.disabled_at is not None,
                memberships=memberships.get(user.email, {}),
                epoch=user.authority,
            )
            for user in rows.users
        },
        teams=frozenset(team.name for team in rows.teams),
        # A custom role never shadows a built-in one.
        roles={role.name: role.permissions for role in rows.roles} | ROLES,
    )


def _teams(person: Person, claimed: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if person.is_admin:
        return claimed

    held = person.memberships
    return tuple(sorted(held if claimed is None else set(claimed) & set(held)))


def _added(grants: tuple[TeamGrant, ...], everywhere: tuple[str, ...]) -> tuple[TeamGrant, ...]:
    """Return the grants that add something: who has none is checked faster."""
    return tuple(
        grant
        for grant in grants
        if not all(granted(everywhere, entry) for entry in grant.permissions)
    )
