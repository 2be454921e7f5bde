"""The providers this module can reach now: one upstream for each provider record.

An upstream is made at its first call and again when the record or its key has changed; a key is
leased, so that is seen when the lease ends. Connections live until the calls on them have ended.
"""

from __future__ import annotations

import time
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from spindle_llm.routing.addresses import Addresses
from spindle_llm.routing.settings import RoutingSettings
from spindle_llm.routing.standing import Standing
from spindle_spi.errors import (
    FailedPrecondition,
    NotFound,
    Origin,
    Unavailable,
    UpstreamError,
)
from spindle_spi.observability import Level
from spindle_spi.records import CatalogRecord, ProviderSpec
from spindle_transport.aiohttp_transport import AiohttpTransport, TransportLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_llm.providers.base import Adapter
    from spindle_llm.providers.dialect import Dialect
    from spindle_spi.secret import SecretLease
    from spindle_spi.services import Services
    from spindle_spi.types import Json
    from spindle_transport.exchange import Transport, UpstreamRequest, UpstreamResponse

UNREACHABLE = "upstream_unreachable"
"""Code of a failure to connect, after which another address may be tried at once."""
_MAX_URLS = 4096
"""Addresses kept for one provider, by dialect and model."""


class Line:
    """A transport with the number of calls on it, so that it can be closed when the last ends."""

    __slots__ = ("_is_retired", "calls", "limits", "transport")

    def __init__(self, transport: Transport, limits: TransportLimits) -> None:
        self.transport = transport
        self.limits = limits
        self.calls = 0
        self._is_retired = False

    async def release(self) -> None:
        """End one call."""
        self.calls -= 1

        if self._is_retired and self.calls == 0:
            await self.transport.close()

    async def retire(self) -> None:
        """Close it now, or when the last call on it ends."""
        self._is_retired = True

        if self.calls == 0:
            await self.transport.close()


