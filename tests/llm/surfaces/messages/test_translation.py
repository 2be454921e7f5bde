"""Requests in Anthropic's form: judged, put into the lingua franca, and meaning the same again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_conformance.upstreams.rules.anthropic import fault_in
from spindle_llm.providers.anthropic_chat import AnthropicChat
from spindle_llm.providers.openai import OpenAiAdapter, OpenAiCompatibleAdapter
from spindle_llm.surfaces.messages.request import Edition, MessageRequest, edition_of
from spindle_spi.errors import InvalidArgument, Unsupported
from spindle_spi.records import ModelSpec, ProviderSpec

if TYPE_CHECKING:
    from spindle_llm.providers.dialect import Encoded
    from spindle_spi.types import Json, JsonObject

SPEC = ModelSpec(provider="up", upstream_name="m")
PROVIDER = ProviderSpec(provider_type="openai")
MARK: JsonObject = {"cache_control": {"type": "ephemeral"}}
TOOL: JsonObject = {"name": "f", "input_schema": {"type": "object"}}
USER: JsonObject = {"role": "user", "content": "hi"}


def request(**parameters: Json) -> MessageRequest:
    """Judge a request."""
    said: JsonObject = {"model": "up~m", "max_tokens": 9, "messages": [USER], **parameters}
    return MessageRequest(json.dumps(said).encode())


def parsed(**parameters: Json) -> JsonObject:
    """Return a request in the lingua franca."""
    return request(**parameters).parsed()


def for_openai(*, strict: bool = True, **parameters: Json) -> tuple[Any, Encoded]:
    """Return what an upstream of OpenAI's form is sent."""
    adapter = OpenAiAdapter() if strict else OpenAiCompatibleAdapter()
    encoded = adapter.chat(PROVIDER, SPEC, ()).encode(
        {**parsed(**parameters), "model": "m"}, stream=False, spec=SPEC
    )
    return json.loads(encoded.body), encoded


# Judging


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "llm.request.invalid_json"),
        (b"[]", "llm.request.invalid_json"),
        (b'{"messages":[1],"model":"\xff"}', "llm.request.invalid_json"),
        (b'{"messages":[1],"model":"a","model":"b"}', "llm.request.duplicate_key"),
        (b'{"messages":[1],"Model":"a"}', "llm.request.ambiguous_key"),
        (b'{"messages":[1],"\\u006dodel":"a"}', "llm.request.ambiguous_key"),
        (b'{"model":"a"}', "llm.messages.missing"),
        (b'{"messages":[ ]}', "llm.messages.empty"),
        (b'{"messages":{}}', "llm.messages.invalid"),
        (b'{"messages":[1],"max_tokens":0}', "llm.max_tokens.invalid"),
        (b'{"messages":[1],"max_tokens":"1"}', "llm.max_tokens.invalid"),
        (b'{"messages":[1],"stream":1}', "llm.stream.invalid"),
        (b'{"messages":[1],"model":""}', "llm.model.invalid"),
    ],
)
def test_a_request_is_judged_by_its_top_level(body: bytes, code: str) -> None:
    """Before anything of it is used."""
    with pytest.raises(InvalidArgument) as caught:
        MessageRequest(body)

    assert caught.value.code == code


def test_what_a_request_may_cost_is_told_by_its_top_level() -> None:
    """Bytes, the limit of the answer, pictures; a count answers nothing."""
    picture: JsonObject = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    said: Json = [{"role": "user", "content": [picture, picture]}]
    asked = request(messages=said)
    assert asked.estimate.max_output_tokens == 9
    assert asked.estimate.images == 2
    assert asked.estimate.input_bytes == len(asked.body)
    assert MessageRequest(asked.body, counting=True).estimate.max_output_tokens == 1
    assert MessageRequest(b'{"messages":[1],"max_tokens":1}').estimate.max_output_tokens == 1


