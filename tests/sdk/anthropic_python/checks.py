"""What the gateway owes the Anthropic SDK for Python. Runs in the SDK's own environment."""

# pyright: basic

from __future__ import annotations

from functools import partial
from typing import Any

import anthropic
from pydantic import BaseModel

from tests.sdk.harness import (
    PLAIN,
    REASONING,
    Requests,
    check,
    gateway,
    raises,
    raises_async,
    run,
    same,
    upstream_requests,
)

ASK: Any = [{"role": "user", "content": "say it"}]
WEATHER: Any = {
    "name": "weather",
    "description": "Tell the weather.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}
CLOCK: Any = {"name": "clock", "input_schema": {"type": "object", "properties": {}}}
ARGUMENTS = {"city": "Zürich", "days": 2}
SIGNATURE = "EqQBCkYICBgCKkDx+signature/of+thought=="
SEALED = "EmwKAhgBEgy3+sealed/thought=="
MESSAGES = "/v1/messages"
PROVIDERS = ("claude", "up")
"""One whose answers are of the kin, and one whose are translated."""

client: Any = anthropic.Anthropic(base_url=gateway.url, api_key=gateway.token, max_retries=0)


class Trip(BaseModel):
    """What the model `structured` fills."""

    city: str
    days: int


def ask(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": ASK, "max_tokens": 200, **more}


def final_of(model: str, **more: Any) -> Any:
    with client.messages.stream(**ask(model, **more)) as stream:
        return stream.get_final_message()


@check("messages.unary")
def messages_unary() -> None:
    for provider in PROVIDERS:
        answer = client.messages.create(**ask(f"{provider}~plain", system="Be brief."))
        same((answer.type, answer.role, answer.stop_reason), ("message", "assistant", "end_turn"))
        same([(block.type, block.text) for block in answer.content], [("text", PLAIN)])
        same(answer.model, f"{provider}~plain")
        assert answer.usage.input_tokens
        assert answer.usage.output_tokens


@check("messages.async")
async def messages_async() -> None:
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=gateway.token) as other:
        wanted: Any = ask("mock~plain")
        answer: Any = await other.messages.create(**wanted)

        async with other.messages.stream(**wanted) as stream:
            text = "".join([piece async for piece in stream.text_stream])

    same(text, answer.content[0].text)


@check("messages.stream_events")
def messages_stream_events() -> None:
    for provider in PROVIDERS:
        events = list(client.messages.create(**ask(f"{provider}~plain", stream=True)))
        kinds = [event.type for event in events if event.type != "ping"]
        same(
            list(dict.fromkeys(kinds)),
            [
                *("message_start", "content_block_start", "content_block_delta"),
                *("content_block_stop", "message_delta", "message_stop"),
            ],
        )
        same((kinds.count("message_start"), kinds.count("message_stop")), (1, 1))
        (start,) = (event for event in events if event.type == "message_start")
        same((start.message.model, start.message.content), (f"{provider}~plain", []))


@check("messages.stream_helper")
def messages_stream_helper() -> None:
    for provider in PROVIDERS:
        unary = client.messages.create(**ask(f"{provider}~plain"))

        with client.messages.stream(**ask(f"{provider}~plain")) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()

        same((text, final.content[0].text, final.stop_reason), (PLAIN, PLAIN, "end_turn"))
        same(
            (final.usage.input_tokens, final.usage.output_tokens),
            (unary.usage.input_tokens, unary.usage.output_tokens),
        )


@check("messages.tools_unary")
def messages_tools_unary() -> None:
    for provider in PROVIDERS:
        wanted = ask(f"{provider}~tools", tools=[WEATHER])
        first = client.messages.create(**wanted)
        same(first.stop_reason, "tool_use")
        (call,) = (block for block in first.content if block.type == "tool_use")
        same((call.name, call.input), ("weather", ARGUMENTS))
        last = client.messages.create(**{**wanted, "messages": _answered(first, call)})
        same((last.content[0].text, last.stop_reason), ("The tools said: sunny", "end_turn"))


@check("messages.tools_stream")
def messages_tools_stream() -> None:
    for provider in PROVIDERS:
        wanted = ask(f"{provider}~tools", tools=[WEATHER])

        with client.messages.stream(**wanted) as stream:
            pieces = [event.partial_json for event in stream if event.type == "input_json"]
            first = stream.get_final_message()

        assert pieces
        (call,) = (block for block in first.content if block.type == "tool_use")
        same((call.name, call.input, first.stop_reason), ("weather", ARGUMENTS, "tool_use"))
        last = final_of(f"{provider}~tools", tools=[WEATHER], messages=_answered(first, call))
        same(last.content[0].text, "The tools said: sunny")


@check("messages.parallel_tools")
def messages_parallel_tools() -> None:
    for provider in PROVIDERS:
        wanted: dict[str, Any] = {"tools": [WEATHER, CLOCK]}
        unary = client.messages.create(**ask(f"{provider}~parallel-tools", **wanted))
        expected = [(block.id, block.name) for block in unary.content]
        same([name for _, name in expected], ["weather", "clock"])
        final = final_of(f"{provider}~parallel-tools", **wanted)
        same([(block.id, block.name) for block in final.content], expected)
        results = [
            {"type": "tool_result", "tool_use_id": identity, "content": "sunny"}
            for identity, _ in expected
        ]
        messages = [*ASK, _said(final), {"role": "user", "content": results}]
        last = final_of(f"{provider}~parallel-tools", messages=messages, **wanted)
        same(last.content[0].text, "The tools said: sunny | sunny")


@check("messages.text_and_tools")
def messages_text_and_tools() -> None:
    final = final_of("claude~text-and-tools", tools=[WEATHER])
    same([block.type for block in final.content], ["text", "tool_use"])
    same((final.content[0].text, final.content[1].input), ("Let me look.", ARGUMENTS))


@check("messages.thinking")
def messages_thinking() -> None:
    wanted: Any = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}
    unary = client.messages.create(**ask("claude~signed-reasoning", **wanted))
    final = final_of("claude~signed-reasoning", **wanted)

    for answer in (unary, final):
        thought, sealed, text = answer.content
        same(
            (thought.type, thought.thinking, thought.signature),
            ("thinking", "First I think.", SIGNATURE),
        )
        same((sealed.type, sealed.data), ("redacted_thinking", SEALED))
        same(text.text, "The answer is 42.")


