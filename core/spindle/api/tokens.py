"""`/admin/api/v1/tokens`: everybody's own, and others' for who manages them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.request import Body, etag_of
from spindle.api.response import created, no_content, ok
from spindle.api.routing import ApiRoute
from spindle.decisions import seen
from spindle.directory.shown import shown_token
from spindle.directory.tokens import TokenWish
from spindle_spi.context import TimeWindow
from spindle_spi.errors import InvalidArgument
from spindle_spi.records import Kind, Target

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.api.response import Response
    from spindle.core import Core
    from spindle.store import TokenRow

_TOKENS = "/admin/api/v1/tokens"
_TOKEN = f"{_TOKENS}/{{token}}"


class Hours(Body):
    """A window of the week in UTC: Monday is 0, minutes after midnight."""

    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    start_minute: int = 0
    end_minute: int = 1440


class NewToken(Body):
    """What a token is to be; what is left out is the caller's own."""

    name: str = "token"
    user: str | None = None
    unowned: bool = False
    role: str | None = None
    admin: bool = False
    teams: tuple[str, ...] | None = None
    permissions: tuple[str, ...] | None = None
    server: str | None = None
    addresses: tuple[str, ...] = ()
    hours: tuple[Hours, ...] = ()
    expires_at: datetime | None = None


class ChangedToken(Body):
    """What may change of a token; what is left out stays."""

    name: str | None = None
    teams: tuple[str, ...] | None = None
    permissions: tuple[str, ...] | None = None
    addresses: tuple[str, ...] | None = None
    hours: tuple[Hours, ...] | None = None
    expires_at: datetime | None = None


async def list_tokens(core: Core, request: Request) -> Response:
    """Return the tokens the caller may know of, never their text."""
    request.check_query(*PAGE_KEYS)
    tokens = await core.directory.tokens.seen(request.context)
    return ok(paged(request, tokens, key=lambda token: token.id, show=shown_token))


async def create_token(core: Core, request: Request) -> Response:
    """Make a token and show its text, once."""
    request.check_query()
    body = await request.json(NewToken)
    server_id = None

    if body.server is not None:
        target = Target(kind=Kind.SERVER, name=body.server)
        server_id = seen(core.snapshots.current, request.context, target).id

    wish = TokenWish(
        name=body.name,
        user=body.user,
        unowned=body.unowned,
        role=body.role,
        is_admin=body.admin,
        teams=body.teams,
        permissions=body.permissions,
        server_id=server_id,
        ip_restrictions=body.addresses,
        time_restrictions=_windows(body.hours),
        expires_at=_seconds(body.expires_at),
    )
    text, row = await core.directory.tokens.create(request.context, wish)
    await core.snapshots.refresh()
    shown = {"token": text.reveal(), **shown_token(row)}
    return created(shown, f"{_TOKENS}/{row.id}", etag=etag_of(row.epoch))


async def get_token(core: Core, request: Request) -> Response:
    """Return a token, never its text."""
    request.check_query()
    row = await core.directory.tokens.get(request.context, request.path("token"))
    return ok(shown_token(row), etag=etag_of(row.epoch))


async def change_token(core: Core, request: Request) -> Response:
    """Change a token's name or limits."""
    request.check_query()
    body = await request.json(ChangedToken)
    row = await core.directory.tokens.get(request.context, request.path("token"))
    request.check_match(etag_of(row.epoch))
    _spare(core, request, row)
    after = await core.directory.tokens.change(request.context, row, _changed(row, body))
    await core.snapshots.refresh()
    return ok(shown_token(after), etag=etag_of(after.epoch))


async def rotate_token(core: Core, request: Request) -> Response:
    """Give a token a new text and show it, once; the old one ends at once."""
    request.check_query()
    row = await core.directory.tokens.get(request.context, request.path("token"))
    request.check_match(etag_of(row.epoch))
    _spare(core, request, row)
    text, after = await core.directory.tokens.rotate(request.context, row)
    await core.snapshots.refresh()
    return ok({"token": text.reveal(), **shown_token(after)}, etag=etag_of(after.epoch))


async def revoke_token(core: Core, request: Request) -> Response:
    """Revoke a token for good."""
    request.check_query()
    row = await core.directory.tokens.get(request.context, request.path("token"))
    request.check_match(etag_of(row.epoch))
    _spare(core, request, row)
    await core.directory.tokens.revoke(request.context, row)
    await core.snapshots.refresh()
    return no_content()


def _spare(core: Core, request: Request, row: TokenRow) -> None:
    """Let the caller see the answer when the change is of the very token they came with."""
    if row.id == request.context.subject.token_id:
        core.identity.spare(request.context.subject)


def _changed(row: TokenRow, body: ChangedToken) -> TokenRow:
    said = body.model_fields_set

    if "expires_at" in said:
        row = replace(row, expires_at=_seconds(body.expires_at))

    if "teams" in said:
        if body.teams is None and row.user_email is None and not row.is_admin:
            raise InvalidArgument("teams: a token of nobody has teams, maybe none.")

        row = replace(row, teams=body.teams)

    return replace(
        row,
        name=row.name if body.name is None else body.name,
        permissions=row.permissions if body.permissions is None else body.permissions,
        ip_restrictions=row.ip_restrictions if body.addresses is None else body.addresses,
        time_restrictions=(
            row.time_restrictions if body.hours is None else _windows(body.hours)
        ),
    )  # fmt: skip


def _windows(hours: tuple[Hours, ...]) -> tuple[TimeWindow, ...]:
    return tuple(
        TimeWindow(days=each.days, start_minute=each.start_minute, end_minute=each.end_minute)
        for each in hours
    )


def _seconds(moment: datetime | None) -> float | None:
    if moment is None:
        return None

    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute(method="GET", path=_TOKENS, permission="tokens.read", answer=list_tokens),
    ApiRoute(method="POST", path=_TOKENS, permission="tokens.create", answer=create_token),
    ApiRoute(method="GET", path=_TOKEN, permission="tokens.read", answer=get_token),
    ApiRoute(method="PATCH", path=_TOKEN, permission="tokens.create", answer=change_token),
    ApiRoute(method="DELETE", path=_TOKEN, permission="tokens.revoke", answer=revoke_token),
    ApiRoute(
        method="POST", path=f"{_TOKEN}/rotate", permission="tokens.create", answer=rotate_token
    ),
)