def test_betas_and_version_come_from_the_headers() -> None:
    """Several headers, several names in one."""
    scope = {
        "headers": [
            (b"anthropic-version", b"2026-10-21"),
            (b"anthropic-beta", b"a, b"),
            (b"anthropic-beta", b"c,"),
        ]
    }
    assert edition_of(scope) == Edition(version="2026-10-21", betas=("a", "b", "c"))


def test_bytes_go_on_under_another_model_and_with_what_is_missing() -> None:
    """Everything else stays as it stands there."""
    asked = MessageRequest(b'{ "messages" : [1], "model":"up~m", "x" : {"model":1e9} }')
    assert asked.takes({"temperature": 0.5, "max_completion_tokens": 7})
    assert not asked.takes({"frequency_penalty": 1})
    assert asked.encoded("m", {"max_completion_tokens": 7}) == (
        b'{"max_tokens":7, "messages" : [1], "model":"m", "x" : {"model":1e9} }'
    )


def test_a_default_temperature_is_not_given_to_a_model_that_thinks() -> None:
    """It would refuse it."""
    asked = request(thinking={"type": "adaptive"})
    assert b"temperature" not in asked.encoded("m", {"temperature": 0.5})
    assert b"temperature" in request().encoded("m", {"temperature": 0.5})


# Translating


def test_turns_become_messages() -> None:
    """Results of tools are messages of their own, before the rest of their turn."""
    turns: list[Json] = [
        {"role": "user", "content": [{"type": "text", "text": "go", **MARK}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "text", "text": "a"},
                {"type": "text", "text": "b"},
                {"type": "tool_use", "id": "x", "name": "f", "input": {"n": 1}, **MARK},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "x", "content": "no", "is_error": True},
                {"type": "text", "text": "well?"},
            ],
        },
    ]
    body = parsed(system=[{"type": "text", "text": "sys", **MARK}], messages=turns)
    function: JsonObject = {"name": "f", "arguments": '{"n":1}'}
    assert body["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "sys", **MARK}]},
        {"role": "user", "content": [{"type": "text", "text": "go", **MARK}]},
        {
            "role": "assistant",
            "content": "ab",
            "reasoning_content": "t",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "t",
                    "signature": "s",
                    "format": "anthropic-claude-v1",
                    "index": 0,
                },
                {
                    "type": "reasoning.encrypted",
                    "data": "d",
                    "format": "anthropic-claude-v1",
                    "index": 1,
                },
            ],
            "tool_calls": [{"id": "x", "type": "function", "function": function, **MARK}],
        },
        {"role": "tool", "tool_call_id": "x", "content": "no", "is_error": True},
        {"role": "user", "content": [{"type": "text", "text": "well?"}]},
    ]


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"stop_sequences": ["x"]}, {"stop": ["x"]}),
        ({"top_k": 3, "top_p": 0.5, "temperature": 1}, {"top_k": 3, "top_p": 0.5}),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 50000}}, {"reasoning_effort": "high"}),
        ({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        ({"thinking": {"type": "adaptive"}}, {"reasoning_effort": None}),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            {"reasoning_effort": "max"},
        ),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "strict": True, "schema": {"a": 1}},
                }
            },
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}},
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        ({"tools": [TOOL], "tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        ({"tools": []}, {"tools": None}),
    ],
)
def test_parameters_are_translated(given_: JsonObject, expected: JsonObject) -> None:
    """Each into the word the lingua franca has for it."""
    body = parsed(**given_)
    assert {name: body.get(name) for name in expected} == expected


def test_the_id_of_a_user_is_short_enough_for_everybody() -> None:
    """A long one is hashed; Anthropic gets it as it is."""
    body = parsed(metadata={"user_id": "u" * 100})
    assert len(str(body["user"])) == 64
    sent = AnthropicChat().encode({**body, "model": "m"}, stream=False, spec=SPEC)
    assert json.loads(sent.body)["metadata"] == {"user_id": "u" * 100}


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
        ({"mcp_servers": [{"url": "https://x"}]}, "mcp_servers"),
        (
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "server_tool_use", "id": "x"}]}
                ]
            },
            "messages",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "later"}]}]}, "messages"),
    ],
)
def test_what_only_anthropics_servers_do_is_refused(parameters: JsonObject, param: str) -> None:
    """With a word on why."""
    with pytest.raises(Unsupported) as caught:
        parsed(**parameters)

    assert caught.value.param == param
    assert "Anthropic" in caught.value.message


