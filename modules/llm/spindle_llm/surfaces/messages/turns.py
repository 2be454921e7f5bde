"""Anthropic's turns and system prompt as messages of the lingua franca.

Results of tools become messages of their own, before the rest of their turn. Thoughts stay with
their signatures in `reasoning_details`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from spindle_llm.providers.anthropic_answer import THOUGHTS, thought
from spindle_llm.relay.reasoning import DETAILS
from spindle_llm.surfaces.messages.parts import objects_of, part_of, wrong
from spindle_spi.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.types import Json, JsonObject

_CACHE: Final = "cache_control"


def system_of(system: Json) -> list[JsonObject]:
    """Return the system prompt, a text or blocks of text, as messages: one, or none."""
    if system is None or system in ("", []):
        return []

    if isinstance(system, str):
        return [{"role": "system", "content": system}]

    parts: list[Json] = [part_of(block) for block in objects_of(system, "system")]
    return [{"role": "system", "content": parts}]


def messages_of(messages: Json) -> Iterator[JsonObject]:
    """Yield the messages of the turns.

    Raises:
        InvalidArgument: A turn cannot be understood.
        Unsupported: A block is of a kind that only Anthropic's own servers know.
    """
    for message in objects_of(messages, "messages"):
        content = message.get("content")

        match message.get("role"):
            case "user":
                yield from _user(content)
            case "assistant" if isinstance(content, str):
                yield {"role": "assistant", "content": content}
            case "assistant":
                yield _assistant(objects_of(content, "messages"))
            case "system":
                yield from system_of(content)
            case role:
                raise wrong(f"There is no role {role!r}.")


def _user(content: Json) -> Iterator[JsonObject]:
    if isinstance(content, str):
        yield {"role": "user", "content": content}
        return

    blocks = objects_of(content, "messages")
    rest: list[Json] = []

    for block in blocks:
        if block.get("type") == "tool_result":
            yield _result(block)
        else:
            rest.append(part_of(block))

    if rest:
        yield {"role": "user", "content": rest}


def _result(block: JsonObject) -> JsonObject:
    content = block.get("content")
    message: JsonObject = {
        "role": "tool",
        "tool_call_id": block.get("tool_use_id"),
        "content": "" if content is None else content,
    }

    if isinstance(content, list):
        message["content"] = [part_of(part) for part in objects_of(content, "messages")]

    if block.get("is_error") is True:
        message["is_error"] = True

    return _marked(message, block)


def _assistant(blocks: list[JsonObject]) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": None}
    details: list[Json] = []
    calls: list[Json] = []
    texts: list[JsonObject] = []

    for block in blocks:
        match block.get("type"):
            case "text":
                texts.append(part_of(block))
            case kind if kind in THOUGHTS:
                details.append(thought(block, len(details)))
            case "tool_use":
                calls.append(_call(block))
            case kind:
                raise Unsupported(
                    f"A block of type {kind!r} is understood by Anthropic's own servers alone.",
                    code="llm.parameter.unsupported",
                    param="messages",
                )

    if any(_CACHE in text for text in texts):
        message["content"] = [*texts]
    elif texts:
        message["content"] = "".join(str(text["text"]) for text in texts)

    readable = [str(block.get("thinking") or "") for block in blocks if block.get("thinking")]

    if readable:
        message["reasoning_content"] = "".join(readable)

    if details:
        message[DETAILS] = details

    if calls:
        message["tool_calls"] = calls

    return message


def _call(block: JsonObject) -> JsonObject:
    arguments = msgspec.json.encode(block.get("input") or {}).decode()
    function: JsonObject = {"name": block.get("name"), "arguments": arguments}
    call: JsonObject = {"id": block.get("id"), "type": "function", "function": function}
    return _marked(call, block)


def _marked(made: JsonObject, block: JsonObject) -> JsonObject:
    mark = block.get(_CACHE)
    return made if mark is None else {**made, _CACHE: mark}