class Upstream:
    """One provider as its record says now."""

    __slots__ = (
        "_addresses",
        "_urls",
        "adapter",
        "bases",
        "expires_at",
        "headers",
        "key",
        "line",
        "name",
        "record",
        "spec",
        "standing",
    )

    def __init__(
        self,
        record: CatalogRecord,
        spec: ProviderSpec,
        adapter: Adapter,
        line: Line,
        lease: SecretLease | None,
        standing: Standing,
    ) -> None:
        self.record = record
        self.name = record.name
        self.spec = spec
        self.adapter = adapter
        self.line = line
        self.standing = standing
        """How the provider has been doing, whatever its record said meanwhile."""
        self.key = None if lease is None else lease.secret
        self.expires_at = inf if lease is None else lease.expires_at
        """When its key has to be asked for again."""
        common = adapter.headers(spec, self.key)
        self.headers = {
            True: {**common, "Accept": "text/event-stream"},
            False: {**common, "Accept": "application/json"},
        }
        """By whether the answer is to be a stream."""
        self.bases: tuple[str, ...] = spec.urls or (
            (adapter.default_base,) if adapter.default_base else ()
        )
        self._urls: dict[tuple[Dialect, str], tuple[str, ...]] = {}
        self._addresses = Addresses(len(self.bases))

    def is_for(self, record: CatalogRecord) -> bool:
        """Tell whether it was made of this state of its record."""
        return self.record.epoch == record.epoch

    def prolong(self, lease: SecretLease | None) -> bool:
        """Use the key for longer; False when it is another one."""
        if lease is None:
            return self.key is None

        if lease.secret != self.key:
            return False

        self.expires_at = lease.expires_at
        return True

    def is_like(self, limits: TransportLimits, adapter: Adapter) -> bool:
        """Tell whether another record could go on using the same connections."""
        return self.line.limits == limits and self.adapter is adapter

    def urls(self, dialect: Dialect, model: str) -> tuple[str, ...]:
        """Return where calls of a dialect may go: one URL for each base.

        Raises:
            FailedPrecondition: The provider has no address.
        """
        return self._urls.get((dialect, model)) or self._learn(dialect, model)

    def url(self, dialect: Dialect, model: str) -> str:
        """Return where the next call of a dialect goes; several base URLs take turns.

        Raises:
            FailedPrecondition: The provider has no address.
        """
        urls = self.urls(dialect, model)
        return urls[0] if len(urls) == 1 else urls[self._addresses.next(time.monotonic())]

    def _learn(self, dialect: Dialect, model: str) -> tuple[str, ...]:
        if not self.bases:
            raise FailedPrecondition(
                "The model's provider has no address.", code="llm.provider.no_address"
            )

        if len(self._urls) >= _MAX_URLS:
            self._urls.clear()

        urls = tuple(dialect.url(base, model) for base in self.bases)
        self._urls[dialect, model] = urls
        return urls

    async def open(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a request; the caller releases the line when it is done with the answer.

        Raises:
            UpstreamTimeout: No connection or no answer in time.
            UpstreamError: No connection, or it broke.
        """
        self.line.calls += 1

        try:
            return await self.line.transport.open(request)
        except BaseException:
            await self.line.release()
            raise

    async def open_any(self, urls: tuple[str, ...], request: UpstreamRequest) -> UpstreamResponse:
        """Send a request to the address whose turn it is; one that is not reached has passed it.

        Raises:
            UpstreamTimeout: No connection or no answer in time.
            UpstreamError: No connection to any of them, or it broke.
        """
        for left in range(len(urls) - 1, -1, -1):
            place = self._addresses.next(time.monotonic())

            try:
                response = await self.open(replace(request, url=urls[place]))
            except UpstreamError as exc:
                if exc.code != UNREACHABLE:
                    raise

                self._addresses.failed(place, time.monotonic())

                if not left:
                    raise
            else:
                self._addresses.reached(place)
                return response

        raise AssertionError("A provider with several addresses has none.")


class Upstreams:
    """Makes and keeps upstreams by provider record."""

    def __init__(
        self,
        services: Services,
        adapters: Mapping[str, Adapter],
        *,
        routing: RoutingSettings | None = None,
    ) -> None:
        """Reach providers; `routing` says how one that fails is met."""
        self._services = services
        self._adapters = adapters
        self.routing = routing or RoutingSettings()
        self._upstreams: dict[str, Upstream] = {}
        self._standings: dict[str, Standing] = {}

    async def get(self, record: CatalogRecord) -> Upstream:
        """Return the upstream of a provider's record.

        Raises:
            FailedPrecondition: It is no provider, or of a type nobody here speaks.
            Unavailable: Its credential cannot be had.
        """
        known = self._upstreams.get(record.id)

        if known is not None and known.is_for(record) and time.time() < known.expires_at:
            return known

        return await self._make(record)

    def standing(self, provider_id: str) -> Standing | None:
        """Return how a provider has been doing; None when nobody has asked it yet."""
        return self._standings.get(provider_id)

    def adapter(self, spec: ProviderSpec) -> Adapter:
        """Return the adapter of a provider.

        Raises:
            FailedPrecondition: Of a type nobody here speaks.
        """
        adapter = self._adapters.get(spec.provider_type)

        if adapter is None and spec.api_format == "openai":
            adapter = self._adapters.get("openai_compatible")

        if adapter is None:
            raise FailedPrecondition(
                f"No adapter speaks {spec.provider_type!r}.",
                code="llm.provider.unknown_type",
                origin=Origin.MODULE,
            )

        return adapter

    def in_flight(self) -> dict[str, Json]:
        """Return the calls in flight by the name of their provider."""
        return {upstream.name: upstream.line.calls for upstream in self._upstreams.values()}

    async def forget(self, record_id: str) -> None:
        """Let go of a provider that is gone."""
        upstream = self._upstreams.pop(record_id, None)
        self._standings.pop(record_id, None)

        if upstream is not None:
            await upstream.line.retire()

    async def close(self) -> None:
        """Close everything, calls in flight included."""
        upstreams, self._upstreams = self._upstreams, {}

        for upstream in upstreams.values():
            await upstream.line.transport.close()

    async def _make(self, record: CatalogRecord) -> Upstream:
        spec = record.spec

        if not isinstance(spec, ProviderSpec):
            raise FailedPrecondition("The model has no provider.", code="llm.model.no_provider")

        adapter = self.adapter(spec)
        lease = await self._lease(record, spec)
        old = self._upstreams.get(record.id)

        if old is not None and old.is_for(record) and old.prolong(lease):
            return old

        limits = _limits(spec, adapter)
        line = old.line if old is not None and old.is_like(limits, adapter) else None
        standing = self._standings.get(record.id)

        if standing is None:
            standing = self._standings[record.id] = Standing(self.routing.breaker)

        standing.configure(spec)
        line_now = line or _line(spec, adapter, limits)
        upstream = Upstream(record, spec, adapter, line_now, lease, standing)
        self._upstreams[record.id] = upstream

        if old is not None and line is None:
            await old.line.retire()

        return upstream

    async def _lease(self, record: CatalogRecord, spec: ProviderSpec) -> SecretLease | None:
        if spec.api_key is None:
            return None

        try:
            return await self._services.config_secrets.lease(spec.api_key)
        except (FailedPrecondition, NotFound) as exc:
            self._services.observability.log(
                Level.ERROR,
                "llm.provider.credential_missing",
                {"provider": record.name, "reason": exc.message},
            )
            raise Unavailable(
                "The gateway has no credential for this model's provider.",
                code="llm.provider.credential",
                origin=Origin.MODULE,
                retryable=False,
            ) from exc


def _limits(spec: ProviderSpec, adapter: Adapter) -> TransportLimits:
    connections = spec.options.get("max_connections")
    most = connections if isinstance(connections, int) and connections > 0 else 1000
    return TransportLimits(
        connect=spec.short_timeout,
        silence=spec.long_timeout,
        connections=min(most, adapter.concurrency or most),
        verify_cert=spec.verify_cert,
    )


def _line(spec: ProviderSpec, adapter: Adapter, limits: TransportLimits) -> Line:
    return Line(adapter.transport(spec) or AiohttpTransport(limits), limits)
