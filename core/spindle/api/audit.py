"""`/admin/api/v1/audit`: reading and exporting the audit log. Nothing changes it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from spindle.api.paging import PAGE_KEYS, page_limit, page_of, read_cursor
from spindle.api.response import Response, ok
from spindle.api.routing import ApiRoute
from spindle.store.audit import AuditFilter, AuditLog, AuditRow
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle.api.request import Request
    from spindle.core import Core
    from spindle_spi.types import JsonObject

_PATH = "/admin/api/v1/audit"
_FILTERS: Final = ("actor", "action", "target", "decision", "request_id", "since", "until")
_DECISIONS: Final = ("allowed", "denied", "failed")
_EXPORTED = 500


async def list_audit(core: Core, request: Request) -> Response:
    """Return a page of entries, the newest first."""
    request.check_query(*PAGE_KEYS, *_FILTERS)
    limit = page_limit(request)
    rows = await core.store.audit.page(
        _filter(request), after=read_cursor(request), limit=limit + 1
    )
    return ok(page_of(rows, limit, key=lambda row: row.id, show=show))


async def export_audit(core: Core, request: Request) -> Response:
    """Return every entry that is wanted as lines of JSON, the newest first."""
    request.check_query(*_FILTERS)
    return Response(
        body=json_lines(core.store.audit, _filter(request)), content_type="application/x-ndjson"
    )


ROUTES = (
    ApiRoute(
        method="GET", path=_PATH, permission="audit.read", answer=list_audit, is_platform=True
    ),
    ApiRoute(
        method="GET",
        path=f"{_PATH}/export",
        permission="audit.read",
        answer=export_audit,
        is_platform=True,
    ),
)


async def json_lines(log: AuditLog, wanted: AuditFilter) -> AsyncGenerator[bytes]:
    """Yield entries as lines of JSON, some hundreds at a time."""
    after: str | None = None

    while rows := await log.page(wanted, after=after, limit=_EXPORTED):
        yield "".join(f"{json.dumps(show(row))}\n" for row in rows).encode()
        after = rows[-1].id


def show(row: AuditRow) -> JsonObject:
    """Return an entry as the control plane and `spindle audit` show it."""
    return {
        "id": row.id,
        "at": datetime.fromtimestamp(row.at, UTC).isoformat(timespec="milliseconds"),
        "actor": row.actor,
        "token_id": row.token_id,
        "action": row.action,
        "target_kind": row.target_kind,
        "target": row.target,
        "decision": row.decision,
        "reason": row.reason,
        "request_id": row.request_id,
        "client_ip": row.client_ip,
        "before": None if row.before is None else json.loads(row.before),
        "after": None if row.after is None else json.loads(row.after),
    }


def moment(text: str) -> float:
    """Return a moment written as seconds since the epoch or by ISO 8601, in UTC unless it says.

    Raises:
        ValueError: It is neither.
    """
    if text.isascii() and text.isdigit():
        return float(text)

    said = datetime.fromisoformat(text)
    return (said if said.tzinfo is not None else said.replace(tzinfo=UTC)).timestamp()


def _filter(request: Request) -> AuditFilter:
    query = request.query
    decision = query.get("decision")

    if decision not in (None, *_DECISIONS):
        raise InvalidArgument(f"decision: expected one of {', '.join(_DECISIONS)}.")

    return AuditFilter(
        actor=query.get("actor"),
        action=query.get("action"),
        target=query.get("target"),
        decision=decision,
        request_id=query.get("request_id"),
        since=_moment(request, "since"),
        until=_moment(request, "until"),
    )


def _moment(request: Request, name: str) -> float | None:
    text = request.query.get(name)

    try:
        return None if text is None else moment(text)
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"{name}: expected a time such as 2030-01-31T12:00:00Z, or seconds since 1970."
        ) from None
