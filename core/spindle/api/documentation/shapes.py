"""The words in which operations are described: JSON Schemas of small things, and of bodies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spindle_spi.operation import (
    JSON_CONTENT,
    OperationDoc,
    ParameterDoc,
    ResponseDoc,
    json_response,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from spindle_spi.types import Json, JsonObject

TEXT: Final[JsonObject] = {"type": "string"}
MAYBE_TEXT: Final[JsonObject] = {"type": ["string", "null"]}
FLAG: Final[JsonObject] = {"type": "boolean"}
NUMBER: Final[JsonObject] = {"type": "number"}
MAYBE_NUMBER: Final[JsonObject] = {"type": ["number", "null"]}
WHOLE: Final[JsonObject] = {"type": "integer"}
MAYBE_WHOLE: Final[JsonObject] = {"type": ["integer", "null"]}
OBJECT: Final[JsonObject] = {"type": "object"}
MAYBE_OBJECT: Final[JsonObject] = {"type": ["object", "null"]}
MOMENT: Final[JsonObject] = {"type": "string", "format": "date-time"}
MAYBE_MOMENT: Final[JsonObject] = {"type": ["string", "null"], "format": "date-time"}
TEXTS: Final[JsonObject] = {"type": "array", "items": {"type": "string"}}

IF_MATCH: Final = ParameterDoc(
    name="if-match",
    place="header",
    schema=TEXT,
    description="The `etag` of the state that is meant; another one is refused with 412.",
)
PAGE: Final = (
    ParameterDoc(
        name="limit",
        schema={"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
        description="How many items a page has.",
    ),
    ParameterDoc(
        name="cursor", schema=TEXT, description="The `next_cursor` of the page before this one."
    ),
)


def one_of(*words: str) -> JsonObject:
    """Return the schema of a few words."""
    listed: list[Json] = [*words]
    return {"type": "string", "enum": listed}


def many(schema: JsonObject) -> JsonObject:
    """Return the schema of a list."""
    return {"type": "array", "items": schema}


def record(title: str, /, *, optional: Iterable[str] = (), **properties: JsonObject) -> JsonObject:
    """Return the schema of an object whose keys are all there, but for the optional ones."""
    left_out = set(optional)
    defs: JsonObject = {}
    shown: JsonObject = {
        "title": title,
        "type": "object",
        "properties": {name: _pointed(schema, defs) for name, schema in properties.items()},
        "required": [name for name in properties if name not in left_out],
    }

    if defs:
        shown["$defs"] = defs

    return shown


def page_of(schema: JsonObject, **beside: JsonObject) -> JsonObject:
    """Return the schema of a page of a list."""
    return record(f"{schema['title']}Page", items=many(schema), next_cursor=MAYBE_TEXT, **beside)


def filters(*names: str) -> tuple[ParameterDoc, ...]:
    """Return query parameters that are texts."""
    return tuple(ParameterDoc(name=name, schema=TEXT) for name in names)


def choice(name: str, *words: str, description: str = "") -> ParameterDoc:
    """Return a query parameter that is one of some words."""
    return ParameterDoc(name=name, schema=one_of(*words), description=description)


def flag(name: str, description: str = "") -> ParameterDoc:
    """Return a query parameter that is true or false."""
    return ParameterDoc(name=name, schema=FLAG, description=description)


def body_of(model: type[BaseModel]) -> JsonObject:
    """Return the schema of a body."""
    schema: JsonObject = model.model_json_schema()
    return untitled(schema)


def read(
    summary: str,
    schema: JsonObject,
    *,
    description: str = "",
    query: tuple[ParameterDoc, ...] = (),
    refusals: tuple[int, ...] = (),
) -> OperationDoc:
    """Return an operation that shows something."""
    return OperationDoc(
        summary=summary,
        description=description,
        parameters=query,
        responses={"200": json_response("What was asked for.", schema)},
        refusals=refusals,
    )


def write(
    summary: str,
    schema: JsonObject | None,
    body: JsonObject | None = None,
    *,
    status: int = 200,
    parameters: tuple[ParameterDoc, ...] = (),
    refusals: tuple[int, ...] = (404, 409, 412),
) -> OperationDoc:
    """Return an operation that changes something, and answers with what is there then."""
    words = {201: "It was made.", 204: "It is done."}.get(status, "As it is now.")
    answer = ResponseDoc(description=words) if schema is None else json_response(words, schema)
    return OperationDoc(
        summary=summary,
        parameters=parameters,
        request={} if body is None else {JSON_CONTENT: body},
        responses={str(status): answer},
        refusals=refusals,
    )


def described(said: OperationDoc, words: str) -> OperationDoc:
    """Return an operation with more words."""
    return replace(said, description=words)


def removal(summary: str, *, is_matched: bool = True) -> OperationDoc:
    """Return an operation that takes something away."""
    return write(summary, None, status=204, parameters=(IF_MATCH,) if is_matched else ())


def _pointed(schema: JsonObject, defs: JsonObject) -> JsonObject:
    """Return a schema in which what has a title stands among the definitions, and is named."""
    items, title = schema.get("items"), schema.get("title")

    if isinstance(items, dict):
        return {**schema, "items": _pointed(items, defs)}

    if not isinstance(title, str):
        return schema

    inner = schema.get("$defs")
    defs |= inner if isinstance(inner, dict) else {}
    defs[title] = {key: value for key, value in schema.items() if key != "$defs"}
    return {"$ref": f"#/$defs/{title}"}


def untitled(schema: JsonObject) -> JsonObject:
    """Return a schema without the titles of its properties, which only say their names again."""
    found = dict(schema)
    defs, properties = found.get("$defs"), found.get("properties")

    if isinstance(defs, dict):
        found["$defs"] = {
            name: untitled(each) if isinstance(each, dict) else each for name, each in defs.items()
        }

    if isinstance(properties, dict):
        found["properties"] = {
            name: (
                {key: value for key, value in each.items() if key != "title"}
                if isinstance(each, dict)
                else each
            )
            for name, each in properties.items()
        }

    return found
