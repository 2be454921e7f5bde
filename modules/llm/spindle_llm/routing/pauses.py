"""How long to wait before a provider is asked again."""

from __future__ import annotations

import random
from typing import Final

_LONGEST_BACKOFF: Final = 8.0


def pause_before(
    attempt: int,
    *,
    base: float,
    longest: float,
    asked: float | None,
    remaining: float | None,
) -> float | None:
    """Return the seconds to wait before the next attempt; None when it is too long to wait.

    Exponential with jitter: `attempt` counts from 0, `base` is the first backoff. What the
    upstream asked for (`retry-after`) is kept to. `longest` bounds any wait; one that is longer
    than what remains of the call's time is not waited at all.
    """
    backoff = min(_LONGEST_BACKOFF, base * 2.0 ** min(attempt, 30))
    # Never less than half: callers that failed together must not come back together, nor at once.
    pause = max(backoff * random.uniform(0.5, 1.0), asked or 0.0)

    if pause > longest or (remaining is not None and pause >= remaining):
        return None

    return pause
