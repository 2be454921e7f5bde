"""`/admin/api/v1/users` and `/admin/api/v1/service-accounts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.request import Body, etag_of
from spindle.api.response import created, no_content, ok
from spindle.api.routing import ApiRoute
from spindle.directory.names import missing
from spindle.directory.shown import shown_user
from spindle.directory.users import UserChange

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.api.response import Response
    from spindle.core import Core
    from spindle.store.people import PeopleRows
    from spindle.store.rows import UserRow

_USERS = "/admin/api/v1/users"
_SERVICES = "/admin/api/v1/service-accounts"


class NewUser(Body):
    """What a user is made of."""

    email: str
    name: str = ""
    role: str | None = None
    is_admin: bool = False


class NewService(Body):
    """What a service account is made of."""

    name: str
    role: str | None = None


class ChangedUser(Body):
    """What may change of a user; what is left out stays."""

    name: str | None = None
    role: str | None = None
    is_admin: bool | None = None
    disabled: bool | None = None


async def list_users(core: Core, request: Request) -> Response:
    """Return the users the caller may know of."""
    return await _list(core, request, service=None)


async def list_services(core: Core, request: Request) -> Response:
    """Return the service accounts the caller may know of."""
    return await _list(core, request, service=True)


async def create_user(core: Core, request: Request) -> Response:
    """Make a user."""
    request.check_query()
    body = await request.json(NewUser)
    _spare(core, request, body.email.lower())
    user = await core.directory.users.create(
        request.context, email=body.email, name=body.name, role=body.role, is_admin=body.is_admin
    )
    await core.snapshots.refresh()
    return created(shown_user(user, ()), f"{_USERS}/{user.email}", etag=etag_of(user.epoch))


async def create_service(core: Core, request: Request) -> Response:
    """Make a service account."""
    request.check_query()
    body = await request.json(NewService)
    user = await core.directory.users.create_service(
        request.context, name=body.name, role=body.role
    )
    await core.snapshots.refresh()
    return created(shown_user(user, ()), f"{_SERVICES}/{user.email}", etag=etag_of(user.epoch))


async def get_user(core: Core, request: Request) -> Response:
    """Return a user."""
    request.check_query()
    user, rows = await _found(core, request)
    return ok(shown_user(user, rows.memberships), etag=etag_of(user.epoch))


async def change_user(core: Core, request: Request) -> Response:
    """Change a user, or disable them."""
    request.check_query()
    body = await request.json(ChangedUser)
    user, rows = await _found(core, request)
    request.check_match(etag_of(user.epoch))
    role = body.role

    if role is None and "role" in body.model_fields_set:
        role = ""

    _spare(core, request, user.email)
    change = UserChange(
        name=body.name, role=role, is_admin=body.is_admin, disabled=body.disabled
    )  # fmt: skip
    after = await core.directory.users.change(request.context, user, change)
    await core.snapshots.refresh()
    return ok(shown_user(after, rows.memberships), etag=etag_of(after.epoch))


async def delete_user(core: Core, request: Request) -> Response:
    """Delete a user; their tokens are revoked."""
    request.check_query()
    user, _ = await _found(core, request)
    request.check_match(etag_of(user.epoch))
    _spare(core, request, user.email)
    await core.directory.users.delete(request.context, user)
    await core.snapshots.refresh()
    return no_content()


async def _list(core: Core, request: Request, *, service: bool | None) -> Response:
    request.check_query(*PAGE_KEYS)
    users, rows = await core.directory.users.seen(request.context, service=service)
    return ok(
        paged(
            request,
            users,
            key=lambda user: user.email,
            show=lambda user: shown_user(user, rows.memberships),
        )
    )


def _spare(core: Core, request: Request, email: str) -> None:
    """Let the caller see the answer when the change is of themselves."""
    if email == request.context.subject.user_email:
        core.identity.spare(request.context.subject)


async def _found(core: Core, request: Request) -> tuple[UserRow, PeopleRows]:
    email = request.path("email")
    user, rows = await core.directory.users.get(request.context, email)

    if request.scope["path"].startswith(_SERVICES) and not user.is_service:
        raise missing("user", email)

    return user, rows


ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute(method="GET", path=_USERS, permission="users.read", answer=list_users),
    ApiRoute(method="POST", path=_USERS, permission="users.create", answer=create_user),
    ApiRoute(method="GET", path=_SERVICES, permission="users.read", answer=list_services),
    ApiRoute(method="POST", path=_SERVICES, permission="users.create", answer=create_service),
    *(
        route
        for base in (_USERS, _SERVICES)
        for route in (
            ApiRoute(
                method="GET", path=f"{base}/{{email}}", permission="users.read", answer=get_user
            ),
            ApiRoute(
                method="PATCH",
                path=f"{base}/{{email}}",
                permission="users.update",
                answer=change_user,
            ),
            ApiRoute(
                method="DELETE",
                path=f"{base}/{{email}}",
                permission="users.delete",
                answer=delete_user,
            ),
        )
    ),
)
