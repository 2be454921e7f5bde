"""/llm/providers/health and /llm/providers/{id}/health: how the providers a caller sees are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.surfaces.reading import Reading, answering
from spindle_spi.ingress import IngressRoute
from spindle_spi.records import ProviderSpec

if TYPE_CHECKING:
    from spindle_llm.routing.health import ProviderHealth
    from spindle_llm.runtime import State
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject

_ALL = "/llm/providers/health"
_ONE = "/llm/providers/{id}/health"


class ProviderHealths:
    """The handlers of the routes."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> tuple[IngressRoute, ...]:
        """Return the routes."""
        return tuple(
            IngressRoute(
                method=method,
                path=path,
                permission=permission,
                handler=answering(self._state, answer),
            )
            for method, path, permission, answer in (
                ("GET", _ALL, "llm.read", self.all),
                ("GET", _ONE, "llm.read", self.one),
                ("POST", _ONE, "providers.update", self.probe),
            )
        )

    async def all(self, reading: Reading) -> JsonObject:
        """Answer `GET /llm/providers/health`: all of them together, and each."""
        records = await reading.providers()
        together = reading.board.aggregate([record.id for record in records])
        each = [_shown(record, reading.health(record, records)) for record in records]
        return {
            "is_healthy": together.is_healthy,
            "healthy": together.healthy,
            "total": together.total,
            "score": together.score,
            "error_count": together.error_count,
            "average_latency": together.average_latency,
            "rate_limit_status": together.rate_limit_status.value,
            "providers": [*each],
        }

    async def one(self, reading: Reading) -> JsonObject:
        """Answer `GET /llm/providers/{id}/health`: as the last calls left it."""
        record = await reading.provider(reading.path["id"])
        return _shown(record, reading.health(record, await reading.providers()))

    async def probe(self, reading: Reading) -> JsonObject:
        """Answer `POST /llm/providers/{id}/health`: ask the provider now."""
        record = await reading.provider(reading.path["id"])
        await reading.probe(record)
        return _shown(record, reading.health(record, await reading.providers()))


def _shown(record: CatalogRecord, health: ProviderHealth) -> JsonObject:
    kind = record.spec.provider_type if isinstance(record.spec, ProviderSpec) else ""
    return {"name": record.name, "provider_type": kind, **health.shown()}
