"""The `chat` part of the module's section, as data and as a schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_spi.types import Json, JsonObject

_POSITIVE: Mapping[str, Json] = {"type": "number", "exclusiveMinimum": 0}

CHAT_SCHEMA: dict[str, Json] = {
    "type": "object",
    "additionalProperties": False,
    "description": "Settings of session chats.",
    "properties": {
        "max_messages": {
            "type": "integer",
            "minimum": 2,
            "maximum": 1000,
            "description": "Most messages of its history a session sends to its model.",
        },
        "ttl_seconds": {**_POSITIVE, "description": "Life of a session after its last event."},
        "max_tool_rounds": {
            "type": "integer",
            "minimum": 0,
            "maximum": 100,
            "description": "How often one turn may go back to the model with tool results.",
        },
        "parallel_tools": {
            "type": "integer",
            "minimum": 1,
            "maximum": 64,
            "description": "How many tools of one turn run at the same time.",
        },
        "tool_timeout": {**_POSITIVE, "description": "Seconds one tool may take."},
        "turn_timeout": {**_POSITIVE, "description": "Seconds a whole turn may take."},
        "connect_timeout": {
            **_POSITIVE,
            "description": "Seconds a server given by URL may take to show its tools.",
        },
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """What the operator set for session chats."""

    max_messages: int = 50
    ttl_seconds: float = 3600.0
    max_tool_rounds: int = 8
    parallel_tools: int = 8
    tool_timeout: float = 60.0
    turn_timeout: float = 180.0
    connect_timeout: float = 10.0

    @classmethod
    def of(cls, section: JsonObject) -> ChatSettings:
        """Return the settings of a section that holds to `CHAT_SCHEMA`."""
        default = cls()
        return cls(
            max_messages=int(_number(section, "max_messages", default.max_messages)),
            ttl_seconds=_number(section, "ttl_seconds", default.ttl_seconds),
            max_tool_rounds=int(_number(section, "max_tool_rounds", default.max_tool_rounds)),
            parallel_tools=int(_number(section, "parallel_tools", default.parallel_tools)),
            tool_timeout=_number(section, "tool_timeout", default.tool_timeout),
            turn_timeout=_number(section, "turn_timeout", default.turn_timeout),
            connect_timeout=_number(section, "connect_timeout", default.connect_timeout),
        )


def _number(section: JsonObject, key: str, default: float) -> float:
    value = section.get(key)
    return value if isinstance(value, int | float) else default
