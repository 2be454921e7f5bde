"""What a provider takes from this gateway in a minute: requests and tokens, in a sliding window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from spindle_spi.records import ProviderSpec

_SLOTS: Final = 61
"""One for each second, and one more: what came late in a second is a minute old in the next."""
NEAR: Final = 0.9
"""Part of a limit from which on the provider is shown as throttled."""


class Rate:
    """One limit: so many units in any minute."""

    __slots__ = ("_second", "_slots", "_sum", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._slots = [0] * _SLOTS
        self._second = 0
        self._sum = 0

    def wait(self, now: float, amount: int) -> float:
        """Return the seconds until so much more is within the limit; 0 when it is now.

        What is larger than the limit is let through when nothing else is counted: it would never
        be let through otherwise.
        """
        second = self._turn(now)
        excess = self._sum + min(amount, self.limit) - self.limit

        if excess <= 0:
            return 0.0

        for age in range(_SLOTS - 1, -1, -1):
            excess -= self._slots[(second - age) % _SLOTS]

            if excess <= 0:
                return max(0.001, second - age + _SLOTS - now)

        return float(_SLOTS)

    def add(self, now: float, amount: int) -> None:
        """Count units; a negative amount takes back what was counted too much."""
        place = self._turn(now) % _SLOTS
        # What is taken back may have been counted in a second that is forgotten already.
        change = max(amount, -self._slots[place])
        self._slots[place] += change
        self._sum += change

    def used(self, now: float) -> float:
        """Return the part of the limit that is used."""
        self._turn(now)
        return self._sum / self.limit

    def _turn(self, now: float) -> int:
        """Forget what is a minute old; return the second that `now` is in."""
        second = int(now)
        passed = second - self._second

        if passed >= _SLOTS:
            self._slots = [0] * _SLOTS
            self._sum = 0
        else:
            for place in range(self._second + 1, second + 1):
                self._sum -= self._slots[place % _SLOTS]
                self._slots[place % _SLOTS] = 0

        self._second = second
        return second


class Rates:
    """Both limits of a provider."""

    __slots__ = ("requests", "tokens")

    def __init__(self, requests: int | None, tokens: int | None) -> None:
        self.requests = None if requests is None else Rate(requests)
        self.tokens = None if tokens is None else Rate(tokens)

    def is_of(self, spec: ProviderSpec) -> bool:
        """Tell whether these are the limits a record gives."""
        requests = None if self.requests is None else self.requests.limit
        tokens = None if self.tokens is None else self.tokens.limit
        return (requests, tokens) == (spec.requests_per_minute, spec.tokens_per_minute)

    def take(self, now: float, tokens: int) -> float:
        """Count a request of so many tokens, if both limits allow it.

        Returns 0, or the seconds after which they do; then nothing was counted.
        """
        wait = 0.0

        if self.requests is not None:
            wait = self.requests.wait(now, 1)

        if self.tokens is not None:
            wait = max(wait, self.tokens.wait(now, tokens))

        if wait:
            return wait

        if self.requests is not None:
            self.requests.add(now, 1)

        if self.tokens is not None:
            self.tokens.add(now, tokens)

        return 0.0

    def correct(self, now: float, tokens: int) -> None:
        """Count the tokens that a call came to beyond those it was counted with."""
        if self.tokens is not None:
            self.tokens.add(now, tokens)

    def is_near(self, now: float) -> bool:
        """Tell whether one of the limits is nearly used up."""
        return any(
            rate is not None and rate.used(now) >= NEAR for rate in (self.requests, self.tokens)
        )


def rates_of(spec: ProviderSpec, before: Rates | None = None) -> Rates | None:
    """Return the limits of a provider, with what is counted already where they are the same."""
    if spec.requests_per_minute is None and spec.tokens_per_minute is None:
        return None

    if before is not None and before.is_of(spec):
        return before

    return Rates(spec.requests_per_minute, spec.tokens_per_minute)
