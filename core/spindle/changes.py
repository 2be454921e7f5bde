"""A subscription to changes of the catalog: bounded by the catalog, never by the reader."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

import anyio

from spindle_spi.catalog import ChangeKind, RecordChange

if TYPE_CHECKING:
    from spindle_spi.records import Kind

Listener = Callable[[Sequence[RecordChange]], None]
Listen = Callable[[Listener], Callable[[], None]]


class ChangeFeed(AsyncIterator[RecordChange]):
    """Changes of some kinds from now on, merged by record while nobody reads.

    One reader. A feed that nobody holds any more ends by itself.
    """

    def __init__(self, listen: Listen, kinds: frozenset[Kind]) -> None:
        self._kinds = kinds
        self._waiting: dict[str, RecordChange] = {}
        self._woken = anyio.Event()
        self._is_closed = False
        # Whoever is told must not keep the feed alive: a reader may be cancelled and never close.
        take = weakref.WeakMethod(self._take)

        def relay(changes: Sequence[RecordChange]) -> None:
            live = take()

            if live is not None:
                live(changes)

        self._stop = weakref.finalize(self, listen(relay))
        self._stop.atexit = False

    def _take(self, changes: Sequence[RecordChange]) -> None:
        waiting = self._waiting

        for change in changes:
            if change.record.kind not in self._kinds:
                continue

            merged = _merged(waiting.get(change.record.id), change)

            if merged is None:
                del waiting[change.record.id]
            else:
                waiting[change.record.id] = merged

        if waiting:
            self._woken.set()

    async def __anext__(self) -> RecordChange:
        while not self._waiting:
            if self._is_closed:
                raise StopAsyncIteration

            # Nothing is awaited between the look at `_waiting` and the wait: no wake-up is lost.
            self._woken = anyio.Event()
            await self._woken.wait()

        return self._waiting.pop(next(iter(self._waiting)))

    async def aclose(self) -> None:
        """End the subscription; a waiting reader sees the end. Idempotent."""
        self._stop()
        self._is_closed = True
        self._waiting.clear()
        self._woken.set()


def _merged(before: RecordChange | None, change: RecordChange) -> RecordChange | None:
    """Return both changes as one for who saw neither; None when they cancel out."""
    if before is None:
        return change

    is_new = before.change is ChangeKind.ADDED

    if change.change is ChangeKind.REMOVED:
        return None if is_new else change

    kind = ChangeKind.ADDED if is_new else ChangeKind.UPDATED
    return RecordChange(change=kind, record=change.record)
