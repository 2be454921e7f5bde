"""`/admin/api/v1/budgets`: how much may be spent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, model_validator

from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.request import Body, etag_of
from spindle.api.response import Response, created, no_content, ok
from spindle.api.routing import ApiRoute
from spindle.api.texts import LONGEST_NAME
from spindle.audit import AuditEntry
from spindle.authority import need
from spindle.spending import check_budget, sees, show_budget, totals_of
from spindle.store.budgets import BudgetRow
from spindle_spi.errors import FailedPrecondition, InvalidArgument, NotFound
from spindle_spi.ingress import ANY_CALLER

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.core import Core

_PATH = "/admin/api/v1/budgets"
SCOPES: Final = ("global", "token", "user", "team")
PERIODS: Final = ("day", "week", "month", "total")
_FILTERS: Final = ("scope", "name", "period")


class NewBudget(Body):
    """What a budget is made of."""

    scope: Literal["global", "token", "user", "team"]
    name: Annotated[str, Field(max_length=LONGEST_NAME)] = ""
    period: Literal["day", "week", "month", "total"]
    limit_usd: float | None = None
    limit_tokens: int | None = None
    mode: Literal["hard", "soft"] = "hard"


class BudgetChange(Body):
    """What may be changed; what is not there stays."""

    limit_usd: float | None = None
    limit_tokens: int | None = None
    mode: Literal["hard", "soft"] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> BudgetChange:
        if not self.model_fields_set:
            raise ValueError("expected limit_usd, limit_tokens or mode")

        return self


async def list_all(core: Core, request: Request) -> Response:
    """GET: those the caller may know of, with what is spent."""
    request.check_query(*_FILTERS, *PAGE_KEYS)
    request.choice("scope", SCOPES)
    request.choice("period", PERIODS)
    query = request.query
    rows = [
        row
        for row in await core.store.budgets.all()
        if sees(request.context, row.scope, row.name, "budgets")
        and all(getattr(row, name) == query[name] for name in _FILTERS if name in query)
    ]
    totals = await totals_of(core.store, rows)
    return ok(
        paged(request, rows, key=lambda row: row.id, show=lambda row: show_budget(row, totals))
    )


async def create(core: Core, request: Request) -> Response:
    """POST."""
    request.check_query()
    body = await request.json(NewBudget)
    wanted = BudgetRow(
        scope=body.scope,
        name=body.name.lower() if body.scope == "user" else body.name,
        period=body.period,
        limit_usd=body.limit_usd,
        limit_tokens=body.limit_tokens,
        is_hard=body.mode == "hard",
    )
    check_budget(wanted)
    row = await core.store.budgets.create(wanted)
    await core.snapshots.refresh()
    await core.audit.record(
        request.context, AuditEntry(action="budgets.create", target=row.id, after=show_budget(row))
    )
    return created(show_budget(row), f"{_PATH}/{row.id}", etag=etag_of(row.epoch))


async def fetch(core: Core, request: Request) -> Response:
    """GET one."""
    request.check_query()
    row = await _seen(core, request)
    totals = await totals_of(core.store, [row])
    return ok(show_budget(row, totals), etag=etag_of(row.epoch))


async def change(core: Core, request: Request) -> Response:
    """PATCH."""
    request.check_query()
    row = await _seen(core, request)
    need(request.context, "budgets.update")
    request.check_match(etag_of(row.epoch))
    body = await request.json(BudgetChange)
    given = body.model_fields_set

    if "mode" in given and body.mode is None:
        raise InvalidArgument("mode: expected hard or soft.")

    wanted = replace(
        row,
        limit_usd=body.limit_usd if "limit_usd" in given else row.limit_usd,
        limit_tokens=body.limit_tokens if "limit_tokens" in given else row.limit_tokens,
        is_hard=body.mode == "hard" if "mode" in given else row.is_hard,
    )
    check_budget(wanted)
    changed = await core.store.budgets.change(wanted)

    if changed is None:
        raise _overtaken()

    await core.snapshots.refresh()
    await core.audit.record(
        request.context,
        AuditEntry(
            action="budgets.update",
            target=row.id,
            before=show_budget(row),
            after=show_budget(changed),
        ),
    )
    return ok(show_budget(changed), etag=etag_of(changed.epoch))


async def remove(core: Core, request: Request) -> Response:
    """DELETE."""
    request.check_query()
    row = await _seen(core, request)
    need(request.context, "budgets.delete")
    request.check_match(etag_of(row.epoch))

    if not await core.store.budgets.delete(row.id):
        raise _absent(row.id)

    await core.snapshots.refresh()
    await core.audit.record(
        request.context, AuditEntry(action="budgets.delete", target=row.id, before=show_budget(row))
    )
    return no_content()


ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute(method="GET", path=_PATH, permission=ANY_CALLER, answer=list_all),
    ApiRoute(
        method="POST", path=_PATH, permission="budgets.create", answer=create, is_platform=True
    ),
    ApiRoute(method="GET", path=f"{_PATH}/{{id}}", permission=ANY_CALLER, answer=fetch),
    ApiRoute(method="PATCH", path=f"{_PATH}/{{id}}", permission=ANY_CALLER, answer=change),
    ApiRoute(method="DELETE", path=f"{_PATH}/{{id}}", permission=ANY_CALLER, answer=remove),
)


async def _seen(core: Core, request: Request) -> BudgetRow:
    identity = request.path("id")
    row = await core.store.budgets.get(identity)

    if row is None or not sees(request.context, row.scope, row.name, "budgets"):
        raise _absent(identity)

    return row


def _absent(identity: str) -> NotFound:
    return NotFound(f"The budget {identity[:64]!r} does not exist.", code="core.budget.not_found")


def _overtaken() -> FailedPrecondition:
    return FailedPrecondition(
        "It was changed meanwhile: read it again, then repeat the change.",
        code="core.record.changed",
        http_status=412,
    )
