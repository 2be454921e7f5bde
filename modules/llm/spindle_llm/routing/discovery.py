"""Asking providers which models they have, again and again, and publishing what they say."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio

from spindle_llm.routing.asking import UpstreamInquiry
from spindle_llm.routing.faults import fault_of
from spindle_spi.catalog import ChangeKind
from spindle_spi.errors import FailedPrecondition, GatewayError, UpstreamError, UpstreamTimeout
from spindle_spi.observability import Level
from spindle_spi.records import CatalogRecord, Kind, ModelSpec, ProviderSpec, PublishedRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from anyio.abc import TaskGroup

    from spindle_llm.routing.upstreams import Upstream, Upstreams
    from spindle_spi.catalog import RecordChange
    from spindle_spi.services import Services
    from spindle_spi.types import JsonObject

MODULE = "llm"
INTERVAL = 60.0
"""Seconds between two questions to a provider that runs on machines of the operator's."""
_HOSTED_INTERVAL = 1800.0
"""The least between two questions to anybody else, whose list hardly ever changes."""
_JITTER = 0.1
"""Part of the wait by which it is longer or shorter, so that many are not asked at once."""
_AT_ONCE = 8
_AWAY = frozenset({"upstream_unreachable", "upstream_closed", "upstream_certificate"})
"""Failures that say that nobody is there, whatever is asked."""