@pytest.mark.parametrize(
    "parameters",
    [
        {"messages": ["x"]},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"messages": [{"role": "user", "content": 1}]},
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"system": 1},
        {"tools": 1},
        {"tools": ["x"]},
        {"tools": [TOOL], "tool_choice": {"type": "odd"}},
        {"tools": [TOOL], "tool_choice": "auto"},
        {"thinking": {"type": "enabled"}},
        {"metadata": 1},
    ],
)
def test_what_cannot_be_understood_is_refused(parameters: JsonObject) -> None:
    """Not guessed at."""
    with pytest.raises(InvalidArgument):
        parsed(**parameters)


def test_what_there_is_no_word_for_is_named() -> None:
    """Of the request, of its tools."""
    asked = request(tools=[{**TOOL, "defer_loading": True}], later=1, earlier=None)
    asked.parsed()
    assert asked.lost == ("later", "tools.defer_loading")


# For upstreams of OpenAI's form


def test_openai_gets_none_of_anthropics_words() -> None:
    """And is told what that was; its own newest words are used."""
    turns: list[Json] = [
        {"role": "user", "content": [{"type": "text", "text": "a", **MARK}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "tool_use", "id": "x", "name": "f", "input": {}, **MARK},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "x", "is_error": True}],
        },
    ]
    body, encoded = for_openai(
        messages=turns, tools=[{**TOOL, **MARK}], top_k=3, container="c", thinking={"type": "x"}
    )
    assert "cache_control" not in encoded.body.decode()
    assert "reasoning" not in encoded.body.decode()
    assert "anthropic" not in body
    assert (body["max_completion_tokens"], "max_tokens" in body) == (9, False)
    assert set(encoded.dropped) == {"cache_control", "is_error", "top_k", "container"}
    assert body["messages"][0] == {"role": "user", "content": "a"}
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "x", "content": ""}


def test_others_of_its_form_get_what_most_of_them_know() -> None:
    """Thoughts of earlier turns, the old name of the limit, `top_k`."""
    said: Json = [
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}]}
    ]
    body, _ = for_openai(strict=False, messages=said, top_k=3)
    assert body["messages"][0]["reasoning_content"] == "t"
    assert (body["max_tokens"], body["top_k"]) == (9, 3)


def test_what_a_tool_showed_follows_its_results() -> None:
    """Results are texts there; pictures come after all results of the turn, from the user."""
    picture: JsonObject = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    results: list[Json] = [
        {"type": "tool_result", "tool_use_id": "a", "content": [picture]},
        {
            "type": "tool_result",
            "tool_use_id": "b",
            "content": [{"type": "text", "text": "see"}, picture],
        },
    ]
    body, _ = for_openai(messages=[{"role": "user", "content": results}])
    first, second, shown = body["messages"]
    part: JsonObject = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    assert first["content"]
    assert second["content"] == "see"
    assert shown == {"role": "user", "content": [part, part]}


def test_a_block_that_openai_cannot_read_is_refused() -> None:
    """A document of which more is asked than to be read."""
    block: JsonObject = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "x"},
        "citations": {"enabled": True},
    }
    with pytest.raises(Unsupported):
        for_openai(messages=[{"role": "user", "content": [block]}])


# There and back


_LETTERS = st.characters(codec="utf-8")
_TEXT = st.text(_LETTERS, min_size=1).filter(lambda text: bool(text.strip()))
_MARK = st.sampled_from([{}, MARK])
_ID = st.text("abcXYZ019_-", min_size=1, max_size=8)


