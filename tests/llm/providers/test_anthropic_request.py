"""Requests of the lingua franca as Anthropic's: every parameter, every message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spindle_conformance.upstreams.rules.anthropic import fault_in
from spindle_llm.providers.anthropic import AnthropicAdapter
from spindle_llm.providers.anthropic_chat import AnthropicChat
from spindle_llm.providers.anthropic_ledger import LEDGER
from spindle_llm.providers.anthropic_request import DEFAULT_MAX_TOKENS
from spindle_llm.providers.ledger import Fate
from spindle_spi.errors import InvalidArgument, Unsupported
from spindle_spi.records import ModelSpec, ProviderSpec
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

CHAT = AnthropicChat()
SPEC = ModelSpec(provider="up", upstream_name="m")
SAID: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
FUNCTION: JsonObject = {"type": "function", "function": {"name": "f"}}
PARAMETERS = (
    *("messages", "model", "audio", "frequency_penalty", "function_call", "functions"),
    *("logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "metadata", "modalities"),
    *("moderation", "n", "parallel_tool_calls", "prediction", "presence_penalty"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning_effort"),
    *("response_format", "safety_identifier", "seed", "service_tier", "stop", "store", "stream"),
    *("stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user"),
    *("verbosity", "web_search_options"),
)
"""Every parameter of OpenAI's clients."""


def written(parameters: JsonObject, chat: AnthropicChat = CHAT, spec: ModelSpec = SPEC) -> Any:
    """Return the body of a request; it holds to the vendor's rules."""
    encoded = chat.encode({**SAID, **parameters}, stream=False, spec=spec)
    body = json.loads(encoded.body)
    assert fault_in(body) is None
    return body


def sent(**parameters: Json) -> Any:
    """Return the body of a request with these parameters."""
    return written(parameters)


def dropped(**parameters: Json) -> tuple[str, ...]:
    """Return the names of what is left out of a request."""
    return CHAT.encode({**SAID, **parameters}, stream=False, spec=SPEC).dropped


def turns(*messages: JsonObject) -> Any:
    """Return the turns of some messages."""
    return sent(messages=[*messages])["messages"]


def test_the_fate_of_every_parameter_is_known() -> None:
    """None is left to the fate of those nobody listed."""
    listed = {*LEDGER.touched, *LEDGER.passed}
    assert listed >= set(PARAMETERS)
    assert LEDGER.fate("invented") is Fate.DROPPED


@pytest.mark.requirement("002-2-connectors")
def test_the_least_request_has_a_limit() -> None:
    """Anthropic insists on one: the request's, the model's, else the documented one."""
    assert sent() == {
        "model": "m",
        "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "stream": False,
    }
    own = ModelSpec(provider="up", upstream_name="m", max_output_tokens=7)
    assert written({}, spec=own)["max_tokens"] == 7
    assert written({"max_tokens": 5}, spec=own)["max_tokens"] == 5
    assert sent(max_tokens=5, max_completion_tokens=6)["max_tokens"] == 6


def test_every_word_of_the_system_is_kept_in_order() -> None:
    """Wherever it stands, and whoever of both says it; marks of the cache stay where they are."""
    body = sent(
        messages=[
            {"role": "system", "content": "one"},
            {"role": "user", "content": "hi"},
            {"role": "developer", "content": [{"type": "text", "text": "two"}]},
            {
                "role": "system",
                "content": [
                    {"type": "text", "text": "three", "cache_control": {"type": "ephemeral"}},
                    {"type": "text", "text": "four", "prompt_cache_breakpoint": {"mode": "x"}},
                ],
            },
        ]
    )
    mark = {"cache_control": {"type": "ephemeral"}}
    assert body["system"] == [
        {"type": "text", "text": "one"},
        {"type": "text", "text": "two"},
        {"type": "text", "text": "three", **mark},
        {"type": "text", "text": "four", **mark},
    ]


