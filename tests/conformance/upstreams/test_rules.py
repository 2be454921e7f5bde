"""Vendors refuse what they refuse, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spindle_conformance.upstreams.rules import anthropic, gpt4all, ollama

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

HI: dict[str, Any] = {"role": "user", "content": "hi"}
USE: dict[str, Any] = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT: dict[str, Any] = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}
CALLED: dict[str, Any] = {"role": "assistant", "content": [USE]}
CLAUDE: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [HI]}
LLAMA: dict[str, Any] = {"model": "m", "messages": [HI]}


def _said(*messages: dict[str, Any]) -> dict[str, Any]:
    return {**CLAUDE, "messages": list(messages)}


def _blocks(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return _said({"role": role, "content": list(blocks)})


CLAUDE_RIGHT: list[dict[str, Any]] = [
    CLAUDE,
    {**CLAUDE, "system": "s", "stop_sequences": ["a"], "temperature": 1, "stream": True},
    {**CLAUDE, "system": [{"type": "text", "text": "s"}]},
    {**CLAUDE, "tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "any"}},
    {**CLAUDE, "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}},
    _said(HI, CALLED, {"role": "user", "content": [RESULT, {"type": "text", "text": "x"}]}),
]


@pytest.mark.parametrize("body", CLAUDE_RIGHT)
def test_anthropic_takes_what_is_right(body: JsonObject) -> None:
    """Blocks, tools, thinking, and a tool's result right after its call."""
    assert anthropic.fault_in(body) is None


CLAUDE_WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": "m", "messages": [HI]}, "max_tokens: Field required"),
    ({**CLAUDE, "max_tokens": 0}, "max_tokens: Input should be"),
    ({**CLAUDE, "n": 2}, "n: Extra inputs are not permitted"),
    ({**CLAUDE, "seed": 2}, "seed: Extra inputs are not permitted"),
    ({**CLAUDE, "temperature": 1.5}, "temperature"),
    ({**CLAUDE, "stop_sequences": "a"}, "stop_sequences"),
    ({**CLAUDE, "system": 3}, "system"),
    ({**CLAUDE, "system": [{"type": "image"}]}, "system"),
    ({**CLAUDE, "tools": [{"name": "f"}]}, "input_schema"),
    ({**CLAUDE, "tools": [{"input_schema": {}}]}, "tools.0.name"),
    ({**CLAUDE, "tool_choice": "auto"}, "tool_choice"),
    ({**CLAUDE, "thinking": {"type": "enabled", "budget_tokens": 1}}, "budget_tokens"),
    ({**CLAUDE, "thinking": {"type": "enabled", "budget_tokens": 1024}}, "`max_tokens` must"),
    (
        {
            **CLAUDE,
            "max_tokens": 2000,
            "temperature": 0.5,
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        },
        "`temperature` may only",
    ),
    (
        {
            **CLAUDE,
            "max_tokens": 2000,
            "tool_choice": {"type": "any"},
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        },
        "forces tool use",
    ),
    (_said(), "at least one message"),
    (_said({"role": "system", "content": "x"}), 'Unexpected role "system"'),
    (_said({"role": "tool", "content": "x"}), 'Unexpected role "tool"'),
    (_said({"role": "user", "content": ""}), "messages.0.content"),
    (_said({"role": "user", "content": None}), "messages.0.content"),
    (_blocks("user", {"type": "text", "text": ""}), "non-empty"),
    (_blocks("user", USE), "tool_use"),
    (_blocks("assistant", {**USE, "input": "{}"}), "valid dictionary"),
    (_blocks("assistant", {"type": "thinking", "thinking": "x"}), "signature"),
    (_blocks("user", RESULT), "unexpected `tool_use_id`"),
    (_said(HI, CALLED, HI), "without `tool_result` blocks"),
    (
        _said(HI, CALLED, {"role": "user", "content": [{"type": "text", "text": "x"}, RESULT]}),
        "must come first",
    ),
]


@pytest.mark.parametrize(("body", "words"), CLAUDE_WRONG)
def test_anthropic_refuses_what_is_wrong(body: JsonObject, words: str) -> None:
    """In its own words, about the place that is wrong."""
    assert words in (anthropic.fault_in(body) or "")


def test_anthropic_counts_without_a_limit() -> None:
    """To count, `max_tokens` and `stream` are extra."""
    assert anthropic.fault_in({"model": "m", "messages": [HI]}, counting=True) is None
    assert "max_tokens: Extra" in (anthropic.fault_in(CLAUDE, counting=True) or "")


