"""Attending to what takes long, at no cost for what does not.

A timer of its own for each call is made and cancelled for nothing nearly every time. Here one timer
looks after all of them; a call that is over by then was only put into a queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol


class Waiting(Protocol):
    """Something that may take long."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        ...

    def late(self) -> None:
        """Hear that it takes long."""
        ...


class Patience:
    """Tells what is not over after some seconds that it is late, once."""

    __slots__ = ("_loop", "_queue", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._queue: deque[tuple[float, Waiting]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(self, one: Waiting) -> None:
        """Look after something that begins now; of the running loop."""
        loop = self._loop

        if loop is None:
            loop = self._loop = asyncio.get_running_loop()

        self._queue.append((loop.time() + self._seconds, one))

        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)

    def __len__(self) -> int:
        return len(self._queue)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        queue, now = self._queue, loop.time()
        self._timer = None

        while queue:
            due, one = queue[0]

            if due > now and not one.is_over:
                self._timer = loop.call_later(due - now, self._look, loop)
                return

            queue.popleft()

            if not one.is_over:
                one.late()