def test_results_of_tools_are_one_turn_and_stand_first() -> None:
    """With what the user says after them; calls before them have arguments that are objects."""
    calls: list[Json] = [
        {"id": "a.1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"x":[1]}'}},
    ]
    assert turns(
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a.1", "content": "one"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": "and now?"},
    ) == [
        {"role": "user", "content": [{"type": "text", "text": "go"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "a_1", "name": "f", "input": {}},
                {"type": "tool_use", "id": "b", "name": "g", "input": {"x": [1]}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a_1", "content": "one"},
                {
                    "type": "tool_result",
                    "tool_use_id": "b",
                    "content": [{"type": "text", "text": "two"}],
                },
                {"type": "text", "text": "and now?"},
            ],
        },
    ]


def test_results_stand_first_even_after_what_the_user_said() -> None:
    """Anthropic takes them in no other place."""
    call: JsonObject = {"id": "a", "type": "function", "function": {"name": "f"}}
    last = turns(
        {"role": "user", "content": "go"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "user", "content": "wait"},
        {"role": "tool", "tool_call_id": "a", "content": "one"},
    )[-1]
    assert [block["type"] for block in last["content"]] == ["tool_result", "text"]


def test_messages_of_one_role_in_a_row_are_one_turn() -> None:
    """And those that say nothing are none."""
    assert turns(
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c", "refusal": "d"},
    ) == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}],
        },
    ]


def test_thoughts_go_back_if_they_are_signed_or_sealed() -> None:
    """First, as they came; what nobody signed stays here, and so does another vendor's."""
    details: list[Json] = [
        {"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "data": "d"},
        {"type": "reasoning.text", "text": "unsigned"},
        {"type": "reasoning.text", "text": "x", "signature": "s", "format": "openai-responses-v1"},
        "none",
    ]
    (turn,) = sent(
        messages=[
            {
                "role": "assistant",
                "content": "said",
                "reasoning_content": "t",
                "reasoning_details": details,
            }
        ]
    )["messages"]
    assert turn["content"] == [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "text", "text": "said"},
    ]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
            },
        ),
        (
            {"type": "image_url", "image_url": "https://x/y.png"},
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        ),
        (
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
            },
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
                "title": "a.pdf",
            },
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain;base64,w7w="}},
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "ü"},
            },
        ),
        (
            {"type": "file", "file": {"file_id": "file_1"}},
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        ),
        (
            {"type": "search_result", "source": "s", "title": "t", "content": []},
            {"type": "search_result", "source": "s", "title": "t", "content": []},
        ),
    ],
)
def test_pictures_and_files_become_blocks(part: JsonObject, block: JsonObject) -> None:
    """With the data in them, or the address where it is; a mark of the cache stays on them."""
    marked: JsonObject = {**part, "cache_control": {"type": "ephemeral"}}
    content: list[Json] = [part, marked]
    assert turns({"role": "user", "content": content}) == [
        {"role": "user", "content": [block, {**block, "cache_control": {"type": "ephemeral"}}]}
    ]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": ""}}]},
            Unsupported,
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": ""}}]},
            InvalidArgument,
        ),
        ({"role": "user", "content": [{"type": "text"}]}, InvalidArgument),
        ({"role": "user", "content": ["x"]}, InvalidArgument),
        ({"role": "user", "content": 5}, InvalidArgument),
        ({"role": "user", "content": [{"type": "file"}]}, InvalidArgument),
        (
            {
                "role": "user",
                "content": [{"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}],
            },
            InvalidArgument,
        ),
        ({"role": "function", "content": "x"}, Unsupported),
        ({"role": "assistant", "function_call": {"name": "f"}}, Unsupported),
        ({"role": "assistant", "tool_calls": [{"type": "custom", "id": "x"}]}, Unsupported),
        ({"role": "system", "content": "alone"}, InvalidArgument),
        ({"role": "tool", "content": "x"}, InvalidArgument),
        ("hi", InvalidArgument),
        *(
            (
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": said}}],
                },
                InvalidArgument,
            )
            for said in ("{", "[1]", "1")
        ),
    ],
)
def test_what_cannot_be_said_is_refused(
    message: Json, error: type[InvalidArgument | Unsupported]
) -> None:
    """By a refusal that names the parameter; nothing is sent half."""
    with pytest.raises(error) as caught:
        sent(messages=[message])

    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": FUNCTION}, {"type": "tool", "name": "f"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": False, "tool_choice": "none"}, {"type": "none"}),
        ({"parallel_tool_calls": True}, None),
        (
            {"parallel_tool_calls": False, "tool_choice": "required"},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_the_choice_of_tools_is_translated(said: JsonObject, choice: Json) -> None:
    """With whether several may be called at once."""
    assert sent(tools=[FUNCTION], **said).get("tool_choice") == choice
    assert "tool_choice" not in sent(**said)


def test_tools_are_translated() -> None:
    """Their names, schemas and marks; of a choice among some, only those are left."""
    schema: JsonObject = {"type": "object", "properties": {"x": {"type": "number"}}}
    full: JsonObject = {
        "type": "function",
        "function": {"name": "g", "description": "G", "parameters": schema, "strict": True},
        "cache_control": {"type": "ephemeral"},
    }
    made: JsonObject = {
        "name": "g",
        "description": "G",
        "input_schema": schema,
        "strict": True,
        "cache_control": {"type": "ephemeral"},
    }
    empty: JsonObject = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
    assert sent(tools=[FUNCTION, full])["tools"] == [empty, made]
    allowed: JsonObject = {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "required",
            "tools": [{"type": "function", "function": {"name": "g"}}],
        },
    }
    body = sent(tools=[FUNCTION, full], tool_choice=allowed)
    assert (body["tools"], body["tool_choice"]) == ([made], {"type": "any"})

    custom: JsonObject = {"tools": [{"type": "custom", "custom": {}}]}
    odd: JsonObject = {"tools": [FUNCTION], "tool_choice": "odd"}

    for name, request in (("tools", custom), ("tool_choice", odd)):
        with pytest.raises(Unsupported) as caught:
            written(request)

        assert caught.value.param == name


