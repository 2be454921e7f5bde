"""Schemas of documents as JSON Schema 2020-12 that stands by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from spindle_mcp.upstream.openapi.references import References
from spindle_mcp.upstream.openapi.schemas import MAX_BYTES, SchemaTooLarge, translated
from tests.mcp.upstream.openapi.support import fits

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


def to_input(schema: Json, **schemas: Json) -> JsonObject:
    return _translated(schema, "input", schemas)


def to_output(schema: Json, **schemas: Json) -> JsonObject:
    return _translated(schema, "output", schemas)


def _translated(schema: Json, direction: Any, schemas: dict[str, Json]) -> JsonObject:
    found = translated(References({"components": {"schemas": schemas}}), schema, direction)
    Draft202012Validator.check_schema(found)
    return found


def ref(name: str, **beside: Json) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}", **beside}


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"description": "d", "nullable": True, "allOf": [{"type": "object"}]},
            {
                "description": "d",
                "anyOf": [{"allOf": [{"type": "object"}]}, {"type": "null"}],
            },
        ),
        ({"type": "integer", "example": 3}, {"type": "integer", "examples": [3]}),
        (
            {"minimum": 1, "exclusiveMinimum": True, "maximum": 5, "exclusiveMaximum": False},
            {"exclusiveMinimum": 1, "maximum": 5},
        ),
        (
            {"xml": {"name": "x"}, "discriminator": {"propertyName": "t"}, "externalDocs": {}},
            {},
        ),
        ({"type": ["string", "null"], "const": "a"}, {"type": ["string", "null"], "const": "a"}),
        (True, {}),
    ],
)
def test_words_of_openapi_become_those_of_json_schema(given_: Json, wanted: JsonObject) -> None:
    """What JSON Schema has no word for is left out."""
    assert to_input(given_) == wanted


@pytest.mark.parametrize(
    "garbage",
    [
        {"type": "strange"},
        {"type": 5},
        {"required": "name"},
        {"required": ["a", "a"]},
        {"enum": []},
        {"minLength": -1},
        {"multipleOf": 0},
        {"properties": []},
        {"properties": {"a": 5}},
        {"items": [{"type": "string"}]},
        {"allOf": []},
        {"pattern": "("},
        {"default": float("inf")},
        {"$ref": "http://elsewhere.test/schema.json"},
        {"$ref": "other.json#/X"},
        {"$ref": "#/components/schemas/None"},
        {"$ref": 5},
        {"$dynamicRef": "#x"},
        5,
        None,
    ],
)
def test_garbage_leaves_a_valid_schema(garbage: Json) -> None:
    """Nothing is fetched, nothing raised; what cannot be said is not said."""
    found = to_input({"type": "object", "properties": {"x": garbage}})
    assert found["type"] == "object"
    assert "$ref" not in json.dumps(found)


def test_what_is_referred_to_is_written_out() -> None:
    """Words beside a reference are those of the place it stands in."""
    found = to_input(
        {"type": "object", "properties": {"pet": ref("Pet", description="mine")}},
        Pet={"type": "string", "description": "a pet", "maxLength": 5},
    )
    assert found["properties"] == {"pet": {"type": "string", "description": "mine", "maxLength": 5}}


def test_rules_beside_a_reference_hold_as_well() -> None:
    """So it is since 3.1; a null beside a reference is allowed, as people mean it in 3.0."""
    found = to_input(
        {"properties": {"a": ref("Name", minLength=2), "b": ref("Name", nullable=True)}},
        Name={"type": "string"},
    )
    assert found["properties"] == {
        "a": {"allOf": [{"type": "string"}], "minLength": 2},
        "b": {"type": ["string", "null"]},
    }


NODE: JsonObject = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "next": ref("Node")},
    "required": ["name"],
}


def test_what_comes_back_to_itself_is_kept_as_a_definition() -> None:
    """And holds for every depth."""
    found = to_input(ref("Node"), Node=NODE)
    assert found["type"] == "object"
    assert found["properties"]["next"] == {"$ref": "#/$defs/Node"}  # type: ignore[index, call-overload]
    assert fits(found, {"name": "a", "next": {"name": "b", "next": {"name": "c"}}})
    assert not fits(found, {"name": "a", "next": {"name": "b", "next": {"name": 3}}})


def test_two_definitions_of_one_name_are_kept_apart() -> None:
    """Whatever part of the document they stand in."""
    document: JsonObject = {
        "components": {
            "schemas": {
                "A": {
                    "type": "object",
                    "properties": {
                        "one": {"$ref": "#/components/schemas/N"},
                        "two": {"$ref": "#/x/N"},
                    },
                },
                "N": {"type": "array", "items": {"$ref": "#/components/schemas/N"}},
            }
        },
        "x": {"N": {"type": "object", "additionalProperties": {"$ref": "#/x/N"}}},
    }
    found = translated(References(document), ref("A"), "input")
    assert set(found["$defs"]) == {"N", "N_2"}  # type: ignore[arg-type]
    assert fits(found, {"one": [[], [[]]], "two": {"a": {"b": {}}}})
    assert not fits(found, {"one": [{}]})
    assert not fits(found, {"two": {"a": []}})


@pytest.mark.parametrize(
    "schemas",
    [
        {"A": ref("A")},
        {"A": ref("B"), "B": ref("A")},
        {"A": {"allOf": [ref("A"), {"type": "object"}]}},
        {"A": {"anyOf": [ref("B")]}, "B": {"oneOf": [{"not": ref("A")}]}},
    ],
)
def test_a_schema_that_never_ends_says_nothing(schemas: dict[str, Json]) -> None:
    """Who checks a value by it comes to an end."""
    found = to_input({"type": "object", "properties": {"a": ref("A")}}, **schemas)
    fits(found, {"a": {"b": [1]}})


def test_what_is_only_read_is_no_argument_and_what_is_only_written_no_answer() -> None:
    """Also where `allOf` spreads the properties and the required names."""
    base: JsonObject = {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "readOnly": True},
            "stamp": ref("Stamp"),
            "name": {"type": "string"},
            "password": {"type": "string", "writeOnly": True},
        },
    }
    pet: JsonObject = {"allOf": [ref("Base"), {"required": ["id", "stamp", "name", "password"]}]}
    schemas: dict[str, Json] = {"Base": base, "Stamp": {"type": "string", "readOnly": True}}
    taken, given_ = to_input(pet, **schemas), to_output(pet, **schemas)
    assert fits(taken, {"name": "a", "password": "b"})
    assert not fits(taken, {"name": "a"})
    assert '"id"' not in json.dumps(taken)
    assert fits(given_, {"id": 1, "stamp": "s", "name": "a"})
    assert "password" not in json.dumps(given_)


def test_answers_are_not_judged_by_patterns() -> None:
    """They are of another language."""
    schema: JsonObject = {"type": "array", "items": {"pattern": "^a"}, "uniqueItems": True}
    assert to_output(schema) == {"type": "array", "items": {}}
    assert to_input(schema) == schema


def test_a_web_of_schemas_is_written_with_definitions() -> None:
    """Written out it would be endlessly long."""
    names = [f"S{number}" for number in range(30)]
    web: dict[str, Json] = {
        name: {"type": "object", "properties": {other: ref(other) for other in names}}
        for name in names
    }
    found = to_input(ref("S0"), **web)
    assert set(found["$defs"]) == set(names)  # type: ignore[arg-type]
    assert len(json.dumps(found)) < MAX_BYTES


def test_a_schema_that_is_too_long_is_refused() -> None:
    """However it is written."""
    names = [f"S{number}" for number in range(2_000)]
    chain: dict[str, Json] = {
        name: {"type": "object", "properties": {"next": ref(other)}, "description": "x" * 50}
        for name, other in zip(names, names[1:], strict=False)
    }

    with pytest.raises(SchemaTooLarge):
        to_input({"properties": {name: ref(name) for name in names}}, **chain)


def test_depth_has_an_end() -> None:
    """Deeper than anybody means it, nothing is said any more."""
    deep: Json = {}

    for _ in range(500):
        deep = {"items": deep}

    to_input(deep)


keywords = st.sampled_from(
    ["type", "properties", "items", "allOf", "anyOf", "required", "enum", "nullable", "$ref", "not"]
    + ["readOnly", "minimum", "exclusiveMinimum", "pattern", "default", "additionalProperties"]
)
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["string", "object", "a", "#/components/schemas/A", "#", "("]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keywords, inner, max_size=4),
    max_leaves=15,
)


@given(junk, junk)
def test_whatever_a_document_says_is_a_schema(first: Json, second: Json) -> None:
    """Valid, and with every reference leading somewhere."""
    for direction in ("input", "output"):
        found = _translated(first, direction, {"A": second})

        for target in _references(found):
            assert target.removeprefix("#/$defs/") in found["$defs"]  # type: ignore[operator]


def _references(value: Json) -> list[str]:
    if isinstance(value, dict):
        own = value.get("$ref")
        inner = [found for each in value.values() for found in _references(each)]
        return [own, *inner] if isinstance(own, str) else inner

    return (
        [found for each in value for found in _references(each)] if isinstance(value, list) else []
    )
