"""All upstreams: one actor for each gateway record, started and stopped as the records change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from spindle_mcp.upstream.actor import GatewayActor
from spindle_spi.errors import Origin, Unavailable
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from spindle_mcp.config import McpSettings
    from spindle_mcp.upstream.base import ToolCall
    from spindle_mcp.upstream.credentials.people import PersonalTokens
    from spindle_spi.records import CatalogRecord
    from spindle_spi.services import Services
    from spindle_spi.types import JsonObject


class Fleet:
    """The gateways of this module. `run` holds their actors; calls come from any task."""

    def __init__(self, services: Services, settings: McpSettings, version: str) -> None:
        self._services = services
        self._settings = settings
        self._version = version
        self._actors: dict[str, tuple[GatewayActor, anyio.CancelScope]] = {}

    async def run(self) -> None:
        """Keep one actor for each gateway until cancelled."""
        changes = self._services.catalog.subscribe([Kind.GATEWAY])

        async with anyio.create_task_group() as group:
            await self._reconcile(group)

            async for _ in changes:
                await self._reconcile(group)

    async def call_tool(self, gateway: str, call: ToolCall) -> JsonObject:
        """Call a tool of a gateway.

        Raises:
            GatewayError: There is no such gateway now, or the call failed.
        """
        held = self._actors.get(gateway)

        if held is None:
            raise Unavailable(
                f"The gateway {gateway!r} is not connected.",
                code="mcp.gateway.down",
                origin=Origin.UPSTREAM,
            )

        return await held[0].call_tool(call)

    def personal(self) -> list[PersonalTokens]:
        """Return the sources of the gateways that act for persons."""
        from spindle_mcp.upstream.credentials.people import PersonalTokens

        sources = (actor.headers for actor, _ in self._actors.values())
        return [source for source in sources if isinstance(source, PersonalTokens)]

    def changed(self, gateway: str, owner: str) -> None:
        """Take the news that a person's grant for a gateway is another now."""
        held = self._actors.get(gateway)

        if held is not None:
            if held[0].sessions is not None:
                held[0].sessions.forget(owner)

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
                actor = GatewayActor(record, self._services, self._settings, self._version)
                scope = anyio.CancelScope()
                self._actors[record.name] = (actor, scope)
                group.start_soon(_run_within, scope, actor)

    def _still_fits(self, name: str, wanted: dict[str, CatalogRecord]) -> bool:
        record, held = wanted.get(name), self._actors[name][0]
        # A record that was deleted and made again has lost what was published of it.
        return record is not None and record.id == held.record.id and record.spec == held.spec


async def _run_within(scope: anyio.CancelScope, actor: GatewayActor) -> None:
    with scope:
        await actor.run()
