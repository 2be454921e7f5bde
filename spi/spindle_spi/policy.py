"""The two layers of access as pure functions: what a caller sees, what a caller may do.

With them, who counts as the same caller. The core calls them from one place; a sidecar calls the
same functions to spend a grant locally.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from enum import StrEnum

from spindle_spi.context import AuthenticatedContext, TeamGrant, TimeWindow, VisibilityScope
from spindle_spi.errors import FailedPrecondition, NotFound, PermissionDenied, shortened
from spindle_spi.records import CatalogRecord, Kind, Target, Visibility, backend_name


class Action(StrEnum):
    """What a caller wants to do with a record."""

    READ = "read"
    EXECUTE = "execute"
    USE = "use"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


_FAMILY = {
    Kind.PROVIDER: "providers",
    Kind.MODEL: "models",
    Kind.GATEWAY: "gateways",
    Kind.SERVER: "servers",
    Kind.TOOL: "tools",
    Kind.RESOURCE: "resources",
    Kind.RESOURCE_TEMPLATE: "resources",
    Kind.PROMPT: "prompts",
    Kind.TOOLSET: "toolsets",
    Kind.ROOT: "roots",
    Kind.AGENT: "agents",
}

_PERMISSION = {
    (kind, action): f"{family}.{action.value}"
    for kind, family in _FAMILY.items()
    for action in Action
} | {
    # A model is used through the LLM family; `models.*` governs its registry entry.
    (Kind.MODEL, Action.READ): "llm.read",
    (Kind.MODEL, Action.EXECUTE): "llm.invoke",
    # Reading is how resources and prompts are used.
    (Kind.RESOURCE, Action.EXECUTE): "resources.read",
    (Kind.RESOURCE_TEMPLATE, Action.EXECUTE): "resources.read",
    (Kind.PROMPT, Action.EXECUTE): "prompts.read",
}

ROLES: dict[str, tuple[str, ...]] = {
    "platform_admin": ("*",),
    "platform_viewer": (
        "llm.read",
        "tools.read",
        "resources.read",
        "prompts.read",
        "servers.read",
        "gateways.read",
        "providers.read",
        "models.read",
        "jobs.read",
        "tokens.read",
        "teams.read",
        "plugins.read",
        "metrics.read",
        "toolsets.read",
        "users.read",
        "roles.read",
        "audit.read",
        "usage.read",
        "budgets.read",
        "limits.read",
        "config.read",
    ),
    "team_admin": (
        "llm.*",
        "tools.*",
        "resources.*",
        "prompts.*",
        "servers.*",
        "gateways.*",
        "models.*",
        "jobs.*",
        "tokens.*",
        "teams.*",
        "toolsets.*",
        "plugins.read",
    ),
    "developer": (
        "llm.*",
        "tools.read",
        "tools.create",
        "tools.update",
        "tools.execute",
        "resources.*",
        "prompts.*",
        "servers.read",
        "servers.use",
        "servers.create",
        "servers.update",
        "gateways.read",
        "gateways.create",
        "gateways.update",
        "models.read",
        "jobs.read",
        "jobs.create",
        "tokens.create",
        "tokens.read",
        "tokens.revoke",
    ),
    "viewer": (
        "llm.read",
        "tools.read",
        "resources.read",
        "prompts.read",
        "servers.read",
        "servers.use",
        "models.read",
    ),
}
"""Built-in roles and the permissions each carries."""


def permission_for(kind: Kind, action: Action) -> str:
    """Return the permission that `action` on a record of `kind` needs."""
    return _PERMISSION[kind, action]


def granted(permissions: Collection[str], permission: str) -> bool:
    """Tell whether a set of grants covers one permission (`*` and `family.*` are wildcards)."""
    # On the path of every request, hence membership tests instead of a loop.
    if permission in permissions or "*" in permissions:
        return True

    family, dot, _ = permission.partition(".")
    return bool(dot) and f"{family}.*" in permissions


def narrow(permissions: Iterable[str], subset: Iterable[str] | None) -> tuple[str, ...]:
    """Return what is left of `permissions` under a token's own subset; None leaves all.

    Never widens: each entry of the result is covered by `permissions` and, if given, by `subset`.
    """
    held = tuple(permissions)

    if subset is None:
        return held

    wanted = tuple(subset)
    kept = {entry for entry in wanted if granted(held, entry)}
    kept |= {entry for entry in held if granted(wanted, entry)}
    return tuple(sorted(kept))


def narrow_grants(
    grants: Iterable[TeamGrant], subset: Iterable[str] | None
) -> tuple[TeamGrant, ...]:
    """Return what is left of the roles in teams under a token's own subset; None leaves all."""
    wanted = None if subset is None else tuple(subset)
    narrowed = ((grant.team, narrow(grant.permissions, wanted)) for grant in grants)
    return tuple(TeamGrant(team=team, permissions=left) for team, left in narrowed if left)


def holds(scope: VisibilityScope, permission: str) -> bool:
    """Tell whether a permission is held at all: everywhere, or for the records of some team."""
    if granted(scope.permissions, permission):
        return True

    # Most callers have no grants of teams: they pay for the emptiness test alone.
    return bool(scope.team_grants) and any(
        granted(grant.permissions, permission) for grant in scope.team_grants
    )


