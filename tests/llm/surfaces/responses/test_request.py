"""Requests of the Responses surface, in the lingua franca."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spindle_llm.surfaces.responses.request import parse_response
from spindle_spi.errors import InvalidArgument, Unsupported

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


F: JsonObject = {"type": "function", "name": "f"}


def chat_of(**data: Json) -> JsonObject:
    return parse_response(json.dumps({"model": "m", "input": "hi", **data}).encode()).parsed()


def test_every_parameter_finds_its_place() -> None:
    """Under the name a chat has for it."""
    schema: JsonObject = {"type": "object"}
    chat = chat_of(
        instructions="be brief",
        max_output_tokens=9,
        temperature=0.5,
        top_logprobs=2,
        reasoning={"effort": "low", "summary": "auto"},
        text={
            "format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True},
            "verbosity": "low",
        },
        tools=[
            {"type": "function", "name": "f", "parameters": schema, "strict": None},
            {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark"}},
        ],
        tool_choice={
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "function", "name": "f"}],
        },
        metadata={"a": "b"},
        store=False,
    )
    assert chat == {
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": "hi"},
        ],
        "stream": False,
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "top_logprobs": 2,
        "logprobs": True,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": schema, "strict": True},
        },
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": schema}},
            {
                "type": "custom",
                "custom": {
                    "name": "g",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark"}},
                },
            },
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "required",
                "tools": [{"type": "function", "function": {"name": "f"}}],
            },
        },
    }


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("required", "required"),
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "custom", "name": "f"}, {"type": "custom", "custom": {"name": "f"}}),
    ],
)
def test_a_choice_among_tools_is_translated(choice: Json, expected: Json) -> None:
    """A word stays a word."""
    tools: Json = [{"type": "function", "name": "f"}]
    assert chat_of(tools=tools, tool_choice=choice)["tool_choice"] == expected


def test_what_has_no_effect_is_named() -> None:
    """Its neutral value is none of it."""
    body = {"model": "m", "input": "hi", "truncation": "auto", "max_tool_calls": 3}
    assert parse_response(json.dumps(body).encode()).dropped == ("truncation", "max_tool_calls")
    assert parse_response(b'{"input":"hi","truncation":"disabled"}').dropped == ()


@pytest.mark.parametrize(
    ("data", "param"),
    [
        ({"conversation": "c"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        (
            {"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "mcp"}},
            "tool_choice",
        ),
        ({"background": True, "stream": True}, "stream"),
    ],
)
def test_what_the_vendor_alone_can_do_is_refused(data: JsonObject, param: str) -> None:
    """By name, and before anything is asked."""
    with pytest.raises(Unsupported) as caught:
        chat_of(**data)

    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model":"m"}', "input"),
        (b'{"model":"m","input":[]}', "input"),
        (b'{"model":"m","input":"a","input":"b"}', "input"),
        (b'{"model":"m","input":"a","Input":"b"}', "Input"),
        (b'{"model":7,"input":"a"}', "model"),
        (b'{"input":"a","max_output_tokens":0}', "max_output_tokens"),
        (b'{"input":"a","stream":1}', "stream"),
        (b'{"input":"a","store":"no"}', "store"),
        (b'{"input":"a","previous_response_id":7}', "previous_response_id"),
        (b'{"input":"a","background":true,"store":false}', "background"),
        (b'{"input":"a","text":7}', "text"),
        (b'{"input":"a","tools":7}', "tools"),
        (b'{"input":"a","tools":[7]}', "tools[0]"),
        (b'{"input":"a","tools":[{"type":"function"}]}', "tools[0].name"),
        (b'{"input":"a","tools":[{"type":"function","name":"f"}],"tool_choice":7}', "tool_choice"),
    ],
)
def test_a_wrong_request_is_refused_by_its_parameter(body: bytes, param: str) -> None:
    """Says which, and why."""
    with pytest.raises(InvalidArgument) as caught:
        parse_response(body).parsed()

    assert caught.value.param == param


def test_nothing_said_names_the_policy() -> None:
    """POL-LLM-003, whatever the surface."""
    with pytest.raises(InvalidArgument, match="POL-LLM-003"):
        chat_of(input=[])
