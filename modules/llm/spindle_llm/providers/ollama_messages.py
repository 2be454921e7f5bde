"""Messages and tools of the lingua franca as Ollama's own chat takes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from spindle_llm.providers.ledger import unsupported
from spindle_llm.providers.local_chat import text_of
from spindle_llm.relay.wire_json import UNREADABLE
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_INLINE: Final = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)


def native_messages(messages: Json) -> list[Json]:
    """Return messages in Ollama's own form.

    Raises:
        InvalidArgument: One is none, or calls a tool with something that is no object.
        Unsupported: One holds what Ollama does not take: an address of a picture, a sound, a file.
    """
    if not isinstance(messages, list):
        raise InvalidArgument("'messages' must be a list.", param="messages")

    names: dict[str, str] = {}
    """Of the tools called so far, by the id of the call."""
    return [_message(message, names) for message in messages]


def _message(message: Json, names: dict[str, str]) -> JsonObject:
    if not isinstance(message, dict):
        raise InvalidArgument("A message must be an object.", param="messages")

    role = message.get("role")
    texts, images = _content(message.get("content"))
    native: JsonObject = {
        "role": {"developer": "system", "function": "tool"}.get(str(role), role),
        "content": texts,
    }

    if images:
        native["images"] = images

    if role == "assistant":
        _add_thoughts_and_calls(native, message, names)
    elif role == "tool":
        call_id = message.get("tool_call_id")

        if isinstance(call_id, str):
            native["tool_call_id"] = call_id
            native["tool_name"] = names.get(call_id, "")
    elif role == "function":
        native["tool_name"] = message.get("name")

    return native


def _content(content: Json) -> tuple[str, list[Json]]:
    if not isinstance(content, list):
        return (content if isinstance(content, str) else ""), []

    texts: list[str] = []
    images: list[Json] = []

    for part in content:
        text = text_of(part)

        if text is None:
            images.append(_image(part))
        else:
            texts.append(text)

    return "".join(texts), images


def _image(part: Json) -> str:
    """Return the bytes of a picture as Ollama takes them: base64, and nothing before it."""
    image = part.get("image_url") if isinstance(part, dict) else None
    url = image.get("url") if isinstance(image, dict) else image

    if not isinstance(url, str):
        raise unsupported("messages", "The provider of this model takes text and pictures only.")

    inline = _INLINE.match(url)

    if inline is None:
        raise unsupported(
            "messages", "The provider of this model takes pictures only as base64 data."
        )

    return url[inline.end() :]


def _add_thoughts_and_calls(native: JsonObject, message: JsonObject, names: dict[str, str]) -> None:
    thoughts = message.get("reasoning_content") or message.get("reasoning")

    if isinstance(thoughts, str):
        native["thinking"] = thoughts

    calls = message.get("tool_calls")

    if isinstance(calls, list) and calls:
        native["tool_calls"] = [_call(call, index, names) for index, call in enumerate(calls)]


def _call(call: Json, index: int, names: dict[str, str]) -> JsonObject:
    function = call.get("function") if isinstance(call, dict) else None

    if not isinstance(call, dict) or not isinstance(function, dict):
        raise unsupported("messages", "The provider of this model knows no tools but functions.")

    name, call_id = function.get("name"), call.get("id")
    native: JsonObject = {
        "function": {
            "index": index,
            "name": name,
            "arguments": _arguments(function.get("arguments")),
        }
    }

    if isinstance(call_id, str):
        native["id"] = call_id
        names[call_id] = str(name)

    return native


def _arguments(said: Json) -> JsonObject:
    """Return the arguments of a call as the object their text stands for."""
    value: Json = {} if said is None else said

    if isinstance(said, str):
        try:
            value = msgspec.json.decode(said) if said.strip() else {}
        except UNREADABLE:
            value = None

    if not isinstance(value, dict):
        raise InvalidArgument(
            "The arguments of a tool call must be the text of a JSON object.", param="messages"
        )

    return value
