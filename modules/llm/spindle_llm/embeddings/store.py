"""Where vectors are kept: bytes by key, for a time. What is not there any more is asked again."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_ENTRIES = 100_000
_OVERHEAD = 256
"""Bytes that an entry takes beside its value: key, objects, place in the order."""


class VectorStore(ABC):
    """A store that may lose anything at any time, and never fails."""

    @abstractmethod
    async def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is kept under some of the keys."""

    @abstractmethod
    async def put(self, values: Mapping[str, bytes]) -> None:
        """Keep values, as long as the store's settings say."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""


class MemoryStore(VectorStore):
    """A worker's own: the least recently used goes when bytes or entries are too many."""

    def __init__(
        self,
        *,
        max_bytes: int,
        ttl_seconds: float,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._ttl = ttl_seconds
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self.size = 0
        """Bytes of all entries, with what they take beside their values."""

    async def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is kept and has not grown too old."""
        found: dict[str, bytes] = {}
        now = self._clock()

        for key in keys:
            entry = self._entries.get(key)

            if entry is None:
                continue

            if entry[0] <= now:
                self._remove(key)
                continue

            self._entries.move_to_end(key)
            found[key] = entry[1]

        return found

    async def put(self, values: Mapping[str, bytes]) -> None:
        """Keep values; one that is too big for the whole store is not kept."""
        ends = self._clock() + self._ttl

        for key, value in values.items():
            if len(value) + _OVERHEAD > self._max_bytes:
                continue

            self._remove(key)
            self._entries[key] = (ends, value)
            self.size += len(value) + _OVERHEAD

        while self.size > self._max_bytes or len(self._entries) > self._max_entries:
            self._remove(next(iter(self._entries)))

    async def close(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.size = 0

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)

        if entry is not None:
            self.size -= len(entry[1]) + _OVERHEAD
