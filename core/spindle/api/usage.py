"""`/usage`: what calls used, summed and one by one, as JSON or CSV."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spindle.api.paging import PAGE_KEYS, page_limit, page_of, read_cursor
from spindle.api.response import Response, ok
from spindle.api.routing import ApiRoute
from spindle.store.usage_reports import UsageFilter
from spindle.usage import (
    RECORD_COLUMNS,
    SUM_COLUMNS,
    csv_lines,
    dimensions_of,
    moment_of,
    scope_of,
    show_record,
    show_sum,
    sum_cells,
)
from spindle_spi.errors import InvalidArgument
from spindle_spi.ingress import ANY_CALLER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from spindle.api.request import Request
    from spindle.core import Core
    from spindle.store import UsageRow

_FILTERS = ("token", "user", "team", "model", "provider", "kind", "status")
_KEYS = (*_FILTERS, "since", "until", "format", *PAGE_KEYS)
_CSV_PAGE = 500


async def sums(core: Core, request: Request) -> Response:
    """GET /usage."""
    request.check_query("by", *_KEYS)
    by = dimensions_of(request.query.get("by", "model"))
    limit = page_limit(request)
    which, reports = _filter(request), core.store.usage_reports
    after = read_cursor(request)

    if _wants_csv(request):
        return _csv(_sum_lines(core, by, which, after), (*by, *SUM_COLUMNS))

    rows = await reports.grouped(by, which, after=after, most=limit + 1)
    return ok(page_of(rows, limit, key=lambda row: row.cursor, show=show_sum))


async def records(core: Core, request: Request) -> Response:
    """GET /usage/records."""
    request.check_query(*_KEYS)
    limit = page_limit(request)
    which, before = _filter(request), _place(read_cursor(request))

    if _wants_csv(request):
        return _csv(_record_lines(core, which, before), RECORD_COLUMNS)

    rows = await core.store.usage_reports.records(which, before=before, most=limit + 1)
    return ok(page_of(rows, limit, key=_cursor, show=show_record))


ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute(method="GET", path="/usage", permission=ANY_CALLER, answer=sums),
    ApiRoute(method="GET", path="/usage/records", permission=ANY_CALLER, answer=records),
)


def _filter(request: Request) -> UsageFilter:
    query = request.query
    since, until = query.get("since"), query.get("until")
    return UsageFilter(
        scope=scope_of(request.context),
        since=None if since is None else moment_of(since, "since"),
        until=None if until is None else moment_of(until, "until"),
        equal={name: query[name] for name in _FILTERS if name in query},
    )


def _wants_csv(request: Request) -> bool:
    said = request.query.get("format")

    if said is not None:
        if said not in ("csv", "json"):
            raise InvalidArgument("format: expected csv or json.")

        return said == "csv"

    return (request.header("accept") or "").startswith("text/csv")


def _csv(lines: AsyncIterator[bytes], titles: Sequence[str]) -> Response:
    async def whole() -> AsyncIterator[bytes]:
        yield csv_lines([titles])

        async for part in lines:
            yield part

    return Response(
        body=whole(),
        content_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="usage.csv"'},
    )


async def _sum_lines(
    core: Core, by: Sequence[str], which: UsageFilter, after: str | None
) -> AsyncIterator[bytes]:
    while rows := await core.store.usage_reports.grouped(by, which, after=after, most=_CSV_PAGE):
        yield csv_lines(sum_cells(row) for row in rows)

        if len(rows) < _CSV_PAGE or not by:
            return

        after = rows[-1].cursor


async def _record_lines(
    core: Core, which: UsageFilter, before: tuple[float, str] | None
) -> AsyncIterator[bytes]:
    while rows := await core.store.usage_reports.records(which, before=before, most=_CSV_PAGE):
        yield csv_lines([getattr(row, name) for name in RECORD_COLUMNS] for row in rows)

        if len(rows) < _CSV_PAGE:
            return

        before = rows[-1].at, rows[-1].id


def _cursor(row: UsageRow) -> str:
    return json.dumps([row.at, row.id])


def _place(cursor: str | None) -> tuple[float, str] | None:
    if cursor is None:
        return None

    try:
        at, identity = json.loads(cursor)
        return float(at), str(identity)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidArgument("cursor: expected a `next_cursor` of an earlier page.") from None
