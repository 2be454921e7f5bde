"""What a client of the Responses surface says, item by item, as messages of the lingua franca."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.surfaces.judging import invalid
from spindle_llm.surfaces.responses.reasoning import details_of
from spindle_spi.errors import Unsupported

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_ROLES = frozenset({"user", "assistant", "system", "developer"})


def messages_of(items: Json) -> list[Json]:
    """Return the messages that input items stand for; a text is one of the user's.

    Calls and reasoning belong to the assistant's message they stand beside, results follow.

    Raises:
        InvalidArgument: An item cannot be understood.
        Unsupported: It is of a kind that has no form in a chat.
    """
    if isinstance(items, str):
        return [{"role": "user", "content": items}]

    if not isinstance(items, list):
        raise invalid("input", "must be a text or a list of items")

    history = _History()

    for position, item in enumerate(items):
        history.add(item, f"input[{position}]")

    return history.messages


def listed_items(items: Json) -> list[JsonObject]:
    """Return the input as a list of items, each with its type."""
    if isinstance(items, str):
        return [{"type": "message", "role": "user", "content": [_input_text(items)]}]

    listed: list[JsonObject] = []

    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue

        content = item.get("content")
        shown: JsonObject = {"type": "message", **item}

        if isinstance(content, str) and item.get("role") != "assistant":
            shown["content"] = [_input_text(content)]

        listed.append(shown)

    return listed


class _History:
    """The messages so far; the assistant's last one is open until somebody else speaks."""

    def __init__(self) -> None:
        self.messages: list[Json] = []
        self._open: JsonObject | None = None

    def add(self, item: Json, place: str) -> None:
        if not isinstance(item, dict):
            raise invalid(place, "must be an object")

        match item.get("type", "message"):
            case "message":
                self._message(item, place)
            case "function_call":
                function: JsonObject = {
                    "name": _text(item, "name", place),
                    "arguments": _text(item, "arguments", place),
                }
                self._call({"type": "function", "function": function}, item, place)
            case "custom_tool_call":
                custom: JsonObject = {
                    "name": _text(item, "name", place),
                    "input": _text(item, "input", place),
                }
                self._call({"type": "custom", "custom": custom}, item, place)
            case "function_call_output" | "custom_tool_call_output":
                self._result(item, place)
            case "reasoning":
                self._reasoning(item)
            case kind:
                raise Unsupported(
                    f"{place}: items of type {str(kind)[:64]!r} cannot be sent to this model.",
                    code="llm.parameter.unsupported",
                    param=place,
                )

    def _message(self, item: JsonObject, place: str) -> None:
        role = item.get("role")

        if role not in _ROLES:
            raise invalid(f"{place}.role", f"must be one of {', '.join(sorted(_ROLES))}")

        content = _content(item.get("content"), f"{place}.content")

        if role != "assistant":
            self._open = None
            self.messages.append({"role": role, "content": content})
            return

        message = self._assistant()

        if message.get("content") is not None or message.get("tool_calls"):
            message = self._assistant(is_new=True)

        message["content"] = content

    def _call(self, call: JsonObject, item: JsonObject, place: str) -> None:
        message = self._assistant()
        calls = message.setdefault("tool_calls", [])
        assert isinstance(calls, list)
        calls.append({"id": _text(item, "call_id", place), **call})

    def _result(self, item: JsonObject, place: str) -> None:
        output = item.get("output")
        content = output if isinstance(output, str) else _content(output, f"{place}.output")
        self._open = None
        self.messages.append(
            {"role": "tool", "tool_call_id": _text(item, "call_id", place), "content": content}
        )

    def _reasoning(self, item: JsonObject) -> None:
        parts = item.get("content") or item.get("summary")
        texts = [
            part.get("text")
            for part in (parts if isinstance(parts, list) else ())
            if isinstance(part, dict)
        ]
        text = "".join(part for part in texts if isinstance(part, str))
        # Reasoning comes before what it led to.
        message = self._assistant(is_new=True)

        if text:
            message["reasoning_content"] = text

        details = details_of(item.get("encrypted_content"))

        if details:
            message["reasoning_details"] = [*details]

    def _assistant(self, *, is_new: bool = False) -> JsonObject:
        if self._open is None or is_new:
            self._open = {"role": "assistant", "content": None}
            self.messages.append(self._open)

        return self._open


def _content(content: Json, place: str) -> Json:
    if isinstance(content, str):
        return content

    if not isinstance(content, list):
        raise invalid(place, "must be a text or a list of parts")

    parts = [_part(part, f"{place}[{number}]") for number, part in enumerate(content)]

    # Many models take lists, all take a text.
    if len(parts) == 1 and parts[0].get("type") == "text" and len(parts[0]) == 2:
        return parts[0]["text"]

    return [*parts]


def _part(part: Json, place: str) -> JsonObject:
    if not isinstance(part, dict):
        raise invalid(place, "must be an object")

    rest: JsonObject = {
        name: part[name] for name in ("prompt_cache_breakpoint",) if part.get(name) is not None
    }

    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": _text(part, "text", place), **rest}
        case "refusal":
            return {"type": "refusal", "refusal": _text(part, "refusal", place)}
        case "input_image":
            return {**_image(part, place), **rest}
        case "input_file":
            names = ("file_id", "file_data", "filename")
            file: JsonObject = {name: part[name] for name in names if part.get(name) is not None}

            if part.get("file_url") is not None or not file:
                raise _no_part(f"{place}.file_url")

            return {"type": "file", "file": file, **rest}
        case "input_audio":
            return {"type": "input_audio", "input_audio": part.get("input_audio"), **rest}
        case _:
            raise _no_part(place)


def _image(part: JsonObject, place: str) -> JsonObject:
    url = part.get("image_url")

    if not isinstance(url, str):
        raise _no_part(f"{place}.file_id")

    image: JsonObject = {"url": url}

    if part.get("detail") is not None:
        image["detail"] = part["detail"]

    return {"type": "image_url", "image_url": image}


def _no_part(place: str) -> Unsupported:
    return Unsupported(
        f"{place} cannot be sent to this model.", code="llm.parameter.unsupported", param=place
    )


def _input_text(text: str) -> JsonObject:
    return {"type": "input_text", "text": text}


def _text(item: JsonObject, name: str, place: str) -> str:
    value = item.get(name)

    if not isinstance(value, str):
        raise invalid(f"{place}.{name}", "must be a text")

    return value
