"""Connections of aiohttp's pool between two requests: kept out of it, ready to go on.

Giving one back and asking for it again costs more than what a request of ours does with it. What is
kept counts as in use for the pool's limit, so it goes back as soon as somebody waits for the pool.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Hashable

    import aiohttp
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection


class Held:
    """A connection of the pool that belongs to the transport, in use or kept."""

    __slots__ = ("_is_bodiless", "connection", "place", "protocol", "since", "transport")

    def __init__(
        self,
        place: Hashable,
        connection: Connection,
        protocol: ResponseHandler,
        transport: asyncio.Transport,
    ) -> None:
        self.place = place
        """Equal for connections that may stand for each other."""
        self.connection = connection
        self.protocol = protocol
        self.transport = transport
        self.since = 0.0
        """When it was kept, on the loop's clock."""
        self._is_bodiless: bool | None = None

    @property
    def is_usable(self) -> bool:
        """Whether another request may go over it: nothing is left of the one before."""
        protocol = self.protocol
        return protocol.is_connected() and not protocol.should_close

    def prepare(self, *, is_bodiless: bool) -> None:
        """Be ready to read the answer to a request."""
        # A parser reads one answer after the other, as long as they are of one kind.
        if is_bodiless is not self._is_bodiless:
            self.protocol.set_response_params(read_until_eof=True, skip_payload=is_bodiless)
            self._is_bodiless = is_bodiless


class KeptConnections:
    """The connections of one pool."""

    def __init__(
        self,
        connector: aiohttp.BaseConnector,
        loop: asyncio.AbstractEventLoop,
        *,
        limit: int,
        pause: float,
    ) -> None:
        """Take connections from a connector that makes so many at most.

        They are kept for `pause` seconds without being used.
        """
        self._connector = connector
        self._pause = pause
        self._loop = loop
        self._limit = limit
        self._kept: dict[Hashable, deque[Held]] = {}
        self._held = 0
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    def take(self, place: Hashable) -> Held | None:
        """Return the connection that was kept last, if one is still there."""
        kept = self._kept.get(place)

        while kept:
            held = kept.pop()

            if held.is_usable:
                return held

            self.close(held)

        return None

    async def connect(
        self, place: Hashable, address: aiohttp.ClientRequest, within: aiohttp.ClientTimeout
    ) -> Held | None:
        """Return a connection of the pool, old or new; None for one that is closed already."""
        if self._held >= self._limit:
            self._give_back()

        self._waiting += 1

        try:
            connection = await self._connector.connect(address, [], within)
        finally:
            self._waiting -= 1

        protocol, transport = connection.protocol, connection.transport

        if protocol is None or transport is None:
            connection.close()
            return None

        self._held += 1
        return Held(place, connection, protocol, transport)

    def release(self, held: Held) -> None:
        """Take one back whose answer was read to its end."""
        if self._waiting or self._connector.closed or not held.is_usable:
            self._held -= 1
            held.connection.release()
            return

        held.since = self._loop.time()
        kept = self._kept.get(held.place)

        if kept is None:
            kept = self._kept[held.place] = deque()

        kept.append(held)

        if self._timer is None:
            self._timer = self._loop.call_later(self._pause, self._sweep)

    def close(self, held: Held) -> None:
        """Take one back that nothing more may go over."""
        self._held -= 1
        held.connection.close()

    def close_kept(self) -> None:
        """Close what nobody uses."""
        if self._timer is not None:
            self._timer.cancel()

        for kept in self._kept.values():
            while kept:
                self.close(kept.pop())

    def _give_back(self) -> None:
        for kept in self._kept.values():
            while kept:
                self._held -= 1
                kept.pop().connection.release()

    def _sweep(self) -> None:
        """Close what was not used for long: the oldest are in front."""
        oldest = self._loop.time() - self._pause
        self._timer = None

        for place, kept in tuple(self._kept.items()):
            while kept and kept[0].since <= oldest:
                self.close(kept.popleft())

            if not kept:
                del self._kept[place]

        if self._kept:
            first = min(kept[0].since for kept in self._kept.values())
            self._timer = self._loop.call_later(max(0.0, first - oldest), self._sweep)
