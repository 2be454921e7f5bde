"""LangChain over Anthropic's messages."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

from functools import partial
from typing import Any

import anthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from tests.sdk.harness import PLAIN, Requests, check, gateway, raises, same

SIGNATURE = "EqQBCkYICBgCKkDx+signature/of+thought=="


class Trip(BaseModel):
    """A trip."""

    city: str
    days: int


@tool
def weather(city: str, days: int) -> str:
    """Tell the weather."""
    return f"sunny in {city} for {days} days"


def claude(name: str, *, token: str = "", retries: int = 0, **options: Any) -> Any:
    return ChatAnthropic(
        model=name,
        base_url=gateway.url,
        api_key=token or gateway.token,
        max_retries=retries,
        **{"max_tokens": 200, **options},
    )


def whole_of(chunks: Any) -> Any:
    whole: Any = None

    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk

    return whole


@check("anthropic.unary")
def anthropic_unary() -> None:
    for provider in ("claude", "up"):
        answer = claude(f"{provider}~plain").invoke(
            [SystemMessage("Be brief."), HumanMessage("say it")]
        )
        same((answer.text, answer.response_metadata["stop_reason"]), (PLAIN, "end_turn"))
        usage = answer.usage_metadata
        same(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])


@check("anthropic.stream")
def anthropic_stream() -> None:
    for provider in ("claude", "up"):
        whole = whole_of(claude(f"{provider}~plain").stream("say it"))
        same(whole.text, PLAIN)
        unary = claude(f"{provider}~plain").invoke("say it")
        same(whole.usage_metadata["total_tokens"], unary.usage_metadata["total_tokens"])


@check("anthropic.tools")
def anthropic_tools() -> None:
    for provider in ("claude", "up"):
        able = claude(f"{provider}~tools").bind_tools([weather])

        for first in (able.invoke("say it"), whole_of(able.stream("say it"))):
            (call,) = first.tool_calls
            same((call["name"], call["args"]), ("weather", {"city": "Zürich", "days": 2}))
            messages = [
                HumanMessage("say it"),
                first,
                ToolMessage("sunny", tool_call_id=call["id"]),
            ]
            same(able.invoke(messages).text, "The tools said: sunny")


@check("anthropic.thinking")
def anthropic_thinking() -> None:
    able = claude(
        "claude~signed-tools",
        max_tokens=2048,
        thinking={"type": "enabled", "budget_tokens": 1024},
    ).bind_tools([weather])

    for first in (able.invoke("say it"), whole_of(able.stream("say it"))):
        (thought,) = (block for block in first.content if block["type"] == "thinking")
        same((thought["thinking"], thought["signature"]), ("I need a tool.", SIGNATURE))
        (call,) = first.tool_calls
        messages = [HumanMessage("say it"), first, ToolMessage("sunny", tool_call_id=call["id"])]
        same(able.invoke(messages).text, "The tools said: sunny")


@check("anthropic.structured")
def anthropic_structured() -> None:
    for name, method in (
        ("claude~tools", "function_calling"),
        ("claude~structured", "json_schema"),
    ):
        able = claude(name).with_structured_output(Trip, method=method)
        same(able.invoke("say it"), Trip(city="Zürich", days=2))


@check("anthropic.count_tokens")
def anthropic_count_tokens() -> None:
    messages = [HumanMessage("say it")]
    short = claude("claude~plain").get_num_tokens_from_messages(messages)
    longer = claude("claude~plain").get_num_tokens_from_messages(messages, tools=[weather])
    assert 0 < short < longer, (short, longer)


@check("anthropic.errors")
def anthropic_errors() -> None:
    cases: list[tuple[str, str, type[Exception]]] = [
        ("claude~fussy", gateway.token, anthropic.BadRequestError),
        ("claude~plain", "spn_nobody", anthropic.AuthenticationError),
        ("claude~absent", gateway.token, anthropic.NotFoundError),
        ("claude~error-429", gateway.token, anthropic.RateLimitError),
        ("claude~error-500", gateway.token, anthropic.InternalServerError),
        ("claude~in-stream-error", gateway.token, anthropic.APIError),
    ]

    for name, token, kind in cases:
        asked = claude(name, token=token)
        raises(kind, partial(_streamed, asked))
        raises(kind, partial(asked.invoke, "say it"))


@check("anthropic.retries")
def anthropic_retries() -> None:
    requests = Requests("/v1/messages")
    poor = claude("mock~plain", token=gateway.poor_token, retries=2)
    raises(anthropic.RateLimitError, lambda: poor.invoke("say it"))
    requests.expect(1)
    requests = Requests("/v1/messages")
    same(claude("claude~limited", retries=1).invoke("langchain claude").text, PLAIN)
    requests.expect(2)


def _streamed(asked: Any) -> list[Any]:
    return list(asked.stream("say it"))
