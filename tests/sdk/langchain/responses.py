"""LangChain over the Responses API, and its embeddings."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

from functools import partial
from typing import Any

import openai
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from tests.sdk.harness import PLAIN, check, gateway, raises, same


class Trip(BaseModel):
    """A trip."""

    city: str
    days: int


@tool
def weather(city: str, days: int) -> str:
    """Tell the weather."""
    return f"sunny in {city} for {days} days"


def response(name: str, **options: Any) -> Any:
    return ChatOpenAI(
        model=name,
        base_url=gateway.base,
        api_key=gateway.token,
        max_retries=0,
        use_responses_api=True,
        **options,
    )


def whole_of(chunks: Any) -> Any:
    whole: Any = None

    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk

    return whole


@check("responses.unary")
def responses_unary() -> None:
    answer = response("up~plain").invoke([SystemMessage("Be brief."), HumanMessage("say it")])
    same(answer.text, PLAIN)
    assert answer.response_metadata["id"].startswith("resp_")
    usage = answer.usage_metadata
    same(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])


@check("responses.stream")
def responses_stream() -> None:
    whole = whole_of(response("up~plain").stream("say it"))
    same(whole.text, PLAIN)
    same(whole.usage_metadata, response("up~plain").invoke("say it").usage_metadata)


@check("responses.tools")
def responses_tools() -> None:
    able = response("up~tools", use_previous_response_id=True).bind_tools([weather])
    messages: list[Any] = [HumanMessage("say it")]
    messages.append(whole_of(able.stream(messages)))
    (call,) = messages[-1].tool_calls
    same((call["name"], call["args"]), ("weather", {"city": "Zürich", "days": 2}))
    messages.append(weather.invoke(call))
    same(able.invoke(messages).text, "The tools said: sunny in Zürich for 2 days")


@check("responses.structured")
def responses_structured() -> None:
    able = response("up~structured").with_structured_output(Trip, method="json_schema")
    same(able.invoke("say it"), Trip(city="Zürich", days=2))


@check("responses.errors")
def responses_errors() -> None:
    raises(openai.NotFoundError, partial(response("up~absent").invoke, "say it"))
    raises(openai.RateLimitError, partial(_streamed, response("up~error-429")))
    raises(
        openai.AuthenticationError,
        partial(
            ChatOpenAI(
                model="up~plain",
                base_url=gateway.base,
                api_key="spn_nobody",
                use_responses_api=True,
            ).invoke,
            "say it",
        ),
    )


@check("embeddings")
def embeddings() -> None:
    # Without the length check, which would fetch a vocabulary from the vendor.
    vectors = OpenAIEmbeddings(
        model="up~embed",
        base_url=gateway.base,
        api_key=gateway.token,
        check_embedding_ctx_length=False,
        max_retries=0,
    )
    documents = vectors.embed_documents(["one", "two", "three"])
    same((len(documents), len(documents[0])), (3, 8))
    same(documents[1], vectors.embed_query("two"))


def _streamed(asked: Any) -> list[Any]:
    return list(asked.stream("say it"))
