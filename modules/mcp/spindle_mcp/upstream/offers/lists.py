"""What one gateway's upstream offers: read list by list, published together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp_types.jsonrpc import METHOD_NOT_FOUND

from spindle_mcp.offers import OFFERS, PROMPTS, RESOURCES, TEMPLATES, TOOLS
from spindle_mcp.upstream.faults import RpcRefused, SessionLost
from spindle_mcp.upstream.offers.ingest import harvest
from spindle_mcp.upstream.offers.offered import Offered
from spindle_spi.errors import RateLimited, UpstreamError
from spindle_spi.observability import Level

if TYPE_CHECKING:
    from spindle_mcp.config import McpSettings
    from spindle_mcp.naming import Naming
    from spindle_mcp.offers import Offer
    from spindle_mcp.upstream.connections.base import Upstream
    from spindle_mcp.upstream.offers.ingest import Harvest
    from spindle_spi.errors import GatewayError
    from spindle_spi.records import Kind, LeftOut, PublishedRecord
    from spindle_spi.services import Services
    from spindle_spi.types import JsonObject

_MAX_TOLD: Final = 20
"""Items left out of one list that are told of by name; operators see all beside the gateway."""


class Lists:
    """The last good list of each kind."""

    def __init__(
        self, gateway: str, naming: Naming, services: Services, settings: McpSettings
    ) -> None:
        self._gateway = gateway
        self._naming = naming
        self._services = services
        self._settings = settings
        self._found: dict[Kind, Harvest] = {}
        self._listed: dict[Kind, list[JsonObject]] = {}
        """What it was made of."""
        self._published: tuple[tuple[PublishedRecord, ...], tuple[LeftOut, ...]] | None = None
        self.offered = Offered()
        """What of it can be read, by URI."""

    def describe(self) -> JsonObject:
        """Return how much there is of each kind, for operators."""
        return {
            "tools": self._count(TOOLS),
            "resources": self._count(RESOURCES),
            "resource_templates": self._count(TEMPLATES),
            "prompts": self._count(PROMPTS),
            "left_out": sum(len(found.left_out) for found in self._found.values()),
        }

    async def read(self, upstream: Upstream, names: frozenset[str]) -> bool:
        """Read some lists and publish what is in them; tells whether all could be read.

        Of a list that cannot be read what was known stays, and the others are none the worse.

        Raises:
            GatewayError: None could be read, or the connection is of no more use.
        """
        declared = [
            one for one in OFFERS if isinstance(upstream.capabilities.get(one.capability), dict)
        ]
        wanted = [one for one in declared if one.capability in names]
        failures: list[GatewayError] = []

        for offer in wanted:
            try:
                self._found[offer.kind] = await self._harvest(upstream, offer)
            except SessionLost:
                raise
            except (UpstreamError, RateLimited) as exc:
                failures.append(exc)
                self._warn("mcp.list.failed", {"list": offer.method, "error": exc.code})

        for kind in self._found.keys() - {one.kind for one in declared}:
            del self._found[kind]

        if failures and len(failures) == len(wanted):
            raise failures[0]

        await self._publish()
        return not failures

    async def _harvest(self, upstream: Upstream, offer: Offer) -> Harvest:
        try:
            items = await upstream.list_all(offer.method, offer.key)
        except RpcRefused as exc:
            if offer is not TEMPLATES or exc.rpc_code != METHOD_NOT_FOUND:
                raise

            # Who has resources need not have templates.
            items = []

        before = self._found.get(offer.kind)

        if before is not None and items == self._listed.get(offer.kind):
            return before

        found = await harvest(self._naming, items, self._limit(offer), offer)

        for left in found.left_out[:_MAX_TOLD]:
            fields: JsonObject = {offer.kind.value: left.name, "reason": left.reason}
            self._warn(f"mcp.{offer.kind.value}.left_out", fields)

        if len(found.left_out) > _MAX_TOLD:
            more = len(found.left_out) - _MAX_TOLD
            self._warn("mcp.list.left_out", {"list": offer.method, "more": more})

        self._listed[offer.kind] = items
        return found

    async def _publish(self) -> None:
        kinds = [one.kind for one in OFFERS if one.kind in self._found]
        records = tuple(record for kind in kinds for record in self._found[kind].records)
        left_out = tuple(left for kind in kinds for left in self._found[kind].left_out)

        if (records, left_out) != self._published:
            source = f"gateway:{self._gateway}"
            await self._services.catalog.publish("mcp", source, records, left_out)
            self._published = records, left_out
            self.offered = Offered(records)

    def _limit(self, offer: Offer) -> int:
        match offer.capability:
            case "tools":
                return self._settings.max_tools
            case "prompts":
                return self._settings.max_prompts
            case _:
                return self._settings.max_resources

    def _count(self, offer: Offer) -> int:
        found = self._found.get(offer.kind)
        return 0 if found is None else len(found.records)

    def _warn(self, event: str, fields: JsonObject) -> None:
        self._services.observability.log(Level.WARNING, event, {"gateway": self._gateway, **fields})
