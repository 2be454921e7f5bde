"""The vendors' own clients take the simulated upstreams for the vendors."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from spindle_conformance.upstreams.embeddings import vector
from spindle_conformance.upstreams.repertoire import PLAIN_TEXT, SEALED, SIGNATURE
from spindle_conformance.upstreams.simulators import serving, simulator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

KEY = "sk-upstream-key-0123456789"
SAID: list[Any] = [{"role": "user", "content": "hi"}]
BASES = {
    "openai": "/v1",
    "ollama": "/v1",
    "lm_studio": "/v1",
    "jan": "/v1",
    "localai": "/v1",
    "cortexso": "/v1",
    "openrouter": "/api/v1",
    "azure_openai": "/openai/v1",
}


@asynccontextmanager
async def _anthropic(*, key: str = KEY, chunk: int = 5) -> AsyncGenerator[anthropic.AsyncAnthropic]:
    async with (
        serving(simulator("anthropic", key=KEY, chunk=chunk)) as url,
        anthropic.AsyncAnthropic(api_key=key, base_url=url, max_retries=0) as client,
    ):
        yield client


@asynccontextmanager
async def _openai(
    dialect: str = "openai", *, key: str = KEY, chunk: int = 5
) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with (
        serving(simulator(dialect, key=KEY, chunk=chunk)) as url,
        openai.AsyncOpenAI(api_key=key, base_url=url + BASES[dialect], max_retries=0) as client,
    ):
        yield client


async def _message(create: Any, **asked: Any) -> anthropic.types.Message:
    message: anthropic.types.Message = await create(**asked)
    return message


@pytest.mark.parametrize(
    ("model", "stop_reason", "kinds"),
    [
        ("plain", "end_turn", ["text"]),
        ("signed-reasoning", "end_turn", ["thinking", "redacted_thinking", "text"]),
        ("parallel-tools", "tool_use", ["tool_use", "tool_use"]),
        ("signed-tools", "tool_use", ["thinking", "tool_use"]),
        ("text-and-tools", "tool_use", ["text", "tool_use", "tool_use"]),
        ("citations", "end_turn", ["text"]),
        ("length", "max_tokens", ["text"]),
        ("stop-sequence", "stop_sequence", ["text"]),
        ("paused", "pause_turn", ["text"]),
        ("filtered", "refusal", ["text"]),
        ("window-full", "model_context_window_exceeded", ["text"]),
        ("usage-cached", "end_turn", ["text"]),
        ("crlf", "end_turn", ["text"]),
        ("comments", "end_turn", ["text"]),
    ],
)
async def test_anthropics_client_gathers_a_stream_to_the_whole_message(
    model: str, stop_reason: str, kinds: list[str]
) -> None:
    """Its stream helper comes to what a unary request says, and knows every block."""
    asked: dict[str, Any] = {"model": model, "max_tokens": 100, "messages": SAID}

    async with _anthropic() as client:
        message = await _message(client.messages.create, **asked)

        async with client.messages.stream(**asked) as stream:
            gathered = await stream.get_final_message()

    assert [block.type for block in message.content] == kinds
    assert message.stop_reason == stop_reason
    assert gathered.model_dump(exclude_none=True) == message.model_dump(exclude_none=True)


async def test_anthropics_client_gets_signatures_as_they_are() -> None:
    """Signature and sealed reasoning arrive byte for byte, and the thinking delta after delta."""
    async with (
        _anthropic(chunk=3) as client,
        client.messages.stream(model="signed-reasoning", max_tokens=9, messages=SAID) as stream,
    ):
        message = await stream.get_final_message()

    thinking, sealed, _ = message.content
    assert isinstance(thinking, anthropic.types.ThinkingBlock)
    assert isinstance(sealed, anthropic.types.RedactedThinkingBlock)
    assert (thinking.thinking, thinking.signature) == ("First I think.", SIGNATURE)
    assert sealed.data == SEALED


async def test_anthropics_client_plays_a_tool_loop() -> None:
    """The tool that is offered is called; its result, sent back in a block, is told."""
    tools: list[Any] = [{"name": "add", "input_schema": {"type": "object"}}]
    first: list[Any] = [{"role": "user", "content": '{"a": 1}'}]

    async with _anthropic() as client:
        asked: dict[str, Any] = {"model": "tools", "max_tokens": 9, "tools": tools}
        called = await _message(client.messages.create, messages=first, **asked)
        (use,) = called.content
        assert isinstance(use, anthropic.types.ToolUseBlock)
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "three"}
        turn: list[Any] = [
            *first,
            {"role": "assistant", "content": [use.model_dump(exclude_none=True)]},
            {"role": "user", "content": [result]},
        ]
        told = await _message(client.messages.create, messages=turn, **asked)

    assert (use.name, use.input) == ("add", {"a": 1})
    (text,) = told.content
    assert isinstance(text, anthropic.types.TextBlock)
    assert text.text == "The tools said: three"


async def test_anthropics_client_counts_and_lists() -> None:
    """Tokens are counted, pages followed to the end, and a model has its limits."""
    async with _anthropic() as client:
        count = await client.messages.count_tokens(model="plain", messages=SAID)
        listed = [model.id async for model in client.models.list(limit=7)]
        model = await client.models.retrieve("plain")

    assert count.input_tokens > 0
    assert len(listed) == len(set(listed)) > 20
    assert "plain" in listed
    assert model.max_input_tokens == 200_000


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        ("error-429", anthropic.RateLimitError, "rate_limit_error"),
        ("error-context", anthropic.BadRequestError, "prompt is too long"),
        ("error-quota", anthropic.BadRequestError, "usage limits"),
        ("error-key", anthropic.AuthenticationError, KEY),
        ("error-overloaded", anthropic.InternalServerError, "overloaded_error"),
        ("nonsense", anthropic.NotFoundError, "not_found_error"),
        ("in-stream-error", anthropic.APIStatusError, "api_error"),
        ("text-503", anthropic.InternalServerError, "upstream connect error"),
    ],
)
async def test_anthropics_client_knows_the_errors(
    model: str, error: type[Exception], words: str
) -> None:
    """Refusals before the stream, and errors in it, are of the classes of the vendor's errors."""
    async with _anthropic() as client:
        with pytest.raises(error, match=words):
            async with client.messages.stream(model=model, max_tokens=9, messages=SAID) as stream:
                await stream.get_final_message()


