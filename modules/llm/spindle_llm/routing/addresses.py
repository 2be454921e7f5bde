"""The addresses of one provider: they take turns, and one that cannot be reached is passed over."""

from __future__ import annotations

from itertools import count
from typing import Final

COOLDOWN: Final = 10.0
"""Seconds for which an address that could not be reached is passed over."""


class Addresses:
    """Turns over so many addresses, by their number."""

    __slots__ = ("_cold_until", "_is_cold", "_turn")

    def __init__(self, size: int) -> None:
        self._cold_until = [0.0] * size
        self._is_cold = False
        self._turn = count()

    def next(self, now: float) -> int:
        """Return the number of the address whose turn it is.

        When all of them are passed over, it is the one that was tried longest ago.
        """
        cold = self._cold_until
        first = next(self._turn) % len(cold)

        if not self._is_cold:
            return first

        self._is_cold = any(until > now for until in cold)
        order = [(first + step) % len(cold) for step in range(len(cold))]
        return next(
            (place for place in order if cold[place] <= now), min(order, key=cold.__getitem__)
        )

    def failed(self, place: int, now: float) -> None:
        """Take an address that could not be reached."""
        self._cold_until[place] = now + COOLDOWN
        self._is_cold = True

    def reached(self, place: int) -> None:
        """Take an address that was reached."""
        self._cold_until[place] = 0.0
