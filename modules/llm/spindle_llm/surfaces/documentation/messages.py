"""What is said of `/v1/messages`: Anthropic's form, as far as it is judged here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_llm.surfaces.documentation.openai import (
    COUNT,
    EVENTS,
    NAME,
    SWITCH,
    TEXT,
    UPSTREAM,
    WHOLE,
)
from spindle_spi.operation import (
    JSON_CONTENT,
    OperationDoc,
    ParameterDoc,
    ResponseDoc,
    json_response,
)

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

_JUDGED: Final[JsonObject] = {
    "model": NAME | {"description": "Name or alias; left out, the default model answers."},
    "messages": {"type": "array", "minItems": 1},
    "max_tokens": COUNT,
}
_REQUEST: Final[JsonObject] = {
    "title": "MessageRequest",
    "type": "object",
    "description": "Every other parameter of Anthropic's is relayed as it is, or translated.",
    "properties": {**_JUDGED, "stream": SWITCH},
    "required": ["messages"],
    "additionalProperties": True,
    "examples": [
        {"model": "mock~echo", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
    ],
}
_COUNTED: Final[JsonObject] = {
    "title": "MessageToCount",
    "type": "object",
    "properties": {**_JUDGED},
    "required": ["messages"],
    "additionalProperties": True,
}
_MESSAGE: Final[JsonObject] = {
    "title": "Message",
    "type": "object",
    "properties": {
        "id": TEXT,
        "type": {"const": "message"},
        "role": {"const": "assistant"},
        "model": TEXT,
        "content": {
            "type": "array",
            "items": {"type": "object", "properties": {"type": TEXT}, "required": ["type"]},
        },
        "stop_reason": {"type": ["string", "null"]},
        "stop_sequence": {"type": ["string", "null"]},
        "usage": {
            "type": "object",
            "properties": {"input_tokens": WHOLE, "output_tokens": WHOLE},
            "required": ["input_tokens", "output_tokens"],
        },
    },
    "required": ["id", "type", "role", "model", "content", "stop_reason", "usage"],
}
_COUNT: Final[JsonObject] = {
    "title": "TokenCount",
    "type": "object",
    "properties": {"input_tokens": WHOLE},
    "required": ["input_tokens"],
}
_HEADERS: Final = (
    ParameterDoc(
        name="anthropic-version",
        place="header",
        schema=TEXT,
        description="The edition of the API; for upstreams that have it.",
    ),
    ParameterDoc(
        name="anthropic-beta",
        place="header",
        schema=TEXT,
        description="What is not released yet, separated by commas.",
    ),
)


def create() -> OperationDoc:
    """Return what is said of `POST /v1/messages`."""
    return OperationDoc(
        summary="Ask a model for a message",
        description="With `stream: true` it comes in events, `message_stop` the last.",
        parameters=_HEADERS,
        request={JSON_CONTENT: _REQUEST},
        responses={
            "200": ResponseDoc(
                description="The message, whole or in events.",
                content={JSON_CONTENT: _MESSAGE, EVENTS: {}},
            )
        },
        refusals=UPSTREAM,
        stream=True,
    )


def count_tokens() -> OperationDoc:
    """Return what is said of `POST /v1/messages/count_tokens`."""
    return OperationDoc(
        summary="Count the tokens of a message before it is sent",
        parameters=_HEADERS,
        request={JSON_CONTENT: _COUNTED},
        responses={"200": json_response("How many there are.", _COUNT)},
        refusals=UPSTREAM,
    )
