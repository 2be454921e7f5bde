"""What became of the calls of the last minute: a ring of short spans, counted and forgotten."""

from __future__ import annotations

from typing import Final, NamedTuple

SPANS: Final = 6
SPAN_SECONDS: Final = 10.0
WINDOW_SECONDS: Final = SPANS * SPAN_SECONDS


class Recent(NamedTuple):
    """The sums of a window."""

    calls: int = 0
    errors: int = 0
    seconds: float = 0.0
    """Of the calls that went well."""

    @property
    def error_rate(self) -> float:
        """The part of the calls that failed; 0 without calls."""
        return min(1.0, self.errors / self.calls) if self.calls else 0.0

    @property
    def average_latency(self) -> float | None:
        """Milliseconds that a call which went well took; None when none did."""
        answered = self.calls - self.errors
        return self.seconds * 1000 / answered if answered > 0 else None


class Window:
    """Counts calls and errors; costs a comparison and an addition for each call."""

    __slots__ = ("_calls", "_ends_at", "_errors", "_place", "_seconds")

    def __init__(self) -> None:
        self._calls = [0] * SPANS
        self._errors = [0] * SPANS
        self._seconds = [0.0] * SPANS
        self._place = 0
        self._ends_at = 0.0

    def succeeded(self, now: float, seconds: float) -> None:
        """Count a call that went well."""
        if now >= self._ends_at:
            self._turn(now)

        place = self._place
        self._calls[place] += 1
        self._seconds[place] += seconds

    def failed(self, now: float) -> None:
        """Count a call that failed."""
        if now >= self._ends_at:
            self._turn(now)

        self._calls[self._place] += 1
        self._errors[self._place] += 1

    def broke(self, now: float) -> None:
        """Count the failure of a call that had begun well, and was counted as one."""
        if now >= self._ends_at:
            self._turn(now)

        self._errors[self._place] += 1

    def recent(self, now: float) -> Recent:
        """Return the sums of the last minute."""
        if now >= self._ends_at:
            self._turn(now)

        return Recent(sum(self._calls), sum(self._errors), sum(self._seconds))

    def _turn(self, now: float) -> None:
        """Go to the span that `now` is in, and forget the spans that are a minute old."""
        passed = int((now - self._ends_at) // SPAN_SECONDS) + 1

        for _ in range(min(passed, SPANS)):
            self._place = (self._place + 1) % SPANS
            self._calls[self._place] = 0
            self._errors[self._place] = 0
            self._seconds[self._place] = 0.0

        self._ends_at += passed * SPAN_SECONDS
