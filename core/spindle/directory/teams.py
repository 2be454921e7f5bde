"""Teams and their members, as administrators keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.audit import AuditEntry
from spindle.authority import check_grant, need, need_everything, sees_everything, sees_team
from spindle.directory.holders import named
from spindle.directory.names import missing, name_of, overtaken, taken, text_of
from spindle.directory.shown import shown_member, shown_team
from spindle.people import compile_people
from spindle.store.rows import MembershipRow, TeamRow
from spindle_spi.errors import Conflict, InvalidArgument

if TYPE_CHECKING:
    from spindle.audit import Audit
    from spindle.store import Store
    from spindle.store.audit import AuditRow
    from spindle_spi.context import AuthenticatedContext


class TeamDesk:
    """Keeps teams."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self._store = store
        self._audit = audit

    async def seen(self, context: AuthenticatedContext) -> list[TeamRow]:
        """Return the teams the caller may know of."""
        rows = await self._store.users.everybody()
        return [team for team in rows.teams if sees_team(context, team.name)]

    async def get(self, context: AuthenticatedContext, name: str) -> TeamRow:
        """Return one team.

        Raises:
            NotFound: Absent, or hidden from the caller.
        """
        team = await self._store.teams.get(name) if sees_team(context, name) else None

        if team is None:
            raise missing("team", name)

        return team

    async def members(self, context: AuthenticatedContext, name: str) -> tuple[MembershipRow, ...]:
        """Return a team's members.

        Raises:
            NotFound: The team is absent, or hidden from the caller.
            PermissionDenied: The caller may not read it.
        """
        team = await self.get(context, name)
        need(context, "teams.read", team.name)
        return await self._store.teams.members(team.name)

    async def create(
        self, context: AuthenticatedContext, *, name: str, description: str = ""
    ) -> TeamRow:
        """Make a team.

        Raises:
            PermissionDenied: The caller is no administrator of the whole platform.
            Conflict: The name is taken.
        """
        need(context, "teams.create")
        need_everything(context, "make a team")
        text = text_of("description", description)

        def told(team: TeamRow) -> AuditRow:
            entry = AuditEntry(action="teams.create", target=name, after=shown_team(team))
            return self._audit.row(context, entry)

        team = await self._store.teams.create(name_of("name", name), text, told=told)

        if team is None:
            raise taken("team", name)

        return team

    async def change(
        self, context: AuthenticatedContext, before: TeamRow, *, description: str
    ) -> TeamRow:
        """Change a team as it was read.

        Raises:
            PermissionDenied: The caller may not.
            FailedPrecondition: Somebody else changed it meanwhile (412).
        """
        need(context, "teams.update", before.name)

        def told(after: TeamRow) -> AuditRow:
            entry = AuditEntry(
                action="teams.update",
                target=before.name,
                before=shown_team(before),
                after=shown_team(after),
            )
            return self._audit.row(context, entry)

        after = await self._store.teams.change(before, text_of("description", description), told)

        if after is None:
            raise overtaken("team", before.name)

        return after

    async def delete(self, context: AuthenticatedContext, team: TeamRow) -> None:
        """Delete a team that is empty.

        Raises:
            PermissionDenied: The caller may not.
            Conflict: It has members, records or tokens; the message names them.
        """
        need(context, "teams.delete", team.name)
        entry = AuditEntry(action="teams.delete", target=team.name, before=shown_team(team))
        held = await self._store.teams.delete(team.name, [self._audit.row(context, entry)])

        if held:
            people = compile_people(await self._store.users.everybody())
            raise Conflict(
                f"The team {team.name!r} still has {named(context, held, people)}: "
                "move or delete them first.",
                code="core.team.in_use",
            )

    async def put_member(
        self, context: AuthenticatedContext, team: TeamRow, email: str, role: str
    ) -> MembershipRow:
        """Make somebody a member, or give a member another role.

        Who is not seen by the caller is absent: they come by invitation.

        Raises:
            PermissionDenied: The caller may not, or one of the two roles is above their own rights.
            NotFound: No such user for this caller.
        """
        need(context, "teams.update", team.name)
        rows = await self._store.users.everybody()
        people = compile_people(rows)
        address = email.lower()
        user = people.users.get(address)
        mine = set(context.subject.token_teams or ())

        if user is None or not (sees_everything(context) or mine & set(user.memberships)):
            raise missing("user", email)

        if role not in people.roles:
            raise InvalidArgument(f"role: there is no role {role!r}.")

        before = user.memberships.get(team.name)
        check_grant(context, before or "", people.permissions_of(before), team.name)
        check_grant(context, role, people.permissions_of(role), team.name)
        member = MembershipRow(email=address, team=team.name, role=role)
        entry = AuditEntry(
            action="teams.put_member",
            target=f"{team.name}/{address}",
            before=before,
            after=role,
        )

        if not await self._store.teams.put_member(member, [self._audit.row(context, entry)]):
            raise missing("team", team.name)

        stored = await self._store.teams.members(team.name)
        return next((row for row in stored if row.email == address), member)

    async def remove_member(self, context: AuthenticatedContext, team: TeamRow, email: str) -> None:
        """Take somebody out of a team.

        Raises:
            PermissionDenied: The caller may not, or the member's role is above their own rights.
            NotFound: They are no member.
        """
        need(context, "teams.update", team.name)
        rows = await self._store.users.everybody()
        people = compile_people(rows)
        address = email.lower()
        held = [
            row for row in rows.memberships if row.email == address and row.team == team.name
        ]  # fmt: skip

        if not held:
            raise missing("member", email)

        check_grant(context, held[0].role, people.permissions_of(held[0].role), team.name)
        entry = AuditEntry(
            action="teams.remove_member",
            target=f"{team.name}/{address}",
            before=shown_member(held[0]),
        )
        row = self._audit.row(context, entry)

        if not await self._store.teams.remove_member(team.name, address, [row]):
            raise missing("member", email)
