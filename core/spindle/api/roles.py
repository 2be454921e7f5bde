"""`/admin/api/v1/roles`: built-in roles to look at, custom ones to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.request import Body, etag_of
from spindle.api.response import created, no_content, ok
from spindle.api.routing import ApiRoute
from spindle.directory.shown import shown_role
from spindle_spi.policy import ROLES as BUILT_IN

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.api.response import Response
    from spindle.core import Core
    from spindle.store.rows import RoleRow
    from spindle_spi.types import JsonObject

_ROLES = "/admin/api/v1/roles"
_ROLE = f"{_ROLES}/{{role}}"


class NewRole(Body):
    """What a custom role is made of."""

    name: str
    description: str = ""
    permissions: tuple[str, ...]


class ChangedRole(Body):
    """What may change of a custom role; what is left out stays."""

    description: str | None = None
    permissions: tuple[str, ...] | None = None


async def list_roles(core: Core, request: Request) -> Response:
    """Return every role."""
    request.check_query(*PAGE_KEYS)
    return ok(
        paged(request, await core.directory.roles.all(), key=lambda role: role.name, show=_shown)
    )


async def create_role(core: Core, request: Request) -> Response:
    """Make a custom role."""
    request.check_query()
    body = await request.json(NewRole)
    role = await core.directory.roles.create(
        request.context,
        name=body.name,
        description=body.description,
        permissions=body.permissions,
        more=_of_routes(core),
    )
    await core.snapshots.refresh()
    return created(_shown(role), f"{_ROLES}/{role.name}", etag=etag_of(role.epoch))


async def get_role(core: Core, request: Request) -> Response:
    """Return a role."""
    request.check_query()
    role = await core.directory.roles.get(request.path("role"))
    return ok(_shown(role), etag=etag_of(role.epoch))


async def change_role(core: Core, request: Request) -> Response:
    """Change a custom role; in force for everybody who has it at once."""
    request.check_query()
    body = await request.json(ChangedRole)
    role = await core.directory.roles.get(request.path("role"))
    request.check_match(etag_of(role.epoch))
    after = await core.directory.roles.change(
        request.context,
        role,
        description=body.description,
        permissions=body.permissions,
        more=_of_routes(core),
    )
    await core.snapshots.refresh()
    return ok(_shown(after), etag=etag_of(after.epoch))


async def delete_role(core: Core, request: Request) -> Response:
    """Delete a custom role nobody has."""
    request.check_query()
    role = await core.directory.roles.get(request.path("role"))
    request.check_match(etag_of(role.epoch))
    await core.directory.roles.delete(request.context, role)
    await core.snapshots.refresh()
    return no_content()


def _shown(role: RoleRow) -> JsonObject:
    return shown_role(role, is_built_in=role.name in BUILT_IN)


def _of_routes(core: Core) -> set[str]:
    """Return the permissions that routes need: the core's own, and those of running modules."""
    routes = [*core.routes(), *(route for owner in core.owners.values() for route in owner.routes)]
    return {route.permission for route in routes if isinstance(route.permission, str)}


ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute(method="GET", path=_ROLES, permission="roles.read", answer=list_roles),
    ApiRoute(method="POST", path=_ROLES, permission="roles.create", answer=create_role),
    ApiRoute(method="GET", path=_ROLE, permission="roles.read", answer=get_role),
    ApiRoute(method="PATCH", path=_ROLE, permission="roles.update", answer=change_role),
    ApiRoute(method="DELETE", path=_ROLE, permission="roles.delete", answer=delete_role),
)