@check("messages.thinking_round_trip")
def messages_thinking_round_trip() -> None:
    """What was thought goes back to the upstream as it came, signature and all."""
    wanted: Any = {
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "max_tokens": 2048,
        "tools": [WEATHER],
    }
    first = final_of("claude~signed-tools", **wanted)
    same([block.type for block in first.content], ["thinking", "tool_use"])
    same(first.content[0].signature, SIGNATURE)
    messages = _answered(first, first.content[1])
    last = final_of("claude~signed-tools", **{**wanted, "messages": messages})
    same(last.content[-1].text, "The tools said: sunny")
    sent = upstream_requests()[-1]["body"]["messages"][1]["content"][0]
    same(
        (sent["type"], sent["thinking"], sent["signature"]),
        ("thinking", "I need a tool.", SIGNATURE),
    )


@check("messages.reasoning_of_others")
def messages_reasoning_of_others() -> None:
    for answer in (client.messages.create(**ask("up~reasoning")), final_of("up~reasoning")):
        same([block.type for block in answer.content], ["thinking", "text"])
        same(answer.content[0].thinking, REASONING)
        same(answer.content[1].text, "The answer is 42.")


@check("messages.stop_reasons")
def messages_stop_reasons() -> None:
    for provider in PROVIDERS:
        same(client.messages.create(**ask(f"{provider}~length")).stop_reason, "max_tokens")
        same(final_of(f"{provider}~length").stop_reason, "max_tokens")

    for answer in (
        client.messages.create(**ask("claude~stop-sequence", stop_sequences=["END"])),
        final_of("claude~stop-sequence", stop_sequences=["END"]),
    ):
        same((answer.stop_reason, answer.stop_sequence), ("stop_sequence", "END"))


@check("messages.structured")
def messages_structured() -> None:
    for provider in PROVIDERS:
        parsed = client.messages.parse(**ask(f"{provider}~structured", output_format=Trip))
        same(parsed.parsed_output, Trip(city="Zürich", days=2))
        final = final_of(f"{provider}~structured", output_format=Trip)
        same(final.parsed_output, Trip(city="Zürich", days=2))


@check("messages.blocks")
def messages_blocks() -> None:
    """System and content as lists of blocks, with marks of the cache on them."""
    mark = {"cache_control": {"type": "ephemeral"}}

    for provider in PROVIDERS:
        answer = client.messages.create(
            **ask(
                f"{provider}~echo",
                system=[{"type": "text", "text": "Be brief.", **mark}],
                messages=[
                    {"role": "user", "content": [{"type": "text", "text": "one two", **mark}]}
                ],
            )
        )
        same(answer.content[0].text, "one two")


@check("messages.hard_name")
def messages_hard_name() -> None:
    for provider in PROVIDERS:
        answer = client.messages.create(**ask(f"{provider}~org/plain:7b"))
        same((answer.model, answer.content[0].text), (f"{provider}~org/plain:7b", PLAIN))


@check("messages.request_id")
def messages_request_id() -> None:
    raw = client.messages.with_raw_response.create(**ask("claude~plain"))
    assert raw.headers["request-id"]
    same(raw.parse()._request_id, raw.headers["request-id"])


@check("count_tokens")
def count_tokens() -> None:
    for model in ("claude~plain", "up~plain", "mock~plain"):
        short = client.messages.count_tokens(model=model, messages=ASK).input_tokens
        longer = client.messages.count_tokens(
            model=model, messages=ASK, system="Be brief, and kind to foxes.", tools=[WEATHER]
        ).input_tokens
        assert 0 < short < longer, (model, short, longer)

    raises(
        anthropic.NotFoundError,
        lambda: client.messages.count_tokens(model="up~absent", messages=ASK),
    )


