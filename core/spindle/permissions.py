"""Every permission there is: what a custom role may be made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_spi.policy import ROLES, Action, permission_for
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

_CONTROL: Final = {
    "users": ("read", "create", "update", "delete"),
    "roles": ("read", "create", "update", "delete"),
    "teams": ("read", "create", "update", "delete", "invite"),
    "tokens": ("read", "create", "update", "revoke", "manage"),
    "plugins": ("read", "create", "update", "delete"),
    "secrets": ("read", "update", "delete", "rotate"),
    "jobs": ("read", "create", "cancel"),
    "budgets": ("read", "create", "update", "delete"),
    "config": ("read", "update"),
    "usage": ("read",),
    "audit": ("read",),
    "metrics": ("read",),
}


def known_permissions(more: Iterable[str] = ()) -> frozenset[str]:
    """Return every permission by its full name; `more` are those of routes."""
    of_records = {permission_for(kind, action) for kind in Kind for action in Action}
    of_control = {f"{family}.{verb}" for family, verbs in _CONTROL.items() for verb in verbs}
    of_roles = {entry for held in ROLES.values() for entry in held if not entry.endswith("*")}
    return frozenset(of_records | of_control | of_roles | {entry for entry in more if entry})


def unknown_permissions(permissions: Iterable[str], known: frozenset[str]) -> list[str]:
    """Return what is neither a permission nor a wildcard over some."""
    families = {entry.partition(".")[0] for entry in known}
    return [
        entry
        for entry in permissions
        if entry != "*"
        and entry not in known
        and not (entry.endswith(".*") and entry[:-2] in families)
    ]
