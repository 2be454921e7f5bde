"""`/llm/providers` and `/llm/models`: the registry of providers and models, over the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle.api.catalog import StateBody, expected_of
from spindle.api.paging import PAGE_KEYS, paged
from spindle.api.registry_shapes import (
    Beside,
    ModelChanges,
    NewModel,
    NewProvider,
    ProviderChanges,
    model_data,
    model_shown,
    provider_data,
    provider_shown,
    says_supports,
)
from spindle.api.request import etag_of
from spindle.api.response import created, no_content, ok
from spindle.api.routing import ApiRoute
from spindle.catalog.access import manageable, may_change, without_unknown
from spindle.catalog.shown import FILTERS, RecordFilter
from spindle_spi.policy import Action, holds
from spindle_spi.records import CatalogRecord, Kind, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle.api.request import Request
    from spindle.api.response import Response
    from spindle.core import Core
    from spindle_spi.types import JsonObject

PROVIDERS: Final = "/llm/providers"
MODELS: Final = "/llm/models"

_READ_MODEL = "llm.read"
_SERVING = frozenset({"unknown", "loaded"})
"""States of a model that answers now, as far as anybody knows."""


def _name_of(record: CatalogRecord) -> str:
    return record.name


def _provider(core: Core, request: Request, record: CatalogRecord) -> JsonObject:
    whole = may_change(request.context, record, Action.UPDATE)
    snapshot = core.snapshots.current
    models = [each for each in snapshot.by_kind[Kind.MODEL] if snapshot.backend_of(each) is record]
    beside = _beside(core, request, record, models)
    known = without_unknown(request.context, record, snapshot.by_name)
    return provider_shown(known, beside, whole=whole)


def _beside(
    core: Core, request: Request, record: CatalogRecord, models: Iterable[CatalogRecord]
) -> Beside:
    plugins: tuple[str, ...] | None = None

    if holds(request.context.visibility_scope, "plugins.read"):
        specs = ((model.name, model.spec) for model in models)
        # A fallback that answers in its place may be what a plugin is for.
        names = [
            each
            for name, spec in specs
            for each in (name, *(spec.fallbacks if isinstance(spec, ModelSpec) else ()))
        ]
        plugins = core.plugins.current.judging(Kind.MODEL, names)

    return Beside(
        epoch=core.catalog.epoch(record), author=core.catalog.authorship(record), plugins=plugins
    )


def _model(core: Core, request: Request, record: CatalogRecord) -> JsonObject:
    provider = core.snapshots.current.backend_of(record)
    is_on = record.enabled and provider is not None and provider.enabled
    state = record.spec.state if isinstance(record.spec, ModelSpec) else ""
    is_known = provider is not None and manageable(request.context, provider)
    known = without_unknown(request.context, record, core.snapshots.current.by_name)
    return model_shown(
        known,
        provider if is_known else None,
        _beside(core, request, record, [known]),
        is_available=is_on and state in _SERVING,
    )


_SHOW = {Kind.PROVIDER: _provider, Kind.MODEL: _model}
_BASE = {Kind.PROVIDER: PROVIDERS, Kind.MODEL: MODELS}


def _answer(core: Core, request: Request, record: CatalogRecord) -> Response:
    body = _SHOW[record.kind](core, request, record)
    return ok(body, etag=etag_of(core.catalog.epoch(record)))


def _listed(core: Core, request: Request, kind: Kind, permission: str | None) -> Response:
    found = core.catalog.records(request.context, kind, permission)
    wanted = RecordFilter.of(request.query)
    page = paged(
        request,
        [record for record in found if wanted.takes(record)],
        key=_name_of,
        show=lambda record: _SHOW[kind](core, request, record),
    )
    return ok(page)


async def _create(core: Core, request: Request, kind: Kind, data: JsonObject) -> Response:
    record = await core.catalog.create(request.context, kind, data)
    body = _SHOW[kind](core, request, record)
    etag = etag_of(core.catalog.epoch(record))
    return created(body, f"{_BASE[kind]}/{record.id}", etag=etag)


async def list_providers(core: Core, request: Request) -> Response:
    """Answer `GET /llm/providers`."""
    request.check_query(*FILTERS, *PAGE_KEYS)
    await core.snapshots.catch_up()
    return _listed(core, request, Kind.PROVIDER, None)


async def create_provider(core: Core, request: Request) -> Response:
    """Answer `POST /llm/providers`."""
    request.check_query()
    body = await request.json(NewProvider)
    return await _create(core, request, Kind.PROVIDER, provider_data(body))


async def get_provider(core: Core, request: Request) -> Response:
    """Answer `GET /llm/providers/{id}`."""
    request.check_query()
    return _answer(
        core, request, core.catalog.get(request.context, Kind.PROVIDER, request.path("id"))
    )


async def update_provider(core: Core, request: Request) -> Response:
    """Answer `PATCH /llm/providers/{id}`."""
    request.check_query()
    data = provider_data(await request.json(ProviderChanges))
    record = await core.catalog.update(
        request.context, Kind.PROVIDER, request.path("id"), data, expected_of(request)
    )
    return _answer(core, request, record)


async def list_models(core: Core, request: Request) -> Response:
    """Answer `GET /llm/models`."""
    request.check_query(*FILTERS, *PAGE_KEYS, "provider")
    # What is listed here is what other processes have written by now, too.
    await core.snapshots.catch_up()
    return _listed(core, request, Kind.MODEL, _READ_MODEL)


async def create_model(core: Core, request: Request) -> Response:
    """Answer `POST /llm/models`."""
    request.check_query()
    body = await request.json(NewModel)
    provider = core.catalog.get(request.context, Kind.PROVIDER, body.provider_id, _READ_MODEL)
    data = model_data(body) | {"provider": provider.name, "upstream_name": body.model_id}
    return await _create(core, request, Kind.MODEL, data)


async def get_model(core: Core, request: Request) -> Response:
    """Answer `GET /llm/models/{id}`: by id, qualified name or alias."""
    request.check_query()
    record = core.catalog.get(request.context, Kind.MODEL, request.path("id"), _READ_MODEL)
    return _answer(core, request, record)


async def update_model(core: Core, request: Request) -> Response:
    """Answer `PATCH /llm/models/{id}`."""
    request.check_query()
    body = await request.json(ModelChanges)
    expected = expected_of(request)
    spec: ModelSpec | None = None

    if says_supports(body):
        # Relative to what was read: it must still be so when it is written.
        known = core.catalog.get(request.context, Kind.MODEL, request.path("id"), "models.update")
        spec = known.spec if isinstance(known.spec, ModelSpec) else None
        expected = frozenset({core.catalog.epoch(known)}) if expected is None else expected

    record = await core.catalog.update(
        request.context, Kind.MODEL, request.path("id"), model_data(body, spec), expected
    )
    return _answer(core, request, record)


async def _set_state(core: Core, request: Request, kind: Kind) -> Response:
    request.check_query()
    state = await request.json(StateBody)
    record = await core.catalog.update(
        request.context,
        kind,
        request.path("id"),
        {"enabled": state.enabled},
        expected_of(request),
    )
    return _answer(core, request, record)


async def _delete(core: Core, request: Request, kind: Kind) -> Response:
    request.check_query()
    await core.catalog.delete(request.context, kind, request.path("id"), expected_of(request))
    return no_content()


async def set_provider_state(core: Core, request: Request) -> Response:
    """Answer `POST /llm/providers/{id}/state`."""
    return await _set_state(core, request, Kind.PROVIDER)


async def set_model_state(core: Core, request: Request) -> Response:
    """Answer `POST /llm/models/{id}/state`."""
    return await _set_state(core, request, Kind.MODEL)


async def delete_provider(core: Core, request: Request) -> Response:
    """Answer `DELETE /llm/providers/{id}`."""
    return await _delete(core, request, Kind.PROVIDER)


async def delete_model(core: Core, request: Request) -> Response:
    """Answer `DELETE /llm/models/{id}`."""
    return await _delete(core, request, Kind.MODEL)


ROUTES: tuple[ApiRoute, ...] = tuple(
    ApiRoute(method=method, path=path, permission=permission, answer=answer)
    for method, path, permission, answer in (
        ("GET", PROVIDERS, "providers.read", list_providers),
        ("POST", PROVIDERS, "providers.create", create_provider),
        ("GET", f"{PROVIDERS}/{{id}}", "providers.read", get_provider),
        ("PATCH", f"{PROVIDERS}/{{id}}", "providers.update", update_provider),
        ("DELETE", f"{PROVIDERS}/{{id}}", "providers.delete", delete_provider),
        ("POST", f"{PROVIDERS}/{{id}}/state", "providers.update", set_provider_state),
        ("GET", MODELS, _READ_MODEL, list_models),
        ("POST", MODELS, "models.create", create_model),
        ("GET", f"{MODELS}/{{id:path}}", _READ_MODEL, get_model),
        ("PATCH", f"{MODELS}/{{id:path}}", "models.update", update_model),
        ("DELETE", f"{MODELS}/{{id:path}}", "models.delete", delete_model),
        ("POST", f"{MODELS}/{{id}}/state", "models.update", set_model_state),
    )
)
