"""`/admin/api/v1/limits`: how much a holder may do in a minute, beside the configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.request import Body, etag_of
from spindle.api.response import Response, created, no_content, ok
from spindle.api.routing import ApiRoute
from spindle.api.texts import LONGEST_NAME
from spindle.audit import AuditEntry
from spindle.authority import need
from spindle.spending import check_limit, sees, show_limit
from spindle.store.limits import RateLimitRow
from spindle_spi.errors import FailedPrecondition, NotFound
from spindle_spi.ingress import ANY_CALLER

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.core import Core

_PATH = "/admin/api/v1/limits"
SCOPES: Final = ("token", "user", "team", "role")
_FILTERS: Final = ("scope", "name")


class NewLimit(Body):
    """What a limit is made of; null is no limit."""

    scope: Literal["token", "user", "team", "role"]
    name: Annotated[str, Field(max_length=LONGEST_NAME)]
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class LimitChange(Body):
    """What may be changed; what is not there stays."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


async def list_all(core: Core, request: Request) -> Response:
    """GET: those the caller may know of."""
    request.check_query(*_FILTERS, *PAGE_KEYS)
    request.choice("scope", SCOPES)
    query = request.query
    rows = [
        row
        for row in await core.store.rate_limits.all()
        if sees(request.context, row.scope, row.name, "limits")
        and all(getattr(row, name) == query[name] for name in _FILTERS if name in query)
    ]
    return ok(paged(request, rows, key=lambda row: row.id, show=lambda row: show_limit(row)))


async def create(core: Core, request: Request) -> Response:
    """POST."""
    request.check_query()
    body = await request.json(NewLimit)
    wanted = RateLimitRow(
        scope=body.scope,
        name=body.name.lower() if body.scope == "user" else body.name,
        requests_per_minute=body.requests_per_minute,
        tokens_per_minute=body.tokens_per_minute,
    )
    check_limit(wanted)
    row = await core.store.rate_limits.create(wanted)
    await core.snapshots.refresh()
    await core.audit.record(
        request.context, AuditEntry(action="limits.create", target=row.id, after=show_limit(row))
    )
    return created(show_limit(row), f"{_PATH}/{row.id}", etag=etag_of(row.epoch))


async def fetch(core: Core, request: Request) -> Response:
    """GET one."""
    request.check_query()
    row = await _seen(core, request)
    return ok(show_limit(row), etag=etag_of(row.epoch))


async def change(core: Core, request: Request) -> Response:
    """PATCH."""
    request.check_query()
    row = await _seen(core, request)
    need(request.context, "limits.update")
    request.check_match(etag_of(row.epoch))
    body = await request.json(LimitChange)
    wanted = replace(row, **{name: getattr(body, name) for name in body.model_fields_set})
    check_limit(wanted)
    changed = await core.store.rate_limits.change(wanted)

    if changed is None:
        raise _overtaken()

    await core.snapshots.refresh()
    await core.audit.record(
        request.context,
        AuditEntry(
            action="limits.update",
            target=row.id,
            before=show_limit(row),
            after=show_limit(changed),
        ),
    )
    return ok(show_limit(changed), etag=etag_of(changed.epoch))


async def remove(core: Core, request: Request) -> Response:
    """DELETE."""
    request.check_query()
    row = await _seen(core, request)
    need(request.context, "limits.delete")
    request.check_match(etag_of(row.epoch))

    if not await core.store.rate_limits.delete(row.id):
        raise _absent(row.id)

    await core.snapshots.refresh()
    await core.audit.record(
        request.context, AuditEntry(action="limits.delete", target=row.id, before=show_limit(row))
    )
    return no_content()


ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute(method="GET", path=_PATH, permission=ANY_CALLER, answer=list_all),
    ApiRoute(
        method="POST", path=_PATH, permission="limits.create", answer=create, is_platform=True
    ),
    ApiRoute(method="GET", path=f"{_PATH}/{{id}}", permission=ANY_CALLER, answer=fetch),
    ApiRoute(method="PATCH", path=f"{_PATH}/{{id}}", permission=ANY_CALLER, answer=change),
    ApiRoute(method="DELETE", path=f"{_PATH}/{{id}}", permission=ANY_CALLER, answer=remove),
)


async def _seen(core: Core, request: Request) -> RateLimitRow:
    identity = request.path("id")
    row = await core.store.rate_limits.get(identity)

    if row is None or not sees(request.context, row.scope, row.name, "limits"):
        raise _absent(identity)

    return row


def _absent(identity: str) -> NotFound:
    return NotFound(f"The limit {identity[:64]!r} does not exist.", code="core.limit.not_found")


def _overtaken() -> FailedPrecondition:
    return FailedPrecondition(
        "It was changed meanwhile: read it again, then repeat the change.",
        code="core.record.changed",
        http_status=412,
    )
