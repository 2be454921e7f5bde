"""The tokens of a call as the ledger wants them, from what the upstream said or by estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_spi.admission import TokenUsage

if TYPE_CHECKING:
    from spindle_spi.types import Json

_BYTES_PER_TOKEN = 4


def told_usage(usage: Json) -> TokenUsage | None:
    """Return the usage object of an answer as data; None when it is not one."""
    if not isinstance(usage, dict) or "prompt_tokens" not in usage:
        return None

    prompt = usage.get("prompt_tokens_details")
    completion = usage.get("completion_tokens_details")
    return TokenUsage(
        input_tokens=_whole(usage.get("prompt_tokens")),
        output_tokens=_whole(usage.get("completion_tokens")),
        cache_read_tokens=_part(prompt, "cached_tokens"),
        cache_write_tokens=_part(prompt, "cache_write_tokens"),
        reasoning_tokens=_part(completion, "reasoning_tokens"),
    )


def estimated_usage(
    *, request_bytes: int, output_tokens: int = 0, output_bytes: int = 0
) -> TokenUsage:
    """Return a usage nobody told, from the sizes of what went to and fro."""
    return TokenUsage(
        input_tokens=max(1, request_bytes // _BYTES_PER_TOKEN),
        output_tokens=max(output_tokens, output_bytes // _BYTES_PER_TOKEN),
        estimated=True,
    )


def _part(details: Json, name: str) -> int:
    return _whole(details.get(name)) if isinstance(details, dict) else 0


def _whole(value: Json) -> int:
    return max(0, int(value)) if isinstance(value, int | float) else 0
