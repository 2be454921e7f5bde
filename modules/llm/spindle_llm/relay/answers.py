"""The rules of a well-formed whole answer, kept whatever an upstream sends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_FINISH_OF = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "safety": "content_filter",
    "refusal": "content_filter",
}


class UsualFunction(msgspec.Struct):
    """A called function whose arguments are text, as they must be."""

    name: str
    arguments: str


class UsualCall(msgspec.Struct):
    """A tool call as it must be."""

    id: str
    type: str
    function: UsualFunction | None = None


class UsualMessage(msgspec.Struct):
    """A message of which only the calls are looked at."""

    role: str
    tool_calls: list[UsualCall] | None = None


class UsualChoice(msgspec.Struct):
    """A choice as it must be."""

    index: int
    message: UsualMessage
    finish_reason: str | None = None

    def keeps_rules(self) -> bool:
        """Tell whether nothing has to be mended."""
        called = bool(self.message.tool_calls)
        reason = self.finish_reason
        return (
            self.message.role == "assistant"
            and reason in FINISH_REASONS
            and not (called and reason == "stop")
        )


class UsualDetails(msgspec.Struct):
    """Parts of the token counts."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class UsualUsage(msgspec.Struct):
    """Token counts."""

    prompt_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: UsualDetails | None = None
    completion_tokens_details: UsualDetails | None = None


class UsualAnswer(msgspec.Struct):
    """An answer that needs no mending, read no further than needed to know that."""

    id: str
    object: str
    created: int
    model: str
    choices: list[UsualChoice]
    usage: UsualUsage | None = None
    error: msgspec.Raw | None = None

    def keeps_rules(self) -> bool:
        """Tell whether nothing but the model's name has to be changed."""
        return (
            self.object == "chat.completion"
            and self.error is None
            and all(choice.keeps_rules() for choice in self.choices)
        )


def mend_answer(answer: JsonObject) -> None:
    """Make an answer keep the rules, in place."""
    choices = answer["choices"]

    for position, choice in enumerate(choices if isinstance(choices, list) else ()):
        if isinstance(choice, dict):
            _mend_choice(choice, position)


def finish_reason(said: Json, *, called: bool) -> str:
    """Return a finish reason clients know, for what an upstream calls it."""
    if not isinstance(said, str):
        reason = "stop"
    elif said in FINISH_REASONS:
        reason = said
    else:
        reason = _FINISH_OF.get(said.lower(), "stop")

    return "tool_calls" if called and reason == "stop" else reason


def argument_text(arguments: Json) -> str:
    """Return the arguments of a call as JSON text, the only form clients read."""
    if isinstance(arguments, str):
        return arguments

    value = {} if arguments is None else arguments
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _mend_choice(choice: JsonObject, position: int) -> None:
    if not isinstance(choice.get("index"), int):
        choice["index"] = position

    message = choice["message"]

    if not isinstance(message, dict):
        return

    message["role"] = "assistant"
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list) else []

    for number, call in enumerate(calls):
        if isinstance(call, dict):
            _mend_call(call, number)

    choice["finish_reason"] = finish_reason(choice.get("finish_reason"), called=bool(calls))


def _mend_call(call: JsonObject, number: int) -> None:
    if not isinstance(call.get("id"), str):
        call["id"] = f"call_{number}"

    if not isinstance(call.get("type"), str):
        call["type"] = "function"

    function = call.get("function")

    if isinstance(function, dict):
        function["arguments"] = argument_text(function.get("arguments"))


def text_of(answer: JsonObject) -> str:
    """Return the text of an answer's first choice, or its refusal."""
    message = message_of(answer)
    text = message.get("content") or message.get("refusal")
    return text if isinstance(text, str) else ""


def message_of(answer: JsonObject) -> JsonObject:
    """Return the message of an answer's first choice; empty when there is none."""
    message = first_choice(answer).get("message")
    return message if isinstance(message, dict) else {}


def first_choice(answer: JsonObject) -> JsonObject:
    """Return an answer's first choice; empty when there is none."""
    choices = answer.get("choices")
    first: Json = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}
