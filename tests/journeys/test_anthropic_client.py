"""An unmodified Anthropic client against a gateway, over upstreams of both forms."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anthropic
import pytest

from spindle_conformance.upstreams.repertoire import SIGNATURE
from spindle_conformance.upstreams.simulators import serving, simulator
from tests.journeys.gateway import create_token, in_force
from tests.support.spindle_process import running_spindle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anthropic.types import Message, MessageParam, ToolParam

    from spindle_spi.types import JsonObject

MODELS = (
    *("plain", "tools", "parallel-tools", "signed-tools", "cut", "reasoning"),
    *("error-400", "error-401", "error-429", "error-500", "error-context"),
)
PLAIN = "Grüße! The quick brown fox (狐) jumps over the lazy dog 🦊 and says “hello”."
ASK: MessageParam = {"role": "user", "content": "say it"}
TOOL: ToolParam = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
BOTH = pytest.mark.parametrize("provider", ["claude", "other"])


@pytest.fixture(scope="module")
async def client(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[anthropic.AsyncAnthropic]:
    home = tmp_path_factory.mktemp("home")

    async with AsyncExitStack() as stack:
        services: JsonObject = {}

        for name, kind in (("claude", "anthropic"), ("other", "openai")):
            url = await stack.enter_async_context(serving(simulator(kind, chunk=7)))
            models: list[JsonObject] = [{"name": model} for model in MODELS]
            services[name] = {"provider_type": kind, "urls": [url], "models": [*models]}

        settings: JsonObject = {"llm": {"services": services}}
        process = await stack.enter_async_context(running_spindle(settings, home=home))
        token = await create_token(home, "--team", "red", "--role", "developer")
        await in_force(process, token)

        async with anthropic.AsyncAnthropic(
            base_url=process.url, api_key=token, max_retries=0
        ) as made:
            yield made


def said(message: Message) -> list[tuple[str, object]]:
    """Return what the blocks of a message say; a stream's blocks are of classes of their own."""
    return [
        (block.type, block.text if block.type == "text" else getattr(block, "input", None))
        for block in message.content
    ]


@BOTH
@pytest.mark.requirement("001-services", "003-chat-select", "001-content-types")
async def test_a_stream_is_the_whole_message(
    client: anthropic.AsyncAnthropic, provider: str
) -> None:
    """Text, stop reason, usage and model are the same, by the client's own accumulator."""
    model = f"{provider}~plain"
    whole = await client.messages.create(model=model, max_tokens=100, messages=[ASK])

    async with client.messages.stream(model=model, max_tokens=100, messages=[ASK]) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()

    assert whole.content[0].type == "text"
    assert whole.content[0].text == text == PLAIN
    assert said(final) == said(whole)
    assert (final.model, final.stop_reason) == (whole.model, whole.stop_reason)
    assert (whole.model, whole.stop_reason) == (model, "end_turn")
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens == whole.usage.input_tokens


@BOTH
@pytest.mark.parametrize("name", ["tools", "parallel-tools"])
async def test_a_tool_is_called_and_its_result_is_taken(
    client: anthropic.AsyncAnthropic, provider: str, name: str
) -> None:
    """Whole and in a stream; then the model tells what the tool said."""
    model = f"{provider}~{name}"
    whole = await client.messages.create(model=model, max_tokens=100, messages=[ASK], tools=[TOOL])

    async with client.messages.stream(
        model=model, max_tokens=100, messages=[ASK], tools=[TOOL]
    ) as stream:
        final = await stream.get_final_message()

    uses = [block for block in final.content if block.type == "tool_use"]
    assert final.stop_reason == whole.stop_reason == "tool_use"
    assert said(final) == said(whole)
    assert [use.name for use in uses] == ["get_weather"]
    assert uses[0].input
    answered = await client.messages.create(
        model=model,
        max_tokens=100,
        tools=[TOOL],
        messages=[
            ASK,
            {"role": "assistant", "content": final.content},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
                    for use in uses
                ],
            },
        ],
    )
    assert answered.content[0].type == "text"
    assert "sunny" in answered.content[0].text


