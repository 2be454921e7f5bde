"""`/admin/api/v1/me`: who the caller is here, and what they may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.api.response import ok
from spindle.api.routing import ApiRoute
from spindle.authority import sees_everything
from spindle.directory.shown import moment
from spindle_spi.ingress import ANY_CALLER

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.api.response import Response
    from spindle.core import Core


async def show_me(core: Core, request: Request) -> Response:
    """Return the caller."""
    request.check_query()
    subject, scope = request.context.subject, request.context.visibility_scope
    token_id = subject.token_id
    snapshot = core.snapshots.current
    known = None if subject.user_email is None else snapshot.people.users.get(subject.user_email)
    return ok(
        {
            "user": subject.user_email,
            "name": "" if known is None else known.name,
            "token_id": token_id,
            "is_admin": subject.is_admin,
            "sees_everything": sees_everything(request.context),
            "teams": None if subject.token_teams is None else list(subject.token_teams),
            "permissions": list(scope.permissions),
            "team_permissions": {
                grant.team: list(grant.permissions) for grant in scope.team_grants
            },
            "server_id": scope.server_id,
            "expires_at": moment(None if token_id is None else snapshot.expiries.get(token_id)),
        }
    )


ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute(method="GET", path="/admin/api/v1/me", permission=ANY_CALLER, answer=show_me),
)
