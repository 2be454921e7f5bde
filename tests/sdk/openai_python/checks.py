"""What the gateway owes the OpenAI SDK for Python. Runs in the SDK's own environment."""

# pyright: basic

from __future__ import annotations

import json
from functools import partial
from typing import Any

import openai
from pydantic import BaseModel

import tests.sdk.openai_python.embeddings
import tests.sdk.openai_python.responses  # noqa: F401 - registers its checks
from tests.sdk.harness import (
    PLAIN,
    REASONING,
    REFUSAL,
    Requests,
    check,
    gateway,
    raises,
    raises_async,
    run,
    same,
)

ASK: Any = [{"role": "user", "content": "say it"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CLOCK: Any = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
ARGUMENTS = {"city": "Zürich", "days": 2}
CHAT = "/v1/chat/completions"

client: Any = openai.OpenAI(base_url=gateway.base, api_key=gateway.token, max_retries=0)


class Trip(BaseModel):
    """What the model `structured` fills."""

    city: str
    days: int


@check("chat.unary")
def chat_unary() -> None:
    answer = client.chat.completions.create(model="up~plain", messages=ASK, temperature=0.2)
    same(answer.choices[0].message.content, PLAIN)
    same(answer.choices[0].finish_reason, "stop")
    same((answer.object, answer.model), ("chat.completion", "up~plain"))
    assert answer.usage is not None
    same(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)


@check("chat.async")
async def chat_async() -> None:
    async with openai.AsyncOpenAI(base_url=gateway.base, api_key=gateway.token) as other:
        answer = await other.chat.completions.create(model="mock~plain", messages=ASK)
        assert answer.choices[0].message.content
        text = ""

        async for chunk in await other.chat.completions.create(
            model="mock~plain", messages=ASK, stream=True
        ):
            text += chunk.choices[0].delta.content or "" if chunk.choices else ""

        same(text, answer.choices[0].message.content)


@check("chat.stream")
def chat_stream() -> None:
    chunks = list(
        client.chat.completions.create(
            model="up~plain", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    )
    same("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), PLAIN)
    same(len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}), 1)
    same([chunk.choices[0].delta.role for chunk in chunks[:2]], ["assistant", None])
    same(chunks[-1].choices, [])
    unary = client.chat.completions.create(model="up~plain", messages=ASK)
    same(chunks[-1].usage, unary.usage)


@check("chat.stream_without_usage")
def chat_stream_without_usage() -> None:
    chunks = list(client.chat.completions.create(model="up~plain", messages=ASK, stream=True))
    same({chunk.usage for chunk in chunks}, {None})
    same([chunk for chunk in chunks if not chunk.choices], [])


@check("chat.stream_helper")
def chat_stream_helper() -> None:
    with client.chat.completions.stream(model="up~plain", messages=ASK) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()

    same(final.choices[0].message.content, PLAIN)
    same(final.choices[0].message.role, "assistant")
    same((kinds.count("content.done"), kinds[0]), (1, "chunk"))


@check("chat.tools_unary")
def chat_tools_unary() -> None:
    messages = list(ASK)
    first = client.chat.completions.create(model="up~tools", messages=messages, tools=[WEATHER])
    same(first.choices[0].finish_reason, "tool_calls")
    (call,) = first.choices[0].message.tool_calls or []
    assert call.type == "function"
    same((call.function.name, json.loads(call.function.arguments)), ("weather", ARGUMENTS))
    messages += [
        first.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    last = client.chat.completions.create(model="up~tools", messages=messages, tools=[WEATHER])
    same(last.choices[0].message.content, "The tools said: sunny")


@check("chat.tools_stream")
def chat_tools_stream() -> None:
    messages = list(ASK)

    with client.chat.completions.stream(
        model="up~tools", messages=messages, tools=[WEATHER]
    ) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        message = stream.get_final_completion().choices[0].message

    same(
        [(event.name, event.index, event.parsed_arguments) for event in done],
        [("weather", 0, ARGUMENTS)],
    )
    (call,) = message.tool_calls or []
    same(call.function.parsed_arguments, ARGUMENTS)
    messages += [
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]

    with client.chat.completions.stream(
        model="up~tools", messages=messages, tools=[WEATHER]
    ) as stream:
        same(stream.get_final_completion().choices[0].message.content, "The tools said: sunny")


@check("chat.parallel_tools")
def chat_parallel_tools() -> None:
    tools = [WEATHER, CLOCK]
    unary = client.chat.completions.create(model="up~parallel-tools", messages=ASK, tools=tools)
    expected = [
        (call.id, call.function.name)
        for call in unary.choices[0].message.tool_calls or []
        if call.type == "function"
    ]
    same([name for _, name in expected], ["weather", "clock"])

    with client.chat.completions.stream(
        model="up~parallel-tools", messages=ASK, tools=tools
    ) as stream:
        message = stream.get_final_completion().choices[0].message

    same([(call.id, call.function.name) for call in message.tool_calls or []], expected)


@check("chat.structured_parse")
def chat_structured_parse() -> None:
    answer = client.chat.completions.parse(
        model="up~structured", messages=ASK, response_format=Trip
    )
    same(answer.choices[0].message.parsed, Trip(city="Zürich", days=2))


@check("chat.structured_stream")
def chat_structured_stream() -> None:
    with client.chat.completions.stream(
        model="up~structured", messages=ASK, response_format=Trip
    ) as stream:
        parsed = stream.get_final_completion().choices[0].message.parsed

    same(parsed, Trip(city="Zürich", days=2))


@check("chat.json_object")
def chat_json_object() -> None:
    answer = client.chat.completions.create(
        model="up~structured", messages=ASK, response_format={"type": "json_object"}
    )
    same(json.loads(answer.choices[0].message.content or ""), ARGUMENTS)


@check("chat.content_parts")
def chat_content_parts() -> None:
    parts: Any = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}],
        },
    ]
    answer = client.chat.completions.create(model="up~echo", messages=parts)
    same(answer.choices[0].message.content, "one two")


