"""What the lingua franca carries beyond OpenAI's own words, and leaving it out for who is strict.

A request that came in Anthropic's form keeps what has no word in the lingua franca in one member of
its own, `anthropic`; its messages may hold `reasoning_details`, `is_error` and `cache_control`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

ANTHROPIC: Final = "anthropic"
"""Name of the member with Anthropic's own parameters."""

SAID_TWICE: Final = frozenset({"thinking", "output_config", "metadata", "service_tier"})
"""Those of Anthropic's parameters that the lingua franca repeats in words of its own."""

_OF_MESSAGES: Final = frozenset({"reasoning_details", "is_error", "cache_control"})


def lost_natives(value: Json) -> tuple[str, ...]:
    """Return the names of Anthropic's own parameters that another upstream never sees."""
    if not isinstance(value, dict):
        return ()

    return tuple(name for name in value if name not in SAID_TWICE and name != "betas")


def without_extensions(request: JsonObject, *, keeps_reasoning: bool) -> tuple[str, ...]:
    """Leave out of a translated request what only Anthropic's form knows; return what it was.

    The request's top level is changed in place; messages and tools are copied where they change.
    `keeps_reasoning`: the upstream takes `reasoning_content` of earlier turns.
    """
    lost: set[str] = set()
    unknown = _OF_MESSAGES if keeps_reasoning else _OF_MESSAGES | {"reasoning_content"}

    for name in ("messages", "tools"):
        entries = request.get(name)

        if isinstance(entries, list):
            request[name] = [_plain(entry, unknown, lost) for entry in entries]

    # The thoughts of earlier turns are what this upstream has no use for; nobody misses them.
    return tuple(sorted(lost - {"reasoning_details", "reasoning_content"}))


def _plain(entry: Json, unknown: frozenset[str], lost: set[str]) -> Json:
    if not isinstance(entry, dict):
        return entry

    found = unknown & entry.keys()
    lost |= found
    kept = {name: value for name, value in entry.items() if name not in found}
    content = kept.get("content")

    if isinstance(content, list):
        kept["content"] = [_plain(part, frozenset({"cache_control"}), lost) for part in content]

    return kept
