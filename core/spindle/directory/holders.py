"""Names those who keep something from being deleted, as far as the caller may know of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle.authority import sees_everything, sees_team
from spindle.directory.tokens import sees_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.people import People
    from spindle.store.holders import Holder
    from spindle_spi.context import AuthenticatedContext

_SHOWN: Final = 10


def named(context: AuthenticatedContext, holders: Sequence[Holder], people: People) -> str:
    """Return some of them for a sentence; that there are hidden ones is said, not how many."""
    known = [each.text for each in holders if _is_known(context, each, people)]
    parts = known[:_SHOWN]

    if len(known) > _SHOWN:
        parts.append(f"{len(known) - _SHOWN} more")

    if len(known) < len(holders):
        parts.append("somebody you may not know of")

    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def _is_known(context: AuthenticatedContext, holder: Holder, people: People) -> bool:
    if sees_everything(context):
        return True

    if holder.token is not None:
        return sees_token(context, holder.token)

    if holder.is_private:
        return holder.email is not None and holder.email == context.subject.user_email

    if holder.team is not None:
        return sees_team(context, holder.team)

    if holder.email is None or holder.email == context.subject.user_email:
        return True

    person = people.users.get(holder.email)
    return person is not None and any(sees_team(context, team) for team in person.memberships)
