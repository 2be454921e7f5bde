"""What whole messages and streams of Anthropic's form have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from spindle_llm.providers.anthropic_answer import FINISH_OF
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def message_id(said: Json) -> str:
    """Return an id of a message for what an upstream calls its answer."""
    name = said if isinstance(said, str) else ""
    return name if name.startswith("msg_") else f"msg_{name}"


def stopped(choice: JsonObject, *, refused: bool) -> JsonObject:
    """Return why a choice ended: in the upstream's own word, if it is Anthropic's.

    `refused` tells whether the model said a refusal: OpenAI's stops with one, Anthropic's refuses.
    """
    finish, native = choice.get("finish_reason"), choice.get("native_finish_reason")
    sequence = choice.get("stop_reason")
    by_sequence = isinstance(sequence, str) and finish == "stop"

    if isinstance(native, str) and FINISH_OF.get(native) == finish:
        reason: Json = native
    elif by_sequence:
        reason = "stop_sequence"
    elif refused and finish == "stop":
        reason = "refusal"
    else:
        reason = _REASONS.get(str(finish), "end_turn")

    return {"stop_reason": reason, "stop_sequence": sequence if by_sequence else None}


def arguments_of(text: str, *, cut: bool) -> Json:
    """Return the arguments of a call as an object; of a call that was cut, as far as they go.

    Raises:
        UpstreamError: They are none.
    """
    try:
        value: Json = msgspec.json.decode(text) if text.strip() else {}
    except (msgspec.DecodeError, RecursionError) as exc:
        if cut:
            return {}

        raise UpstreamError(
            "The upstream called a tool with arguments that are no JSON.", code="upstream_garbage"
        ) from exc

    if not isinstance(value, dict):
        raise UpstreamError(
            "The upstream called a tool with arguments that are no object.", code="upstream_garbage"
        )

    return value


def thought_block(detail: JsonObject) -> JsonObject | None:
    """Return an entry of `reasoning_details` as a block; None when there is none for it."""
    match detail:
        case {"type": "reasoning.text"}:
            return thinking(detail.get("text"), detail.get("signature"))
        case {"type": "reasoning.summary"}:
            return thinking(detail.get("summary"), "")
        case {"type": "reasoning.encrypted", "data": str(data)}:
            return {"type": "redacted_thinking", "data": data}
        case _:
            return None


def thinking(text: Json, signature: Json) -> JsonObject:
    """Return a block of thoughts that can be read."""
    return {"type": "thinking", "thinking": text or "", "signature": signature or ""}
