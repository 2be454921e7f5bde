"""Schemas of many hands in one document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.openapi.components import Components

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

POINT: JsonObject = {"title": "Point", "type": "object", "properties": {"x": {"type": "number"}}}
LINE: JsonObject = {
    "title": "Line",
    "type": "object",
    "properties": {"ends": {"type": "array", "items": {"$ref": "#/$defs/Point"}}},
    "$defs": {"Point": POINT},
}


def test_definitions_are_moved_and_referred_to() -> None:
    """Those of a schema, and the schema itself when its title is a name."""
    components = Components()
    assert components.add(LINE) == {"$ref": "#/components/schemas/Line"}
    assert components.schemas == {
        "Point": POINT,
        "Line": {
            "title": "Line",
            "type": "object",
            "properties": {
                "ends": {"type": "array", "items": {"$ref": "#/components/schemas/Point"}}
            },
        },
    }


def test_what_says_the_same_is_there_once() -> None:
    """Whether it came as a definition or on its own."""
    components = Components()
    components.add(LINE)
    assert components.add(POINT) == {"$ref": "#/components/schemas/Point"}
    assert components.add({"anyOf": [{"$ref": "#/$defs/Point"}], "$defs": {"Point": POINT}}) == {
        "anyOf": [{"$ref": "#/components/schemas/Point"}]
    }
    assert set(components.schemas) == {"Line", "Point"}


def test_another_schema_of_the_same_name_gets_a_number() -> None:
    """Also when only what it refers to is another one."""
    components = Components()
    other: JsonObject = {**POINT, "properties": {"y": {"type": "number"}}}
    components.add(LINE)
    assert components.add(other) == {"$ref": "#/components/schemas/Point2"}
    assert components.add({**LINE, "$defs": {"Point": other}}) == {
        "$ref": "#/components/schemas/Line2"
    }
    assert components.add({"title": "not a name", "type": "string"}) == {
        "title": "not a name",
        "type": "string",
    }


def test_a_definition_may_refer_to_itself() -> None:
    """As JSON values do."""
    components = Components()
    tree: JsonObject = {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
    components.add({"$ref": "#/$defs/Tree", "$defs": {"Tree": tree}})
    assert components.schemas == {
        "Tree": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}
    }
