from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from spindle_mcp.surface.shelf.arguments import ArgumentCheck

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from spindle_spi.types import Json, JsonObject

NUMBER: JsonObject = {"type": "object", "properties": {"n": {"type": "number"}}}


def test_a_fault_names_its_place_and_says_what_was_expected() -> None:
    """A model reads it and corrects itself."""
    check = ArgumentCheck({"type": "object", "properties": {"a": {"items": {"type": "string"}}}})
    assert check.fault_in({"a": ["x", 1]}) == "Invalid arguments: a/1: 1 is not of type 'string'"
    assert check.fault_in({"a": ["x"]}) is None
    assert ArgumentCheck({"required": ["q"]}).fault_in({}) == (
        "Invalid arguments: 'q' is a required property"
    )


def test_a_fault_is_never_longer_than_a_paragraph() -> None:
    """The value it quotes may be."""
    fault = ArgumentCheck(NUMBER).fault_in({"n": "x" * 10_000})
    assert fault is not None
    assert len(fault) < 500


def test_null_is_what_is_left_out() -> None:
    """Of what may be left out; what is required has to be there, and other faults stay faults."""
    check = ArgumentCheck({**NUMBER, "required": ["m"]})
    assert check.fault_in({"m": 1, "n": None}) is None
    assert check.fault_in({"m": 1, "n": "x"}) is not None
    assert check.fault_in({"n": None}) is not None
    needed = ArgumentCheck({**NUMBER, "required": ["n"]})
    assert needed.fault_in({"n": None}) == "Invalid arguments: n: None is not of type 'number'"


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "nonsense"},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "#/$defs/missing"},
        {"properties": {"n": {"pattern": "(a+)+$"}}},
        {"properties": {"n": {"uniqueItems": True}}},
        {"patternProperties": {"(a+)+$": False}, "additionalProperties": False},
    ],
)
def test_what_cannot_be_checked_here_within_bounds_is_the_upstreams_to_check(
    schema: JsonObject,
) -> None:
    """Nothing is fetched, nothing runs for long, nothing is refused by mistake."""
    assert ArgumentCheck(schema).fault_in({"n": "a" * 60 + "!", "a" * 60: 1}) is None


TREE: JsonObject = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/node"}},
    "$defs": {
        "node": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
        }
    },
}


def test_a_schema_that_refers_to_itself_is_checked_to_the_leaf() -> None:
    """A tree of any form: JSON Schema may go round in circles over what becomes smaller."""
    check = ArgumentCheck(TREE)
    leaf: JsonObject = {"name": "leaf"}
    assert (
        check.fault_in({"root": {"name": "r", "kids": [leaf, {"name": "b", "kids": []}]}}) is None
    )
    fault = check.fault_in({"root": {"name": "r", "kids": [leaf, {"name": 7}]}})
    assert fault == "Invalid arguments: root/kids/1/name: 7 is not of type 'string'"


def test_arguments_nested_too_deeply_for_their_schema_are_refused() -> None:
    """Neither an error of ours nor a way past the check."""
    deep: JsonObject = {"name": "leaf"}

    for _ in range(900):
        deep = {"name": "n", "kids": [deep]}

    fault = ArgumentCheck(TREE).fault_in({"root": deep})
    assert fault == "Invalid arguments: they are nested too deeply to be checked."


def test_a_schema_that_multiplies_with_the_depth_of_its_value_ends() -> None:
    """Each level doubles the work: it would take years for sixty of them."""
    twice: list[Json] = [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}]
    schema: JsonObject = {
        "$ref": "#/$defs/n",
        "$defs": {"n": {"properties": {"n": {"$schema": "http://x", "allOf": twice}}}},
    }
    deep: JsonObject = {}

    for _ in range(60):
        deep = {"n": deep}

    assert ArgumentCheck(schema).fault_in(deep) is not None


def test_a_property_may_be_called_like_a_keyword() -> None:
    """Only keywords are left out, and data in schemas is never looked into."""
    check = ArgumentCheck(
        {
            "properties": {"pattern": {"type": "string"}, "e": {"enum": [{"pattern": "x"}]}},
            "additionalProperties": False,
        }
    )
    assert check.fault_in({"pattern": "(", "e": {"pattern": "x"}}) is None
    assert check.fault_in({"pattern": 1}) is not None
    assert check.fault_in({"other": 1}) is not None


def test_the_schemas_own_dialect_is_used() -> None:
    """`exclusiveMinimum` was a boolean once."""
    check = ArgumentCheck(
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "properties": {"n": {"minimum": 1, "exclusiveMinimum": True}},
        }
    )
    assert check.fault_in({"n": 1}) is not None
    assert check.fault_in({"n": 2}) is None


TYPES = st.sampled_from(["string", "boolean", "integer", "number", "null", "object", "array"])
EXAMPLES: list[Json] = ["x", True, 1, 1.5, 1.0, None, {}, []]
VALUES = st.sampled_from(EXAMPLES)
NAMES = st.sampled_from(["a", "b", "c"])


def is_fit(library: Validator, arguments: JsonObject) -> bool:
    return next(iter(library.iter_errors(arguments)), None) is None


@given(
    properties=st.dictionaries(NAMES, st.fixed_dictionaries({"type": TYPES})),
    required=st.lists(NAMES, unique=True),
    additional=st.booleans(),
    arguments=st.dictionaries(NAMES, VALUES),
)
def test_the_short_check_never_passes_what_the_library_refuses(
    properties: JsonObject, required: list[str], additional: bool, arguments: JsonObject
) -> None:
    """And the sentence about a fault is the library's."""
    schema: JsonObject = {
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": additional,
    }
    library = Draft202012Validator(schema)
    said: JsonObject = {
        name: value for name, value in arguments.items() if value is not None or name in required
    }
    fault = ArgumentCheck(schema).fault_in(arguments)
    assert (fault is None) == (is_fit(library, arguments) or is_fit(library, said))
