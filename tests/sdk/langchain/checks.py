"""What the gateway owes LangChain's models. Runs in an environment of its own."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

from functools import partial
from typing import Any

import openai
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

import tests.sdk.langchain.claude
import tests.sdk.langchain.responses  # noqa: F401 - registers its checks
from tests.sdk.harness import (
    PLAIN,
    REFUSAL,
    Requests,
    check,
    gateway,
    raises,
    run,
    same,
)

ARGUMENTS = {"city": "Zürich", "days": 2}
CHAT = "/v1/chat/completions"


class Trip(BaseModel):
    """A trip."""

    city: str
    days: int


@tool
def weather(city: str, days: int) -> str:
    """Tell the weather."""
    return f"sunny in {city} for {days} days"


@tool
def clock() -> str:
    """Tell the time."""
    return "noon"


def model(name: str, *, token: str = "", retries: int = 0, **options: Any) -> Any:
    return ChatOpenAI(
        model=name,
        base_url=gateway.base,
        api_key=token or gateway.token,
        max_retries=retries,
        **options,
    )


@check("chat.unary")
def chat_unary() -> None:
    answer = model("up~plain").invoke([SystemMessage("Be brief."), HumanMessage("say it")])
    same(answer.content, PLAIN)
    same(answer.response_metadata["model_name"], "up~plain")
    same(answer.response_metadata["finish_reason"], "stop")
    usage = answer.usage_metadata
    same(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])


@check("chat.async")
async def chat_async() -> None:
    answer = await model("mock~plain").ainvoke("say it")
    text = ""

    async for chunk in model("mock~plain").astream("say it"):
        text += chunk.text

    same(text, answer.content)


@check("chat.stream")
def chat_stream() -> None:
    chunks = list(model("up~plain", stream_usage=True).stream("say it"))
    same("".join(chunk.text for chunk in chunks), PLAIN)
    whole = chunks[0]

    for chunk in chunks[1:]:
        whole += chunk

    same(whole.usage_metadata, model("up~plain").invoke("say it").usage_metadata)
    same(whole.response_metadata["finish_reason"], "stop")
    same(whole.response_metadata["model_name"], "up~plain")


@check("chat.tools_unary")
def chat_tools_unary() -> None:
    able = model("up~tools").bind_tools([weather], strict=True)
    messages: list[Any] = [HumanMessage("say it")]
    messages.append(able.invoke(messages))
    (call,) = messages[-1].tool_calls
    same((call["name"], call["args"]), ("weather", ARGUMENTS))
    messages.append(weather.invoke(call))
    assert isinstance(messages[-1], ToolMessage)
    same(able.invoke(messages).content, "The tools said: sunny in Zürich for 2 days")


@check("chat.tools_stream")
def chat_tools_stream() -> None:
    able = model("up~parallel-tools").bind_tools([weather, clock])
    whole: Any = None

    for chunk in able.stream("say it"):
        whole = chunk if whole is None else whole + chunk

    same([call["name"] for call in whole.tool_calls], ["weather", "clock"])
    same([call["args"] for call in whole.tool_calls], [ARGUMENTS, ARGUMENTS])
    same(whole.invalid_tool_calls, [])
    messages: list[Any] = [HumanMessage("say it"), whole]
    messages += [ToolMessage("sunny", tool_call_id=call["id"]) for call in whole.tool_calls]
    same("".join(chunk.text for chunk in able.stream(messages)), "The tools said: sunny | sunny")


@check("chat.structured")
def chat_structured() -> None:
    for method in ("json_schema", "json_mode"):
        able = model("up~structured").with_structured_output(Trip, method=method)
        same(able.invoke("say it"), Trip(city="Zürich", days=2))


@check("chat.structured_by_tool")
def chat_structured_by_tool() -> None:
    able = model("up~tools").with_structured_output(Trip, method="function_calling")
    same(able.invoke("say it"), Trip(city="Zürich", days=2))


@check("chat.structured_stream")
def chat_structured_stream() -> None:
    able = model("up~structured").with_structured_output(Trip, method="json_schema")
    same(list(able.stream("say it"))[-1], Trip(city="Zürich", days=2))


@check("chat.refusal")
def chat_refusal() -> None:
    same(model("up~refusal").invoke("say it").additional_kwargs["refusal"], REFUSAL)


@check("chat.choices")
def chat_choices() -> None:
    result = model("up~choices", n=2).generate([[HumanMessage("say it")]])
    same([each.text for each in result.generations[0]], [PLAIN, PLAIN])


@check("chat.hard_name")
def chat_hard_name() -> None:
    same(model("up~org/plain:7b").invoke("say it").content, PLAIN)


@check("chat.batch")
def chat_batch() -> None:
    answers = model("up~echo").batch(["one", "two", "three"])
    same([answer.content for answer in answers], ["one", "two", "three"])


@check("errors.by_class")
def errors_by_class() -> None:
    cases: list[tuple[str, str, type[Exception]]] = [
        ("up~fussy", gateway.token, openai.BadRequestError),
        ("up~plain", "spn_nobody", openai.AuthenticationError),
        ("mock~plain", gateway.bare_token, openai.PermissionDeniedError),
        ("up~absent", gateway.token, openai.NotFoundError),
        ("up~error-429", gateway.token, openai.RateLimitError),
        ("up~error-500", gateway.token, openai.InternalServerError),
    ]

    for name, token, kind in cases:
        asked = model(name, token=token)
        raises(kind, partial(asked.invoke, "say it"))
        raises(kind, partial(_streamed, asked))


@check("errors.in_stream")
def errors_in_stream() -> None:
    for name in ("up~in-stream-error", "up~cut"):
        raises(openai.APIError, partial(_streamed, model(name)))


@check("retries.none_when_told_not_to")
def retries_none_when_told_not_to() -> None:
    requests = Requests(CHAT)
    poor = model("mock~plain", token=gateway.poor_token, retries=2)
    raises(openai.RateLimitError, lambda: poor.invoke("say it"))
    requests.expect(1)


@check("retries.on_5xx")
def retries_on_5xx() -> None:
    requests = Requests(CHAT)
    raises(openai.InternalServerError, lambda: model("up~error-503", retries=2).invoke("say it"))
    requests.expect(3)


@check("retries.honour_retry_after_ms")
def retries_honour_retry_after_ms() -> None:
    requests = Requests(CHAT)
    same(model("up~limited", retries=1).invoke("langchain").content, PLAIN)
    requests.expect(2)


def _streamed(asked: Any) -> list[Any]:
    return list(asked.stream("say it"))


if __name__ == "__main__":
    run()
