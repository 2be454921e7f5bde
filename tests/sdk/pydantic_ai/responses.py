"""pydantic-ai over the Responses API, and its embeddings."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, Embedder, NativeOutput
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.sdk.harness import PLAIN, REASONING, check, gateway, raises_async, same


class Trip(BaseModel):
    """A trip."""

    city: str
    days: int


def provider(token: str = "") -> Any:
    client = AsyncOpenAI(base_url=gateway.base, api_key=token or gateway.token, max_retries=0)
    return OpenAIProvider(openai_client=client)


def model(name: str, *, token: str = "") -> Any:
    return OpenAIResponsesModel(name, provider=provider(token))


@check("responses.unary")
async def responses_unary() -> None:
    result = await Agent(model("up~plain"), instructions="Be brief.").run("say it")
    same((result.output, result.response.model_name), (PLAIN, "up~plain"))
    assert result.usage.output_tokens


@check("responses.stream")
async def responses_stream() -> None:
    async with Agent(model("up~plain")).run_stream("say it") as result:
        same(await result.get_output(), PLAIN)

    unary = await Agent(model("up~plain")).run("say it")
    same(result.usage, unary.usage)


@check("responses.tools")
async def responses_tools() -> None:
    agent: Any = Agent(model("up~tools"))
    asked: list[tuple[str, int]] = []

    @agent.tool_plain
    def weather(city: str, days: int) -> str:
        """Tell the weather."""
        asked.append((city, days))
        return "sunny"

    same((await agent.run("say it")).output, "The tools said: sunny")

    async with agent.run_stream("say it") as result:
        same(await result.get_output(), "The tools said: sunny")

    same(asked, [("Zürich", 2), ("Zürich", 2)])


@check("responses.structured")
async def responses_structured() -> None:
    agent: Any = Agent(model("up~structured"), output_type=NativeOutput(Trip))
    same((await agent.run("say it")).output, Trip(city="Zürich", days=2))


@check("responses.reasoning")
async def responses_reasoning() -> None:
    agent: Any = Agent(model("up~reasoning"))
    unary = await agent.run("say it", model_settings={"openai_reasoning_summary": "auto"})

    async with agent.run_stream("say it") as streamed:
        await streamed.get_output()

    for messages in (unary.all_messages(), streamed.all_messages()):
        parts = [part for message in messages for part in message.parts]
        thought = "".join(part.content for part in parts if isinstance(part, ThinkingPart))
        same(thought, REASONING)

    # What was thought is sent back with the history.
    same(
        (await agent.run("more", message_history=unary.all_messages())).output, "The answer is 42."
    )


@check("responses.previous_response_id")
async def responses_previous_response_id() -> None:
    agent: Any = Agent(model("up~echo"), model_settings={"openai_previous_response_id": "auto"})
    first = await agent.run("one")
    same((await agent.run("two", message_history=first.all_messages())).output, "two")


@check("responses.errors")
async def responses_errors() -> None:
    for name, token, status in (
        ("up~absent", gateway.token, 404),
        ("up~plain", "spn_nobody", 401),
        ("up~error-429", gateway.token, 429),
    ):
        error = await raises_async(ModelHTTPError, Agent(model(name, token=token)).run("say it"))
        same(error.status_code, status)


@check("embeddings")
async def embeddings() -> None:
    embedder = Embedder(OpenAIEmbeddingModel("up~embed", provider=provider()))
    documents = await embedder.embed_documents(["one", "two", "three"])
    same((len(documents.embeddings), len(documents.embeddings[0])), (3, 8))
    query = await embedder.embed_query("two")
    same(list(query.embeddings[0]), list(documents.embeddings[1]))
