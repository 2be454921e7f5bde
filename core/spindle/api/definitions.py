"""`/admin/api/v1/gateways/{id}/quarantine` and `…/changes`: what is offered and not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from spindle.api.catalog import BASE
from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.request import Body
from spindle.api.response import ok
from spindle.api.routing import ApiRoute
from spindle.definition_review import Decision

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.api.response import Response
    from spindle.core import Core
    from spindle.definition_review import Review
    from spindle.pinning import DefinitionChange
    from spindle_spi.types import Json, JsonObject

_MAX_NAMES: Final = 1000


class DecisionBody(Body):
    """`POST …/changes`."""

    decision: Decision = Field(strict=False)
    names: Annotated[tuple[str, ...], Field(min_length=1, max_length=_MAX_NAMES)] | None = None
    """Names of records; None means every change there is."""


async def list_left_out(core: Core, request: Request) -> Response:
    """Answer `GET …/quarantine`."""
    request.check_query(*PAGE_KEYS)
    _, found = core.definitions.left_out(request.context, request.path("id"))
    numbered = [
        (f"{number:06}", left)
        # As the upstream lists them: several may have one name.
        for number, left in enumerate(found)
    ]
    page = paged(
        request,
        numbered,
        key=lambda each: each[0],
        show=lambda each: {
            "kind": each[1].kind.value,
            "name": each[1].name,
            "reason": each[1].reason,
            "is_partial": each[1].is_partial,
        },
    )
    return ok({**page, "total": len(found)})


async def list_changes(core: Core, request: Request) -> Response:
    """Answer `GET …/changes`."""
    request.check_query(*PAGE_KEYS)
    review = core.definitions.review(request.context, request.path("id"))
    by_key = {_key(each): each for each in review.changes}
    page = paged(request, by_key, key=str, show=str)
    keys = page["items"]
    chosen = [by_key[str(key)] for key in keys] if isinstance(keys, list) else []
    diffs = await core.definitions.diffs(review, chosen)
    items: list[Json] = [
        {**_shown(each), "diff": diff} for each, diff in zip(chosen, diffs, strict=True)
    ]
    return ok({**page, "items": items, "total": len(review.changes)}, etag=_tag(review))


async def decide(core: Core, request: Request) -> Response:
    """Answer `POST …/changes`."""
    request.check_query()
    review = core.definitions.review(request.context, request.path("id"))
    body = await request.json(DecisionBody)
    request.check_match(_tag(review))
    decided = await core.definitions.decide(request.context, review, body.decision, body.names)
    after = core.definitions.review(request.context, request.path("id"))
    return ok(
        {"decision": body.decision.value, "items": [_shown(each) for each in decided]},
        etag=_tag(after),
    )


def _key(change: DefinitionChange) -> str:
    return f"{change.record.kind.value} {change.record.name}"


def _tag(review: Review) -> str:
    return f'"{review.tag}"'


def _shown(change: DefinitionChange) -> JsonObject:
    return {
        "kind": change.record.kind.value,
        "name": change.record.name,
        "state": change.state.value,
        "is_held": change.is_held,
        "digest": change.digest,
        "approved_digest": (change.pin.digest or None) if change.pin is not None else None,
    }


_ONE: Final = f"{BASE}/gateways/{{id}}"

ROUTES: tuple[ApiRoute, ...] = tuple(
    ApiRoute(method=method, path=path, permission=permission, answer=answer)
    for method, path, permission, answer in (
        ("GET", f"{_ONE}/quarantine", "gateways.read", list_left_out),
        ("GET", f"{_ONE}/changes", "gateways.read", list_changes),
        ("POST", f"{_ONE}/changes", "gateways.update", decide),
    )
)
