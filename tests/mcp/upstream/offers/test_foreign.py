"""Schemas that refer to other documents: what is offered takes whatever the upstream takes."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import validators
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from spindle_mcp.upstream.offers.foreign import self_contained
from spindle_mcp.upstream.offers.schemas import fault_of_schema, references_in

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

THERE = "https://there.example/s"
AWAY: JsonObject = {"$ref": THERE}
TEXT: JsonObject = {"type": "string"}
DRAFT_7 = "http://json-schema.org/draft-07/schema#"

SCHEMAS: list[JsonObject] = [
    AWAY,
    {"properties": {"a": AWAY, "b": TEXT}, "required": ["b"]},
    {"properties": {"a": {"not": AWAY}}},
    {"properties": {"a": {"not": {"not": AWAY}}}},
    {"properties": {"a": {"oneOf": [AWAY, TEXT]}}},
    {"properties": {"a": {"oneOf": [AWAY, TEXT], "anyOf": [TEXT, {"type": "number"}]}}},
    {"properties": {"a": {"if": AWAY, "then": TEXT, "else": {"type": "number"}}}},
    {"properties": {"a": {"if": TEXT, "then": AWAY, "else": {"type": "number"}}}},
    {"properties": {"a": {"contains": AWAY, "maxContains": 1}}},
    {"properties": {"a": {"contains": TEXT, "maxContains": 1, "items": AWAY}}},
    {"allOf": [AWAY], "properties": {"b": {}}, "unevaluatedProperties": False},
    {"additionalProperties": AWAY, "properties": {"b": TEXT}},
    {"$defs": {"x": AWAY}, "properties": {"a": {"not": {"$ref": "#/$defs/x"}}}},
    {"$defs": {"x": {"oneOf": [TEXT, AWAY]}}, "properties": {"a": {"$ref": "#/$defs/x"}}},
    {"properties": {"a": {"$ref": THERE, "type": "string"}}},
    {"$schema": DRAFT_7, "properties": {"a": {"$ref": THERE, "type": "string"}}},
    {"$schema": DRAFT_7, "properties": {"a": {"oneOf": [AWAY, TEXT]}}},
    {"properties": {"a": {"dependentSchemas": {"b": AWAY}, "$dynamicRef": THERE}}},
]
ELSEWHERE: list[bool | JsonObject] = [
    True,
    False,
    TEXT,
    {"properties": {"a": True}},
    {"minLength": 2},
]
VALUES: list[Json] = ["", "ab", 1, None, [], ["a"], ["a", 1], {"b": "x"}]


def takes(schema: JsonObject, value: Json, elsewhere: bool | JsonObject | None = None) -> bool:
    registry = Registry[Any]()

    if elsewhere is not None:
        registry = registry.with_resource(THERE, DRAFT202012.create_resource(elsewhere))

    dialect: Any = validators.validator_for(schema, default=validators.Draft202012Validator)
    return bool(dialect(schema, registry=registry).is_valid(value))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_nothing_that_the_upstream_takes_is_refused(schema: JsonObject) -> None:
    """Whatever the other document turns out to say."""
    assert fault_of_schema(schema) is None
    offered, note = self_contained(schema)
    assert note == f"refers to another document, {THERE!r}: what that says is not checked"
    assert not references_in(offered).foreign

    for elsewhere, a, b in product(ELSEWHERE, VALUES, VALUES):
        value: Json = {"a": a, "b": b}

        if takes(schema, value, elsewhere):
            assert takes(offered, value), (elsewhere, value)


@pytest.mark.parametrize(
    ("schema", "offered"),
    [
        (
            {"properties": {"a": AWAY, "b": {"not": TEXT}}, "oneOf": [TEXT, {"type": "object"}]},
            {"properties": {"a": {}, "b": {"not": TEXT}}, "oneOf": [TEXT, {"type": "object"}]},
        ),
        (
            {"type": "object", "$ref": THERE, "required": ["a"]},
            {"type": "object", "required": ["a"]},
        ),
        (
            {"properties": {"a": {**AWAY, "description": "Who."}}, "maxProperties": 2},
            {"properties": {"a": {"description": "Who."}}, "maxProperties": 2},
        ),
        (
            {"$schema": DRAFT_7, "type": "object", "$ref": THERE, "required": ["a"]},
            {"type": "object", "$schema": DRAFT_7},
        ),
        (
            {"oneOf": [AWAY, TEXT], "properties": {"a": {"enum": [AWAY]}}},
            {"anyOf": [{}, TEXT], "properties": {"a": {"enum": [AWAY]}}},
        ),
    ],
)
def test_only_what_the_other_document_has_a_say_in_is_loosened(
    schema: JsonObject, offered: JsonObject
) -> None:
    """All else is said as it was, words and data included."""
    assert self_contained(schema)[0] == offered


def test_a_schema_that_is_whole_is_offered_as_it_is() -> None:
    """Also one whose references look as if they led away."""
    schema: JsonObject = {
        "properties": {"a": {"$ref": THERE}},
        "$defs": {"b": {"$id": THERE, "type": "string"}},
    }
    assert self_contained(schema) == (schema, None)


def test_many_documents_are_told_of_in_one_sentence() -> None:
    """The first three by name."""
    schema: JsonObject = {"properties": {f"p{n}": {"$ref": f"{n}.json"} for n in range(5)}}
    _, note = self_contained(schema)
    assert note is not None
    assert note.endswith(" and 2 more: what that says is not checked")