@st.composite
def _marked(draw: st.DrawFn, block: st.SearchStrategy[JsonObject]) -> JsonObject:
    return {**draw(block), **draw(_MARK)}


def _text(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _thinking(text: str, signature: str) -> JsonObject:
    return {"type": "thinking", "thinking": text, "signature": signature}


def _sealed(data: str) -> JsonObject:
    return {"type": "redacted_thinking", "data": data}


_TEXTS = _marked(st.builds(_text, _TEXT))
_PICTURES = _marked(
    st.sampled_from(
        [
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
            },
            {"type": "image", "source": {"type": "file", "file_id": "f"}},
            {
                "type": "document",
                "title": "d",
                "source": {"type": "text", "media_type": "text/plain", "data": "dü"},
            },
            {
                "type": "document",
                "title": "d",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
            },
            {
                "type": "document",
                "source": {"type": "url", "url": "https://x/y.pdf"},
                "citations": {"enabled": True},
            },
        ]
    )
)
_THOUGHTS = st.one_of(st.builds(_thinking, st.text(_LETTERS), _TEXT), st.builds(_sealed, _TEXT))
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def _calls(draw: st.DrawFn) -> tuple[list[JsonObject], list[JsonObject]]:
    """Return calls of tools and their results."""
    ids = draw(st.lists(_ID, max_size=3, unique=True))
    inputs: st.SearchStrategy[Any] = st.dictionaries(_TEXT, _JSON, max_size=3)
    uses: list[JsonObject] = [
        {"type": "tool_use", "id": id_, "name": "f", "input": draw(inputs), **draw(_MARK)}
        for id_ in ids
    ]
    results: list[JsonObject] = []

    for id_ in ids:
        content: Any = draw(_TEXT | st.lists(_TEXTS | _PICTURES, min_size=1, max_size=2))
        failed: JsonObject = draw(st.sampled_from([{}, {"is_error": True}]))
        results.append(
            {
                "type": "tool_result",
                "tool_use_id": id_,
                "content": content,
                **failed,
                **draw(_MARK),
            }
        )

    return uses, results


@st.composite
def _conversations(draw: st.DrawFn) -> list[Json]:
    """Return turns in the form in which they come back: blocks in their usual order."""
    turns: list[Json] = [{"role": "user", "content": [draw(_TEXTS)]}]

    for _ in range(draw(st.integers(0, 3))):
        thoughts = draw(st.lists(_THOUGHTS, max_size=2))
        # Several texts of one answer are one; only marks of the cache keep them apart.
        text = draw(_TEXTS)
        uses, results = draw(_calls())
        rest = draw(st.lists(_TEXTS | _PICTURES, min_size=0 if results else 1, max_size=2))
        turns.append({"role": "assistant", "content": [*thoughts, text, *uses]})
        turns.append({"role": "user", "content": [*results, *rest]})

    return turns


@given(turns=_conversations(), system=st.lists(_TEXTS, min_size=1, max_size=3))
def test_what_goes_through_the_lingua_franca_means_the_same(
    turns: list[Json], system: list[Json]
) -> None:
    """Every block, mark, signature and argument of a conversation comes back as it was."""
    tools: list[Json] = [{**TOOL, "description": "F", "strict": True, **MARK}]
    said: JsonObject = {
        "system": system,
        "messages": turns,
        "tools": tools,
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "stop_sequences": ["x"],
        "temperature": 0.5,
        "top_k": 3,
        "metadata": {"user_id": "u"},
        "service_tier": "auto",
        "output_config": {"effort": "low"},
    }
    encoded = AnthropicChat().encode({**parsed(**said), "model": "m"}, stream=False, spec=SPEC)
    body = json.loads(encoded.body)
    assert fault_in(body) is None
    thinking = body.pop("thinking", None)
    assert thinking is None or thinking == {"type": "adaptive"}
    assert body == {**said, "model": "m", "max_tokens": 9, "stream": False}