async def test_signatures_go_there_and_back_unchanged(client: anthropic.AsyncAnthropic) -> None:
    """Byte for byte, whole and in a stream; the upstream takes them again."""
    model = "claude~signed-tools"
    whole = await client.messages.create(model=model, max_tokens=100, messages=[ASK], tools=[TOOL])

    async with client.messages.stream(
        model=model, max_tokens=100, messages=[ASK], tools=[TOOL]
    ) as stream:
        final = await stream.get_final_message()

    for message in (whole, final):
        (thought,) = [block for block in message.content if block.type == "thinking"]
        assert thought.signature == SIGNATURE

    (use,) = [block for block in final.content if block.type == "tool_use"]
    again = await client.messages.create(
        model=model,
        max_tokens=100,
        tools=[TOOL],
        messages=[
            ASK,
            {"role": "assistant", "content": final.content},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}],
            },
        ],
    )
    assert again.stop_reason == "end_turn"


async def test_thoughts_of_another_vendor_are_thoughts_here(
    client: anthropic.AsyncAnthropic,
) -> None:
    """Nobody signed them; they come before the text."""
    message = await client.messages.create(model="other~reasoning", max_tokens=100, messages=[ASK])
    thought, text = message.content
    assert (thought.type, text.type) == ("thinking", "text")


@BOTH
async def test_tokens_are_counted(client: anthropic.AsyncAnthropic, provider: str) -> None:
    """By the upstream, or by an estimate that says so."""
    raw = await client.messages.with_raw_response.count_tokens(
        model=f"{provider}~plain", messages=[ASK], tools=[TOOL]
    )
    counted = await raw.parse()
    assert counted.input_tokens > 5
    assert raw.headers.get("x-spindle-estimated") == ("true" if provider == "other" else None)


@BOTH
async def test_models_are_listed_in_its_form(
    client: anthropic.AsyncAnthropic, provider: str
) -> None:
    """Each once, with its name; one of them by its id."""
    names = [model.id async for model in client.models.list()]
    assert f"{provider}~plain" in names
    assert len(names) == len(set(names))
    one = await client.models.retrieve(f"{provider}~plain")
    assert (one.id, one.type) == (f"{provider}~plain", "model")
    assert one.created_at is not None


@BOTH
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("absent", anthropic.NotFoundError),
        ("error-400", anthropic.BadRequestError),
        ("error-401", anthropic.InternalServerError),
        ("error-429", anthropic.RateLimitError),
        ("error-500", anthropic.InternalServerError),
        ("error-context", anthropic.BadRequestError),
    ],
)
@pytest.mark.requirement("001-error-mapping")
async def test_failures_raise_the_sdks_own_classes(
    client: anthropic.AsyncAnthropic,
    provider: str,
    name: str,
    error: type[anthropic.APIStatusError],
    stream: bool,
) -> None:
    """Each with its status and an id, and never with the upstream's credentials."""
    with pytest.raises(error) as caught:
        await client.messages.create(
            model=f"{provider}~{name}", max_tokens=10, messages=[ASK], stream=stream
        )

    assert caught.value.request_id
    assert "sk-upstream" not in str(caught.value)


@BOTH
async def test_a_stream_that_is_cut_raises(client: anthropic.AsyncAnthropic, provider: str) -> None:
    """Never a silent end; the next request is answered."""
    with pytest.raises(anthropic.APIError):
        async for _ in await client.messages.create(
            model=f"{provider}~cut", max_tokens=10, messages=[ASK], stream=True
        ):
            pass

    again = await client.messages.create(model=f"{provider}~plain", max_tokens=10, messages=[ASK])
    assert again.content


async def test_a_key_in_either_header_is_taken(client: anthropic.AsyncAnthropic) -> None:
    """As a bearer token, and as `x-api-key`; one that nobody minted in neither."""
    key = client.api_key
    assert key is not None

    for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}):
        async with anthropic.AsyncAnthropic(
            base_url=client.base_url, api_key="unused", max_retries=0
        ) as other:
            omitted = {"authorization": anthropic.omit, "x-api-key": anthropic.omit}
            message = await other.messages.create(
                model="claude~plain",
                max_tokens=10,
                messages=[ASK],
                extra_headers={**omitted, **headers},
            )
            assert message.content

    async with anthropic.AsyncAnthropic(
        base_url=client.base_url, api_key="spn_nobody", max_retries=0
    ) as nobody:
        with pytest.raises(anthropic.AuthenticationError):
            await nobody.messages.create(model="claude~plain", max_tokens=10, messages=[ASK])
