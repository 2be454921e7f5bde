"""Users, teams and roles as the request path knows them: a part of the snapshot.

A credential that belongs to a person is worth what the person is worth now: role and membership
edits, and a disabled account, are in force with the next snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spindle_spi.policy import ROLES


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


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Everybody, and what each role may do."""

    users: Mapping[str, Person] = field(default_factory=dict[str, Person])
    """By e-mail, in lower case."""
    teams: frozenset[str] = frozenset()
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(ROLES))
    """Permissions by role, the built-in ones among them."""


NOBODY = People()
