"""A subscription to changes of a fake host's records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

import anyio

from spindle_spi.catalog import ChangeKind, RecordChange

if TYPE_CHECKING:
    from spindle_spi.records import Kind


class FakeFeed(AsyncIterator[RecordChange]):
    """Changes of some kinds, merged by record while nobody reads. One reader."""

    def __init__(self, kinds: frozenset[Kind]) -> None:
        self._kinds = kinds
        self._waiting: dict[str, RecordChange] = {}
        self._woken = anyio.Event()
        self._is_closed = False

    def take(self, changes: Iterable[RecordChange]) -> None:
        """Take what changed."""
        for change in changes:
            if change.record.kind in self._kinds and not self._is_closed:
                self._merge(change)

        if self._waiting:
            self._woken.set()

    async def __anext__(self) -> RecordChange:
        while not self._waiting:
            if self._is_closed:
                raise StopAsyncIteration

            self._woken = anyio.Event()
            await self._woken.wait()

        return self._waiting.pop(next(iter(self._waiting)))

    async def aclose(self) -> None:
        """End the subscription; a waiting reader sees the end. Idempotent."""
        self._is_closed = True
        self._waiting.clear()
        self._woken.set()

    def _merge(self, change: RecordChange) -> None:
        identity = change.record.id
        before = self._waiting.get(identity)
        is_new = before is not None and before.change is ChangeKind.ADDED

        if is_new and change.change is ChangeKind.REMOVED:
            del self._waiting[identity]
            return

        if is_new:
            change = RecordChange(change=ChangeKind.ADDED, record=change.record)
        elif before is not None and change.change is ChangeKind.ADDED:
            # Removed and back again before anybody looked.
            change = RecordChange(change=ChangeKind.UPDATED, record=change.record)

        self._waiting[identity] = change
