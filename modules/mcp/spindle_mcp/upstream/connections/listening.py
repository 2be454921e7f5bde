"""What an upstream of the current protocol announces, heard on streams that leave no gap.

A stream says at its beginning what is wanted of it. When that changes another is opened, and the
one before is closed as soon as the upstream has acknowledged its successor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio

from spindle_mcp.upstream.connections.base import EVERYTHING, Change, change_in
from spindle_mcp.upstream.faults import unreachable
from spindle_spi.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

    from spindle_spi.types import Json, JsonObject

_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
_PATIENCE: Final = 2.0
"""How long an upstream may take to acknowledge a stream; those that never do are heard as well."""
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 30.0
_MAX_RESOURCES: Final = 1000
"""Resources of which updates are kept until somebody asks."""


class Announcements:
    """Of one upstream. `run` listens; `next` is for whoever wants to know."""

    def __init__(
        self,
        gateway: str,
        listen: Callable[[JsonObject, Stream], Awaitable[None]],
    ) -> None:
        """`listen` carries out one `subscriptions/listen` with a filter, until it ends."""
        self._gateway = gateway
        self._listen = listen
        self._wanted: JsonObject = {}
        self._is_other = anyio.Event()
        self._is_in_force = anyio.Event()
        self._news = Change()
        self._failure: GatewayError | None = None
        self._has_news = anyio.Event()
        self._is_over = False

    def want(self, wanted: JsonObject) -> None:
        """Listen to this from now on: a filter, as the protocol has it; empty is to nothing."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._is_in_force = anyio.Event()
            self._is_other.set()

    async def in_force(self) -> None:
        """Return when the upstream has acknowledged what is wanted, or takes too long to."""
        if self._wanted:
            with anyio.move_on_after(_PATIENCE):
                await self._is_in_force.wait()

    async def next(self) -> Change:
        """Return what was announced since the last time, as soon as there is something.

        Raises:
            GatewayError: The upstream cannot be listened to; that is tried again.
        """
        await self._has_news.wait()
        news, failure = self._news, self._failure

        if self._is_over:
            raise unreachable(self._gateway)

        self._news, self._failure, self._has_news = Change(), None, anyio.Event()

        if failure is not None and not news:
            raise failure

        return news

    def take(self, change: Change) -> None:
        """Keep what was announced until somebody asks."""
        if len(self._news.resources) >= _MAX_RESOURCES:
            change = Change(lists=change.lists)

        self._news |= change
        self._has_news.set()

    async def run(self) -> None:
        """Listen until cancelled."""
        try:
            async with anyio.create_task_group() as group:
                await self._follow(group)
        finally:
            self._is_over = True
            self._has_news.set()

    async def _follow(self, group: TaskGroup) -> None:
        before: Stream | None = None
        attempts, was_lost = 0, False

        while True:
            self._is_other, wanted = anyio.Event(), self._wanted
            stream = Stream(self)

            if wanted:
                group.start_soon(self._carry, stream, wanted)

                with anyio.move_on_after(_PATIENCE):
                    await stream.is_heard.wait()

            if wanted == self._wanted:
                self._is_in_force.set()

            if before is not None:
                before.scope.cancel()

            if not wanted:
                before = None
                await self._is_other.wait()
                continue

            if stream.is_acknowledged and was_lost:
                self.take(_whatever_was_missed(wanted))
                was_lost = False

            before, attempts = stream, 0 if stream.is_acknowledged else attempts + 1
            await self._until_it_ends_or_another_is_wanted(stream)

            if stream.is_over.is_set():
                was_lost = True
                pause = min(_FIRST_PAUSE * 2 ** min(attempts, 16), _LONGEST_PAUSE)

                with anyio.move_on_after(pause):
                    await self._is_other.wait()

    async def _until_it_ends_or_another_is_wanted(self, stream: Stream) -> None:
        async with anyio.create_task_group() as group:

            async def wait(event: anyio.Event) -> None:
                await event.wait()
                group.cancel_scope.cancel()

            group.start_soon(wait, stream.is_over)
            group.start_soon(wait, self._is_other)

    async def _carry(self, stream: Stream, wanted: JsonObject) -> None:
        try:
            with stream.scope:
                await self._listen(wanted, stream)
                self.take(EVERYTHING)
        except GatewayError as exc:
            self._failure = exc
            self._has_news.set()
        finally:
            stream.is_over.set()
            stream.is_heard.set()


class Stream:
    """Hears one stream."""

    def __init__(self, announcements: Announcements) -> None:
        self._announcements = announcements
        self.clock: Any = None
        """See `Hearing`; a stream has no end of its own."""
        self.scope = anyio.CancelScope()
        self.is_heard = anyio.Event()
        """The upstream has said something on it, or it has ended."""
        self.is_acknowledged = False
        self.is_over = anyio.Event()

    async def hear(self, method: str, params: Json, request_id: int) -> bool:
        """See `Hearing`."""
        del request_id
        change = change_in(method, params)

        if change is not None:
            self._announcements.take(change)

        if change is not None or method == _ACKNOWLEDGED:
            self.is_acknowledged = True
            self.is_heard.set()

        return False


def _whatever_was_missed(wanted: JsonObject) -> Change:
    """Return what may have changed while nobody listened."""
    resources = wanted.get("resourceSubscriptions")
    uris = resources if isinstance(resources, list) else []
    return EVERYTHING | Change(resources=frozenset(uri for uri in uris if isinstance(uri, str)))
