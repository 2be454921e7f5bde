"""Users, teams and roles as the request path knows them: a part of the snapshot.

A credential that belongs to a person is worth what the person is worth now: role and membership
edits, and a disabled account, are in force with the next snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spindle.credentials import Credential
from spindle_spi.context import Subject, TeamGrant, VisibilityScope
from spindle_spi.policy import ROLES, granted, narrow, narrow_grants


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
