"""What the lingua franca carries beyond OpenAI's own words, and leaving it out for who is strict.

A request that came in Anthropic's form keeps what has no word in the lingua franca in one member of
its own, `anthropic`; its messages may hold `reasoning_details`, `is_error` and `cache_control`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_spi.errors import Unsupported

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

ANTHROPIC: Final = "anthropic"
"""Name of the member with Anthropic's own parameters."""

NATIVE_PARTS: Final = frozenset({"document", "image", "search_result", "container_upload"})
"""Blocks of Anthropic's that there is no part for, or none that says all; they stay as they are."""

_SAID_TWICE: Final = frozenset({"thinking", "output_config", "metadata", "service_tier", "betas"})
"""Those of Anthropic's parameters that the lingua franca repeats in words of its own."""
_CACHE: Final = frozenset({"cache_control"})
_EXTENSIONS: Final = frozenset({"reasoning_details", "is_error", *_CACHE})
_SEEN_BELOW: Final = "The tool's result has a picture, which follows."


def lost_natives(value: Json) -> tuple[str, ...]:
    """Return the names of Anthropic's own parameters that another upstream never sees."""
    if not isinstance(value, dict):
        return ()

    return tuple(name for name in value if name not in _SAID_TWICE)


def without_extensions(request: JsonObject, *, strict: bool) -> tuple[str, ...]:
    """Leave out of a translated request what only Anthropic's form knows; return what it was.

    The request's top level is changed in place; messages and tools are copied. `strict`: the
    upstream is OpenAI itself, which takes no other words and only the newest.

    Raises:
        Unsupported: A part can be read by Anthropic alone.
    """
    lost: set[str] = set()
    unknown = _EXTENSIONS | {"reasoning_content"} if strict else _EXTENSIONS
    messages, tools = request.get("messages"), request.get("tools")

    if isinstance(tools, list):
        request["tools"] = [_without(tool, _CACHE, lost) for tool in tools]

    if isinstance(messages, list):
        plain = [_message(entry, unknown, lost) for entry in messages if isinstance(entry, dict)]
        request["messages"] = [*_with_pictures_apart(plain)]

    if strict and "max_tokens" in request:
        request.setdefault("max_completion_tokens", request.pop("max_tokens"))

    # The thoughts of earlier turns are what this upstream has no use for; nobody misses them.
    return tuple(sorted(lost - {"reasoning_details", "reasoning_content"}))


def _message(message: JsonObject, unknown: frozenset[str], lost: set[str]) -> JsonObject:
    kept = _without(message, unknown, lost)
    content, calls = kept.get("content"), kept.get("tool_calls")

    if isinstance(content, list):
        kept["content"] = _content([_without(part, _CACHE, lost) for part in content])

    if isinstance(calls, list):
        kept["tool_calls"] = [_without(call, _CACHE, lost) for call in calls]

    return kept


def _without(entry: Json, unknown: frozenset[str], lost: set[str]) -> JsonObject:
    fields = entry if isinstance(entry, dict) else {}
    found = unknown & fields.keys()
    lost |= found
    return {name: value for name, value in fields.items() if name not in found}


def _content(parts: list[JsonObject]) -> Json:
    """Return parts as they are; texts alone as one text, because some know nothing else."""
    for part in parts:
        if part.get("type") in NATIVE_PARTS:
            raise Unsupported(
                f"The provider of this model takes no part of type {part['type']!r}.",
                code="llm.parameter.unsupported",
                param="messages",
            )

    if all(part.get("type") == "text" for part in parts):
        return "\n\n".join(str(part.get("text")) for part in parts)

    return [*parts]


def _with_pictures_apart(messages: list[JsonObject]) -> list[JsonObject]:
    """Return the messages with what tools showed in messages of the user: results are texts."""
    apart: list[JsonObject] = []
    shown: list[Json] = []

    for message in messages:
        content = message.get("content")

        if message.get("role") != "tool":
            apart += _showing(shown)
            shown = []
        elif isinstance(content, list):
            texts = [part for part in content if isinstance(part, dict) and part["type"] == "text"]
            shown += [part for part in content if part not in texts]
            said = "\n\n".join(str(part.get("text")) for part in texts)
            message["content"] = said or _SEEN_BELOW

        apart.append(message)

    return [*apart, *_showing(shown)]


def _showing(parts: list[Json]) -> list[JsonObject]:
    return [{"role": "user", "content": parts}] if parts else []
