"""Scripted embeddings: vectors that follow from the input, in the ways servers answer with them."""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.types import Json, JsonObject

DIMENSIONS = 8
"""Of every vector, unless the request says otherwise."""

MODELS = {
    "embed": "what was asked for",
    "embed-float": "floats, even when base64 was asked for",
    "embed-wrong-dimension": "one dimension less than was asked for",
    "embed-fewer": "one vector less than there are inputs",
    "embed-shuffled": "the vectors in reverse, with the right index each",
    "embed-usage-zero": "a usage of zero",
    "embed-usage-less": "no usage at all",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an embedding request asks for."""

    model: str
    inputs: tuple[str, ...]
    dimensions: int = DIMENSIONS
    base64: bool = False


def wanted_in(body: JsonObject, name: str = "input") -> Wanted | None:
    """Read a request; None where the input is none, or empty."""
    inputs = _inputs(body.get(name))
    dimensions = body.get("dimensions")
    model = body.get("model")

    if not inputs or not isinstance(model, str):
        return None

    return Wanted(
        model=model,
        inputs=inputs,
        dimensions=dimensions if isinstance(dimensions, int) else DIMENSIONS,
        base64=body.get("encoding_format") == "base64",
    )


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """Return the vector of an input: numbers that are the same in 32 bits."""
    digest = hashlib.shake_128(text.encode()).digest(dimensions)
    return [(byte - 128) / 128 for byte in digest]


def vectors(wanted: Wanted) -> list[list[float]]:
    """Return the vectors a model answers with, in the order of the input."""
    dimensions = wanted.dimensions - (wanted.model == "embed-wrong-dimension")
    inputs = wanted.inputs[:-1] if wanted.model == "embed-fewer" else wanted.inputs
    return [vector(text, dimensions) for text in inputs]


def tokens_of(wanted: Wanted) -> int:
    """Return how many tokens the inputs are said to have."""
    return 0 if wanted.model == "embed-usage-zero" else sum(map(len, wanted.inputs))


def openai_embeddings(
    wanted: Wanted, *, float_only: bool = False, counts_tokens: bool = True
) -> JsonObject:
    """Return an answer in OpenAI's form."""
    encode = wanted.base64 and not float_only and wanted.model != "embed-float"
    data: list[Json] = [
        {"object": "embedding", "index": index, "embedding": _written(one, encode=encode)}
        for index, one in enumerate(vectors(wanted))
    ]

    if wanted.model == "embed-shuffled":
        data.reverse()

    body: JsonObject = {"object": "list", "data": data, "model": wanted.model}

    if wanted.model != "embed-usage-less":
        tokens = tokens_of(wanted) if counts_tokens else 0
        body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}

    return body


def _written(values: Sequence[float], *, encode: bool) -> Json:
    if not encode:
        return list(values)

    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def _inputs(value: Json) -> tuple[str, ...]:
    """Return the inputs as texts: a text, texts, tokens, or lists of tokens."""
    if isinstance(value, str):
        return (value,) if value else ()

    if not isinstance(value, list) or not value:
        return ()

    if all(isinstance(entry, int) for entry in value):
        return (str(value),)

    texts = tuple(entry if isinstance(entry, str) else str(entry) for entry in value)
    return texts if all(texts) else ()
