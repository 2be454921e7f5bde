"""Anthropic's whole answers in the lingua franca, and what streams share with them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from spindle_llm.providers.refusals import told_in_stream
from spindle_llm.relay.answers import argument_text
from spindle_llm.relay.reasoning import DETAILS, FORMAT
from spindle_llm.relay.wire_json import read_object
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

FINISH_OF: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Why an answer ended. What a later version adds is `stop`."""

THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})


def read_answer(data: bytes) -> JsonObject:
    """Return a message as a chat answer.

    Blocks of kinds the lingua franca has no word for (what the provider's own tools did) are left
    out, and so are citations that point to no page of the web.

    Raises:
        GatewayError: It is an error under status 200.
        UpstreamError: It is no message.
    """
    message, _ = read_object(data)
    content = message.get("content")

    if message.get("type") == "error":
        raise told_in_stream(message.get("error"))

    if not isinstance(content, list):
        raise UpstreamError("The upstream sent no message.", code="upstream_garbage")

    answer: JsonObject = {
        "id": message.get("id"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": message.get("model"),
        "choices": [
            {"index": 0, "message": _message(content), "logprobs": None, **ending(message)}
        ],
    }
    usage = usage_of(message.get("usage"))

    if usage is not None:
        answer["usage"] = usage

    return answer


def ending(fields: JsonObject) -> JsonObject:
    """Return why an answer ended, also in Anthropic's word, and the sequence that ended it."""
    reason, sequence = fields.get("stop_reason"), fields.get("stop_sequence")

    if not isinstance(reason, str):
        return {"finish_reason": None}

    said: JsonObject = {
        "finish_reason": FINISH_OF.get(reason, "stop"),
        "native_finish_reason": reason,
    }
    return {**said, "stop_reason": sequence} if isinstance(sequence, str) else said


def usage_of(told: Json) -> JsonObject | None:
    """Return token counts as OpenAI counts them: what was cached is part of the prompt."""
    if not isinstance(told, dict) or "input_tokens" not in told:
        return None

    read, written = _count(told, "cache_read_input_tokens"), _count(told, _WRITTEN)
    prompt = _count(told, "input_tokens") + read + written
    output = _count(told, "output_tokens")
    details = told.get("output_tokens_details")
    usage: JsonObject = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
    }

    if isinstance(details, dict):
        usage["completion_tokens_details"] = {
            "reasoning_tokens": _count(details, "thinking_tokens")
        }

    return usage


def thought(block: JsonObject, index: int) -> JsonObject:
    """Return a block of thoughts as an entry of `reasoning_details`."""
    if block.get("type") == "redacted_thinking":
        entry: JsonObject = {"type": "reasoning.encrypted", "data": block.get("data")}
    else:
        entry = {"type": "reasoning.text", "text": block.get("thinking") or ""}

        if block.get("signature"):
            entry["signature"] = block["signature"]

    return {**entry, "format": FORMAT, "index": index}


def annotations_of(citations: Json, start: int, end: int) -> list[Json]:
    """Return the citations of a text, from `start` to `end` of the content, that name a page."""
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": start,
                "end_index": end,
                "title": citation.get("title") or "",
                "url": citation["url"],
            },
        }
        for citation in (citations if isinstance(citations, list) else ())
        if isinstance(citation, dict) and isinstance(citation.get("url"), str)
    ]


def _message(content: list[Json]) -> JsonObject:
    blocks = [block for block in content if isinstance(block, dict)]
    thoughts = [block for block in blocks if block.get("type") in THOUGHTS]
    calls: list[Json] = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    text, notes = _text(blocks)
    message: JsonObject = {
        "role": "assistant",
        "content": (text or None) if calls else text,
    }
    readable = [block for block in thoughts if block.get("type") == "thinking"]

    if readable:
        message["reasoning_content"] = "".join(
            str(block.get("thinking") or "") for block in readable
        )

    if thoughts:
        message[DETAILS] = [thought(block, index) for index, block in enumerate(thoughts)]

    if calls:
        message["tool_calls"] = calls

    if notes:
        message["annotations"] = notes

    return message


def _text(blocks: list[JsonObject]) -> tuple[str | None, list[Json]]:
    """Return the content, None when there is no block of it, and its annotations."""
    text: str | None = None
    notes: list[Json] = []

    for block in blocks:
        if block.get("type") == "text":
            start = len(text or "")
            text = (text or "") + str(block.get("text") or "")
            notes += annotations_of(block.get("citations"), start, len(text))

    return text, notes


def _call(block: JsonObject) -> JsonObject:
    arguments = argument_text(block.get("input"))
    return {
        "id": block.get("id"),
        "type": "function",
        "function": {"name": block.get("name"), "arguments": arguments},
    }


_WRITTEN: Final = "cache_creation_input_tokens"


def _count(fields: JsonObject, name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
