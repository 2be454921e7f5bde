"""What Ollama refuses in a request of its own form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_conformance.upstreams.requests import objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.types import Json, JsonObject

_ROLES = frozenset({"system", "user", "assistant", "tool"})
_KINDS = {
    "model": ("string", "string"),
    "messages": ("array", "[]api.Message"),
    "tools": ("array", "api.Tools"),
    "options": ("object", "map[string]interface {}"),
    "stream": ("bool", "bool"),
}
_THINK = (True, False, "low", "medium", "high", "max")


def fault_in(body: JsonObject) -> str | None:
    """Return what is wrong with a chat, in the vendor's words; None if nothing is."""
    return next(faults(body), None)


def faults(body: JsonObject) -> Iterator[str]:
    """Return everything that is wrong, the first of which the vendor tells."""
    for name, (kind, called) in _KINDS.items():
        if name in body and _kind(body[name]) not in (kind, "null"):
            yield _cannot(body[name], f"ChatRequest.{name}", called)

    if not body.get("model"):
        yield "model is required"

    think = body.get("think")

    if think is not None and think not in _THINK:
        allowed = '"high", "medium", "low", "max", true, or false'
        yield f'invalid think value: "{think}" (must be {allowed})'

    shape = body.get("format")

    if not (shape is None or shape in ("", "json") or isinstance(shape, dict)):
        yield f'invalid format: "{shape}"; expected "json" or a JSON schema'

    for message in objects(body.get("messages")):
        yield from _in_message(message)


def _in_message(message: JsonObject) -> Iterator[str]:
    role, content = message.get("role"), message.get("content", "")

    if role not in _ROLES:
        yield f"invalid role: {role}"

    if content is not None and not isinstance(content, str):
        yield _cannot(content, "ChatRequest.messages.content", "string")

    images = message.get("images", [])

    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        yield _cannot(images, "ChatRequest.messages.images", "api.ImageData")

    for call in objects(message.get("tool_calls")):
        function = call.get("function")
        arguments = function.get("arguments") if isinstance(function, dict) else None

        if not isinstance(arguments, dict):
            yield _cannot(
                arguments,
                "ChatRequest.messages.tool_calls.function.arguments",
                "api.ToolCallFunctionArguments",
            )


def _cannot(value: Json, where: str, called: str) -> str:
    return f"json: cannot unmarshal {_kind(value)} into Go struct field {where} of type {called}"


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "number"
