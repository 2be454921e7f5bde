"""Tools as functions: names, calls, results."""

from __future__ import annotations

import re

import pytest

from spindle_llm.chat.tools import MAX_TOOLS, calls_in, function_name, toolbox
from spindle_spi.errors import FailedPrecondition
from spindle_spi.records import CatalogRecord, Kind, ToolSpec
from tests.llm.chat.records import context_of


def _tool(name: str, upstream_name: str = "") -> CatalogRecord:
    spec = ToolSpec(gateway="demo", upstream_name=upstream_name, description="Does it.")
    return CatalogRecord(id=name, kind=Kind.TOOL, name=name, spec=spec)


@pytest.mark.parametrize("name", ["add", "demo-add_2", "A" * 64])
def test_a_name_every_upstream_takes_is_kept(name: str) -> None:
    """Names that fit need no other."""
    assert function_name(name) == name


@pytest.mark.parametrize("name", ["a b", "größe", "x.y/z", "A" * 65, ""])
def test_another_name_is_mapped_to_one_that_fits_always_the_same(name: str) -> None:
    """The mapping depends on the name alone, and different names stay different."""
    mapped = function_name(name)

    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", mapped)
    assert mapped == function_name(name)
    assert mapped != function_name(f"{name}!")


def test_tools_are_offered_with_schema_and_description() -> None:
    """A tool without a schema of its own takes an object without members."""
    box = toolbox(context_of("ada"), [_tool("demo-add", "add")], prefix_free=False)

    assert box.functions() == [
        {
            "type": "function",
            "function": {
                "name": "demo-add",
                "description": "Does it.",
                "parameters": {"type": "object", "properties": {}},
            },
        }
    ]


def test_a_prefix_free_server_shows_the_names_of_its_upstream() -> None:
    """The record's own name is what is called behind it."""
    box = toolbox(context_of("ada"), [_tool("demo-add", "add"), _tool("plain")], prefix_free=True)

    assert {shown: record.name for shown, record in box.records.items()} == {
        "add": "demo-add",
        "plain": "plain",
    }


def test_more_tools_than_a_model_takes_are_refused() -> None:
    """The error says how many there are."""
    tools = [_tool(f"t{number}") for number in range(MAX_TOOLS + 1)]

    with pytest.raises(FailedPrecondition, match="129 tools"):
        toolbox(context_of("ada"), tools, prefix_free=False)


def test_calls_get_ids_of_their_own() -> None:
    """An id that is missing or said twice is replaced, and what is no call is skipped."""
    calls = calls_in(
        {
            "tool_calls": [
                {"id": "x", "function": {"name": "a", "arguments": "{}"}},
                {"id": "x", "function": {"name": "b", "arguments": "{}"}},
                {"function": {"name": "c", "arguments": 3}},
                {"id": "y"},
                None,
            ]
        }
    )

    assert [(call.id, call.name, call.arguments) for call in calls] == [
        ("x", "a", "{}"),
        ("x_2", "b", "{}"),
        ("call_3", "c", ""),
    ]
    assert calls_in({"content": "hello"}) == ()
