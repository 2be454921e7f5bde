"""`spindle user | team | role`, on the store directly: no gateway needs to run."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, TypeVar

from spindle.administrator import local_context
from spindle.audit import Audit
from spindle.cli.failures import reported
from spindle.cli.stores import on_store
from spindle.cli.tables import print_table
from spindle.directory import Directory
from spindle.directory.shown import (
    shown_invitation,
    shown_member,
    shown_role,
    shown_team,
    shown_user,
)
from spindle.directory.users import UserChange
from spindle_spi.policy import ROLES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from spindle.home import Sources
    from spindle.store.rows import RoleRow
    from spindle_spi.types import Json, JsonObject

T = TypeVar("T")

_TEAM_ALONE = "A role in a team is for its records alone; for public ones add --platform-role.\n"


def create_user(  # noqa: PLR0913 - one parameter per option
    sources: Sources,
    email: str,
    *,
    name: str,
    role: str | None,
    is_admin: bool,
    is_service: bool,
    as_json: bool,
) -> None:
    """Make a user or a service account."""

    async def work(directory: Directory) -> JsonObject:
        if is_service:
            made = await directory.users.create_service(local_context(), name=email, role=role)
        else:
            # Who administers has a role that lets them, unless another one is said.
            given = role or ("platform_admin" if is_admin else None)
            made = await directory.users.create(
                local_context(), email=email, name=name, role=given, is_admin=is_admin
            )

        return shown_user(made, ())

    user = _done(sources, work)
    _tell(user, f"{user['email']} is there.", as_json=as_json)


def list_users(sources: Sources, *, as_json: bool) -> None:
    """List users."""

    async def work(directory: Directory) -> list[JsonObject]:
        users, rows = await directory.users.seen(local_context())
        return [shown_user(user, rows.memberships) for user in users]

    users = _done(sources, work)

    if as_json:
        print(json.dumps(users))
        return

    print_table(
        ("EMAIL", "NAME", "ROLE", "ADMIN", "TEAMS", "STATE"),
        [
            (
                str(user["email"]),
                str(user["name"]) or "-",
                str(user["role"] or "-"),
                "yes" if user["is_admin"] else "-",
                _roles_by_team(user["teams"]),
                _state(user),
            )
            for user in users
        ],
    )


def show_user(sources: Sources, email: str, *, as_json: bool) -> None:
    """Show a user."""

    async def work(directory: Directory) -> JsonObject:
        user, rows = await directory.users.get(local_context(), email)
        return shown_user(user, rows.memberships)

    _show(_done(sources, work), as_json=as_json)


def update_user(  # noqa: PLR0913 - one parameter per option
    sources: Sources,
    email: str,
    *,
    name: str | None = None,
    role: str | None = None,
    is_admin: bool | None = None,
    disabled: bool | None = None,
    as_json: bool,
) -> None:
    """Change a user."""

    async def work(directory: Directory) -> JsonObject:
        user, rows = await directory.users.get(local_context(), email)
        change = UserChange(name=name, role=role, is_admin=is_admin, disabled=disabled)
        after = await directory.users.change(local_context(), user, change)
        return shown_user(after, rows.memberships)

    user = _done(sources, work)
    _tell(user, f"{user['email']} is changed ({_state(user)}).", as_json=as_json)


def delete_user(sources: Sources, email: str, *, as_json: bool) -> None:
    """Delete a user."""

    async def work(directory: Directory) -> JsonObject:
        user, rows = await directory.users.get(local_context(), email)
        await directory.users.delete(local_context(), user)
        return shown_user(user, rows.memberships)

    _tell(_done(sources, work), f"{email} is deleted, with their tokens.", as_json=as_json)


def create_team(sources: Sources, name: str, description: str, *, as_json: bool) -> None:
    """Make a team."""

    async def work(directory: Directory) -> JsonObject:
        made = await directory.teams.create(local_context(), name=name, description=description)
        return shown_team(made)

    _tell(_done(sources, work), f"The team {name} is there.", as_json=as_json)


def list_teams(sources: Sources, *, as_json: bool) -> None:
    """List teams."""

    async def work(directory: Directory) -> list[JsonObject]:
        return [shown_team(team) for team in await directory.teams.seen(local_context())]

    teams = _done(sources, work)

    if as_json:
        print(json.dumps(teams))
        return

    print_table(
        ("NAME", "DESCRIPTION", "ORIGIN"),
        [(str(t["name"]), str(t["description"]) or "-", str(t["origin"])) for t in teams],
    )


def show_team(sources: Sources, name: str, *, as_json: bool) -> None:
    """Show a team with its members."""

    async def work(directory: Directory) -> JsonObject:
        team = await directory.teams.get(local_context(), name)
        members = await directory.teams.members(local_context(), name)
        shown: list[Json] = [shown_member(member) for member in members]
        return {**shown_team(team), "members": shown}

    team = _done(sources, work)

    if as_json:
        print(json.dumps(team))
        return

    members = team["members"] if isinstance(team["members"], list) else []
    print_table(
        ("EMAIL", "ROLE", "SINCE"),
        [
            (str(m["email"]), str(m["role"]), str(m["created_at"]))
            for m in members
            if isinstance(m, dict)
        ],
    )


def update_team(sources: Sources, name: str, description: str, *, as_json: bool) -> None:
    """Change a team."""

    async def work(directory: Directory) -> JsonObject:
        team = await directory.teams.get(local_context(), name)
        after = await directory.teams.change(local_context(), team, description=description)
        return shown_team(after)

    _tell(_done(sources, work), f"The team {name} is changed.", as_json=as_json)


def delete_team(sources: Sources, name: str, *, as_json: bool) -> None:
    """Delete an empty team."""

    async def work(directory: Directory) -> JsonObject:
        team = await directory.teams.get(local_context(), name)
        await directory.teams.delete(local_context(), team)
        return shown_team(team)

    _tell(_done(sources, work), f"The team {name} is deleted.", as_json=as_json)


def add_member(sources: Sources, name: str, email: str, role: str, *, as_json: bool) -> None:
    """Make somebody a member."""

    async def work(directory: Directory) -> JsonObject:
        team = await directory.teams.get(local_context(), name)
        return shown_member(await directory.teams.put_member(local_context(), team, email, role))

    _tell(_done(sources, work), f"{email} is {role} in {name}.", as_json=as_json)


def remove_member(sources: Sources, name: str, email: str, *, as_json: bool) -> None:
    """Take somebody out of a team."""

    async def work(directory: Directory) -> JsonObject:
        team = await directory.teams.get(local_context(), name)
        await directory.teams.remove_member(local_context(), team, email)
        return {"team": name, "email": email}

    _tell(_done(sources, work), f"{email} is no member of {name} any more.", as_json=as_json)


def invite(  # noqa: PLR0913 - one parameter per option
    sources: Sources,
    team: str,
    *,
    role: str,
    platform_role: str | None,
    email: str | None,
    days: float,
    as_json: bool,
) -> None:
    """Make an invitation and print its link."""

    async def work(directory: Directory) -> JsonObject:
        secret, row = await directory.invitations.create(
            local_context(),
            team=team,
            role=role,
            platform_role=platform_role,
            email=email,
            days=days,
        )
        return {
            "link": f"/invitations/{secret.reveal()}",
            "secret": secret.reveal(),
            **shown_invitation(row),
        }

    made = _done(sources, work)

    if not as_json:
        whose = made["email"] or "whoever has this link"

        if platform_role is None:
            sys.stderr.write(_TEAM_ALONE)

        sys.stderr.write(
            f"For {whose}, as {role} in {team}, once, until {made['expires_at']}. The address of "
            "the gateway goes before it; who opens it is told how to take it. Shown only now:\n"
        )

    _tell(made, str(made["link"]), as_json=as_json)


def create_role(
    sources: Sources, name: str, permissions: Sequence[str], description: str, *, as_json: bool
) -> None:
    """Make a custom role."""

    async def work(directory: Directory) -> JsonObject:
        made = await directory.roles.create(
            local_context(), name=name, permissions=tuple(permissions), description=description
        )
        return shown_role(made)

    _tell(_done(sources, work), f"The role {name} is there.", as_json=as_json)


def list_roles(sources: Sources, *, as_json: bool) -> None:
    """List roles."""

    async def work(directory: Directory) -> list[JsonObject]:
        return [_role(role) for role in await directory.roles.all()]

    roles = _done(sources, work)

    if as_json:
        print(json.dumps(roles))
        return

    print_table(
        ("NAME", "KIND", "PERMISSIONS"),
        [
            (
                str(role["name"]),
                "built in" if role["built_in"] else "custom",
                _words(role["permissions"]),
            )
            for role in roles
        ],
    )


def show_role(sources: Sources, name: str, *, as_json: bool) -> None:
    """Show a role."""

    async def work(directory: Directory) -> JsonObject:
        return _role(await directory.roles.get(name))

    _show(_done(sources, work), as_json=as_json)


def update_role(
    sources: Sources,
    name: str,
    permissions: Sequence[str] | None,
    description: str | None,
    *,
    as_json: bool,
) -> None:
    """Change a custom role."""

    async def work(directory: Directory) -> JsonObject:
        after = await directory.roles.change(
            local_context(),
            await directory.roles.get(name),
            permissions=tuple(permissions) if permissions else None,
            description=description,
        )
        return shown_role(after)

    _tell(_done(sources, work), f"The role {name} is changed.", as_json=as_json)


def delete_role(sources: Sources, name: str, *, as_json: bool) -> None:
    """Delete a custom role."""

    async def work(directory: Directory) -> JsonObject:
        role = await directory.roles.get(name)
        await directory.roles.delete(local_context(), role)
        return shown_role(role)

    _tell(_done(sources, work), f"The role {name} is deleted.", as_json=as_json)


def _done(sources: Sources, work: Callable[[Directory], Awaitable[T]]) -> T:
    with reported():
        found = on_store(sources, lambda store, _: work(Directory(store, Audit(store))))

    return found


def _role(role: RoleRow) -> JsonObject:
    return shown_role(role, is_built_in=role.name in ROLES)


def _tell(shown: JsonObject, sentence: str, *, as_json: bool) -> None:
    print(json.dumps(shown) if as_json else sentence)


def _show(shown: JsonObject, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(shown))
        return

    print_table(("WHAT", "VALUE"), [(key, _words(value)) for key, value in shown.items()])


def _words(value: Json) -> str:
    if isinstance(value, dict):
        return _roles_by_team(value)

    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"

    return "-" if value in (None, "") else str(value)


def _roles_by_team(teams: Json) -> str:
    held = teams if isinstance(teams, dict) else {}
    return ", ".join(f"{team} ({role})" for team, role in held.items()) or "-"


def _state(user: JsonObject) -> str:
    if user["disabled"]:
        return "disabled"

    return "service" if user["is_service"] else "enabled"
