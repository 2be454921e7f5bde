"""What a route says of itself: the documentation it brings to the host's OpenAPI document.

Schemas are plain JSON Schema (draft 2020-12) with their own `$defs`; the host moves those to where
the whole document can refer to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spindle_spi.types import JsonObject

JSON_CONTENT = "application/json"
"""The content type of everything that says no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterDoc:
    """A parameter. Those of the path are in the document without being said here."""

    name: str
    schema: JsonObject
    place: str = "query"
    """query, header or path."""
    description: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseDoc:
    """One answer of an operation."""

    description: str
    content: Mapping[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    """Schemas by content type; empty for an answer without a body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationDoc:
    """One method of one path."""

    summary: str
    responses: Mapping[str, ResponseDoc]
    """By status; answers that are errors of the route's shape are said by `refusals` instead."""
    description: str = ""
    tag: str = ""
    """What it is listed under; empty means its owner."""
    parameters: tuple[ParameterDoc, ...] = ()
    request: Mapping[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    """Schemas of the body by content type; empty for an operation that reads none."""
    request_required: bool = True
    refusals: tuple[int, ...] = ()
    """Statuses of errors beside those that follow from the route: of its caller, path and body."""
    stream: bool = False
    """The answer may come as an event stream, piece by piece."""


def json_response(description: str, schema: JsonObject) -> ResponseDoc:
    """Return an answer that is JSON."""
    return ResponseDoc(description=description, content={JSON_CONTENT: schema})
