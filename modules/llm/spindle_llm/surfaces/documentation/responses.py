"""What is said of `/v1/responses`: what is judged of a request, and what a response always has."""

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

_ITEMS: Final[JsonObject] = {"type": ["string", "array", "null"]}
_OPTIONS: Final[JsonObject] = {"type": ["object", "null"]}
_REQUEST: Final[JsonObject] = {
    "title": "ResponseRequest",
    "type": "object",
    "description": "Other parameters are passed on where a chat calls them by the same name.",
    "properties": {
        "model": NAME | {"description": "Name or alias; left out, the default model answers."},
        "input": _ITEMS | {"description": "A text, or items; needed unless it goes on."},
        "instructions": _ITEMS,
        "previous_response_id": {"type": ["string", "null"]},
        "max_output_tokens": COUNT,
        "stream": SWITCH,
        "background": SWITCH,
        "store": SWITCH,
        "text": _OPTIONS,
        "reasoning": _OPTIONS,
    },
    "additionalProperties": True,
    "examples": [{"model": "mock~echo", "input": "Hello"}],
}
_RESPONSE: Final[JsonObject] = {
    "title": "Response",
    "type": "object",
    "properties": {
        "id": TEXT,
        "object": {"const": "response"},
        "created_at": WHOLE,
        "status": {
            "enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
        },
        "background": {"type": ["boolean", "null"]},
        "error": {"type": ["object", "null"]},
        "incomplete_details": {"type": ["object", "null"]},
        "model": {"type": ["string", "null"]},
        "output": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"type": TEXT},
                "required": ["type"],
            },
        },
        "store": {"type": "boolean"},
        "usage": {"type": ["object", "null"]},
    },
    "required": ["id", "object", "created_at", "status", "model", "output"],
}
_DELETED: Final[JsonObject] = {
    "title": "ResponseDeleted",
    "type": "object",
    "properties": {
        "id": TEXT,
        "object": {"const": "response"},
        "deleted": {"const": True},
    },
    "required": ["id", "object", "deleted"],
}
_PAGE: Final[JsonObject] = {
    "title": "ResponseInputItems",
    "type": "object",
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": {"type": "object"}},
        "first_id": {"type": ["string", "null"]},
        "last_id": {"type": ["string", "null"]},
        "has_more": {"type": "boolean"},
    },
    "required": ["object", "data", "first_id", "last_id", "has_more"],
}
_STREAM: Final = ParameterDoc(
    name="stream",
    schema={"type": "boolean"},
    description="Only false: a stored response is answered whole.",
)
_PAGED: Final = (
    ParameterDoc(name="order", schema={"enum": ["asc", "desc"], "default": "desc"}),
    ParameterDoc(
        name="limit", schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    ),
    ParameterDoc(name="after", schema=TEXT, description="The id of the item before."),
)


def create() -> OperationDoc:
    """Return what is said of `POST /v1/responses`."""
    return OperationDoc(
        summary="Ask a model for a response",
        description="With `stream: true` it comes in events, each with a `sequence_number`.",
        request={JSON_CONTENT: _REQUEST},
        responses={
            "200": ResponseDoc(
                description="The response, whole or in events.",
                content={JSON_CONTENT: _RESPONSE, EVENTS: {}},
            )
        },
        refusals=UPSTREAM,
        stream=True,
    )


def retrieve() -> OperationDoc:
    """Return what is said of `GET /v1/responses/{id}`."""
    return OperationDoc(
        summary="Read one of one's stored responses",
        parameters=(_STREAM,),
        responses={"200": json_response("The response as it is now.", _RESPONSE)},
    )


def delete() -> OperationDoc:
    """Return what is said of `DELETE /v1/responses/{id}`."""
    return OperationDoc(
        summary="Delete one of one's stored responses",
        responses={"200": json_response("It is gone.", _DELETED)},
    )


def cancel() -> OperationDoc:
    """Return what is said of `POST /v1/responses/{id}/cancel`."""
    return OperationDoc(
        summary="Cancel a response in the background",
        responses={"200": json_response("The response as it is now.", _RESPONSE)},
        refusals=(409,),
    )


def input_items() -> OperationDoc:
    """Return what is said of `GET /v1/responses/{id}/input_items`."""
    return OperationDoc(
        summary="List what a stored response was asked",
        parameters=_PAGED,
        responses={"200": json_response("A page of items.", _PAGE)},
    )
