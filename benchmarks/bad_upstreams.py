"""Many upstreams in one process, a port each; on demand three of them go wrong.

`python -m benchmarks.bad_upstreams CONTROL GOOD,… HANGS DIES GARBAGE`, all of them ports. A GET of
`/noisy` or `/quiet` at the first switches: then one never answers, one breaks all its connections
every second and refuses new ones for a while, one answers what is no message.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial

import uvloop

from benchmarks.upstream import Upstream

_EVERY = 1.0
_AWAY = 0.3
"""Seconds the one that dies is away each time."""


class _Mood:
    """What all of them share."""

    def __init__(self) -> None:
        self.is_noisy = False
        self.gets_noisy = asyncio.Event()

    def change(self, *, is_noisy: bool) -> None:
        self.is_noisy = is_noisy

        if is_noisy:
            self.gets_noisy.set()
        else:
            self.gets_noisy.clear()


class _One(Upstream):
    """A connection to one of them."""

    def __init__(self, role: str, mood: _Mood, connections: set[asyncio.BaseTransport]) -> None:
        super().__init__()
        self._role = role
        self._mood = mood
        self._connections = connections
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._transport = transport
        self._connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)

        if self._transport is not None:
            self._connections.discard(self._transport)

    def _answer(self, head: bytes, body: bytes) -> None:
        if self._role == "control":
            self._mood.change(is_noisy=b" /noisy " in head)
            self._send(b"{}")
        elif not self._mood.is_noisy or self._role in ("good", "dies"):
            super()._answer(head, body)
        elif self._role == "garbage":
            self._send(os.urandom(3000))


async def _die(port: int, mood: _Mood) -> None:
    """Serve a port; while it is noisy, be gone every second."""
    loop = asyncio.get_running_loop()
    connections: set[asyncio.BaseTransport] = set()
    make = partial(_One, "dies", mood, connections)

    while True:
        server = await loop.create_server(make, "127.0.0.1", port, backlog=1024)
        await asyncio.sleep(_EVERY)

        await mood.gets_noisy.wait()
        server.close()

        for transport in tuple(connections):
            abort = getattr(transport, "abort", None)

            if abort is not None:
                abort()

        await asyncio.sleep(_AWAY)


async def _serve(control: int, good: list[int], hangs: int, dies: int, garbage: int) -> None:
    loop = asyncio.get_running_loop()
    mood = _Mood()
    roles = {**dict.fromkeys(good, "good"), hangs: "hangs", garbage: "garbage"}

    for port, role in roles.items():
        make = partial(_One, role, mood, set())
        await loop.create_server(make, "127.0.0.1", port, backlog=1024)

    async with asyncio.TaskGroup() as group:
        group.create_task(_die(dies, mood))
        # Last, because whoever starts this waits for it.
        make = partial(_One, "control", mood, set())
        await loop.create_server(make, "127.0.0.1", control, backlog=16)


if __name__ == "__main__":
    uvloop.run(
        _serve(
            int(sys.argv[1]),
            [int(port) for port in sys.argv[2].split(",")],
            *map(int, sys.argv[3:]),
        )
    )
