"""Token counts as Anthropic tells them, and estimates where an upstream tells none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_llm.relay.usage import told_usage

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_BYTES_PER_TOKEN: Final = 4


class Tally:
    """What went to and fro, by its bytes."""

    __slots__ = ("_answered", "_asked")

    def __init__(self, request_bytes: int) -> None:
        self._asked = request_bytes
        self._answered = 0

    def add(self, text: str) -> None:
        """Count a piece of the answer."""
        self._answered += len(text.encode())

    @property
    def input_tokens(self) -> int:
        """What the request may have come to."""
        return max(1, self._asked // _BYTES_PER_TOKEN)

    @property
    def output_tokens(self) -> int:
        """What the answer may have come to."""
        return self._answered // _BYTES_PER_TOKEN


def usage_shown(told: Json, tally: Tally) -> JsonObject:
    """Return token counts as Anthropic counts them: what was cached is not among the input."""
    usage = told_usage(told)

    if usage is None:
        return {"input_tokens": tally.input_tokens, "output_tokens": tally.output_tokens}

    cached = usage.cache_read_tokens + usage.cache_write_tokens
    shown: JsonObject = {
        "input_tokens": max(0, usage.input_tokens - cached),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }

    if usage.reasoning_tokens:
        shown["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}

    return shown
