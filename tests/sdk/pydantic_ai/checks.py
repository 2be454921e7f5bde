"""What the gateway owes pydantic-ai's models. Runs in an environment of its own."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import ThinkingPart, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import tests.sdk.pydantic_ai.claude
import tests.sdk.pydantic_ai.responses  # noqa: F401 - registers its checks
from tests.sdk.harness import (
    PLAIN,
    REASONING,
    Requests,
    check,
    gateway,
    raises_async,
    run,
    same,
)

CHAT = "/v1/chat/completions"


class Trip(BaseModel):
    """A trip."""

    city: str
    days: int


def model(name: str, *, token: str = "", retries: int = 0) -> Any:
    client = AsyncOpenAI(base_url=gateway.base, api_key=token or gateway.token, max_retries=retries)
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


def guide(name: str) -> Any:
    """Return an agent that offers a tool, and the list of what the tool was asked."""
    agent: Any = Agent(model(name))
    asked: list[tuple[str, int]] = []

    @agent.tool_plain
    def weather(city: str, days: int) -> str:
        """Tell the weather."""
        asked.append((city, days))
        return "sunny"

    return agent, asked


@check("chat.unary")
async def chat_unary() -> None:
    result = await Agent(model("up~plain"), instructions="Be brief.").run("say it")
    same(result.output, PLAIN)
    assert result.usage.input_tokens
    assert result.usage.output_tokens
    same(result.response.model_name, "up~plain")
    same(result.response.finish_reason, "stop")


@check("chat.stream")
async def chat_stream() -> None:
    async with Agent(model("up~plain")).run_stream("say it") as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]

    same("".join(pieces), PLAIN)
    assert len(pieces) > 1, pieces
    unary = await Agent(model("up~plain")).run("say it")
    same(result.usage, unary.usage)


@check("chat.tools_unary")
async def chat_tools_unary() -> None:
    agent, asked = guide("up~tools")
    result = await agent.run("say it")
    same((result.output, asked), ("The tools said: sunny", [("Zürich", 2)]))


@check("chat.tools_stream")
async def chat_tools_stream() -> None:
    agent, asked = guide("up~tools")

    async with agent.run_stream("say it") as result:
        same(await result.get_output(), "The tools said: sunny")

    same(asked, [("Zürich", 2)])
    calls = [
        part.tool_name
        for message in result.all_messages()
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    same(calls, ["weather"])


@check("chat.structured_native")
async def chat_structured_native() -> None:
    agent: Any = Agent(model("up~structured"), output_type=NativeOutput(Trip))
    same((await agent.run("say it")).output, Trip(city="Zürich", days=2))

    async with agent.run_stream("say it") as result:
        same(await result.get_output(), Trip(city="Zürich", days=2))


@check("chat.structured_by_tool")
async def chat_structured_by_tool() -> None:
    agent: Any = Agent(model("up~tools"), output_type=ToolOutput(Trip))
    same((await agent.run("say it")).output, Trip(city="Zürich", days=2))

    async with agent.run_stream("say it") as result:
        same(await result.get_output(), Trip(city="Zürich", days=2))


@check("chat.structured_by_prompt")
async def chat_structured_by_prompt() -> None:
    agent: Any = Agent(model("up~structured"), output_type=PromptedOutput(Trip))
    same((await agent.run("say it")).output, Trip(city="Zürich", days=2))


@check("chat.reasoning")
async def chat_reasoning() -> None:
    agent: Any = Agent(model("up~reasoning"))
    unary = await agent.run("say it")

    async with agent.run_stream("say it") as streamed:
        await streamed.get_output()

    for messages in (unary.all_messages(), streamed.all_messages()):
        parts = [part for message in messages for part in message.parts]
        thought = "".join(part.content for part in parts if isinstance(part, ThinkingPart))
        same(thought, REASONING)


@check("chat.history")
async def chat_history() -> None:
    agent: Any = Agent(model("up~echo"))
    first = await agent.run("one")
    second = await agent.run("two", message_history=first.all_messages())
    same((first.output, second.output), ("one", "two"))


@check("chat.hard_name")
async def chat_hard_name() -> None:
    same((await Agent(model("up~org/plain:7b")).run("say it")).output, PLAIN)


@check("errors.by_status")
async def errors_by_status() -> None:
    cases = [
        ("up~fussy", gateway.token, 400),
        ("up~plain", "spn_nobody", 401),
        ("mock~plain", gateway.bare_token, 403),
        ("up~absent", gateway.token, 404),
        ("up~error-429", gateway.token, 429),
        ("up~error-500", gateway.token, 502),
    ]

    for name, token, status in cases:
        agent: Any = Agent(model(name, token=token))
        error = await raises_async(ModelHTTPError, agent.run("say it"))
        same(error.status_code, status)
        assert error.body["message"], error.body

        with_stream = await raises_async(ModelHTTPError, streamed(agent))
        same(with_stream.status_code, status)


@check("errors.in_stream")
async def errors_in_stream() -> None:
    for name in ("up~in-stream-error", "up~cut"):
        await raises_async(ModelAPIError, streamed(Agent(model(name))))


@check("retries.none_when_told_not_to")
async def retries_none_when_told_not_to() -> None:
    requests = Requests(CHAT)
    poor: Any = Agent(model("mock~plain", token=gateway.poor_token, retries=2))
    error = await raises_async(ModelHTTPError, poor.run("say it"))
    same(error.status_code, 429)
    requests.expect(1)


@check("retries.honour_retry_after_ms")
async def retries_honour_retry_after_ms() -> None:
    requests = Requests(CHAT)
    same((await Agent(model("up~limited", retries=1)).run("pydantic-ai")).output, PLAIN)
    requests.expect(2)


async def streamed(agent: Any) -> str:
    async with agent.run_stream("say it") as result:
        return str(await result.get_output())


if __name__ == "__main__":
    run()