def holds_in(scope: VisibilityScope, permission: str, team: str | None) -> bool:
    """Tell whether a permission is held for what belongs to a team; None is no team's."""
    if granted(scope.permissions, permission):
        return True

    return bool(scope.team_grants) and any(
        grant.team == team and granted(grant.permissions, permission) for grant in scope.team_grants
    )


def visible(context: AuthenticatedContext, record: CatalogRecord) -> bool:
    """Layer 1: may this caller know that the record exists?"""
    server_id = context.visibility_scope.server_id

    if not record.enabled:
        return False

    if server_id is not None and record.id != server_id and server_id not in record.server_ids:
        return False

    return _seen_by_subject(context, record)


def _seen_by_subject(context: AuthenticatedContext, record: CatalogRecord) -> bool:
    subject = context.subject

    if subject.is_admin and subject.token_teams is None:
        return True

    if record.visibility is Visibility.PUBLIC:
        return True

    teams = subject.token_teams or ()

    if record.visibility is Visibility.TEAM:
        return record.team is not None and record.team in teams

    return bool(teams) and record.owner is not None and record.owner == subject.user_email


def permitted(
    context: AuthenticatedContext, permission: str, record: CatalogRecord | None = None
) -> bool:
    """Layer 2: may this caller do what `permission` names (to a record it sees)?

    Without a record: to any at all. What a role in a team grants holds for that team's records.
    """
    if record is None:
        return holds(context.visibility_scope, permission)

    return visible(context, record) and holds_in(context.visibility_scope, permission, record.team)


def allow(
    context: AuthenticatedContext, permission: str, record: CatalogRecord | None = None
) -> None:
    """Check a permission (on a record the caller sees).

    Raises:
        PermissionDenied: The caller does not hold it; the message names the permission.
    """
    scope = context.visibility_scope
    is_held = (
        holds(scope, permission) if record is None else holds_in(scope, permission, record.team)
    )

    if not is_held:
        what = "" if record is None else f" on the {record.kind.value} {record.name!r}"
        raise PermissionDenied(f"This token lacks the permission {permission}{what}.")


def fetch_permission(context: AuthenticatedContext, record: CatalogRecord) -> str:
    """Return the permission that fetching one record needs.

    Who came in through a server may read that one record: it is where they are.
    """
    is_entered = record.id == context.visibility_scope.server_id
    return permission_for(record.kind, Action.USE if is_entered else Action.READ)


def absent(target: Target) -> NotFound:
    """Return the error for a target that is absent or hidden: the answer is the same."""
    kind = target.kind.value
    return NotFound(
        f"The {kind.replace('_', ' ')} {shortened(target.name)!r} does not exist.",
        code=f"core.{kind}.not_found",
    )


def usable_backend(record: CatalogRecord, backend: CatalogRecord | None) -> CatalogRecord | None:
    """Return what was found to serve a record; None when the record needs nothing.

    Raises:
        FailedPrecondition: It needs a backend and has none, or one that is switched off.
    """
    if backend is None:
        needed = backend_name(record.spec)

        if needed is None:
            return None

        raise FailedPrecondition(
            f"The {record.kind.value} {record.name!r} has no {needed[0].value}.",
            code="core.backend.missing",
        )

    if not backend.enabled:
        raise FailedPrecondition(
            f"What serves the {record.kind.value} {record.name!r} is switched off.",
            code="core.backend.disabled",
        )

    return backend


def is_same_caller(one: AuthenticatedContext, other: AuthenticatedContext) -> bool:
    """Tell whether two contexts are one caller's.

    A credential is one caller in all its requests; who has none is one in a single request.
    """
    if one.subject != other.subject:
        return False

    return one.subject.token_id is not None or one.trace.request_id == other.trace.request_id


def session_owner(context: AuthenticatedContext) -> str | None:
    """Return the opaque owner of a caller's sessions: the person, or else the token.

    None owns nothing: a caller without a token has no sessions.
    """
    subject = context.subject

    if subject.user_email is not None:
        return f"user:{subject.user_email}"

    return None if subject.token_id is None else f"token:{subject.token_id}"


def restrictions_hold(scope: VisibilityScope, client_ip: str | None, now: datetime) -> bool:
    """Tell whether a credential's address and time limits admit this moment and this peer.

    A limit that cannot be understood admits nobody.
    """
    if scope.ip_restrictions and not _address_in(client_ip, scope.ip_restrictions):
        return False

    windows = scope.time_restrictions
    return not windows or any(_inside(window, now.astimezone(UTC)) for window in windows)


def _address_in(client_ip: str | None, ranges: tuple[str, ...]) -> bool:
    try:
        address = ipaddress.ip_address(client_ip or "")
        networks = [ipaddress.ip_network(entry, strict=False) for entry in ranges]
    except ValueError:
        return False

    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped

    return any(address in network for network in networks)


def _inside(window: TimeWindow, now: datetime) -> bool:
    minute = now.hour * 60 + now.minute
    return now.weekday() in window.days and window.start_minute <= minute < window.end_minute
