"""A circuit breaker: after some failures in a row nobody waits for an upstream for a while.

Knows no upstream: it is told what came of calls. Not for several threads.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_PAUSE: Final = 1.0

State = Literal["closed", "open", "half_open"]


class Breaker:
    """Closed: calls pass. Open: none does. Then half open: one does, and decides."""

    def __init__(
        self,
        *,
        failures: int,
        longest_pause: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = failures
        self._longest = longest_pause
        self._clock = clock
        self._failures = 0
        self._openings = 0
        self._opens_until = 0.0
        self._is_trying = False

    @property
    def failures(self) -> int:
        """How many calls have failed in a row."""
        return self._failures

    @property
    def state(self) -> State:
        """How it is now."""
        if not self._openings:
            return "closed"

        return "open" if self._clock() < self._opens_until else "half_open"

    def enter(self) -> float | None:
        """Let a call pass; or return for how many seconds none does."""
        if not self._openings:
            return None

        left = self._opens_until - self._clock()

        if left > 0 or self._is_trying:
            return max(left, _FIRST_PAUSE)

        self._is_trying = True
        return None

    def succeed(self) -> None:
        """Take note of a sign of life."""
        self._failures = self._openings = 0
        self._is_trying = False

    def fail(self) -> None:
        """Take note of a failure."""
        self._failures += 1
        self._is_trying = False

        if self._openings or self._failures >= self._most:
            pause = min(_FIRST_PAUSE * 2 ** min(self._openings, 16), self._longest)
            self._openings += 1
            self._opens_until = self._clock() + pause

    def give_up(self) -> None:
        """Take note of a call that ended without a verdict."""
        self._is_trying = False
