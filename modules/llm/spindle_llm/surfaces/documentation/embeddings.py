"""What is said of `POST /v1/embeddings`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_llm.embeddings.query import MAX_INPUTS
from spindle_llm.surfaces.documentation.openai import COUNT, TEXT, UPSTREAM, WHOLE
from spindle_spi.operation import JSON_CONTENT, OperationDoc, json_response

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

_WORDS: Final[JsonObject] = {"type": "string", "minLength": 1}
_TOKENS: Final[JsonObject] = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "integer", "minimum": 0},
}
_REQUEST: Final[JsonObject] = {
    "title": "EmbeddingsRequest",
    "type": "object",
    "description": "Every other parameter is the upstream's to judge.",
    "properties": {
        "model": {"type": "string", "minLength": 1, "description": "Name or alias."},
        "input": {
            "description": "A text, texts, the tokens of a text, or lists of tokens.",
            "anyOf": [
                _WORDS,
                {"type": "array", "minItems": 1, "maxItems": MAX_INPUTS, "items": _WORDS},
                _TOKENS,
                {"type": "array", "minItems": 1, "maxItems": MAX_INPUTS, "items": _TOKENS},
            ],
        },
        "dimensions": COUNT,
        "encoding_format": {"enum": ["float", "base64", None]},
        "user": {},
    },
    "required": ["model", "input"],
    "additionalProperties": True,
    "examples": [{"model": "openai~text-embedding-3-small", "input": ["Hello", "Good evening"]}],
}
_ANSWER: Final[JsonObject] = {
    "title": "Embeddings",
    "type": "object",
    "properties": {
        "object": {"const": "list"},
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "object": {"const": "embedding"},
                    "index": WHOLE,
                    "embedding": {
                        "description": "Numbers, or 32-bit floats, little-endian, in base64.",
                        "anyOf": [{"type": "array", "items": {"type": "number"}}, TEXT],
                    },
                },
                "required": ["object", "index", "embedding"],
            },
        },
        "model": TEXT,
        "usage": {
            "type": "object",
            "properties": {"prompt_tokens": WHOLE, "total_tokens": WHOLE},
            "required": ["prompt_tokens", "total_tokens"],
        },
    },
    "required": ["object", "data", "model", "usage"],
}


def create() -> OperationDoc:
    """Return what is said of `POST /v1/embeddings`."""
    return OperationDoc(
        summary="Turn texts into vectors",
        description="The vectors come in the order of the inputs, however many calls it takes.",
        request={JSON_CONTENT: _REQUEST},
        responses={"200": json_response("The vectors.", _ANSWER)},
        refusals=UPSTREAM,
    )
