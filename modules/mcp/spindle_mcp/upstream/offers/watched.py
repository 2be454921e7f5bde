"""The resources of one gateway that somebody follows, and having its upstream tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_spi.errors import UpstreamError
from spindle_spi.observability import Level

if TYPE_CHECKING:
    from spindle_mcp.upstream.connections.base import Upstream
    from spindle_spi.services import Services


class Watched:
    """Their URIs, as the upstream says them."""

    def __init__(self, gateway: str, services: Services) -> None:
        self._gateway = gateway
        self._services = services
        self.uris = frozenset[str]()

    async def follow(self, upstream: Upstream | None) -> None:
        """Have the upstream tell of them, if it is there and does so; a refusal is logged."""
        if upstream is None or not _tells_of_updates(upstream):
            return

        try:
            await upstream.watch(self.uris)
        except UpstreamError as exc:
            self._services.observability.log(
                Level.WARNING,
                "mcp.gateway.watch_failed",
                {"gateway": self._gateway, "error": exc.code},
            )


def _tells_of_updates(upstream: Upstream) -> bool:
    resources = upstream.capabilities.get("resources")
    return isinstance(resources, dict) and resources.get("subscribe") is True
