"""The surfaces in OpenAI's form: what is judged of a request, and what an answer always has.

A request is relayed as it came: keys that are not named here are the upstream's to judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_llm.surfaces.body import MAX_CHOICES
from spindle_spi.operation import JSON_CONTENT, OperationDoc, ResponseDoc, json_response

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

EVENTS: Final = "text/event-stream"
UPSTREAM: Final = (404, 409, 422, 502, 504)
"""Statuses of errors that come of a model: absent, refused, failed, or too slow."""

TEXT: Final[JsonObject] = {"type": "string"}
WHOLE: Final[JsonObject] = {"type": "integer"}
NAME: Final[JsonObject] = {"type": ["string", "null"], "minLength": 1}
SWITCH: Final[JsonObject] = {"type": ["boolean", "null"]}
COUNT: Final[JsonObject] = {"type": ["integer", "null"], "minimum": 1}

MODEL: Final[JsonObject] = {
    "title": "OpenaiModel",
    "type": "object",
    "properties": {"id": TEXT, "object": {"const": "model"}, "created": WHOLE, "owned_by": TEXT},
    "required": ["id", "object", "created", "owned_by"],
}
MODEL_LIST: Final[JsonObject] = {
    "title": "OpenaiModelList",
    "type": "object",
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": {"$ref": "#/$defs/OpenaiModel"}},
    },
    "required": ["object", "data"],
    "$defs": {"OpenaiModel": MODEL},
}
CHAT_REQUEST: Final[JsonObject] = {
    "title": "ChatCompletionRequest",
    "type": "object",
    "description": "Every other parameter of OpenAI's is relayed as it is.",
    "properties": {
        "model": NAME | {"description": "Name or alias; left out, the default model answers."},
        "messages": {"type": "array", "minItems": 1},
        "stream": SWITCH,
        "stream_options": {"type": ["object", "null"]},
        "n": COUNT | {"maximum": MAX_CHOICES},
        "max_tokens": COUNT,
        "max_completion_tokens": COUNT,
    },
    "required": ["messages"],
    "additionalProperties": True,
    "examples": [{"model": "mock~echo", "messages": [{"role": "user", "content": "Hello"}]}],
}
CHAT_ANSWER: Final[JsonObject] = {
    "title": "ChatCompletion",
    "type": "object",
    "properties": {
        "id": TEXT,
        "object": {"const": "chat.completion"},
        "created": WHOLE,
        "model": TEXT,
        "choices": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "index": WHOLE,
                    "message": {
                        "type": "object",
                        "properties": {
                            "role": {"const": "assistant"},
                            "content": {"type": ["string", "null"]},
                        },
                        "required": ["role"],
                    },
                    "finish_reason": {"type": ["string", "null"]},
                },
                "required": ["index", "message"],
            },
        },
        "usage": {"type": ["object", "null"]},
    },
    "required": ["id", "object", "created", "model", "choices"],
}


def chat_completions() -> OperationDoc:
    """Return what is said of `POST /v1/chat/completions`."""
    return OperationDoc(
        summary="Ask a model for the next message of a chat",
        description="With `stream: true` the answer comes in events, `data: [DONE]` the last.",
        request={JSON_CONTENT: CHAT_REQUEST},
        responses={
            "200": ResponseDoc(
                description="The completion, whole or in chunks.",
                content={JSON_CONTENT: CHAT_ANSWER, EVENTS: {}},
            )
        },
        refusals=UPSTREAM,
        stream=True,
    )


def list_models() -> OperationDoc:
    """Return what is said of `GET /v1/models`."""
    return OperationDoc(
        summary="List the models one may use",
        responses={"200": json_response("The models.", MODEL_LIST)},
    )


def get_model() -> OperationDoc:
    """Return what is said of `GET /v1/models/{id}`."""
    return OperationDoc(
        summary="Show a model, by name or alias",
        responses={"200": json_response("The model.", MODEL)},
    )
