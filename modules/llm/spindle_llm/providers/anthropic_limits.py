"""Anthropic's rate-limit headers, and the same under the names that OpenAI's clients read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_OWN: Final = "anthropic-ratelimit-"
_SHARED: Final = frozenset({"requests", "tokens"})


def shown_limits(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the limits an upstream tells, in both vendors' words.

    Anthropic says when a limit is reset, OpenAI how long that takes.
    """
    shown: dict[str, str] = {}

    for name, value in headers.items():
        lower = name.lower()

        if not lower.startswith(_OWN):
            continue

        shown[lower] = value
        what, _, figure = lower.removeprefix(_OWN).rpartition("-")
        said = _duration(value) if figure == "reset" else value

        if what in _SHARED and said is not None:
            shown[f"x-ratelimit-{figure}-{what}"] = said

    return shown


def _duration(moment: str) -> str | None:
    """Return how far off a moment is, `6m0s`; None when it is none."""
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None

    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    minutes, seconds = divmod(max(0, round((at - datetime.now(UTC)).total_seconds())), 60)
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
