"""What the routes that only read have in common: the caller's view, and answers in our envelope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_llm.relay.wire_json import encode
from spindle_llm.runtime import Runtime
from spindle_llm.surfaces.errors import send_error, send_json
from spindle_spi.errors import GatewayError, NotFound
from spindle_spi.ingress import Call
from spindle_spi.policy import visible
from spindle_spi.records import Kind, ModelSpec, ProviderSpec
from spindle_spi.shapes import ENVELOPE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from spindle_llm.providers.base import Adapter
    from spindle_llm.routing.health import HealthBoard, ProviderHealth
    from spindle_llm.runtime import State
    from spindle_spi.ingress import Handler
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject, Receive, Scope, Send

_MODULE = "llm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One request of a caller who reads. Hidden is absent in everything it gives."""

    runtime: Runtime
    call: Call
    path: Mapping[str, str]
    """The parts of the path, by the names of the route."""

    @property
    def board(self) -> HealthBoard:
        """How providers are."""
        return self.runtime.health

    async def catch_up(self) -> None:
        """Wait for what other processes have changed.

        Raises:
            Unavailable: Nobody can tell.
        """
        await self.runtime.services.catalog.catch_up()

    async def providers(self) -> Sequence[CatalogRecord]:
        """Return the providers the caller sees, by name."""
        owned = await self.runtime.services.catalog.owned(_MODULE, Kind.PROVIDER)
        return [record for record in owned if visible(self.call.context, record)]

    async def provider(self, name: str) -> CatalogRecord:
        """Return a provider by its name or its id.

        Raises:
            NotFound: Absent or hidden.
        """
        for record in await self.providers():
            if name in (record.name, record.id):
                return record

        raise NotFound("No such provider.", code="llm.provider.not_found")

    async def models(self, provider: CatalogRecord) -> Sequence[CatalogRecord]:
        """Return the provider's models that the caller sees, by name."""
        page = await self.runtime.services.catalog.list(self.call.context, Kind.MODEL)
        return [
            record
            for record in page.records
            if isinstance(record.spec, ModelSpec) and record.spec.provider == provider.name
        ]

    async def model(self, provider: CatalogRecord, name: str) -> CatalogRecord:
        """Return one of the provider's models, by the upstream's name for it or by ours.

        Raises:
            NotFound: Absent or hidden.
        """
        for record in await self.models(provider):
            spec = record.spec

            if isinstance(spec, ModelSpec) and name in (spec.upstream_name, record.name):
                return record

        raise NotFound("No such model.", code="llm.model.not_found")

    def adapter(self, provider: CatalogRecord) -> Adapter:
        """Return what speaks to a provider.

        Raises:
            FailedPrecondition: It is of a type nobody here speaks.
        """
        assert isinstance(provider.spec, ProviderSpec)
        return self.runtime.upstreams.adapter(provider.spec)

    def health(
        self, provider: CatalogRecord, known: Sequence[CatalogRecord] = ()
    ) -> ProviderHealth:
        """Return how a provider is; of its fallbacks only those among `known` are told."""
        spec = provider.spec
        names = spec.fallbacks if isinstance(spec, ProviderSpec) else ()
        by_name = {record.name: record for record in known}
        return self.board.of(provider.id, [by_name[name] for name in names if name in by_name])

    async def probe(self, provider: CatalogRecord) -> ProviderHealth:
        """Ask a provider whether it is there."""
        return await self.board.probe(await self.runtime.upstreams.get(provider))


def answering(state: State, answer: Callable[[Reading], Awaitable[JsonObject]]) -> Handler:
    """Return the handler of a route that answers with what `answer` reads."""

    async def handle(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del receive

        try:
            reading = Reading(runtime=state.runtime, call=call, path=scope.get("path_params") or {})
            body = encode(await answer(reading))
        except GatewayError as exc:
            await send_error(send, exc, call.request_id, shape=ENVELOPE)
            return

        await send_json(send, body, call.request_id, shape=ENVELOPE)

    return handle
