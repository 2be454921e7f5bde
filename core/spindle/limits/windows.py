"""One minute's allowance of one holder, in memory: exact to a second."""

from __future__ import annotations

from collections import deque
from typing import Protocol

WINDOW = 60.0


class Meter(Protocol):
    """Counts requests or tokens against a limit for a minute."""

    limit: int

    def has_room(self, now: float) -> bool:
        """Tell whether one more call may come."""
        ...

    def wait(self, now: float) -> float:
        """Return the seconds until one more may, when there is no room."""
        ...

    def add(self, now: float, amount: int) -> Mark:
        """Count a call; returns what `correct` needs."""
        ...

    def correct(self, now: float, mark: Mark, change: int) -> None:
        """Change what a call counts for."""
        ...

    def is_idle(self, now: float) -> bool:
        """Tell whether it may be forgotten."""
        ...


class Mark:
    """What was counted within one second."""

    __slots__ = ("amount", "is_over", "last", "second")

    def __init__(self, now: float) -> None:
        self.second = int(now)
        self.last = now
        self.amount = 0
        self.is_over = False


class Window:
    """The last sixty seconds. Times are on the monotonic clock."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._marks: deque[Mark] = deque()

    def has_room(self, now: float) -> bool:
        """Tell whether less than the limit was used."""
        marks = self._marks

        # Asked for each call: most of the time nothing is old enough.
        if marks and marks[0].last <= now - WINDOW:
            self._slide(now)

        return self._used < self.limit

    def wait(self, now: float) -> float:
        """Return the seconds until enough is forgotten for one more call."""
        over = self._used - self.limit

        for mark in self._marks:
            over -= mark.amount

            if over < 0:
                return max(0.001, mark.last + WINDOW - now)

        return WINDOW

    def add(self, now: float, amount: int) -> Mark:
        """Count an amount."""
        mark = self._marks[-1] if self._marks else None

        if mark is None or mark.second != int(now):
            mark = Mark(now)
            self._marks.append(mark)

        # Later than exact for the earlier ones of that second: never a call too many.
        mark.last = now
        mark.amount += amount
        self._used += amount
        return mark

    def correct(self, now: float, mark: Mark, change: int) -> None:
        """Change an amount; what was used after its minute was over counts now."""
        self._slide(now)

        if not mark.is_over:
            mark.amount += change
            self._used += change
        elif change > 0:
            self.add(now, change)

    def is_idle(self, now: float) -> bool:
        """Tell whether nothing was counted in the last minute."""
        self._slide(now)
        return not self._marks

    def _slide(self, now: float) -> None:
        marks = self._marks

        while marks and marks[0].last <= now - WINDOW:
            mark = marks.popleft()
            mark.is_over = True
            self._used -= mark.amount
