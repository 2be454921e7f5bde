"""Asking providers which models they have, and publishing what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from spindle_llm.relay.reading import read_all
from spindle_llm.relay.transport import UpstreamRequest
from spindle_spi.errors import GatewayError, UpstreamError
from spindle_spi.observability import Level
from spindle_spi.records import Kind, ProviderSpec, PublishedRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_llm.routing.upstreams import Upstream, Upstreams
    from spindle_spi.records import CatalogRecord
    from spindle_spi.services import Services

MODULE = "llm"

_LIST_LIMIT = 4 * 1024 * 1024
_AT_ONCE = 8


async def publish_built_in(services: Services, upstreams: Upstreams) -> None:
    """Publish the models that exist without being declared or discovered."""
    for record in await services.catalog.owned(MODULE, Kind.PROVIDER):
        spec = record.spec

        if isinstance(spec, ProviderSpec):
            await _publish(services, record, upstreams.adapter(spec).built_in_models(record.name))


async def discover_all(services: Services, upstreams: Upstreams) -> None:
    """Ask every provider that wants to be asked; one that fails hurts no other."""
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def ask(record: CatalogRecord) -> None:
        async with limiter:
            await _discover(services, upstreams, record)

    async with anyio.create_task_group() as group:
        for record in await services.catalog.owned(MODULE, Kind.PROVIDER):
            if isinstance(record.spec, ProviderSpec) and record.spec.enable_discovery:
                group.start_soon(ask, record)


async def _discover(services: Services, upstreams: Upstreams, record: CatalogRecord) -> None:
    try:
        upstream = await upstreams.get(record)
        models = await _listed(upstream)

        await _publish(services, record, models)
    except GatewayError as exc:
        services.observability.log(
            Level.WARNING,
            "llm.discovery_failed",
            {"provider": record.name, "code": exc.code, "message": exc.message},
        )


async def _publish(
    services: Services, provider: CatalogRecord, models: Sequence[PublishedRecord]
) -> None:
    """Publish what is not in the catalog already by declaration; that stays as it was declared."""
    source = f"provider:{provider.name}"
    records = await services.catalog.owned(MODULE, Kind.MODEL)
    declared = {record.name for record in records if record.origin != source}
    published = [model for model in models if model.name not in declared]

    if published:
        await services.catalog.publish(MODULE, source, published)


async def _listed(upstream: Upstream) -> Sequence[PublishedRecord]:
    url = upstream.adapter.models_url(upstream.bases[0])

    if url is None:
        return ()

    with anyio.move_on_after(upstream.spec.short_timeout):
        response = await upstream.open(
            UpstreamRequest(method="GET", url=url, headers=upstream.headers[False])
        )

        try:
            data = await read_all(response, _LIST_LIMIT)

            if response.status != 200:
                raise upstream.adapter.refusal(response.status, response.headers, data, None)

            return upstream.adapter.listed_models(upstream.name, data)
        finally:
            await response.aclose()
            await upstream.line.release()

    raise UpstreamError("The upstream did not list its models in time.", code="upstream_timeout")
