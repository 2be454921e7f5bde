"""pydantic-ai over Anthropic's messages."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

from typing import Any

from anthropic import AsyncAnthropic
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelRequest, ThinkingPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from tests.sdk.harness import PLAIN, Requests, check, gateway, raises_async, same

SIGNATURE = "EqQBCkYICBgCKkDx+signature/of+thought=="


class Trip(BaseModel):
    """A trip."""

    city: str
    days: int


def model(name: str, *, token: str = "", retries: int = 0, **options: Any) -> Any:
    client = AsyncAnthropic(
        base_url=gateway.url, api_key=token or gateway.token, max_retries=retries
    )
    return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client), **options)


def guide(name: str, **settings: Any) -> Any:
    """Return an agent that offers a tool."""
    agent: Any = Agent(model(name), model_settings=settings)

    @agent.tool_plain
    def weather(city: str, days: int) -> str:
        """Tell the weather."""
        return f"sunny in {city} for {days} days"

    return agent


@check("anthropic.unary")
async def anthropic_unary() -> None:
    for provider in ("claude", "up"):
        result = await Agent(model(f"{provider}~plain"), instructions="Be brief.").run("say it")
        same((result.output, result.response.finish_reason), (PLAIN, "stop"))
        assert result.usage.input_tokens


@check("anthropic.stream")
async def anthropic_stream() -> None:
    for provider in ("claude", "up"):
        async with Agent(model(f"{provider}~plain")).run_stream("say it") as result:
            same(await result.get_output(), PLAIN)

        unary = await Agent(model(f"{provider}~plain")).run("say it")
        same(result.usage.output_tokens, unary.usage.output_tokens)


@check("anthropic.tools")
async def anthropic_tools() -> None:
    said = "The tools said: sunny in Zürich for 2 days"

    for provider in ("claude", "up"):
        agent = guide(f"{provider}~tools")
        same((await agent.run("say it")).output, said)

        async with agent.run_stream("say it") as result:
            same(await result.get_output(), said)


@check("anthropic.thinking")
async def anthropic_thinking() -> None:
    agent = guide(
        "claude~signed-tools",
        max_tokens=2048,
        anthropic_thinking={"type": "enabled", "budget_tokens": 1024},
    )
    unary = await agent.run("say it")

    async with agent.run_stream("say it") as streamed:
        await streamed.get_output()

    for messages in (unary.all_messages(), streamed.all_messages()):
        parts = [part for message in messages for part in message.parts]
        (thought,) = (part for part in parts if isinstance(part, ThinkingPart))
        same((thought.content, thought.signature), ("I need a tool.", SIGNATURE))


@check("anthropic.structured")
async def anthropic_structured() -> None:
    agent: Any = Agent(model("claude~tools"), output_type=ToolOutput(Trip))
    same((await agent.run("say it")).output, Trip(city="Zürich", days=2))
    # This model's own profile knows no name of ours, so it is told what the model can do.
    able = model("claude~structured", profile={"supports_json_schema_output": True})
    native: Any = Agent(able, output_type=NativeOutput(Trip))
    same((await native.run("say it")).output, Trip(city="Zürich", days=2))


@check("anthropic.count_tokens")
async def anthropic_count_tokens() -> None:
    asked = [ModelRequest.user_text_prompt("say it")]
    counted = await model("claude~plain").count_tokens(asked, None, ModelRequestParameters())
    assert counted.input_tokens > 0, counted


@check("anthropic.errors")
async def anthropic_errors() -> None:
    for name, token, status in (
        ("claude~fussy", gateway.token, 400),
        ("claude~plain", "spn_nobody", 401),
        ("claude~absent", gateway.token, 404),
        ("claude~error-429", gateway.token, 429),
        ("claude~error-500", gateway.token, 502),
    ):
        error = await raises_async(ModelHTTPError, Agent(model(name, token=token)).run("say it"))
        same(error.status_code, status)


@check("anthropic.retries")
async def anthropic_retries() -> None:
    requests = Requests("/v1/messages")
    poor: Any = Agent(model("mock~plain", token=gateway.poor_token, retries=2))
    await raises_async(ModelHTTPError, poor.run("say it"))
    requests.expect(1)
