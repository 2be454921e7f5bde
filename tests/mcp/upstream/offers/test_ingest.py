"""Quarantine: a bad tool is kept out with its reason and harms no other."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from spindle_mcp.naming import Naming
from spindle_mcp.offers import PROMPTS
from spindle_mcp.upstream.offers.ingest import harvest
from spindle_spi.records import Kind, ToolSpec
from tests.mcp.support.upstream import ECHO, OBJECT

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

UP = Naming(gateway="up", prefix="up")


def deep(levels: int) -> JsonObject:
    schema: JsonObject = {"type": "object"}

    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}

    return schema


@pytest.mark.parametrize(
    ("tool", "name", "reason"),
    [
        ({"inputSchema": OBJECT}, "", "it has no name"),
        ({"name": " ", "inputSchema": OBJECT}, " ", "it has no name"),
        ({"name": 7, "inputSchema": OBJECT}, "", "it has no name"),
        (
            {"name": "x" * 600, "inputSchema": OBJECT},
            "x" * 100,
            "its name is longer than 512 characters",
        ),
        (
            {"name": "a\x1b[2Jb", "inputSchema": OBJECT},
            r"'a\x1b[2Jb'",
            "its name has characters that cannot be shown",
        ),
        (
            {"name": "a\ud800", "inputSchema": OBJECT},
            r"'a\ud800'",
            "its name has characters that cannot be shown",
        ),
        ({"name": "t"}, "t", "it has no input schema"),
        (
            {"name": "t", "inputSchema": OBJECT, "icons": [{"src": 7}]},
            "t",
            "its definition breaks the protocol",
        ),
        (
            {"name": "t", "inputSchema": deep(40)},
            "t",
            "its definition is nested deeper than 64 levels",
        ),
        (
            {"name": "t", "inputSchema": OBJECT, "description": "x" * 300_000},
            "t",
            "its definition is larger than 256 KiB",
        ),
        (
            {"name": "t", "inputSchema": OBJECT, "description": "half \ud800"},
            "t",
            "its definition has half a character in it",
        ),
        (
            {"name": "t", "inputSchema": {"type": "object", "default": float("nan")}},
            "t",
            "its definition has a number that is not JSON",
        ),
        (
            {"name": "t", "inputSchema": {"type": "object", "$ref": "#/gone"}},
            "t",
            "its input schema refers to '#/gone', which is not in it",
        ),
        (
            {
                "name": "t",
                "inputSchema": {
                    "type": "object",
                    "properties": {"a": {"type": "object", "x-mcp-header": "A"}},
                },
            },
            "t",
            "it mirrors arguments into headers in a way that is not allowed",
        ),
    ],
)
async def test_a_bad_tool_is_kept_out_with_its_reason(
    tool: JsonObject, name: str, reason: str
) -> None:
    """And a good one beside it is not."""
    found = await harvest(UP, [tool, ECHO], 10)
    assert [record.name for record in found.records] == ["up__echo"]
    (left,) = found.left_out
    assert (left.name, left.reason, left.is_partial) == (name, reason, False)


async def test_a_name_given_twice_means_the_first() -> None:
    """Which one a call would reach nobody could say."""
    other: JsonObject = {**ECHO, "description": "Another."}
    found = await harvest(UP, [ECHO, other], 10)
    assert [record.description for record in found.records] == ["Say it again."]
    assert [left.reason for left in found.left_out] == ["its name is given twice"]


async def test_a_tool_of_one_era_is_offered_to_that_era_and_told_of() -> None:
    """Before 2026 the output of a tool is an object."""
    listing: JsonObject = {**ECHO, "outputSchema": {"type": "array"}}
    found = await harvest(UP, [listing], 10)
    assert [record.name for record in found.records] == ["up__echo"]
    (left,) = found.left_out
    assert left.is_partial
    assert "only clients of 2026-07-28 are shown it" in left.reason


async def test_a_tool_that_needs_another_document_is_offered_without_and_told_of() -> None:
    """In what is listed, in what is checked, and in what other protocols are given."""
    schema: JsonObject = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "who": {"$ref": "http://a.example/who"}},
    }
    output: JsonObject = {"type": "object", "$ref": "file:///b"}
    listing: JsonObject = {**ECHO, "inputSchema": schema, "outputSchema": output}
    found = await harvest(UP, [listing], 10)

    (record,) = found.records
    assert isinstance(record.spec, ToolSpec)
    assert record.spec.input_schema["properties"] == {"id": {"type": "string"}, "who": {}}
    assert record.spec.definition["inputSchema"] == record.spec.input_schema
    assert record.spec.definition["outputSchema"] == record.spec.output_schema == OBJECT
    (left,) = found.left_out
    assert left.is_partial
    assert left.reason.startswith(
        "its input schema refers to another document, 'http://a.example/who': what that says is "
        "not checked; its output schema refers to another document, 'file:///b'"
    )


async def test_a_tool_may_be_offered_with_less_for_two_reasons() -> None:
    """Both are told."""
    output: JsonObject = {"type": "array", "items": {"$ref": "http://a.example/b"}}
    found = await harvest(UP, [{**ECHO, "outputSchema": output}], 10)

    (left,) = found.left_out
    assert (len(found.records), left.is_partial) == (1, True)
    assert "only clients of 2026-07-28 are shown it; its output schema refers" in left.reason


async def test_names_depend_on_no_order() -> None:
    """Also of those that have to be made fit."""
    tools: list[Json] = [
        {"name": name, "inputSchema": OBJECT}
        for name in ("a.b", "a/b", "a b", "a_b", "x" * 80, "x" * 81)
    ]
    first = await names_by_upstream(tools)

    for seed in range(10):
        random.Random(seed).shuffle(tools)
        assert await names_by_upstream(tools) == first

    assert len(set(first.values())) == len(first)


async def names_by_upstream(tools: list[Json]) -> dict[str, str]:
    found = await harvest(UP, [tool for tool in tools if isinstance(tool, dict)], 100)
    return {
        record.spec.upstream_name: record.name
        for record in found.records
        if isinstance(record.spec, ToolSpec)
    }


async def test_prompts_are_named_and_judged_like_tools() -> None:
    """Under the gateway's prefix; the same name may be a tool's and a prompt's."""
    naming = Naming(gateway="files", prefix="f")
    items: list[JsonObject] = [
        {"name": "greet.me"},
        {"name": "x", "description": "half \ud800"},
        {"name": "y", "arguments": [{"name": "a", "description": "z" * 300_000}]},
    ]
    found = await harvest(naming, items, 10, PROMPTS)
    assert [record.name for record in found.records] == [naming.unified("greet.me")]
    assert found.records[0].name.startswith("f__greet_me_")
    assert [(left.kind, left.reason) for left in found.left_out] == [
        (Kind.PROMPT, "its definition has half a character in it"),
        (Kind.PROMPT, "its definition is larger than 256 KiB"),
    ]


async def test_what_is_told_of_is_bounded() -> None:
    """Of ten thousand bad tools operators see a thousand, and how many there are."""
    bad: list[JsonObject] = [{"name": f"t{n}"} for n in range(10_000)]
    found = await harvest(UP, [*bad, ECHO], 10_000)
    assert len(found.records) == 1
    assert len(found.left_out) == 1001
    assert found.left_out[-1].reason == "and 9000 more are left out"


async def test_five_megabytes_of_ten_thousand_tools_are_taken() -> None:
    """All of them, each with a schema of its own."""
    tools: list[JsonObject] = [
        {
            "name": f"tool_{n}",
            "description": "What it does, in some words. " * 8,
            "inputSchema": {
                "type": "object",
                "properties": {f"p{m}_{n}": {"type": "string"} for m in range(6)},
            },
        }
        for n in range(10_000)
    ]
    assert len(json.dumps(tools)) > 5_000_000
    found = await harvest(UP, tools, 10_000)
    assert len(found.records) == 10_000
    assert not found.left_out
