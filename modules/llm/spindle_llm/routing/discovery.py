"""Asking providers which models they have, and publishing what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from spindle_llm.routing.asking import UpstreamInquiry
from spindle_spi.catalog import ChangeKind
from spindle_spi.errors import GatewayError, UpstreamError, UpstreamTimeout
from spindle_spi.observability import Level
from spindle_spi.records import Kind, ProviderSpec, PublishedRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup

    from spindle_llm.routing.upstreams import Upstream, Upstreams
    from spindle_spi.catalog import RecordChange
    from spindle_spi.records import CatalogRecord
    from spindle_spi.services import Services

MODULE = "llm"

_AT_ONCE = 8


class ProviderWatch:
    """Keeps what is published of each provider as its record says now.

    A provider that comes or changes while the gateway runs is asked like one that was there at the
    start; one that goes is let go of. One that fails hurts no other.
    """

    def __init__(self, services: Services, upstreams: Upstreams) -> None:
        self._services = services
        self._upstreams = upstreams
        # Before anything is read: what changes in between is told.
        self._changes = services.catalog.subscribe([Kind.PROVIDER])
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)
        self._asked: dict[str, tuple[ProviderSpec, anyio.CancelScope]] = {}
        """By id: with which spec a provider was asked last, and how to stop asking."""

    async def publish_built_in(self) -> None:
        """Publish the models that exist without being declared or discovered."""
        for record in await self._services.catalog.owned(MODULE, Kind.PROVIDER):
            spec = record.spec

            if isinstance(spec, ProviderSpec):
                await self._publish_built_in(record, spec)

    async def run(self) -> None:
        """Follow the providers until cancelled."""
        async with anyio.create_task_group() as group:
            for record in await self._services.catalog.owned(MODULE, Kind.PROVIDER):
                if isinstance(record.spec, ProviderSpec):
                    self._ask(group, record, record.spec, is_new=False)

            async for change in self._changes:
                await self._take(group, change)

            # Nothing more will change; live on until the host ends this task.
            await anyio.sleep_forever()

    async def _take(self, group: TaskGroup, change: RecordChange) -> None:
        record, spec = change.record, change.record.spec

        if not isinstance(spec, ProviderSpec) or record.module != MODULE:
            return

        if change.change is ChangeKind.REMOVED or not record.enabled:
            known = self._asked.pop(record.id, None)

            if known is not None:
                known[1].cancel()

            await self._upstreams.forget(record.id)
            return

        known = self._asked.get(record.id)

        # Who sees it, whose it is: that changes nothing of what the provider would answer.
        if known is None or known[0] != spec:
            self._ask(group, record, spec, is_new=True)

    def _ask(
        self, group: TaskGroup, record: CatalogRecord, spec: ProviderSpec, *, is_new: bool
    ) -> None:
        before = self._asked.get(record.id)

        if before is not None:
            before[1].cancel()

        scope = anyio.CancelScope()
        self._asked[record.id] = (spec, scope)
        group.start_soon(self._refresh, scope, record, spec, is_new)

    async def _refresh(
        self, scope: anyio.CancelScope, record: CatalogRecord, spec: ProviderSpec, is_new: bool
    ) -> None:
        with scope:
            try:
                if is_new and not spec.enable_discovery:
                    # What an earlier state of the record discovered is not its any more.
                    await self._publish_built_in(record, spec)

                if spec.enable_discovery:
                    async with self._limiter:
                        models = await _listed(await self._upstreams.get(record))
                        await _publish(self._services, record, models)
            except GatewayError as exc:
                self._services.observability.log(
                    Level.WARNING,
                    "llm.discovery_failed",
                    {"provider": record.name, "code": exc.code, "message": exc.message},
                )

    async def _publish_built_in(self, record: CatalogRecord, spec: ProviderSpec) -> None:
        models = self._upstreams.adapter(spec).built_in_models(record.name)
        await _publish(self._services, record, models)


async def _publish(
    services: Services, provider: CatalogRecord, models: Sequence[PublishedRecord]
) -> None:
    """Publish what is not in the catalog already by declaration; that stays as it was declared."""
    source = f"provider:{provider.name}"
    records = await services.catalog.owned(MODULE, Kind.MODEL)
    declared = {record.name for record in records if record.origin != source}
    published = [model for model in models if model.name not in declared]
    await services.catalog.publish(MODULE, source, published)


async def _listed(upstream: Upstream) -> Sequence[PublishedRecord]:
    try:
        return await upstream.adapter.models(UpstreamInquiry(upstream))
    except UpstreamTimeout as exc:
        raise UpstreamError(
            "The upstream did not list its models in time.", code="upstream_timeout"
        ) from exc
