"""Messages of the lingua franca as Anthropic's: one system prompt, and turns that alternate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from spindle_llm.providers.anthropic_parts import blocks_of, cached, text_block
from spindle_llm.relay.reasoning import FORMAT
from spindle_spi.errors import InvalidArgument, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.types import Json, JsonObject

_FOREIGN_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")


def conversation(messages: Json, lost: set[str]) -> tuple[list[JsonObject], list[Json]]:
    """Return the blocks of the system prompt, and the turns.

    Every message of the system or the developer goes into the prompt, in order; those of one role
    in a row become one turn; results of tools stand first in theirs. `lost` takes the names of what
    cannot be said.

    Raises:
        InvalidArgument: A message cannot be understood, or none is left.
        Unsupported: A message says what Anthropic has no word for.
    """
    if not isinstance(messages, list):
        raise _invalid("messages must be a list.")

    system: list[JsonObject] = []
    turns: list[tuple[str, list[JsonObject]]] = []

    for message in messages:
        if not isinstance(message, dict):
            raise _invalid("A message must be an object.")

        if message.get("name") is not None:
            lost.add("messages.name")

        role, blocks = _turn(message, lost)

        if role == "system":
            system += blocks
        elif turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, blocks))

    if not turns:
        raise _invalid("messages must say something beside the system's.")

    return system, [{"role": role, "content": _ordered(role, blocks)} for role, blocks in turns]


def _turn(message: JsonObject, lost: set[str]) -> tuple[str, list[JsonObject]]:
    match message.get("role"):
        case "system" | "developer":
            return "system", _marked(message, blocks_of(message.get("content"), lost))
        case "user":
            return "user", _marked(message, blocks_of(message.get("content"), lost))
        case "assistant":
            return "assistant", _marked(message, list(_said(message, lost)))
        case "tool":
            return "user", [_result(message, lost)]
        case role:
            raise Unsupported(
                f"The provider of this model knows no role {role!r}.",
                code="llm.parameter.unsupported",
                param="messages",
            )


def _ordered(role: str, blocks: list[JsonObject]) -> list[Json]:
    """Return the blocks of a turn, results of tools first."""
    if role == "user":
        blocks = sorted(blocks, key=lambda block: block["type"] != "tool_result")

    return [*blocks]


def _marked(message: JsonObject, blocks: list[JsonObject]) -> list[JsonObject]:
    """Return the blocks of a message; its own cache mark is the last one's."""
    if blocks and "cache_control" not in blocks[-1]:
        blocks[-1] = cached(blocks[-1], message)

    return blocks


def _said(message: JsonObject, lost: set[str]) -> Iterator[JsonObject]:
    """Yield what an assistant said: thoughts before all else."""
    yield from _thoughts(message.get("reasoning_details"))
    yield from blocks_of(message.get("content"), lost)
    refusal = message.get("refusal")

    if isinstance(refusal, str) and refusal.strip():
        yield text_block(refusal)

    calls = message.get("tool_calls")

    if message.get("function_call") is not None:
        raise Unsupported(
            "The provider of this model knows tool_calls, and no function_call.",
            code="llm.parameter.unsupported",
            param="messages",
        )

    for call in calls if isinstance(calls, list) else ():
        yield _call(call)


def _thoughts(details: Json) -> Iterator[JsonObject]:
    """Yield the thoughts that Anthropic signed or sealed; it takes no others."""
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict) or detail.get("format", FORMAT) != FORMAT:
            continue

        text, signature, data = detail.get("text"), detail.get("signature"), detail.get("data")

        match detail.get("type"):
            case "reasoning.text" if isinstance(signature, str) and signature:
                yield {"type": "thinking", "thinking": text or "", "signature": signature}
            case "reasoning.encrypted" if isinstance(data, str):
                yield {"type": "redacted_thinking", "data": data}
            case _:
                pass


def _call(call: Json) -> JsonObject:
    function = call.get("function") if isinstance(call, dict) else None

    if not isinstance(call, dict) or not isinstance(function, dict):
        raise Unsupported(
            "The provider of this model knows calls of functions only.",
            code="llm.parameter.unsupported",
            param="messages",
        )

    block: JsonObject = {
        "type": "tool_use",
        "id": _own_id(call.get("id")),
        "name": function.get("name"),
        "input": _arguments(function.get("arguments")),
    }
    return cached(block, call)


def _arguments(said: Json) -> JsonObject:
    """Return the arguments of a call as an object; none at all are an empty one."""
    if isinstance(said, str) and said.strip():
        try:
            said = msgspec.json.decode(said)
        except (msgspec.DecodeError, RecursionError) as exc:
            raise _invalid("The arguments of a tool call are no JSON.") from exc
    elif not said:
        return {}

    if not isinstance(said, dict):
        raise _invalid("The arguments of a tool call must be an object.")

    return said


def _result(message: JsonObject, lost: set[str]) -> JsonObject:
    content = message.get("content")
    blocks: Json = [*blocks_of(content, lost)] if isinstance(content, list) else content
    result: JsonObject = {
        "type": "tool_result",
        "tool_use_id": _own_id(message.get("tool_call_id")),
        "content": blocks,
    }

    if not blocks:
        del result["content"]

    if message.get("is_error") is True:
        result["is_error"] = True

    return cached(result, message)


def _own_id(said: Json) -> str:
    """Return the id of a call in the characters that Anthropic takes."""
    if not isinstance(said, str) or not said:
        raise _invalid("A tool call, and its result, must have an id.")

    return _FOREIGN_ID.sub("_", said)


def _invalid(message: str) -> InvalidArgument:
    return InvalidArgument(message, code="llm.messages.invalid", param="messages")
