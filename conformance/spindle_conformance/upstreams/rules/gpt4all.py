"""What GPT4All refuses in a request: almost everything it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.types import Json, JsonObject

_KNOWN = frozenset({"model", "messages", "max_tokens", "temperature", "top_p", "min_p", "n"})
_UNSUPPORTED: dict[str, Json] = {
    "stream": False,
    "stream_options": None,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "seed": None,
    "stop": None,
    "logit_bias": None,
    "logprobs": None,
    "response_format": None,
    "tools": None,
    "tool_choice": None,
    "functions": None,
    "function_call": None,
}
"""What is not supported, and the value that is no request for it."""
_ROLES = ("system", "user", "assistant")


def fault_in(body: JsonObject) -> str | None:
    """Return what is wrong with a chat, in the vendor's words; None if nothing is."""
    return next(faults(body), None)


def faults(body: JsonObject) -> Iterator[str]:
    """Return everything that is wrong, the first of which the vendor tells."""
    for name, value in body.items():
        if name in _UNSUPPORTED:
            if value is not None and value != _UNSUPPORTED[name]:
                yield f"'{name}' is not supported"
        elif name not in _KNOWN:
            yield f"Unrecognized request argument supplied: {name}"

    if not isinstance(body.get("model"), str):
        yield "you must provide a model parameter"

    messages = body.get("messages")

    if not isinstance(messages, list) or not messages:
        yield "'messages' is a required property"
        return

    for index, message in enumerate(messages):
        yield from _in_message(f"messages.{index}", message)


def _in_message(where: str, message: Json) -> Iterator[str]:
    if not isinstance(message, dict):
        yield f"Invalid type for '{where}': expected an object"
        return

    for name in message:
        if name not in ("role", "content"):
            yield f"Additional properties are not allowed ('{name}' was unexpected) - '{where}'"

    if message.get("role") not in _ROLES:
        yield f"'{message.get('role')}' is not one of {list(_ROLES)} - '{where}.role'"

    if not isinstance(message.get("content"), str):
        yield f"Invalid type for '{where}.content': expected a string"