@check("credentials")
def credentials() -> None:
    """A token is taken from either header, and from the beta of the same route."""
    bearer = anthropic.Anthropic(base_url=gateway.url, auth_token=gateway.token, max_retries=0)
    keyed = anthropic.Anthropic(
        base_url=gateway.url,
        api_key="unused",
        max_retries=0,
        default_headers={"x-api-key": gateway.token, "Authorization": anthropic.omit},  # type: ignore[dict-item]
    )

    for each in (bearer, keyed):
        other: Any = each
        same(other.messages.create(**ask("claude~plain")).content[0].text, PLAIN)
        same(
            other.beta.messages.create(**ask("claude~plain", betas=["some-beta"])).content[0].text,
            PLAIN,
        )


@check("models.list")
def models_list() -> None:
    names = {model.id for model in client.models.list()}
    assert {"claude~plain", "claude~org/plain:7b"} <= names, sorted(names)


@check("errors.by_class")
def errors_by_class() -> None:
    cases: list[tuple[str, str, type[anthropic.APIStatusError], str]] = [
        ("{}~fussy", gateway.token, anthropic.BadRequestError, "invalid_request_error"),
        ("{}~plain", "spn_nobody", anthropic.AuthenticationError, "authentication_error"),
        ("{}~plain", gateway.bare_token, anthropic.PermissionDeniedError, "permission_error"),
        ("{}~absent", gateway.token, anthropic.NotFoundError, "not_found_error"),
        ("{}~error-429", gateway.token, anthropic.RateLimitError, "rate_limit_error"),
        ("{}~error-500", gateway.token, anthropic.InternalServerError, "api_error"),
        ("{}~error-401", gateway.token, anthropic.InternalServerError, "api_error"),
    ]

    for provider in PROVIDERS:
        for name, token, kind, word in cases:
            for stream in (False, True):
                other = client.with_options(api_key=token)
                wanted = ask(name.format(provider), stream=stream)
                error = raises(kind, partial(other.messages.create, **wanted))
                same((error.body["type"], error.body["error"]["type"]), ("error", word))
                assert error.body["error"]["message"]
                assert error.request_id, error

    wrong = ask("claude~plain", messages="not a list")
    raises(anthropic.BadRequestError, lambda: client.messages.create(**wrong))


@check("errors.in_stream")
def errors_in_stream() -> None:
    for name in ("claude~in-stream-error", "claude~cut", "up~in-stream-error", "up~cut"):
        stream = client.messages.create(**ask(name, stream=True))
        events: list[Any] = []
        error = raises(anthropic.APIStatusError, partial(events.extend, stream))
        assert error.body["error"]["message"], vars(error)
        assert "message_stop" not in [event.type for event in events]


@check("errors.async")
async def errors_async() -> None:
    async with anthropic.AsyncAnthropic(
        base_url=gateway.url, api_key=gateway.token, max_retries=0
    ) as other:
        wanted: Any = ask("up~absent")
        await raises_async(anthropic.NotFoundError, other.messages.create(**wanted))


@check("retries.none_on_the_callers_fault")
def retries_none_on_the_callers_fault() -> None:
    _count(1, anthropic.NotFoundError, "claude~absent")
    _count(1, anthropic.BadRequestError, "claude~fussy")


@check("retries.none_when_told_not_to")
def retries_none_when_told_not_to() -> None:
    _count(1, anthropic.InternalServerError, "claude~error-401")
    error = _count(1, anthropic.RateLimitError, "mock~plain", gateway.poor_token)
    same(error.response.headers["x-should-retry"], "false")


@check("retries.on_5xx")
def retries_on_5xx() -> None:
    _count(3, anthropic.InternalServerError, "claude~error-503")


@check("retries.honour_retry_after_ms")
def retries_honour_retry_after_ms() -> None:
    requests = Requests(MESSAGES)
    messages: Any = [{"role": "user", "content": "anthropic"}]
    patient = client.with_options(max_retries=1)
    same(patient.messages.create(**ask("claude~limited", messages=messages)).content[0].text, PLAIN)
    requests.expect(2)


def _said(message: Any) -> Any:
    return {"role": "assistant", "content": [block.model_dump() for block in message.content]}


def _answered(message: Any, call: Any) -> list[Any]:
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    return [*ASK, _said(message), {"role": "user", "content": [result]}]


def _count(count: int, kind: type[anthropic.APIStatusError], model: str, token: str = "") -> Any:
    patient = client.with_options(api_key=token or gateway.token, max_retries=2)
    requests = Requests(MESSAGES)
    error = raises(kind, lambda: patient.messages.create(**ask(model)))
    requests.expect(count)
    return error


if __name__ == "__main__":
    run()
