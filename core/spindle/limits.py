"""Request limits per credential, in memory: a sliding minute."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from spindle_spi.errors import RateLimited

if TYPE_CHECKING:
    from spindle_spi.context import Subject

_WINDOW = 60.0


class RequestLimits:
    """Counts admitted calls of each credential over the last minute. None means no limit."""

    def __init__(self, requests_per_minute: int | None) -> None:
        self._allowed = requests_per_minute
        self._calls: dict[str, deque[float]] = {}
        self._sweep_at = time.monotonic() + _WINDOW

    def take(self, subject: Subject) -> None:
        """Count one call.

        Raises:
            RateLimited: The minute is full; says when the next call fits.
        """
        if self._allowed is None:
            return

        now = time.monotonic()

        if now >= self._sweep_at:
            self._forget_idle(now)

        key = subject.token_id or "anonymous"
        calls = self._calls.get(key)

        if calls is None:
            calls = self._calls[key] = deque()

        while calls and calls[0] <= now - _WINDOW:
            calls.popleft()

        if len(calls) >= self._allowed:
            raise RateLimited(
                f"More than {self._allowed} requests in a minute.",
                code="rate_limit_exceeded",
                retry_after=max(0.001, calls[0] + _WINDOW - now) if calls else _WINDOW,
            )

        calls.append(now)

    def tracked(self) -> int:
        """Return how many credentials are remembered: those of the last two minutes."""
        return len(self._calls)

    def _forget_idle(self, now: float) -> None:
        # Once in a window, however many there are: never a scan for each call.
        self._sweep_at = now + _WINDOW
        idle = [
            key for key, calls in self._calls.items() if not calls or calls[-1] <= now - _WINDOW
        ]

        for key in idle:
            del self._calls[key]