def _calling(arguments: Any) -> dict[str, Any]:
    calls = [{"function": {"name": "f", "arguments": arguments}}]
    return {"model": "m", "messages": [{"role": "assistant", "content": "", "tool_calls": calls}]}


LLAMA_RIGHT: list[dict[str, Any]] = [
    LLAMA,
    {**LLAMA, "think": "high", "format": "json", "options": {"num_ctx": 1}, "stream": False},
    {**LLAMA, "format": {"type": "object"}, "keep_alive": 0},
    _calling({"a": 1}),
    {"model": "m", "messages": [{"role": "tool", "content": "x", "tool_name": "f"}]},
]


@pytest.mark.parametrize("body", LLAMA_RIGHT)
def test_ollama_takes_what_is_right(body: JsonObject) -> None:
    """Arguments are objects, and contents texts."""
    assert ollama.fault_in(body) is None


LLAMA_WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "model is required"),
    ({"model": "m", "messages": "x"}, "cannot unmarshal string"),
    ({**LLAMA, "stream": 1}, "cannot unmarshal number"),
    ({**LLAMA, "think": "much"}, "invalid think value"),
    ({**LLAMA, "format": "xml"}, "invalid format"),
    ({"model": "m", "messages": [{"role": "developer", "content": "x"}]}, "invalid role"),
    ({"model": "m", "messages": [{**HI, "content": []}]}, "cannot unmarshal array"),
    ({"model": "m", "messages": [{**HI, "images": [{}]}]}, "api.ImageData"),
    (_calling("{}"), "api.ToolCallFunctionArguments"),
]


@pytest.mark.parametrize(("body", "words"), LLAMA_WRONG)
def test_ollama_refuses_what_is_wrong(body: JsonObject, words: str) -> None:
    """Tool arguments as text above all."""
    assert words in (ollama.fault_in(body) or "")


GPT_RIGHT: list[dict[str, Any]] = [
    {},
    {"max_tokens": 3, "temperature": 0, "top_p": 1, "min_p": 0, "n": 2},
    {"stream": False, "frequency_penalty": 0, "presence_penalty": 0.0, "tools": None},
]


@pytest.mark.parametrize("more", GPT_RIGHT)
def test_gpt4all_takes_what_it_knows(more: JsonObject) -> None:
    """Six parameters, and others whose value says nothing."""
    assert gpt4all.fault_in({**LLAMA, **more}) is None


GPT_WRONG: list[tuple[dict[str, Any], str]] = [
    ({"stream": True}, "'stream' is not supported"),
    ({"frequency_penalty": 1}, "'frequency_penalty' is not supported"),
    ({"stop": "x"}, "'stop' is not supported"),
    ({"tools": []}, "'tools' is not supported"),
    ({"response_format": {"type": "text"}}, "'response_format' is not supported"),
    ({"max_completion_tokens": 3}, "Unrecognized request argument"),
    ({"user": "x"}, "Unrecognized request argument"),
    ({"model": None}, "model parameter"),
    ({"messages": []}, "'messages' is a required"),
    ({"messages": ["x"]}, "expected an object"),
    ({"messages": [{**HI, "name": "x"}]}, "Additional properties"),
    ({"messages": [{"role": "developer", "content": "x"}]}, "'developer' is not one of"),
    ({"messages": [{"role": "user", "content": []}]}, "expected a string"),
]


@pytest.mark.parametrize(("more", "words"), GPT_WRONG)
def test_gpt4all_refuses_the_rest(more: JsonObject, words: str) -> None:
    """What it does not know, and everything it knows it cannot do."""
    assert words in (gpt4all.fault_in({**LLAMA, **more}) or "")


def test_a_request_may_be_wrong_in_many_ways() -> None:
    """The vendor tells of the first; the rest is known as well."""
    blocks: list[Any] = [{"type": "video"}, {"type": "text", "text": ""}]
    wrong: dict[str, Any] = {"n": 1, "messages": [{"role": "user", "content": blocks}]}
    unknown: dict[str, Any] = {**CLAUDE, "messages": [{"role": "narrator", "content": "x"}]}

    assert len(list(anthropic.faults(wrong))) == 6
    assert len(list(anthropic.faults(unknown))) == 1
    assert len(list(gpt4all.faults({"n": 1, "seed": 1, "messages": []}))) == 3
    assert len(list(gpt4all.faults({"model": "m", "messages": ["x", "y"]}))) == 2
    assert len(list(ollama.faults({"stream": 0, "options": [], "messages": None}))) == 3
