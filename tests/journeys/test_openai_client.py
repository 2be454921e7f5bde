"""An unmodified OpenAI client against a gateway whose upstream is another process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest

from tests.journeys.gateway import Gateway, running_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from openai.types.chat import (
        ChatCompletionFunctionToolParam,
        ChatCompletionMessageParam,
        ChatCompletionMessageToolCallUnion,
    )

PLAIN = "Grüße! The quick brown fox (狐) jumps over the lazy dog 🦊 and says “hello”."


ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "say it"}]
TOOL: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture(
    scope="module",
    params=[(0, "direct"), (1, "direct"), (7, "direct"), (64, "loopback")],
    ids=lambda p: f"chunk{p[0]}-{p[1]}",
)
async def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Gateway]:
    chunk, transport = request.param
    home: Path = tmp_path_factory.mktemp("home")

    async with running_gateway(home, chunk=chunk, transport=transport) as running:
        yield running


@pytest.fixture
async def client(gateway: Gateway) -> AsyncGenerator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{gateway.url}/v1", api_key=gateway.red, max_retries=0
    ) as client:
        yield client


@pytest.mark.requirement("000-models", "001-config-service")
async def test_the_list_of_models_names_what_the_team_sees(client: openai.AsyncOpenAI) -> None:
    """Each model of the configuration is listed once, with its provider as owner."""
    models = [model async for model in client.models.list()]
    names = [model.id for model in models]
    assert "up~plain" in names
    assert len(names) == len(set(names))
    assert {model.owned_by for model in models} == {"up"}
    assert (await client.models.retrieve("up~plain")).id == "up~plain"


@pytest.mark.requirement("000-chat-completions")
async def test_a_stream_folds_to_the_unary_answer(client: openai.AsyncOpenAI) -> None:
    """Text, finish reason, usage and model name are the same with and without a stream."""
    unary = await client.chat.completions.create(
        model="up~plain",
        messages=ASK,
    )
    text, usage, finish, names = "", None, None, set[str]()
    stream = await client.chat.completions.create(
        model="up~plain",
        messages=ASK,
        stream=True,
        stream_options={"include_usage": True},
    )

    async for chunk in stream:
        names.add(chunk.model)
        usage = chunk.usage or usage

        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish

    assert unary.choices[0].message.content == PLAIN == text
    assert unary.choices[0].finish_reason == finish == "stop"
    assert unary.model == "up~plain"
    assert names == {"up~plain"}
    assert unary.usage is not None
    assert usage is not None
    assert unary.usage.model_dump() == usage.model_dump()


async def test_tool_calls_arrive_whole_from_a_stream(client: openai.AsyncOpenAI) -> None:
    """The SDK's own accumulator gives the calls of the unary answer."""
    unary = await client.chat.completions.create(model="up~tools", messages=ASK, tools=[TOOL])

    async with client.chat.completions.stream(
        model="up~tools", messages=ASK, tools=[TOOL]
    ) as stream:
        final = await stream.get_final_completion()

    expected = unary.choices[0].message.tool_calls
    found = final.choices[0].message.tool_calls
    assert expected
    assert found is not None
    assert [_essence(call) for call in found] == [_essence(call) for call in expected]


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("up~absent", openai.NotFoundError, "model_not_found"),
        ("up~error-429", openai.RateLimitError, None),
        ("up~error-500", openai.InternalServerError, None),
        ("up~error-401", openai.InternalServerError, None),
        ("up~html", openai.InternalServerError, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_failures_raise_the_sdks_own_classes(
    client: openai.AsyncOpenAI,
    model: str,
    error: type[openai.APIStatusError],
    code: str | None,
    stream: bool,
) -> None:
    """Each failure before the first byte has its status, and never the upstream's own words."""
    with pytest.raises(error) as caught:
        await client.chat.completions.create(
            model=model,
            messages=ASK,
            stream=stream,
        )

    assert caught.value.type
    assert "sk-upstream" not in str(caught.value)
    assert caught.value.request_id
    assert code is None or caught.value.code == code


async def test_a_bad_token_is_an_authentication_error(gateway: Gateway) -> None:
    """A token nobody minted is refused in OpenAI's shape."""
    async with openai.AsyncOpenAI(
        base_url=f"{gateway.url}/v1", api_key="spn_nobody", max_retries=0
    ) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list()

    assert caught.value.code == "invalid_api_key"


async def test_the_sdk_retries_what_may_pass_and_nothing_else(gateway: Gateway) -> None:
    """Two retries reach the upstream on 500; none on an error of the request itself."""
    async with openai.AsyncOpenAI(
        base_url=f"{gateway.url}/v1", api_key=gateway.red, max_retries=2
    ) as client:
        await gateway.upstream.reset()

        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="up~error-500", messages=ASK)

        assert len(await gateway.upstream.log()) == 3
        await gateway.upstream.reset()

        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="up~error-401", messages=ASK)

        assert len(await gateway.upstream.log()) == 1


async def test_a_cut_stream_raises_and_the_next_request_is_answered(
    client: openai.AsyncOpenAI,
) -> None:
    """A stream that breaks off is an error in the stream, never a silent end."""
    with pytest.raises(openai.APIError):
        async for _ in await client.chat.completions.create(
            model="up~cut", messages=ASK, stream=True
        ):
            pass

    again = await client.chat.completions.create(model="up~plain", messages=ASK)
    assert again.choices[0].message.content == PLAIN


async def test_the_callers_token_never_reaches_the_upstream(gateway: Gateway) -> None:
    """Neither the bearer token nor the SDK's own headers travel on."""
    await gateway.upstream.reset()

    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.red) as client:
        await client.chat.completions.create(model="up~plain", messages=ASK)

    (seen,) = await gateway.upstream.log()
    assert gateway.red not in str(seen)
    assert "x-stainless" not in str(seen).lower()


def _essence(call: ChatCompletionMessageToolCallUnion) -> tuple[str, str, str]:
    assert call.type == "function"
    return call.id, call.function.name, call.function.arguments
