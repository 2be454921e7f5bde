"""A circuit breaker for one upstream: after failures in a row nobody asks it for a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Breaker:
    """Closed, open, or half open: then one caller alone tries.

    A caller that was cancelled says nothing about the upstream: it calls `forget`.
    """

    def __init__(
        self, *, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether callers are refused, but for one that tries."""
        return self._open_until is not None

    def wait_seconds(self) -> float:
        """Return how long a caller has to wait; 0 lets it ask, and it must say how that ended."""
        if self._open_until is None:
            return 0.0

        left = self._open_until - self._clock()

        if left > 0 or self._is_probing:
            return max(left, 1.0)

        self._is_probing = True
        return 0.0

    def succeed(self) -> None:
        """Close it: the upstream answered."""
        self._failures = 0
        self._open_until = None
        self._is_probing = False

    def fail(self) -> None:
        """Count a failure; open it when they were too many in a row, or the trial failed."""
        self._failures += 1
        self._is_probing = False

        if self._failures >= self._limit or self._open_until is not None:
            self._open_until = self._clock() + self._seconds

    def forget(self) -> None:
        """Let another caller try: this one did not learn anything."""
        self._is_probing = False
