"""`/admin/api/v1/{providers,models,gateways,servers,tools,…}`: the catalog, record by record."""

from __future__ import annotations

import json
import math
import re
from functools import partial
from typing import TYPE_CHECKING, Final

from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.request import Body, etag_of
from spindle.api.response import created, no_content, ok
from spindle.api.routing import ApiRoute
from spindle.api.texts import check_value
from spindle.catalog.access import may_change, without_unknown
from spindle.catalog.kinds import KINDS, KindRules
from spindle.catalog.shown import FILTERS, RecordFilter, shown
from spindle_spi.errors import InvalidArgument
from spindle_spi.policy import Action
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle.api.request import Request
    from spindle.api.response import Response
    from spindle.core import Core
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject

BASE: Final = "/admin/api/v1"

_EPOCH = re.compile(r"[0-9]{1,19}")
_SOURCE = {
    Kind.MODEL: "provider",
    Kind.TOOL: "gateway",
    Kind.RESOURCE: "gateway",
    Kind.RESOURCE_TEMPLATE: "gateway",
    Kind.PROMPT: "gateway",
}
"""The filter by what serves a record, where something does."""


class StateBody(Body):
    """`POST …/{id}/state`."""

    enabled: bool


async def json_object(request: Request) -> JsonObject:
    """Return the body as an object, its values unread.

    Raises:
        InvalidArgument: It is none, or has a text that no database keeps.
    """
    try:
        data: Json = json.loads(
            await request.body(), parse_constant=_refuse_constant, parse_float=_finite
        )
    except (ValueError, RecursionError):
        raise InvalidArgument("The body is not valid JSON.") from None

    if not isinstance(data, dict):
        raise InvalidArgument("The body is no object.")

    check_value(data)
    return data


def expected_of(request: Request) -> frozenset[int] | None:
    """Return the epochs that If-Match takes; None takes any. A tag that is none of ours is -1."""
    wanted = request.header("if-match")

    if wanted is None or wanted.strip() == "*":
        return None

    tags = (tag.strip().removeprefix("W/").strip('"') for tag in wanted.split(","))
    return frozenset(int(tag) if _EPOCH.fullmatch(tag) else -1 for tag in tags)


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)

    if not math.isfinite(number):
        raise ValueError(text)

    return number


def _name_of(record: CatalogRecord) -> str:
    return record.name


def _answer(core: Core, request: Request, record: CatalogRecord) -> tuple[JsonObject, str]:
    epoch = core.catalog.epoch(record)
    whole = may_change(request.context, record, Action.UPDATE)
    author = core.catalog.authorship(record)
    known = without_unknown(request.context, record, core.snapshots.current.by_name)
    return shown(known, author, epoch=epoch, whole=whole), etag_of(epoch)


async def _list(rules: KindRules, core: Core, request: Request) -> Response:
    source = _SOURCE.get(rules.kind)
    request.check_query(*FILTERS, *PAGE_KEYS, *(() if source is None else (source,)))
    wanted = RecordFilter.of(request.query)
    found = [r for r in core.catalog.records(request.context, rules.kind) if wanted.takes(r)]

    by_name = core.snapshots.current.by_name

    def show(record: CatalogRecord) -> JsonObject:
        author = core.catalog.authorship(record)
        known = without_unknown(request.context, record, by_name)
        return shown(known, author, epoch=core.catalog.epoch(record))

    return ok(paged(request, found, key=_name_of, show=show))


async def _create(rules: KindRules, core: Core, request: Request) -> Response:
    request.check_query()
    record = await core.catalog.create(request.context, rules.kind, await json_object(request))
    body, etag = _answer(core, request, record)
    return created(body, f"{BASE}/{rules.path}/{record.id}", etag=etag)


async def _get(rules: KindRules, core: Core, request: Request) -> Response:
    request.check_query()
    record = core.catalog.get(request.context, rules.kind, request.path("id"))
    body, etag = _answer(core, request, record)
    return ok(body, etag=etag)


async def _patch(rules: KindRules, core: Core, request: Request) -> Response:
    request.check_query()
    changes = await json_object(request)
    return await _update(rules, core, request, changes)


async def _state(rules: KindRules, core: Core, request: Request) -> Response:
    request.check_query()
    state = await request.json(StateBody)
    return await _update(rules, core, request, {"enabled": state.enabled})


async def _update(rules: KindRules, core: Core, request: Request, changes: JsonObject) -> Response:
    record = await core.catalog.update(
        request.context, rules.kind, request.path("id"), changes, expected_of(request)
    )
    body, etag = _answer(core, request, record)
    return ok(body, etag=etag)


async def _delete(rules: KindRules, core: Core, request: Request) -> Response:
    request.check_query()
    await core.catalog.delete(request.context, rules.kind, request.path("id"), expected_of(request))
    return no_content()


def _routes() -> Iterator[ApiRoute]:
    for rules in KINDS.values():
        path = f"{BASE}/{rules.path}"
        offers = [
            ("GET", path, Action.READ, _list),
            ("GET", f"{path}/{{id:path}}", Action.READ, _get),
            ("PATCH", f"{path}/{{id:path}}", Action.UPDATE, _patch),
            ("POST", f"{path}/{{id}}/state", Action.UPDATE, _state),
        ]

        if rules.body is not None:
            offers += [
                ("POST", path, Action.CREATE, _create),
                ("DELETE", f"{path}/{{id:path}}", Action.DELETE, _delete),
            ]

        for method, where, action, answer in offers:
            yield ApiRoute(
                method=method,
                path=where,
                permission=rules.permission(action),
                answer=partial(answer, rules),
            )


ROUTES: tuple[ApiRoute, ...] = tuple(_routes())
