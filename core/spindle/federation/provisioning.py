"""Makes people of what an identity provider says, beside the requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spindle.config.auth import TeamRole
    from spindle.snapshots import Snapshots
    from spindle.store import Store
    from spindle.store.logins import External
    from spindle.store.rows import UserRow


class Provisioning:
    """Writes people, and shows them to the request path."""

    def __init__(self, store: Store, snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots

    async def welcome(self, person: External, *, creates: bool) -> UserRow | None:
        """Return the user a person is here; None if they are nobody."""
        user = await self._store.logins.welcome(person, creates=creates)
        await self._snapshots.refresh()
        return user


def teams_of(groups: Iterable[str], mapping: Mapping[str, TeamRole]) -> dict[str, str]:
    """Return role by team; where several groups lead to a team, the mapping's first one counts."""
    held = frozenset(groups)
    teams: dict[str, str] = {}

    for group, entry in mapping.items():
        if group in held:
            teams.setdefault(entry.team, entry.role)

    return teams
