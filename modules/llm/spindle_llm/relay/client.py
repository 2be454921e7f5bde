"""The client's end of a call: noticing that it left, and keeping it company while it waits.

Plain asyncio, because this is on the hot path: no task is made for a call that is answered at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from spindle_spi.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spindle_spi.types import Receive, Send
    from spindle_transport.patience import Patience

UNWATCHED = 0.02
"""Seconds before the watch begins; a departure before that is noticed then."""

KEEP_ALIVE = b": keep-alive\n\n"


class ClientWatch:
    """Cancels the task that made it when the client leaves.

    The server's own listening begins too late: while a handler waits for its upstream, nobody but
    the handler looks at `receive`.
    """

    __slots__ = ("_has_left", "_listener", "_receive", "_task", "is_over")

    def __init__(self, receive: Receive, patience: Patience) -> None:
        """Begin to watch; `patience` is what all watches of a loop share: see `UNWATCHED`."""
        self._receive = receive
        self._has_left = False
        self.is_over = False
        """Nobody watches any more."""
        self._listener: asyncio.Task[None] | None = None
        self._task = asyncio.current_task()
        patience.add(self)

    def stop(self) -> None:
        """Stop watching: from here on the call ends as it ends."""
        self.is_over = True

        if self._listener is not None:
            self._listener.cancel()
            self._listener = None

    def caused(self) -> bool:
        """Tell whether a cancellation that just arrived was this watch's; if so, it is over."""
        if not self._has_left or self._task is None:
            return False

        self._has_left = False
        return self._task.uncancel() == 0

    def give_up(self) -> None:
        """End the call as one whose client left, unless it is ending by itself."""
        if self._task is not None and not self._has_left and not self.is_over:
            self._has_left = True
            self._task.cancel()

    def late(self) -> None:
        """Begin to listen to the client: its answer takes a while."""
        self._listener = asyncio.get_running_loop().create_task(self._until_left())

    async def _until_left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

        if self._listener is not None:
            self.give_up()


class EventSink:
    """Sends a stream of events to the client, and a comment whenever it has been silent long."""

    __slots__ = (
        "_comment",
        "_interval",
        "_last",
        "_loop",
        "_refused",
        "_send",
        "_timer",
        "is_open",
    )

    def __init__(
        self, send: Send, *, keep_alive: float, refused: Callable[[], None] = lambda: None
    ) -> None:
        """Send by `send`; `refused` is called when the host takes not even a comment any more."""
        self._send = send
        self._refused = refused
        self._interval = keep_alive
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None
        self.is_open = False

    async def open(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Answer 200 and begin."""
        self.is_open = True
        self._loop = asyncio.get_running_loop()
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        self._last = self._loop.time()
        self._timer = self._loop.call_later(self._interval, self._tick)

    async def write(self, data: bytes) -> None:
        """Send whole events."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._last = self._loop.time()

    async def finish(self, data: bytes) -> None:
        """Send the last events and end."""
        self.close()
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    def close(self) -> None:
        """Send no more comments."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

        if self._comment is not None:
            self._comment.cancel()
            self._comment = None

    async def _say_alive(self) -> None:
        # An upstream that is silent for long has no next event that would meet the refusal.
        try:
            await self.write(KEEP_ALIVE)
        except GatewayError:
            self._refused()

    def _tick(self) -> None:
        due = self._last + self._interval - self._loop.time()

        if due <= 0:
            due = self._interval

            # A client that does not even take a comment is not sent another one.
            if self._comment is None or self._comment.done():
                self._comment = self._loop.create_task(self._say_alive())

        self._timer = self._loop.call_later(due, self._tick)
