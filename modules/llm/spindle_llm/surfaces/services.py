"""GET /llm/services…: the services a caller sees, their models, and what they can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.surfaces.model_entity import model_shown
from spindle_llm.surfaces.reading import Reading, answering
from spindle_spi.ingress import IngressRoute

if TYPE_CHECKING:
    from spindle_llm.runtime import State
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject

_SERVICE = "/llm/services/{service}"


class Services:
    """The handlers of the routes."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> tuple[IngressRoute, ...]:
        """Return the routes."""
        return tuple(
            IngressRoute(
                method="GET",
                path=path,
                permission="llm.read",
                handler=answering(self._state, answer),
            )
            for path, answer in (
                ("/llm/services", self.list),
                (_SERVICE, self.get),
                (f"{_SERVICE}/models", self.models),
                (f"{_SERVICE}/models/{{model:path}}", self.model),
                (f"{_SERVICE}/ping", self.ping),
                (f"{_SERVICE}/capabilities", self.capabilities),
            )
        )

    async def list(self, reading: Reading) -> JsonObject:
        """Answer `GET /llm/services`."""
        await reading.catch_up()
        services = [await self._shown(reading, record) for record in await reading.providers()]
        return {"services": [*services]}

    async def get(self, reading: Reading) -> JsonObject:
        """Answer `GET /llm/services/{service}`."""
        return await self._shown(reading, await reading.provider(reading.path["service"]))

    async def models(self, reading: Reading) -> JsonObject:
        """Answer `GET /llm/services/{service}/models`."""
        await reading.catch_up()
        provider = await reading.provider(reading.path["service"])
        models = await reading.models(provider)
        is_up = reading.health(provider).is_healthy
        return {
            "service": provider.name,
            "models": [model_shown(record, provider, is_up=is_up) for record in models],
        }

    async def model(self, reading: Reading) -> JsonObject:
        """Answer `GET /llm/services/{service}/models/{model}`: by either of its names."""
        provider = await reading.provider(reading.path["service"])
        record = await reading.model(provider, reading.path["model"])
        return model_shown(record, provider, is_up=reading.health(provider).is_healthy)

    async def ping(self, reading: Reading) -> JsonObject:
        """Answer `GET /llm/services/{service}/ping`: ask the service whether it is there."""
        provider = await reading.provider(reading.path["service"])
        health = await reading.probe(provider)
        return {
            "service": provider.name,
            "is_available": health.is_healthy,
            "average_latency": health.average_latency,
            "last_error": health.last_error,
            "rate_limit_status": health.rate_limit_status.value,
        }

    async def capabilities(self, reading: Reading) -> JsonObject:
        """Answer `GET /llm/services/{service}/capabilities`."""
        provider = await reading.provider(reading.path["service"])
        shown = reading.adapter(provider).capabilities.shown()
        return {"service": provider.name, "capabilities": shown}

    async def _shown(self, reading: Reading, record: CatalogRecord) -> JsonObject:
        adapter, health = reading.adapter(record), reading.health(record)
        return {
            "id": record.id,
            "name": record.name,
            "provider_type": adapter.provider_type,
            "title": adapter.title,
            "description": record.description,
            "is_local": adapter.is_local,
            "is_available": health.is_healthy,
            "models": len(await reading.models(record)),
            "capabilities": adapter.capabilities.shown(),
        }
