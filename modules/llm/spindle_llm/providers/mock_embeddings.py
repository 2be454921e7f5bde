"""The vectors of the mock provider: they follow from the text, and mean nothing."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Final

from spindle_llm.providers.mock_scripts import Question, Script, refusal
from spindle_llm.relay.wire_json import encode

if TYPE_CHECKING:
    from spindle_spi.types import Json

EMBEDDERS: Final = {"embed": "Makes vectors that follow from the text, and mean nothing."}
DIMENSIONS: Final = 32
"""Of every vector, unless a request asks for fewer."""


def embed(question: Question) -> Script:
    """Return the vectors of a request in OpenAI's form."""
    if question.model not in EMBEDDERS:
        return refusal(404, "The model does not exist.", "model_not_found")

    inputs = question.body.get("input")
    entries = inputs if isinstance(inputs, list) else [inputs]
    dimensions = int(min(question.wanted("dimensions", DIMENSIONS), DIMENSIONS))
    data: list[Json] = [
        {"object": "embedding", "index": index, "embedding": _vector(entry, dimensions)}
        for index, entry in enumerate(entries)
    ]
    tokens = math.ceil(len(encode({"input": inputs})) / 4)
    body = encode(
        {
            "object": "list",
            "data": data,
            "model": question.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )
    return Script(pieces=(body,), headers={"content-type": "application/json"})


def _vector(entry: Json, dimensions: int) -> list[Json]:
    """Return numbers that are the same in 32 bits."""
    digest = hashlib.shake_128(encode({"input": entry})).digest(dimensions)
    return [(byte - 128) / 128 for byte in digest]
