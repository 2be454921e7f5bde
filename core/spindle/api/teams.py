"""`/admin/api/v1/teams` and the members of a team."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.request import Body, etag_of
from spindle.api.response import created, no_content, ok
from spindle.api.routing import ApiRoute
from spindle.directory.shown import shown_member, shown_team

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.api.response import Response
    from spindle.core import Core

_TEAMS = "/admin/api/v1/teams"
_TEAM = f"{_TEAMS}/{{team}}"
_MEMBERS = f"{_TEAM}/members"
_MEMBER = f"{_MEMBERS}/{{email}}"


class NewTeam(Body):
    """What a team is made of."""

    name: str
    description: str = ""


class ChangedTeam(Body):
    """What may change of a team."""

    description: str


class Member(Body):
    """What a membership is made of."""

    role: str


async def list_teams(core: Core, request: Request) -> Response:
    """Return the teams the caller may know of."""
    request.check_query(*PAGE_KEYS)
    teams = await core.directory.teams.seen(request.context)
    return ok(paged(request, teams, key=lambda team: team.name, show=shown_team))


async def create_team(core: Core, request: Request) -> Response:
    """Make a team."""
    request.check_query()
    body = await request.json(NewTeam)
    team = await core.directory.teams.create(
        request.context, name=body.name, description=body.description
    )
    await core.snapshots.refresh()
    return created(shown_team(team), f"{_TEAMS}/{team.name}", etag=etag_of(team.epoch))


async def get_team(core: Core, request: Request) -> Response:
    """Return a team."""
    request.check_query()
    team = await core.directory.teams.get(request.context, request.path("team"))
    return ok(shown_team(team), etag=etag_of(team.epoch))


async def change_team(core: Core, request: Request) -> Response:
    """Change a team."""
    request.check_query()
    body = await request.json(ChangedTeam)
    team = await core.directory.teams.get(request.context, request.path("team"))
    request.check_match(etag_of(team.epoch))
    after = await core.directory.teams.change(
        request.context, team, description=body.description
    )  # fmt: skip
    await core.snapshots.refresh()
    return ok(shown_team(after), etag=etag_of(after.epoch))


async def delete_team(core: Core, request: Request) -> Response:
    """Delete an empty team."""
    request.check_query()
    team = await core.directory.teams.get(request.context, request.path("team"))
    request.check_match(etag_of(team.epoch))
    await core.directory.teams.delete(request.context, team)
    await core.snapshots.refresh()
    return no_content()


async def list_members(core: Core, request: Request) -> Response:
    """Return a team's members."""
    request.check_query(*PAGE_KEYS)
    members = await core.directory.teams.members(request.context, request.path("team"))
    return ok(paged(request, members, key=lambda member: member.email, show=shown_member))


async def put_member(core: Core, request: Request) -> Response:
    """Make somebody a member, or give a member another role."""
    request.check_query()
    body = await request.json(Member)
    team = await core.directory.teams.get(request.context, request.path("team"))
    _spare(core, request)
    member = await core.directory.teams.put_member(
        request.context, team, request.path("email"), body.role
    )
    await core.snapshots.refresh()
    return ok(shown_member(member))


async def remove_member(core: Core, request: Request) -> Response:
    """Take somebody out of a team."""
    request.check_query()
    team = await core.directory.teams.get(request.context, request.path("team"))
    _spare(core, request)
    await core.directory.teams.remove_member(request.context, team, request.path("email"))
    await core.snapshots.refresh()
    return no_content()


def _spare(core: Core, request: Request) -> None:
    """Let the caller see the answer when the change is of themselves."""
    if request.path("email").lower() == request.context.subject.user_email:
        core.identity.spare(request.context.subject)


ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute(method="GET", path=_TEAMS, permission="teams.read", answer=list_teams),
    ApiRoute(method="POST", path=_TEAMS, permission="teams.create", answer=create_team),
    ApiRoute(method="GET", path=_TEAM, permission="teams.read", answer=get_team),
    ApiRoute(method="PATCH", path=_TEAM, permission="teams.update", answer=change_team),
    ApiRoute(method="DELETE", path=_TEAM, permission="teams.delete", answer=delete_team),
    ApiRoute(method="GET", path=_MEMBERS, permission="teams.read", answer=list_members),
    ApiRoute(method="PUT", path=_MEMBER, permission="teams.update", answer=put_member),
    ApiRoute(method="DELETE", path=_MEMBER, permission="teams.update", answer=remove_member),
)