@dataclass(slots=True, kw_only=True)
class _Watched:
    """One provider as it is asked now."""

    record: CatalogRecord
    spec: ProviderSpec
    """With which it is asked."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    models: Sequence[PublishedRecord] = ()
    """What it said last."""
    published: Sequence[PublishedRecord] | None = None
    failure: str | None = None
    """The code of its last failure; None when it answered, or was not asked yet."""
    has_answered: bool = False


class ProviderWatch:
    """Keeps what is published of each provider as its record says now.

    A provider that comes or changes while the gateway runs is asked like one that was there at the
    start; one that goes is let go of. One that fails hurts no other: what it listed last stays,
    its models in a state nobody knows, and it is asked again when its time comes.
    """

    def __init__(
        self, services: Services, upstreams: Upstreams, *, interval: float = INTERVAL
    ) -> None:
        self._services = services
        self._upstreams = upstreams
        self._interval = interval
        # Before anything is read: what changes in between is told.
        self._changes = services.catalog.subscribe([Kind.PROVIDER])
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)
        self._watched: dict[str, _Watched] = {}
        """By id."""

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
            known = self._watched.pop(record.id, None)

            if known is not None:
                known.scope.cancel()

            await self._upstreams.forget(record.id)
            return

        known = self._watched.get(record.id)

        # Who sees it, whose it is: that changes nothing of what the provider would answer.
        if known is None or known.spec != spec:
            self._ask(group, record, spec, is_new=True)
        else:
            known.record = record

    def _ask(
        self, group: TaskGroup, record: CatalogRecord, spec: ProviderSpec, *, is_new: bool
    ) -> None:
        before = self._watched.get(record.id)

        if before is not None:
            before.scope.cancel()

        watched = self._watched[record.id] = _Watched(record=record, spec=spec)
        group.start_soon(self._follow, watched, is_new)

    async def _follow(self, watched: _Watched, is_new: bool) -> None:
        """Ask a provider now, and again whenever its time has come."""
        with watched.scope:
            if not watched.spec.enable_discovery:
                if is_new:
                    # What an earlier state of the record discovered is not its any more.
                    await self._guarded(
                        watched, self._publish_built_in(watched.record, watched.spec)
                    )

                return

            while True:
                await self._guarded(watched, self._refresh(watched))
                await anyio.sleep(self._wait(watched.spec))

    async def _guarded(self, watched: _Watched, work: Awaitable[None]) -> None:
        try:
            await work
        except GatewayError as exc:
            if exc.code != watched.failure:
                self._say(
                    Level.ERROR if isinstance(exc, FailedPrecondition) else Level.WARNING,
                    "llm.discovery_failed",
                    watched,
                    {"code": exc.code, "message": exc.message},
                )

            await self._failed(watched, exc)

    async def _refresh(self, watched: _Watched) -> None:
        async with self._limiter:
            upstream = await self._upstreams.get(watched.record)
            most = upstream.adapter.concurrency

            if most is not None and upstream.line.calls >= most:
                # It is at work for us, and would not answer before it is done.
                return

            started = time.perf_counter()
            models = await _listed(upstream)

        before, watched.failure = watched.failure, None

        if before in _AWAY:
            now = time.perf_counter()
            upstream.standing.succeeded(now, now - started)

        if before is not None and watched.has_answered:
            self._say(Level.INFO, "llm.provider.available", watched, {})

        if not watched.has_answered or len(models) != len(watched.models):
            self._say(Level.INFO, "llm.provider.models", watched, {"models": len(models)})

        watched.has_answered = True
        watched.models = models
        await self._publish(watched, models)

    async def _failed(self, watched: _Watched, error: GatewayError) -> None:
        """Keep what was listed last, in a state nobody knows; tell whoever judges providers."""
        was_down, watched.failure = watched.failure is not None, error.code

        if error.code in _AWAY:
            standing = self._upstreams.standing(watched.record.id)

            if standing is not None:
                standing.failed(time.perf_counter(), error, fault_of(error))

        if not watched.has_answered:
            return

        if not was_down:
            self._say(Level.WARNING, "llm.provider.unavailable", watched, {"code": error.code})

        state = "unavailable" if error.code in _AWAY else "unknown"

        try:
            await self._publish(watched, [_in_state(model, state) for model in watched.models])
        except GatewayError as exc:
            self._say(Level.WARNING, "llm.discovery_failed", watched, {"code": exc.code})

    async def _publish(self, watched: _Watched, models: Sequence[PublishedRecord]) -> None:
        published = await _undeclared(self._services, watched.record, models)

        # Nothing new: the catalog is not compiled again for it.
        if published != watched.published:
            source = f"provider:{watched.record.name}"
            await self._services.catalog.publish(MODULE, source, published)
            watched.published = published

    def _wait(self, spec: ProviderSpec) -> float:
        try:
            is_local = self._upstreams.adapter(spec).is_local
        except FailedPrecondition:
            is_local = True

        seconds = self._interval if is_local else max(self._interval, _HOSTED_INTERVAL)
        return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)

    def _say(self, level: Level, event: str, watched: _Watched, more: JsonObject) -> None:
        about: JsonObject = {
            "provider": watched.record.name,
            "provider_type": watched.spec.provider_type,
        }
        self._services.observability.log(level, event, {**about, **more})

    async def _publish_built_in(self, record: CatalogRecord, spec: ProviderSpec) -> None:
        models = self._upstreams.adapter(spec).built_in_models(record.name)
        published = await _undeclared(self._services, record, models)
        await self._services.catalog.publish(MODULE, f"provider:{record.name}", published)


async def _undeclared(
    services: Services, provider: CatalogRecord, models: Sequence[PublishedRecord]
) -> Sequence[PublishedRecord]:
    """Return what is not in the catalog by declaration; that stays as it was declared."""
    source = f"provider:{provider.name}"
    records = await services.catalog.owned(MODULE, Kind.MODEL)
    declared = {record.name for record in records if record.origin != source}
    return [model for model in models if model.name not in declared]


def _in_state(model: PublishedRecord, state: str) -> PublishedRecord:
    spec = model.spec
    return replace(model, spec=replace(spec, state=state)) if isinstance(spec, ModelSpec) else model


async def _listed(upstream: Upstream) -> Sequence[PublishedRecord]:
    try:
        return await upstream.adapter.models(UpstreamInquiry(upstream))
    except UpstreamTimeout as exc:
        raise UpstreamError(
            "The upstream did not list its models in time.", code="upstream_timeout"
        ) from exc
