"""How many tokens a request may come to, where nobody counts them.

One for every four bytes of text, of arguments and of the schemas of tools; four for each message;
1600 for a picture, which is what the largest comes to; one for every 100 characters of a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_BYTES_PER_TOKEN: Final = 4
_MESSAGE: Final = 4
_IMAGE: Final = 1600
_FILE_BYTES_PER_TOKEN: Final = 100


def estimated_tokens(request: JsonObject) -> int:
    """Return the estimate for a request in the lingua franca."""
    messages, tools = request.get("messages"), request.get("tools")
    size = _size(tools) if tools else 0
    more = 0

    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue

        more += _MESSAGE
        content, calls = message.get("content"), message.get("tool_calls")
        size += _size(calls) if calls else 0

        if isinstance(content, str):
            size += len(content.encode())

        for part in content if isinstance(content, list) else ():
            own, extra = _part(part)
            size += own
            more += extra

    return max(1, -(-size // _BYTES_PER_TOKEN) + more)


def _part(part: Json) -> tuple[int, int]:
    """Return the bytes of a part that count as text, and the tokens of what is none."""
    if not isinstance(part, dict):
        return 0, 0

    match part.get("type"):
        case "image_url" | "image":
            return 0, _IMAGE
        case "text":
            return len(str(part.get("text")).encode()), 0
        case "file" | "document":
            return 0, _size(part) // _FILE_BYTES_PER_TOKEN
        case _:
            return _size(part), 0


def _size(value: Json) -> int:
    return len(msgspec.json.encode(value))
