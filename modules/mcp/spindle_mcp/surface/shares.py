"""How many sessions each credential has open: nobody takes all of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Shares:
    """Counts sessions from their handshake on, whoever keeps them."""

    def __init__(self, most: int) -> None:
        """Leave one credential half of `most`; those without one share a half."""
        self._most = max(1, most // 2)
        self._open: Counter[str | None] = Counter()

    def has_room(self, credential: str | None) -> bool:
        """Tell whether a credential may open another session."""
        return self._open[credential] < self._most

    def take(self, credential: str | None) -> Callable[[], None]:
        """Count a session that has begun; returns what is to be called at its end."""
        self._open[credential] += 1

        def give_back() -> None:
            self._open[credential] -= 1

            if not self._open[credential]:
                del self._open[credential]

        return give_back
