"""Which headers of an upstream's answer a client may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_llm.providers.base import Adapter

_FORWARDED: Final = frozenset({"openai-processing-ms", "openai-version"})
_RATE_LIMITS: Final = "x-ratelimit-"


def shown_headers(headers: Mapping[str, str], adapter: Adapter) -> list[tuple[bytes, bytes]]:
    """Return the upstream's headers that a client may see, with those its adapter adds."""
    shown: list[tuple[bytes, bytes]] = []

    for name, value in headers.items():
        lower = name.lower()

        if lower in _FORWARDED or lower.startswith(_RATE_LIMITS):
            shown.append((lower.encode("latin-1"), value.encode("latin-1", "replace")))

    shown += [
        (name.encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in adapter.shown_headers(headers).items()
    ]
    return shown
