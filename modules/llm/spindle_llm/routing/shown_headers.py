"""Which headers of an upstream's answer a client may see."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_llm.providers.base import Adapter

_FORWARDED: Final = frozenset({"openai-processing-ms", "openai-version"})
_RATE_LIMITS: Final = "x-ratelimit-"


def shown_headers(headers: Mapping[str, str], adapter: Adapter) -> list[tuple[bytes, bytes]]:
    """Return the upstream's headers that a client may see, with those its adapter adds."""
    shown = [
        (name, value.encode("latin-1", "replace"))
        for said, value in headers.items()
        if (name := _shown_name(said)) is not None
    ]

    for said, value in adapter.shown_headers(headers).items():
        shown.append((said.encode("latin-1"), value.encode("latin-1", "replace")))

    return shown


@lru_cache(maxsize=1024)
def _shown_name(name: str) -> bytes | None:
    """Return a header's name as a client sees it; None for one that is not shown."""
    lower = name.lower()
    is_shown = lower in _FORWARDED or lower.startswith(_RATE_LIMITS)
    return lower.encode("latin-1") if is_shown else None
