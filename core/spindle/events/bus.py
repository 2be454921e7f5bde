"""Events for subscribers in this process. Bounded: who is too slow misses some, and it is said."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import structlog

from spindle.store.rows import OutboxRow

if TYPE_CHECKING:
    from collections.abc import Generator

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

_LOG = structlog.get_logger("spindle.events")
_WAITING = 1000
"""Events that wait for one subscriber at most."""


class Bus:
    """Hands every event to every subscriber."""

    def __init__(self) -> None:
        self._subscribers: list[MemoryObjectSendStream[OutboxRow]] = []

    @contextmanager
    def subscribed(self) -> Generator[MemoryObjectReceiveStream[OutboxRow]]:
        """Give the events from now on, until the block is left."""
        send, receive = anyio.create_memory_object_stream[OutboxRow](_WAITING)
        self._subscribers.append(send)

        try:
            with send, receive:
                yield receive
        finally:
            self._subscribers.remove(send)

    def hand_out(self, event: OutboxRow) -> None:
        """Give an event to everybody, waiting for nobody."""
        for subscriber in self._subscribers:
            try:
                subscriber.send_nowait(event)
            except anyio.WouldBlock:
                _LOG.warning("subscriber too slow, event missed", event_id=event.id)