@check("chat.reasoning")
def chat_reasoning() -> None:
    unary: Any = client.chat.completions.create(model="up~reasoning", messages=ASK)
    same(unary.choices[0].message.reasoning_content, REASONING)
    same(unary.choices[0].message.content, "The answer is 42.")
    chunks: Any = list(
        client.chat.completions.create(model="up~reasoning", messages=ASK, stream=True)
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    same("".join(getattr(delta, "reasoning_content", "") or "" for delta in deltas), REASONING)


@check("chat.refusal")
def chat_refusal() -> None:
    unary = client.chat.completions.create(model="up~refusal", messages=ASK)
    same((unary.choices[0].message.refusal, unary.choices[0].message.content), (REFUSAL, None))

    with client.chat.completions.stream(model="up~refusal", messages=ASK) as stream:
        done = [event.refusal for event in stream if event.type == "refusal.done"]
        final = stream.get_final_completion()

    same((done, final.choices[0].message.refusal), ([REFUSAL], REFUSAL))


@check("chat.length")
def chat_length() -> None:
    answer = client.chat.completions.create(model="up~length", messages=ASK)
    same(answer.choices[0].finish_reason, "length")

    # What was cut off cannot be parsed, and the helper says why.
    with client.chat.completions.stream(model="up~length", messages=ASK, tools=[WEATHER]) as stream:
        raises(openai.LengthFinishReasonError, stream.get_final_completion)


@check("chat.choices")
def chat_choices() -> None:
    unary = client.chat.completions.create(model="up~choices", messages=ASK, n=2)
    same([choice.message.content for choice in unary.choices], [PLAIN, PLAIN])

    with client.chat.completions.stream(model="up~choices", messages=ASK, n=2) as stream:
        final = stream.get_final_completion()

    same([choice.message.content for choice in final.choices], [PLAIN, PLAIN])


@check("chat.hard_name")
def chat_hard_name() -> None:
    answer = client.chat.completions.create(model="up~org/plain:7b", messages=ASK)
    same((answer.model, answer.choices[0].message.content), ("up~org/plain:7b", PLAIN))


@check("chat.request_id")
def chat_request_id() -> None:
    raw = client.chat.completions.with_raw_response.create(model="up~plain", messages=ASK)
    assert raw.headers["x-request-id"]
    same(raw.parse()._request_id, raw.headers["x-request-id"])


@check("models.list")
def models_list() -> None:
    models = {model.id: model for model in client.models.list()}
    assert {"up~plain", "up~org/plain:7b", "mock~plain"} <= set(models), sorted(models)
    same((models["up~plain"].object, models["up~plain"].owned_by), ("model", "up"))
    assert isinstance(models["up~plain"].created, int)


@check("models.retrieve")
def models_retrieve() -> None:
    for name in ("up~plain", "up~org/plain:7b"):
        same(client.models.retrieve(name).id, name)

    raises(openai.NotFoundError, lambda: client.models.retrieve("up~absent"))


@check("errors.401")
def errors_401() -> None:
    stranger = client.with_options(api_key="spn_nobody", max_retries=2)
    error = raises(openai.AuthenticationError, stranger.models.list)
    same((error.status_code, error.code), (401, "invalid_api_key"))
    error = raises(
        openai.AuthenticationError,
        lambda: stranger.chat.completions.create(model="up~plain", messages=ASK),
    )
    assert error.type, error
    assert error.request_id, error


@check("errors.403")
def errors_403() -> None:
    bare = client.with_options(api_key=gateway.bare_token, max_retries=2)
    error = raises(
        openai.PermissionDeniedError,
        lambda: bare.chat.completions.create(model="mock~plain", messages=ASK),
    )
    same((error.status_code, error.type), (403, "permission_error"))


@check("errors.404")
def errors_404() -> None:
    for stream in (False, True):
        error = _refused(openai.NotFoundError, "up~absent", stream)
        same((error.status_code, error.code, error.param), (404, "model_not_found", "model"))


@check("errors.400")
def errors_400() -> None:
    error = _refused(openai.BadRequestError, "up~fussy", False)
    same((error.status_code, error.type), (400, "invalid_request_error"))
    wrong: Any = "not a list"
    error = raises(
        openai.BadRequestError,
        lambda: client.chat.completions.create(model="up~plain", messages=wrong),
    )
    same(error.type, "invalid_request_error")


@check("errors.429")
def errors_429() -> None:
    for stream in (False, True):
        error = _refused(openai.RateLimitError, "up~error-429", stream)
        same((error.status_code, error.type), (429, "rate_limit_error"))
        assert error.response.headers["retry-after-ms"]
        assert error.response.headers["retry-after"]


@check("errors.5xx")
def errors_5xx() -> None:
    for model in ("up~error-500", "up~error-503", "up~error-401", "up~html"):
        for stream in (False, True):
            error = _refused(openai.InternalServerError, model, stream)
            assert error.type, error
            same(error.response.headers["x-spindle-origin"], "upstream")


@check("errors.in_stream")
def errors_in_stream() -> None:
    for model in ("up~in-stream-error", "up~cut"):
        stream = client.chat.completions.create(model=model, messages=ASK, stream=True)
        seen: list[Any] = []
        error = raises(openai.APIError, partial(seen.extend, stream))
        assert not isinstance(error, openai.APIStatusError), error
        assert error.type, vars(error)
        assert error.message, vars(error)


@check("retries.none_on_the_callers_fault")
def retries_none_on_the_callers_fault() -> None:
    _count(1, openai.NotFoundError, "up~absent")
    _count(1, openai.BadRequestError, "up~fussy")


@check("retries.none_when_told_not_to")
def retries_none_when_told_not_to() -> None:
    # The upstream refuses our key: no repetition helps.
    _count(1, openai.InternalServerError, "up~error-401")
    error = _count(1, openai.RateLimitError, "mock~plain", gateway.poor_token)
    same(error.response.headers["x-should-retry"], "false")
    same(error.code, "insufficient_quota")


@check("retries.on_5xx")
def retries_on_5xx() -> None:
    _count(3, openai.InternalServerError, "up~error-503")


@check("retries.honour_retry_after_ms")
def retries_honour_retry_after_ms() -> None:
    for model in ("up~limited", "up~broken"):
        requests = Requests(CHAT)
        messages: Any = [{"role": "user", "content": f"python {model}"}]
        answer = client.with_options(max_retries=1).chat.completions.create(
            model=model, messages=messages
        )
        same(answer.choices[0].message.content, PLAIN)
        requests.expect(2)


@check("errors.async")
async def errors_async() -> None:
    async with openai.AsyncOpenAI(
        base_url=gateway.base, api_key=gateway.token, max_retries=0
    ) as other:
        await raises_async(
            openai.NotFoundError, other.chat.completions.create(model="up~absent", messages=ASK)
        )


def _refused(kind: type[openai.APIStatusError], model: str, stream: bool) -> Any:
    return raises(
        kind,
        lambda: client.chat.completions.create(model=model, messages=ASK, stream=stream),
    )


def _count(count: int, kind: type[openai.APIStatusError], model: str, token: str = "") -> Any:
    patient = client.with_options(api_key=token or gateway.token, max_retries=2)
    requests = Requests(CHAT)
    error = raises(kind, lambda: patient.chat.completions.create(model=model, messages=ASK))
    requests.expect(count)
    return error


if __name__ == "__main__":
    run()