@pytest.mark.parametrize(
    ("effort", "budget", "made"),
    [
        ("none", 100_000, {"thinking": {"type": "disabled"}}),
        (
            "minimal",
            100_000,
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        ),
        ("max", 100_000, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
    ],
)
def test_effort_becomes_thought(effort: str, budget: int, made: JsonObject) -> None:
    """Adaptive, by its word."""
    body = sent(reasoning_effort=effort, max_tokens=budget)
    assert {name: body.get(name) for name in made} == made


def test_effort_becomes_a_budget_where_a_provider_wants_one() -> None:
    """Below the limit of the answer; where that leaves too little, it is left out and said."""
    chat = AnthropicChat(budgeted=True)
    body = written({"reasoning_effort": "high", "max_tokens": 100_000}, chat)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 16384}
    body = written({"reasoning_effort": "high", "max_tokens": 2000}, chat)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 1999}
    small = chat.encode(
        {**SAID, "reasoning_effort": "high", "max_tokens": 1000}, stream=False, spec=SPEC
    )
    assert small.dropped == ("reasoning_effort",)


def test_a_model_that_thinks_has_its_own_temperature() -> None:
    """Another one is left out and said; `thinking` of the request's own is passed as it is."""
    assert dropped(reasoning_effort="low", temperature=0.5) == ("temperature",)
    own: JsonObject = {"type": "enabled", "budget_tokens": 5000}
    body = sent(thinking=own, reasoning_effort="low", temperature=0.5, max_tokens=6000)
    assert body["thinking"] == own
    assert "temperature" not in body
    assert sent(reasoning_effort="none", temperature=0.5)["temperature"] == 0.5

    with pytest.raises(Unsupported):
        sent(reasoning_effort="immense")


def test_the_form_of_an_answer_is_translated() -> None:
    """A schema; there is no mode of JSON without one, so that is left out and said."""
    schema: JsonObject = {"type": "object"}
    wanted: JsonObject = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert sent(response_format=wanted)["output_config"] == {
        "format": {"type": "json_schema", "schema": schema}
    }
    assert dropped(response_format={"type": "json_object"}) == ("response_format",)
    assert dropped(response_format={"type": "text"}) == ()

    with pytest.raises(InvalidArgument):
        sent(response_format={"type": "json_schema"})


