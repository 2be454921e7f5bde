"""`/admin/api/v1/invitations`, and how somebody takes one: `/invitations/{secret}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.request import Body
from spindle.api.response import created, no_content, ok
from spindle.api.routing import ApiRoute
from spindle.directory.shown import moment, shown_invitation, shown_token
from spindle.ingress.requests import credential_of, read_headers
from spindle_spi.errors import InvalidArgument
from spindle_spi.ingress import PUBLIC

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.api.response import Response
    from spindle.core import Core

_INVITATIONS = "/admin/api/v1/invitations"
_INVITATION = f"{_INVITATIONS}/{{invitation}}"
_ACCEPT = f"{_INVITATIONS}/accept"
_BODY_LIMIT = 4096
_HOW = (
    'POST {"secret": …} to the path under `accept`, with your token; '
    'without one, as somebody new, say your "email" and "name" there, too.'
)


class NewInvitation(Body):
    """What an invitation is made of."""

    team: str
    role: str = "developer"
    platform_role: str | None = None
    email: str | None = None
    days: float = 7.0


class Acceptance(Body):
    """What takes an invitation; who comes without a credential says who they are."""

    secret: str
    name: str = ""
    email: str | None = None


async def list_invitations(core: Core, request: Request) -> Response:
    """Return the invitations to teams the caller may invite to."""
    request.check_query(*PAGE_KEYS)
    rows = await core.directory.invitations.seen(request.context)
    return ok(paged(request, rows, key=lambda row: row.id, show=shown_invitation))


async def create_invitation(core: Core, request: Request) -> Response:
    """Make an invitation and show its link, once."""
    request.check_query()
    body = await request.json(NewInvitation)
    secret, row = await core.directory.invitations.create(
        request.context,
        team=body.team,
        role=body.role,
        platform_role=body.platform_role,
        email=body.email,
        days=body.days,
    )
    shown = {
        "link": f"/invitations/{secret.reveal()}",
        "secret": secret.reveal(),
        **shown_invitation(row),
    }
    return created(shown, f"{_INVITATIONS}/{row.id}")


async def get_invitation(core: Core, request: Request) -> Response:
    """Return an invitation, never its link."""
    request.check_query()
    row = await core.directory.invitations.get(request.context, request.path("invitation"))
    return ok(shown_invitation(row))


async def revoke_invitation(core: Core, request: Request) -> Response:
    """Revoke an open invitation."""
    request.check_query()
    row = await core.directory.invitations.get(request.context, request.path("invitation"))
    await core.directory.invitations.revoke(request.context, row)
    return no_content()


async def show_invitation(core: Core, request: Request) -> Response:
    """Return what the link of an invitation offers."""
    request.check_query()
    row = await core.directory.invitations.find(request.path("secret"))
    return ok(
        {
            "team": row.team,
            "role": row.role,
            "email": row.email,
            "expires_at": moment(row.expires_at),
            "accept": _ACCEPT,
            "how": _HOW,
        }
    )


async def accept_invitation(core: Core, request: Request) -> Response:
    """Take an invitation: with a credential as that person, without one as somebody new."""
    request.check_query()
    body = await request.json(Acceptance)
    credential = credential_of(read_headers(request.scope))
    desk = core.directory.invitations

    if credential is not None:
        context = core.identity.resolve(
            credential=credential, client_ip=request.client_ip, trace=request.context.trace
        )
        row = await desk.accept(context, body.secret)
        await core.snapshots.refresh()
        return ok({"team": row.team, "role": row.role, "user": context.subject.user_email})

    if body.email is None:
        raise InvalidArgument("email: say who you are, or come with a credential.")

    row, text, token = await desk.accept_new(
        request.context, body.secret, name=body.name, email=body.email
    )
    await core.snapshots.refresh()
    return ok(
        {
            "team": row.team,
            "role": row.role,
            "user": token.user_email,
            "token": text.reveal(),
            "token_id": shown_token(token)["id"],
        }
    )


ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute(
        method="GET", path=_INVITATIONS, permission="teams.invite", answer=list_invitations
    ),
    ApiRoute(
        method="POST", path=_INVITATIONS, permission="teams.invite", answer=create_invitation
    ),
    ApiRoute(
        method="POST",
        path=_ACCEPT,
        permission=PUBLIC,
        answer=accept_invitation,
        body_limit=_BODY_LIMIT,
    ),
    ApiRoute(method="GET", path=_INVITATION, permission="teams.invite", answer=get_invitation),
    ApiRoute(
        method="DELETE", path=_INVITATION, permission="teams.invite", answer=revoke_invitation
    ),
    ApiRoute(
        method="GET", path="/invitations/{secret}", permission=PUBLIC, answer=show_invitation
    ),
)  # fmt: skip
