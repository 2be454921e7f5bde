"""The circuit breaker of one provider: who fails again and again is left alone for a while.

Closed, it counts. Open, it lets nobody through until its cool-down has passed; then one call tries
whether the provider is back, and closes it or opens it again for longer. A state machine without a
clock: every method is told what time it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from spindle_llm.routing.window import Recent

_MOST_COOLDOWN: Final = 8.0
"""How many times its first length a cool-down may become."""


class BreakerState(StrEnum):
    """What a breaker does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """One call is trying whether the provider is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a breaker opens, and for how long."""

    failures: int = 5
    """Failures one after the other."""
    ratio: float = 0.5
    """Part of the calls of the last minute that failed."""
    ratio_calls: int = 20
    """How many calls there have to be before the ratio counts."""
    cooldown: float = 10.0
    """Seconds; doubled each time the provider is not back yet, up to eight times as long."""


class Breaker:
    """Opens, waits, tries, closes."""

    __slots__ = ("_cooldown", "_open_until", "_rules", "_run", "state")

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._run = 0
        self._cooldown = rules.cooldown
        self._open_until = 0.0
        self.state = BreakerState.CLOSED

    def succeeded(self) -> None:
        """Take a call that went well: it closes."""
        self._run = 0

        if self.state is not BreakerState.CLOSED:
            self.state = BreakerState.CLOSED
            self._cooldown = self._rules.cooldown

    def failed(self, now: float, recent: Recent) -> None:
        """Take a failure of the provider's; `recent` counts it already."""
        self._run += 1

        if self.state is BreakerState.HALF_OPEN:
            longest = self._rules.cooldown * _MOST_COOLDOWN
            self._cooldown = min(self._cooldown * 2, longest)
            self._open(now)
        elif self.state is BreakerState.CLOSED and self._is_too_much(recent):
            self._open(now)

    def abandoned(self, now: float) -> None:
        """Take a call nobody waited for: when it was the one to try, the next one may."""
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.OPEN
            self._open_until = now

    def admits(self, now: float) -> bool:
        """Tell whether a call may go to the provider; the one that tries is let through once."""
        if self.state is BreakerState.CLOSED:
            return True

        if self.state is BreakerState.HALF_OPEN or now < self._open_until:
            return False

        self.state = BreakerState.HALF_OPEN
        return True

    def wait(self, now: float) -> float:
        """Return the seconds until a call may try again."""
        if self.state is BreakerState.CLOSED:
            return 0.0

        return max(0.0, self._open_until - now) if self.state is BreakerState.OPEN else 1.0

    def _is_too_much(self, recent: Recent) -> bool:
        rules = self._rules
        return self._run >= rules.failures or (
            recent.calls >= rules.ratio_calls and recent.error_rate >= rules.ratio
        )

    def _open(self, now: float) -> None:
        self.state = BreakerState.OPEN
        self._open_until = now + self._cooldown
