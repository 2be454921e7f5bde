"""How many sessions or streams each credential has open: nobody takes all of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Shares:
    """Counts what is open of one kind, whoever keeps it."""

    def __init__(self, most: int) -> None:
        """Leave one credential half of `most`; those without one share a half."""
        self._most = max(1, most // 2)
        self._open: Counter[str | None] = Counter()

    def has_room(self, credential: str | None) -> bool:
        """Tell whether a credential may open another."""
        return self._open[credential] < self._most

    def take(self, credential: str | None) -> Callable[[], None]:
        """Count one that has begun; returns what is to be called at its end."""
        self._open[credential] += 1

        def give_back() -> None:
            self._open[credential] -= 1

            if not self._open[credential]:
                del self._open[credential]

        return give_back