async def test_anthropics_client_with_a_wrong_key_is_refused() -> None:
    """The refusal repeats the key, as careless servers do."""
    async with _anthropic(key="sk-wrong-key") as client:
        with pytest.raises(anthropic.AuthenticationError, match="sk-wrong-key"):
            await client.messages.create(model="plain", max_tokens=9, messages=SAID)


@pytest.mark.parametrize("dialect", list(BASES))
async def test_openais_client_talks_to_everybody_who_speaks_its_form(dialect: str) -> None:
    """Unary and through the stream helper; whoever knows of keys is asked with one."""
    async with _openai(dialect) as client:
        whole = await client.chat.completions.create(model="plain", messages=SAID)

        async with client.chat.completions.stream(model="parallel-tools", messages=SAID) as stream:
            gathered = await stream.get_final_completion()

        listed = [model.id async for model in client.models.list()]

    assert whole.choices[0].message.content == PLAIN_TEXT
    calls = gathered.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert {"plain", "embed"} <= set(listed)


async def test_openais_client_reads_what_else_an_answer_says() -> None:
    """A refusal, log probabilities, two choices, and what was cached."""
    async with _openai() as client:
        ask = client.chat.completions.create
        refusal = await ask(model="refusal", messages=SAID)
        probable = await ask(model="logprobs", messages=SAID)
        choices = await ask(model="choices", messages=SAID)
        cached = await ask(model="usage-cached", messages=SAID)
        filtered = await ask(model="filtered", messages=SAID)

    assert refusal.choices[0].message.refusal == "I cannot help with that."
    assert refusal.choices[0].message.content is None
    assert probable.choices[0].logprobs is not None
    assert "".join(one.token for one in probable.choices[0].logprobs.content or []) == PLAIN_TEXT
    assert [choice.index for choice in choices.choices] == [0, 1]
    assert cached.usage is not None
    assert cached.usage.prompt_tokens_details is not None
    assert cached.usage.prompt_tokens_details.cached_tokens == 700
    assert filtered.choices[0].finish_reason == "content_filter"


@pytest.mark.parametrize(
    ("dialect", "is_encoded"), [("openai", True), ("lm_studio", False), ("openrouter", True)]
)
async def test_openais_client_reads_embeddings(dialect: str, is_encoded: bool) -> None:
    """Base64 where the server knows it, floats where it does not; the numbers are the same."""
    async with _openai(dialect) as client:
        asked = client.embeddings.with_raw_response.create
        raw = await asked(model="embed", input=["a", "b"], dimensions=4)
        read = await client.embeddings.create(model="embed", input=["a", "b"], dimensions=4)

    first = raw.http_response.json()["data"][0]["embedding"]
    assert isinstance(first, str) is is_encoded
    assert [one.embedding for one in read.data] == [vector("a", 4), vector("b", 4)]
    assert struct.unpack("<4f", struct.pack("<4f", *vector("a", 4))) == tuple(vector("a", 4))


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("error-context", openai.BadRequestError, "context_length_exceeded"),
        ("error-quota", openai.RateLimitError, "insufficient_quota"),
        ("error-rate", openai.RateLimitError, "rate_limit_exceeded"),
        ("error-key", openai.AuthenticationError, "invalid_api_key"),
        ("nonsense", openai.NotFoundError, "model_not_found"),
        ("in-stream-error", openai.APIError, "upstream_code"),
    ],
)
async def test_openais_client_knows_the_errors(
    model: str, error: type[openai.APIError], code: str
) -> None:
    """Class and code are those of the vendor."""
    async with _openai() as client:
        with pytest.raises(error) as caught:
            async with client.chat.completions.stream(model=model, messages=SAID) as stream:
                await stream.get_final_completion()

    assert caught.value.code == code


async def test_azures_client_asks_a_deployment() -> None:
    """By path, `api-key` and version; the chunk of the filter is no part of the answer."""
    async with (
        serving(simulator("azure_openai", key=KEY)) as url,
        openai.AsyncAzureOpenAI(
            api_key=KEY, azure_endpoint=url, api_version="2026-01-01", max_retries=0
        ) as client,
    ):
        whole = await client.chat.completions.create(model="plain", messages=SAID)
        stream = await client.chat.completions.create(model="plain", messages=SAID, stream=True)
        chunks = [chunk async for chunk in stream]

    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert chunks[0].choices == []
    assert "".join(pieces) == whole.choices[0].message.content == PLAIN_TEXT
