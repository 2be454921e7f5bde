"""Closing a connection without losing the last answer.

A socket that is closed with unread bytes in it is reset, and what was just sent may be thrown away
at the other end before it is read. So our half is closed first, and what still comes is read and
dropped: for a while, and up to a size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS: Final = 3.0
_BYTES: Final = 64 * 1024 * 1024


class Transport(Protocol):
    """What is used of a transport."""

    def write(self, data: bytes) -> None:
        """Send."""
        ...

    def write_eof(self) -> None:
        """Close our half."""
        ...

    def can_write_eof(self) -> bool:
        """Tell whether a half can be closed."""
        ...

    def close(self) -> None:
        """Close."""
        ...

    def is_closing(self) -> bool:
        """Tell whether it is closed or about to be."""
        ...


class Timers(Protocol):
    """What is used of the event loop."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> object:
        """Call once after so many seconds."""
        ...


class Lingering:
    """Stands for a transport towards whoever writes an answer: only its `close` is another one."""

    __slots__ = ("_dropped", "_timers", "_transport", "is_over", "is_whole", "write")

    def __init__(self, transport: Transport, timers: Timers) -> None:
        self._transport = transport
        self._timers = timers
        self._dropped = 0
        self.write: Callable[[bytes], None] = transport.write
        self.is_whole = False
        """The request came to its end: nothing can be lost."""
        self.is_over = False
        """Our half is closed; what comes is dropped."""

    def is_closing(self) -> bool:
        """Tell whether nothing more can be written."""
        return self.is_over or self._transport.is_closing()

    def close(self) -> None:
        """Close our half now and the rest when the client has, or in a moment."""
        if self.is_over or self._transport.is_closing():
            return

        self.is_over = True

        if not self.is_whole and self._transport.can_write_eof():
            self._transport.write_eof()
            self._timers.call_later(_SECONDS, self._transport.close)
        else:
            self._transport.close()

    def drop(self, data: bytes) -> None:
        """Count what comes too late."""
        self._dropped += len(data)

        if self._dropped > _BYTES:
            self._transport.close()
