"""What a person is worth now, computed once for each picture of the people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.people import NOBODY

if TYPE_CHECKING:
    from spindle.people import People


class Generations:
    """Numbers pictures of the people, so that nobody keeps an old one alive to compare with it."""

    def __init__(self) -> None:
        self._people: People = NOBODY
        self._number = 0

    def number(self, people: People) -> int:
        """Return the number of a picture; the same picture keeps its number until the next."""
        if people is not self._people:
            self._people = people
            self._number += 1

        return self._number
