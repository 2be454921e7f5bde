"""Schemas of upstreams: what is legal stays, what nobody could validate with is found at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from spindle_mcp.upstream.offers.schemas import MAX_DEPTH, MAX_PARTS, fault_of_schema, too_much_of

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

NODE: JsonObject = {"properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["string", "null"], "$schema": "http://json-schema.org/draft-07/schema#"},
        {"$schema": "of nobody", "$defs": {"node": NODE}, "$ref": "#/$defs/node"},
        {"$defs": {"node": NODE}, "anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        {"properties": {"not": {"$ref": "#"}, "$ref": {"type": "string"}}},
        {"properties": {"a": {"$ref": "#word"}}, "$defs": {"b": {"$anchor": "word"}}},
        {
            "properties": {"a": {"$ref": "https://there.example/b"}},
            "$defs": {"b": {"$id": "https://there.example/b", "properties": {"c": {"$ref": "#"}}}},
        },
        {"enum": [{"$ref": "https://there.example/b", "type": "nonsense"}]},
        {"items": [{"type": "string"}, True], "additionalProperties": False},
    ],
)
def test_what_json_schema_allows_is_sound(schema: JsonObject) -> None:
    """Circles over what becomes smaller, anchors and ids within, properties named like keywords."""
    assert fault_of_schema(schema) is None


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"$ref": "#"}, "refers to itself without an end"),
        (
            {
                "properties": {"x": {"$ref": "#/$defs/a"}},
                "$defs": {
                    "a": {"allOf": [{"not": {"$ref": "#/$defs/b"}}]},
                    "b": {"dependentSchemas": {"y": {"if": {"$ref": "#/$defs/a"}}}},
                },
            },
            "refers to itself without an end",
        ),
        ({"$ref": "#/$defs/gone"}, "refers to '#/$defs/gone', which is not in it"),
        ({"$dynamicRef": "#gone"}, "refers to '#gone', which is not in it"),
        ({"properties": {"a": {"type": "str"}}}, "says the type 'str', which there is not"),
        ({"type": ["string", 7]}, "says the type 7, which there is not"),
        ({"properties": []}, "has properties that are no object"),
        ({"properties": {"a": {"required": True}}}, "has required that is no list"),
    ],
)
def test_what_nobody_could_validate_with_is_named(schema: JsonObject, fault: str) -> None:
    """Each in words an operator can send to the upstream's author."""
    assert fault_of_schema(schema) == fault


def test_a_schema_that_multiplies_is_found_without_doing_it() -> None:
    """Thirty definitions of two lines would be a billion steps."""
    defs: dict[str, Json] = {
        f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}, {"$ref": f"#/$defs/a{n + 1}"}]}
        for n in range(30)
    }
    started = time.monotonic()
    fault = fault_of_schema({"$defs": {**defs, "a30": {}}, "$ref": "#/$defs/a0"})
    assert fault == "makes more than 10000 steps of one value"
    assert time.monotonic() - started < 5


def test_too_much_is_told_without_recursion() -> None:
    """Deeper than any parser of ours would give, and wider than anybody reads."""
    deep: Json = {}

    for _ in range(100_000):
        deep = [deep]

    assert too_much_of(deep) == f"is nested deeper than {MAX_DEPTH} levels"
    wide: list[Json] = [None] * MAX_PARTS
    assert too_much_of(wide) == f"has more than {MAX_PARTS} parts"
    assert too_much_of({"a": [1, {"b": None}]}) is None
