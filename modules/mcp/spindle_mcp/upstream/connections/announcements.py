"""What a modern upstream announces: one `subscriptions/listen` that stays open, and its news.

There is no replay. So a stream begins before the lists are read that it is to keep current, goes
on while they are read again, and ends only when the next one has begun.
A stream outlives the call that began it, which a task group would not let it: hence asyncio.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.upstream.connections.base import EVERYTHING, Change, change_in

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from spindle_mcp.upstream.http.exchange import Hearing, TimeLimit
    from spindle_spi.types import Json, JsonObject

_BEGIN_SECONDS: Final = 2.0
"""How long the lists wait for an upstream to say that it listens."""
_MAX_UPDATED: Final = 10_000
"""Resources that were updated and not asked for yet; as many as can be followed."""


class Announcements:
    """Listens for what is wanted, and keeps what is heard until somebody asks."""

    def __init__(
        self,
        wanted: Callable[[], JsonObject],
        listen: Callable[[JsonObject, Hearing], Coroutine[None, None, None]],
    ) -> None:
        self._wanted = wanted
        self._listen = listen
        self._stream: _Stream | None = None
        self._former: _Stream | None = None
        """Heard until the one after it has begun."""
        self._missed = frozenset[str]()
        """Resources that were followed on a stream that was lost."""
        self._news = Change()
        self._stirs = asyncio.Event()
        """Set when there are news, or a stream has ended."""
        self._turn = asyncio.Lock()

    async def begin(self) -> None:
        """Listen for what is wanted now; returns when the upstream does so, or soon."""
        async with self._turn:
            wanted = self._wanted()

            if self._stream is None or self._stream.wanted != wanted:
                await _end(self._former)
                self._former = self._stream
                self._stream = self._opened(wanted) if wanted else None

            if self._stream is not None:
                await self._stream.begun()

            await _end(self._former)
            self._former = None
            self._tell_of_missed()

    async def next(self) -> Change:
        """Wait for news; a stream that ended may have kept anything from us.

        Raises:
            UpstreamError: A stream could not be opened, or broke.
        """
        while True:
            if self._news:
                news, self._news = self._news, Change()
                return news

            stream = self._stream

            if stream is not None and stream.task.done():
                self._stream = None
                self._missed |= _followed_in(stream.wanted)
                stream.task.result()
                return EVERYTHING

            self._stirs.clear()
            await self._stirs.wait()

    async def close(self) -> None:
        """Listen no more."""
        streams, self._former, self._stream = (self._former, self._stream), None, None

        # Whoever is cancelled here leaves none behind; they end at once.
        with anyio.CancelScope(shield=True):
            for stream in streams:
                await _end(stream)

    def _tell_of_missed(self) -> None:
        """Say that what is followed again may have changed while nobody listened."""
        stream = self._stream

        if stream is not None and not stream.task.done() and self._missed:
            missed, self._missed = self._missed & _followed_in(stream.wanted), frozenset[str]()
            self._hear(Change(resources=missed))

    def _opened(self, wanted: JsonObject) -> _Stream:
        hearing = _Ear(self._hear)
        task = asyncio.create_task(self._listen(wanted, hearing))
        task.add_done_callback(lambda _: self._stirs.set())
        return _Stream(wanted, hearing, task)

    def _hear(self, change: Change) -> None:
        if len(self._news.resources) >= _MAX_UPDATED:
            change = Change(lists=change.lists)

        self._news |= change
        self._stirs.set()


class _Ear:
    """Hears what is said on one stream; the first word is that the upstream listens."""

    def __init__(self, hear: Callable[[Change], None]) -> None:
        self.limit: TimeLimit | None = None
        self.has_begun = asyncio.Event()
        self._hear = hear

    async def hear(self, method: str, params: Json, request_id: int) -> bool:
        """See `Hearing`."""
        del request_id
        self.has_begun.set()
        change = change_in(method, params)

        if change is not None:
            self._hear(change)

        return False


class _Stream:
    """One request, which is answered when the upstream ends it."""

    def __init__(self, wanted: JsonObject, hearing: _Ear, task: asyncio.Task[None]) -> None:
        self.wanted = wanted
        self.task = task
        self._hearing = hearing

    async def begun(self) -> None:
        """Return when the upstream listens, has ended it, or has had its time to say so."""
        waiting = asyncio.ensure_future(self._hearing.has_begun.wait())

        try:
            await asyncio.wait(
                (waiting, self.task), timeout=_BEGIN_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()

        self._hearing.has_begun.set()


async def _end(stream: _Stream | None) -> None:
    if stream is not None:
        stream.task.cancel()
        await asyncio.gather(stream.task, return_exceptions=True)


def _followed_in(wanted: JsonObject) -> frozenset[str]:
    followed = wanted.get("resourceSubscriptions")
    return frozenset(map(str, followed)) if isinstance(followed, list) else frozenset()
