"""Servers of local models on their default ports, found without anybody naming them.

Each is asked at one loopback address, in the background, with a tiny timeout. One that is found
becomes a provider that its administrators see and nobody else, until one of them says otherwise;
from then on it is watched like any other, whether it is there or not.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import anyio

from spindle_llm.routing.asking import UpstreamInquiry
from spindle_llm.routing.discovery import INTERVAL, MODULE
from spindle_spi.errors import GatewayError
from spindle_spi.observability import Level
from spindle_spi.records import CatalogRecord, Kind, ProviderSpec, PublishedRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_llm.providers.base import Adapter
    from spindle_llm.routing.upstreams import Upstreams
    from spindle_spi.services import Services

_PATIENCE: Final = 0.5
"""Seconds a server on the same machine gets to answer."""
_NO_SERVICE: Final = frozenset({"mock"})
"""Types of providers that are there without anybody having declared one."""


def local_places(adapters: Mapping[str, Adapter]) -> Mapping[str, str]:
    """Return where each type of local server is by default."""
    return {
        kind: adapter.default_base
        for kind, adapter in adapters.items()
        if adapter.is_local and adapter.default_base is not None
    }


class LocalServers:
    """Looks for servers of local models, and publishes each it finds."""

    def __init__(
        self,
        services: Services,
        upstreams: Upstreams,
        places: Mapping[str, str],
        *,
        interval: float = INTERVAL,
    ) -> None:
        """Take where to look, by the type of the provider that may be there."""
        self._services = services
        self._upstreams = upstreams
        self._places = places
        self._interval = interval
        self._found: dict[str, PublishedRecord] = {}

    async def run(self, *, wanted: bool | None = None) -> None:
        """Look again and again until cancelled.

        Without a word of the operator's (`wanted` is None) only where no service is declared.
        """
        if wanted is None:
            wanted = not await self._declared()

        while wanted and len(self._found) < len(self._places):
            await self._look()
            await anyio.sleep(self._interval * random.uniform(0.9, 1.1))

    async def _declared(self) -> list[CatalogRecord]:
        records = await self._services.catalog.owned(MODULE, Kind.PROVIDER)
        return [
            record
            for record in records
            if record.origin != MODULE
            and isinstance(record.spec, ProviderSpec)
            and record.spec.provider_type not in _NO_SERVICE
        ]

    async def _look(self) -> None:
        """Ask wherever nobody was found yet, and publish who answers now."""
        known = dict(self._found)
        taken = {record.name for record in await self._declared()}

        async with anyio.create_task_group() as group:
            for kind, base in self._places.items():
                if kind not in self._found and kind not in taken:
                    group.start_soon(self._probe, kind, base)

        if self._found == known:
            return

        try:
            await self._services.catalog.publish(MODULE, MODULE, list(self._found.values()))
        except GatewayError as exc:
            self._found = known
            self._log(Level.WARNING, "llm.local_server_refused", {"code": exc.code})

    async def _probe(self, kind: str, base: str) -> None:
        spec = ProviderSpec(provider_type=kind, urls=(base,), short_timeout=_PATIENCE)
        probe = CatalogRecord(
            id=f"local:{kind}", kind=Kind.PROVIDER, name=kind, module=MODULE, spec=spec
        )

        try:
            upstream = await self._upstreams.get(probe)
            is_here = await upstream.adapter.is_here(UpstreamInquiry(upstream))
        except GatewayError:
            return
        finally:
            await self._upstreams.forget(probe.id)

        if is_here:
            self._found[kind] = PublishedRecord(
                kind=Kind.PROVIDER,
                name=kind,
                description=f"{upstream.adapter.title} on this machine",
                spec=ProviderSpec(provider_type=kind, urls=(base,), enable_discovery=True),
            )
            self._log(Level.INFO, "llm.local_server_found", {"provider": kind, "url": base})

    def _log(self, level: Level, event: str, fields: dict[str, str]) -> None:
        self._services.observability.log(level, event, {**fields})
