"""All upstreams: one actor for each gateway record, started and stopped as the records change."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import anyio

from spindle_mcp.upstream.actor import GatewayActor
from spindle_spi.errors import Origin, Unavailable
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.abc import TaskGroup

    from spindle_mcp.config import McpSettings
    from spindle_mcp.upstream.connections.base import Request
    from spindle_mcp.upstream.credentials.people import PersonalTokens
    from spindle_spi.records import CatalogRecord, Target
    from spindle_spi.services import Services
    from spindle_spi.types import JsonObject


class Fleet:
    """The gateways of this module. `run` holds their actors; requests come from any task."""

    def __init__(self, services: Services, settings: McpSettings, version: str) -> None:
        self._services = services
        self._settings = settings
        self._version = version
        self._actors: dict[str, tuple[GatewayActor, anyio.CancelScope]] = {}
        self._watched: dict[str, Counter[str]] = {}
        """How often each resource of a gateway is watched."""
        self._unwatched: set[str] = set()
        """Gateways whose upstreams follow something that nobody watches any more."""
        self._is_unwatched = anyio.Event()
        self.on_updated: Callable[[str, str], None] = _nobody
        """Told of the gateway and the URI of each resource that was updated."""

    async def run(self) -> None:
        """Keep one actor for each gateway until cancelled."""
        changes = self._services.catalog.subscribe([Kind.GATEWAY])

        async with anyio.create_task_group() as group:
            group.start_soon(self._let_go)
            await self._reconcile(group)

            async for _ in changes:
                await self._reconcile(group)

    async def request(self, gateway: str, request: Request) -> JsonObject:
        """Carry out a request at a gateway.

        Raises:
            GatewayError: There is no such gateway now, or the request failed.
        """
        held = self._actors.get(gateway)

        if held is None:
            raise Unavailable(
                f"The gateway {gateway!r} is not connected.",
                code="mcp.gateway.down",
                origin=Origin.UPSTREAM,
            )

        return await held[0].request(request)

    def can(self, gateway: str, capability: str) -> bool:
        """Tell whether a gateway is connected, and its upstream declares a capability."""
        held = self._actors.get(gateway)
        return held is not None and held[0].can(capability)

    def standing_for(self, gateway: str, uri: str) -> tuple[Target, ...]:
        """Return every record of a gateway that lets somebody read a URI of its upstream."""
        held = self._actors.get(gateway)
        return () if held is None else held[0].standing_for(uri)

    async def watch(self, places: Sequence[tuple[str, str]]) -> None:
        """Follow resources, each by gateway and URI, once more; returns when that is under way."""
        for gateway, uri in places:
            self._watched.setdefault(gateway, Counter())[uri] += 1

        for gateway in dict.fromkeys(gateway for gateway, _ in places):
            held = self._actors.get(gateway)

            if held is not None:
                await held[0].watch(self._watched_of(gateway))

    def unwatch(self, gateway: str, uri: str) -> None:
        """Take one `watch` back; the upstream is told soon."""
        counts = self._watched.get(gateway, Counter())
        counts[uri] -= 1

        if counts[uri] <= 0:
            del counts[uri]
            self._unwatched.add(gateway)
            self._is_unwatched.set()

        if not counts:
            self._watched.pop(gateway, None)

    def era(self, gateway: str) -> str | None:
        """Return the era a gateway's upstream speaks; None when it is not connected."""
        held = self._actors.get(gateway)
        return None if held is None else held[0].era

    def release(self, key: str) -> None:
        """Close what is open for a peer that is no more."""
        for actor, _ in self._actors.values():
            actor.release(key)

    async def roots_changed(self, key: str) -> None:
        """Say on a peer's own sessions that its roots are not what they were."""
        async with anyio.create_task_group() as group:
            for actor, _ in tuple(self._actors.values()):
                group.start_soon(actor.roots_changed, key)

    def personal(self) -> list[PersonalTokens]:
        """Return the sources of the gateways that act for persons."""
        from spindle_mcp.upstream.credentials.people import PersonalTokens

        sources = (actor.headers for actor, _ in self._actors.values())
        return [source for source in sources if isinstance(source, PersonalTokens)]

    def changed(self, gateway: str, owner: str) -> None:
        """Take the news that a person's grant for a gateway is another now."""
        held = self._actors.get(gateway)

        if held is not None:
            held[0].forget(owner)
            held[0].wake()

    def describe(self) -> JsonObject:
        """Return how every gateway is, for operators."""
        return {name: actor.describe() for name, (actor, _) in sorted(self._actors.items())}

    def broken(self) -> tuple[str, ...]:
        """Return the names of the gateways without a connection."""
        actors = (actor for actor, _ in self._actors.values())
        return tuple(sorted(actor.name for actor in actors if not actor.is_connected))

    async def _reconcile(self, group: TaskGroup) -> None:
        records = await self._services.catalog.owned("mcp", Kind.GATEWAY)
        wanted = {record.name: record for record in records}

        for name in [name for name in self._actors if not self._still_fits(name, wanted)]:
            self._actors.pop(name)[1].cancel()

        for record in records:
            if record.name not in self._actors:
                actor = GatewayActor(
                    record, self._services, self._settings, self._version, self._updated
                )
                await actor.watch(self._watched_of(record.name))
                scope = anyio.CancelScope()
                self._actors[record.name] = (actor, scope)
                group.start_soon(_run_within, scope, actor)

    async def _let_go(self) -> None:
        while True:
            await self._is_unwatched.wait()
            self._is_unwatched = anyio.Event()

            while self._unwatched:
                gateway = self._unwatched.pop()
                held = self._actors.get(gateway)

                if held is not None:
                    await held[0].watch(self._watched_of(gateway))

    def _watched_of(self, gateway: str) -> frozenset[str]:
        return frozenset(self._watched.get(gateway, ()))

    def _updated(self, gateway: str, uri: str) -> None:
        self.on_updated(gateway, uri)

    def _still_fits(self, name: str, wanted: dict[str, CatalogRecord]) -> bool:
        record, held = wanted.get(name), self._actors[name][0]
        # A record that was deleted and made again has lost what was published of it.
        return record is not None and record.id == held.record.id and record.spec == held.spec


async def _run_within(scope: anyio.CancelScope, actor: GatewayActor) -> None:
    with scope:
        await actor.run()


def _nobody(gateway: str, uri: str) -> None:
    """Nobody wants to be told."""