def test_the_rest_is_translated() -> None:
    """Stops, who asks, and the tier."""
    assert sent(stop="x")["stop_sequences"] == ["x"]
    assert sent(stop=["x", "y"])["stop_sequences"] == ["x", "y"]
    assert sent(user="u")["metadata"] == {"user_id": "u"}
    assert sent(user="u", safety_identifier="s")["metadata"] == {"user_id": "s"}
    assert sent(service_tier="priority")["service_tier"] == "auto"
    assert sent(service_tier="default")["service_tier"] == "standard_only"
    assert dropped(service_tier="flex") == ("service_tier",)
    assert sent(temperature=0.5, top_p=0.5, top_k=3)["top_k"] == 3


@pytest.mark.parametrize("name", sorted(LEDGER.rejected))
def test_what_would_change_the_answer_is_refused(name: str) -> None:
    """Leaving it out would give another answer than was asked for."""
    with pytest.raises(Unsupported) as caught:
        sent(**{name: 2})

    assert caught.value.param == name


@pytest.mark.parametrize("name", [*sorted(LEDGER.dropped), "invented"])
def test_what_there_is_no_word_for_is_left_out_and_said(name: str) -> None:
    """Never silently."""
    assert name not in sent(**{name: "x"})
    assert dropped(**{name: "x"}) == (name,)


def test_what_of_a_message_is_lost_is_said() -> None:
    """Names of speakers, the detail of a picture."""
    picture: JsonObject = {"url": "https://x/y.png", "detail": "low"}
    part: JsonObject = {"type": "image_url", "image_url": picture}
    said: Json = [{"role": "user", "name": "Ada", "content": [part]}]
    assert dropped(messages=said) == ("image_url.detail", "messages.name")


def test_anthropics_own_parameters_come_back_as_they_were() -> None:
    """From a request that came in its form; nothing else can be slipped in that way."""
    natives: JsonObject = {
        "thinking": {"type": "between_tools"},
        "metadata": {"user_id": "u"},
        "betas": ["b1"],
        "model": "other",
        "messages": [],
    }
    encoded = CHAT.encode(
        {**SAID, "anthropic": natives, "reasoning_effort": "low", "user": "hash"},
        stream=False,
        spec=SPEC,
    )
    body = json.loads(encoded.body)
    assert body["thinking"] == {"type": "between_tools"}
    assert body["metadata"] == {"user_id": "u"}
    assert (body["model"], len(body["messages"])) == ("m", 1)
    assert encoded.headers == {"anthropic-beta": "b1"}


def test_headers_say_who_asks_and_in_which_version() -> None:
    """The key in its own header, or as a bearer token where the provider wants that."""
    adapter = AnthropicAdapter()
    plain = adapter.headers(ProviderSpec(provider_type="anthropic"), Secret("k"))
    assert plain["x-api-key"] == "k"
    assert plain["anthropic-version"] == "2023-06-01"
    assert "Authorization" not in plain
    spec = ProviderSpec(
        provider_type="anthropic",
        api_version="2026-10-21",
        options={"auth": "bearer", "anthropic_beta": "a, b"},
    )
    other = adapter.headers(spec, Secret("k"))
    assert other["Authorization"] == "Bearer k"
    assert "x-api-key" not in other
    assert (other["anthropic-version"], other["anthropic-beta"]) == ("2026-10-21", "a,b")
    assert "x-api-key" not in adapter.headers(ProviderSpec(provider_type="anthropic"), None)


def test_a_dialect_is_one_for_equal_options() -> None:
    """Addresses are kept by dialect."""
    adapter = AnthropicAdapter()
    spec = ProviderSpec(
        provider_type="anthropic", options={"thinking": "budget", "anthropic_beta": ["x"]}
    )
    dialect = adapter.chat(spec, SPEC, ())
    assert dialect is adapter.chat(spec, SPEC, ())
    assert dialect is not adapter.chat(ProviderSpec(provider_type="anthropic"), SPEC, ())
    assert dialect.url("https://api.anthropic.com", "m") == "https://api.anthropic.com/v1/messages"
    encoded = dialect.encode(dict(SAID), stream=True, spec=SPEC)
    assert encoded.headers == {"anthropic-beta": "x"}
    assert json.loads(encoded.body)["stream"] is True


def test_a_request_nested_without_end_is_refused() -> None:
    """Whoever writes it."""
    value: Json = "x"

    for _ in range(5000):
        value = [value]

    with pytest.raises(InvalidArgument):
        sent(thinking=value)
