"""What somebody may hand on: never more than they are worth themselves. Pure functions."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from spindle_spi.errors import PermissionDenied
from spindle_spi.policy import holds_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle.credentials import Credential
    from spindle_spi.context import AuthenticatedContext, TimeWindow


def actor_of(context: AuthenticatedContext) -> str:
    """Return who acts, as records remember it: an e-mail, or a token's id."""
    return context.subject.user_email or f"token:{context.subject.token_id}"


def sees_everything(context: AuthenticatedContext) -> bool:
    """Tell whether a caller is an administrator whom nothing narrows."""
    subject = context.subject
    is_narrowed = subject.token_teams is not None or context.visibility_scope.server_id is not None
    return subject.is_admin and not is_narrowed


def sees_team(context: AuthenticatedContext, team: str) -> bool:
    """Tell whether a caller may know of a team."""
    return sees_everything(context) or team in (context.subject.token_teams or ())


def need(context: AuthenticatedContext, permission: str, team: str | None = None) -> None:
    """Check a permission on what belongs to a team; None is what belongs to the platform.

    Raises:
        PermissionDenied: The caller does not hold it there.
    """
    if not holds_in(context.visibility_scope, permission, team):
        where = "" if team is None else f" in the team {team!r}"
        raise PermissionDenied(f"This token lacks the permission {permission}{where}.")


def need_everything(context: AuthenticatedContext, what: str) -> None:
    """Check that the caller is an administrator whom nothing narrows.

    Raises:
        PermissionDenied: They are not.
    """
    if not sees_everything(context):
        raise PermissionDenied(f"Only an administrator of the whole platform may {what}.")


def may_grant(
    context: AuthenticatedContext, permissions: Iterable[str], team: str | None = None
) -> bool:
    """Tell whether the caller holds all of these (in a team)."""
    return all(holds_in(context.visibility_scope, entry, team) for entry in permissions)


def check_grant(
    context: AuthenticatedContext,
    role: str,
    permissions: Iterable[str],
    team: str | None = None,
) -> None:
    """Check that a role is not above the caller's own rights.

    Raises:
        PermissionDenied: It is.
    """
    if not may_grant(context, permissions, team):
        raise PermissionDenied(
            f"The role {role!r} may do more than you: ask somebody who has it.",
            code="core.role.above",
        )


def check_worth(context: AuthenticatedContext, worth: Credential) -> None:
    """Check that a credential is worth no more than the caller; the caller's end is not looked at.

    Raises:
        PermissionDenied: It is; the message says in what.
    """
    excess = _excess(context, worth)

    if excess is not None:
        raise PermissionDenied(
            f"That would be worth more than your own credential: {excess}.",
            code="core.token.above",
        )


def _excess(context: AuthenticatedContext, worth: Credential) -> str | None:
    mine, theirs = context.visibility_scope, worth.scope
    is_inside = (
        may_grant(context, theirs.permissions)
        and all(may_grant(context, each.permissions, each.team) for each in theirs.team_grants)
    )  # fmt: skip

    if not is_inside:
        return "its permissions"

    if worth.subject.is_admin and not context.subject.is_admin:
        return "it is an administrator's"

    if not _teams_inside(context, worth):
        return "its teams"

    if mine.server_id is not None and theirs.server_id != mine.server_id:
        return "yours holds for one virtual server"

    if mine.ip_restrictions and not _ranges_inside(theirs.ip_restrictions, mine.ip_restrictions):
        return "yours holds for fewer addresses"

    if mine.time_restrictions and not _hours_inside(
        theirs.time_restrictions, mine.time_restrictions
    ):
        return "yours holds for fewer hours"

    return None


def _teams_inside(context: AuthenticatedContext, worth: Credential) -> bool:
    subject = context.subject

    if subject.is_admin and subject.token_teams is None:
        return True

    if worth.subject.is_admin and worth.subject.token_teams is None:
        return False

    return set(worth.subject.token_teams or ()) <= set(subject.token_teams or ())


def _ranges_inside(ranges: tuple[str, ...], limits: tuple[str, ...]) -> bool:
    return bool(ranges) and all(any(_inside(each, limit) for limit in limits) for each in ranges)


def _inside(one: str, other: str) -> bool:
    try:
        inner = ipaddress.ip_network(one, strict=False)
        outer = ipaddress.ip_network(other, strict=False)
    except ValueError:
        return False

    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)

    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


def _hours_inside(windows: tuple[TimeWindow, ...], limits: tuple[TimeWindow, ...]) -> bool:
    return bool(windows) and _minutes(windows) <= _minutes(limits)


def _minutes(windows: tuple[TimeWindow, ...]) -> set[int]:
    """Return the minutes of the week that windows cover."""
    return {
        day * 1440 + minute
        for window in windows
        for day in window.days
        for minute in range(max(window.start_minute, 0), min(window.end_minute, 1440))
    }
