"""The body of `POST /v1/embeddings`: judged by its top level, and understood whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_llm.embeddings.query import Query, inputs_of
from spindle_llm.surfaces.judging import (
    count_of,
    invalid,
    judged_members,
    judged_value,
    model_of,
    whole_object,
)
from spindle_spi.admission import Estimate
from spindle_spi.errors import InvalidArgument
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from spindle_spi.types import Json

_GUARDED = frozenset({"model", "input", "dimensions", "encoding_format"})
_ENCODINGS = ("float", "base64")
_OWN = frozenset({"model", "input", "encoding_format"})
"""What this surface says itself, whatever the upstream is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsRequest:
    """A request for embeddings that holds to the rules."""

    body: bytes
    data: JsonObject
    model: str
    encoding: str
    estimate: Estimate
    stream: bool = False

    def parsed(self) -> JsonObject:
        """Return the whole request as plain data."""
        return self.data


def parse_embeddings(body: bytes) -> EmbeddingsRequest:
    """Judge a request for embeddings.

    Raises:
        InvalidArgument: It breaks a rule; says which, and names the parameter.
    """
    members = judged_members(body, _GUARDED)
    model = model_of(judged_value(body, members, "model"))

    if model is None:
        # Vectors of two models cannot be compared: no default takes a model's place.
        raise InvalidArgument(
            "The request names no model.", code="llm.model.missing", param="model"
        )

    data = whole_object(body)
    inputs_of(data.get("input"))
    count_of(data.get("dimensions"), "dimensions")
    return EmbeddingsRequest(
        body=body,
        data=data,
        model=model,
        encoding=_encoding(data.get("encoding_format")),
        # Vectors are no tokens: there is no choice to pay for.
        estimate=Estimate(input_bytes=len(body), choices=0),
    )


def query_of(data: JsonObject) -> Query:
    """Return what a request asks for, as plugins left it.

    Raises:
        InvalidArgument: Nothing is left of an input.
    """
    value = data.get("input")
    entries = value if isinstance(value, list) else [value]
    # What a plugin put in the place of tokens is a part with a text.
    texts = [entry.get("text") if isinstance(entry, dict) else entry for entry in entries]
    return Query(
        inputs=inputs_of(texts),
        parameters={
            key: entry for key, entry in data.items() if key not in _OWN and entry is not None
        },
    )


def _encoding(value: Json) -> str:
    if value is None:
        return "float"

    if not isinstance(value, str) or value not in _ENCODINGS:
        raise invalid("encoding_format", "must be float or base64")

    return value
