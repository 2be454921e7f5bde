"""Which clients want to be told of which resources: bounded, and followed at the upstreams."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import anyio

from spindle_spi.errors import Unavailable
from spindle_spi.records import Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from spindle_mcp.surface.shelf.views import Place

MAX_EACH: Final = 256
"""Resources one client may follow at a time."""
MAX_ALL: Final = 10_000
"""Resources all clients together may."""


class Followed(Protocol):
    """Where the upstreams' resources are followed."""

    async def watch(self, places: Sequence[tuple[str, str]]) -> None:
        """Follow resources, each by gateway and URI, once more."""
        ...

    def unwatch(self, gateway: str, uri: str) -> None:
        """Take one `watch` back."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Watching:
    """One client's wish to hear of one resource."""

    listener: object
    gateway: str
    uri: str
    said: str
    """The URI as the client knows it."""
    target: Target
    """The record that lets the client see it."""


class Subscriptions:
    """All wishes, by client and by resource."""

    def __init__(self, followed: Followed) -> None:
        self._followed = followed
        self._of: dict[object, dict[str, Watching]] = {}
        self._at: dict[tuple[str, str], OrderedDict[Watching, None]] = {}
        self._count = 0
        self._waiting: OrderedDict[Watching, None] = OrderedDict()
        self._has_news = anyio.Event()

    def __len__(self) -> int:
        return self._count

    async def add(self, listener: object, places: Sequence[Place]) -> list[str]:
        """Follow resources for a client; returns the URIs, as it said them.

        Raises:
            Unavailable: They are too many.
        """
        own = self._of.setdefault(listener, {})
        fresh = [place for place in places if place.said not in own]

        if len(own) + len(fresh) > MAX_EACH or self._count + len(fresh) > MAX_ALL:
            raise Unavailable(
                "Too many subscriptions to resources.", code="mcp.subscriptions.limit"
            )

        for place in fresh:
            record = place.shown.record
            target = Target(kind=record.kind, name=record.name)
            watching = Watching(listener, place.gateway, place.uri, place.said, target)
            own[place.said] = watching
            self._at.setdefault((place.gateway, place.uri), OrderedDict())[watching] = None
            self._count += 1

        await self._followed.watch([(place.gateway, place.uri) for place in fresh])
        return [place.said for place in places]

    def remove(self, listener: object, said: str) -> None:
        """Take back one wish of a client. Idempotent."""
        watching = self._of.get(listener, {}).pop(said, None)

        if watching is not None:
            self._forget(watching)

    def drop(self, listener: object) -> None:
        """Take back every wish of a client. Idempotent."""
        for watching in self._of.pop(listener, {}).values():
            self._forget(watching)

    def updated(self, gateway: str, uri: str) -> None:
        """Take an upstream's word that a resource, or a part of it, is not what it was."""
        for whole in _wholes(uri):
            for watching in self._at.get((gateway, whole), ()):
                self._waiting[watching] = None

        if self._waiting:
            self._has_news.set()

    async def updates(self) -> AsyncIterator[Watching]:
        """Iterate over the wishes that came true; one that does so twice meanwhile comes once."""
        while True:
            await self._has_news.wait()
            self._has_news = anyio.Event()

            while self._waiting:
                yield self._waiting.popitem(last=False)[0]

    def _forget(self, watching: Watching) -> None:
        key = (watching.gateway, watching.uri)
        self._count -= 1
        self._waiting.pop(watching, None)
        here = self._at[key]
        del here[watching]

        if not here:
            del self._at[key]

        self._followed.unwatch(*key)


def _wholes(uri: str) -> Iterator[str]:
    """Return a URI, and those of what it may be a part of: the protocol lets either be told."""
    yield uri
    end = uri.rfind("/")

    while end > uri.find("://") + 2:
        yield uri[:end]
        end = uri.rfind("/", 0, end)
