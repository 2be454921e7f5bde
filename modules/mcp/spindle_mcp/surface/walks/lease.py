"""The lease of a call that outlives its HTTP exchange; signs of life renew it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.surface.dialogue.peers import WrappedPeer

if TYPE_CHECKING:
    from spindle_mcp.upstream.connections.base import Peer
    from spindle_spi.ingress import Call
    from spindle_spi.invocation import Progress
    from spindle_spi.services import Services
    from spindle_spi.types import JsonObject

LEASE_SECONDS: Final = 3600.0
CLEAN_UP_SECONDS: Final = 5.0


class CallLease:
    """Opened when entered, closed when left."""

    def __init__(self, services: Services, call: Call) -> None:
        self._catalog = services.catalog
        self._context = call.context
        self._renew_at = 0.0
        self.id = ""

    async def __aenter__(self) -> CallLease:
        self.id = (await self._catalog.open_lease(self._context, LEASE_SECONDS)).id
        self._renew_at = time.monotonic() + LEASE_SECONDS / 3
        return self

    async def __aexit__(self, *exc: object) -> None:
        with anyio.move_on_after(CLEAN_UP_SECONDS, shield=True):
            await self._catalog.close_lease(self.id)

    async def renew(self) -> None:
        """Keep it alive, if it is time."""
        now = time.monotonic()

        if now >= self._renew_at:
            self._renew_at = now + LEASE_SECONDS / 3
            await self._catalog.renew_lease(self.id, LEASE_SECONDS)


class RenewingPeer(WrappedPeer):
    """Progress, and answers of the client, keep the lease of the call alive."""

    def __init__(self, peer: Peer, lease: CallLease) -> None:
        super().__init__(peer)
        self._lease = lease

    async def progress(self, update: Progress) -> None:
        """See `Peer`."""
        await self._lease.renew()
        await self._peer.progress(update)

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        """See `Peer`."""
        await self._lease.renew()
        return await self._peer.ask(method, params)
