"""What a new token takes over from the credential it is made with, and limits that mean nothing."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING

from spindle.people import credential_of, credential_of_token
from spindle_spi.errors import InvalidArgument
from spindle_spi.policy import narrow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle.people import People
    from spindle.store import TokenRow
    from spindle_spi.context import AuthenticatedContext, TimeWindow, VisibilityScope

_MOST = 100
_DAY = 24 * 60


def inherited(
    context: AuthenticatedContext, people: People, row: TokenRow, mine: TokenRow | None
) -> TokenRow:
    """Return a token limited as the caller is: what was left open is the caller's, not more.

    `mine` is the token the caller came with. A caller who is limited hands on what they hold now,
    by name: what their person or role gains later is not the new token's.
    """
    scope, subject = context.visibility_scope, context.subject

    if not _is_whole(context, people, row, mine):
        held = {*scope.permissions, *(e for g in scope.team_grants for e in g.permissions)}
        worth = credential_of_token(row, people)
        kept = row.permissions

        if row.role and worth is not None:
            kept = narrow(people.permissions_of(row.role), kept)

        row = replace(row, permissions=narrow(sorted(held), kept))

        if row.teams is None and not row.is_admin and subject.token_teams is not None:
            row = replace(row, teams=subject.token_teams)

    return replace(
        row,
        server_id=row.server_id or scope.server_id,
        ip_restrictions=row.ip_restrictions or scope.ip_restrictions,
        time_restrictions=row.time_restrictions or scope.time_restrictions,
        expires_at=_earlier(row.expires_at, None if mine is None else mine.expires_at),
    )


def check_limits(row: TokenRow) -> None:
    """Refuse limits that mean nothing.

    Raises:
        InvalidArgument: No range of addresses, no hours of a week, or too many of something.
    """
    lists = (row.teams or (), row.permissions, row.ip_restrictions, row.time_restrictions)

    if any(len(each) > _MOST for each in lists):
        raise InvalidArgument(f"A token has {_MOST} teams, permissions, ranges or hours at most.")

    for text in row.ip_restrictions:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError as exc:
            raise InvalidArgument(
                f"addresses: {text!r} is no range: write 10.0.0.0/8 or 192.0.2.7."
            ) from exc

    if not all(_is_window(window) for window in row.time_restrictions):
        raise InvalidArgument("hours: days are 0 to 6, minutes 0 to 1440, and a start has an end.")


def _is_whole(
    context: AuthenticatedContext, people: People, row: TokenRow, mine: TokenRow | None
) -> bool:
    """Tell whether nothing narrows the caller below what the new token follows."""
    scope, subject = context.visibility_scope, context.subject

    if subject.is_admin and subject.token_teams is None and "*" in scope.permissions:
        # Who may do everything may hand everything on; a token's own subset is checked below.
        return mine is None or "*" in mine.permissions

    if mine is not None and (mine.permissions != ("*",) or mine.teams is not None or mine.role):
        return False

    person = None if subject.user_email is None else people.users.get(subject.user_email)

    if person is None or row.user_email != person.email:
        return False

    whole = credential_of(person, people, token_id="", claimed_teams=None, expires_at=None)
    return subject.token_teams == whole.subject.token_teams and _rights(scope) == _rights(
        whole.scope
    )


def _rights(scope: VisibilityScope) -> dict[str | None, set[str]]:
    """Return permissions by team; None is everywhere."""
    rights: dict[str | None, set[str]] = {None: set(scope.permissions)}
    return rights | {grant.team: set(grant.permissions) for grant in scope.team_grants}


def _earlier(one: float | None, other: float | None) -> float | None:
    ends: Iterable[float] = [end for end in (one, other) if end is not None]
    return min(ends, default=None)


def _is_window(window: TimeWindow) -> bool:
    are_days = bool(window.days) and all(0 <= day <= 6 for day in window.days)
    return are_days and 0 <= window.start_minute < window.end_minute <= _DAY
