"""The Responses API through the OpenAI SDK for Python."""

# pyright: basic

from __future__ import annotations

import json
import time
from typing import Any

import openai
from pydantic import BaseModel

from tests.sdk.harness import PLAIN, REASONING, REFUSAL, Requests, check, gateway, raises, same

client: Any = openai.OpenAI(base_url=gateway.base, api_key=gateway.token, max_retries=0)
responses = client.responses
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
    "strict": True,
}
ARGUMENTS = {"city": "Zürich", "days": 2}
PROVIDERS = ("up", "claude")
"""One whose answers are of the kin, and one whose are translated."""


class Trip(BaseModel):
    """What the model `structured` fills."""

    city: str
    days: int


@check("responses.create")
def create() -> None:
    for provider in PROVIDERS:
        answer = responses.create(model=f"{provider}~plain", input="say it", instructions="Brief.")
        same((answer.object, answer.status), ("response", "completed"))
        same((answer.output_text, answer.model), (PLAIN, f"{provider}~plain"))
        assert answer.id.startswith("resp_"), answer.id
        (item,) = answer.output
        same((item.type, item.role, item.status), ("message", "assistant", "completed"))
        usage = answer.usage
        same(usage.total_tokens, usage.input_tokens + usage.output_tokens)
        assert usage.output_tokens


@check("responses.stream_events")
def stream_events() -> None:
    for provider in PROVIDERS:
        stream = responses.create(model=f"{provider}~plain", input="say it", stream=True)
        events = list(stream)
        same([event.sequence_number for event in events], list(range(len(events))))
        kinds = [event.type.removeprefix("response.") for event in events]
        same(
            list(dict.fromkeys(kinds)),
            [
                *("created", "in_progress", "output_item.added", "content_part.added"),
                *("output_text.delta", "output_text.done", "content_part.done"),
                *("output_item.done", "completed"),
            ],
        )
        same("".join(event.delta for event in events if event.type.endswith("text.delta")), PLAIN)
        same(events[-1].response.output_text, PLAIN)
        (done,) = (event for event in events if event.type == "response.output_item.done")
        same([done.item], events[-1].response.output)


@check("responses.stream_helper")
def stream_helper() -> None:
    with responses.stream(model="up~plain", input="say it") as stream:
        snapshots = [
            event.snapshot for event in stream if event.type == "response.output_text.delta"
        ]
        final = stream.get_final_response()

    same((snapshots[-1], final.output_text), (PLAIN, PLAIN))


@check("responses.tools")
def tools() -> None:
    for provider in PROVIDERS:
        items: list[Any] = [{"role": "user", "content": "say it"}]
        first = responses.create(model=f"{provider}~tools", input=items, tools=[WEATHER])
        (call,) = (item for item in first.output if item.type == "function_call")
        same((call.name, json.loads(call.arguments)), ("weather", ARGUMENTS))
        items += [*first.output, _output(call)]
        last = responses.create(model=f"{provider}~tools", input=items, tools=[WEATHER])
        same(last.output_text, "The tools said: sunny")


@check("responses.tools_stream")
def tools_stream() -> None:
    for provider in PROVIDERS:
        with responses.stream(model=f"{provider}~tools", input="say it", tools=[WEATHER]) as stream:
            kinds = list(dict.fromkeys(event.type for event in stream))
            first = stream.get_final_response()

        assert kinds.index("response.function_call_arguments.delta") < kinds.index(
            "response.function_call_arguments.done"
        ), kinds
        (call,) = (item for item in first.output if item.type == "function_call")
        same(json.loads(call.arguments), ARGUMENTS)

        with responses.stream(
            model=f"{provider}~tools",
            input=[_output(call)],
            tools=[WEATHER],
            previous_response_id=first.id,
        ) as stream:
            same(stream.get_final_response().output_text, "The tools said: sunny")


@check("responses.parallel_tools")
def parallel_tools() -> None:
    clock = {"type": "function", "name": "clock", "parameters": None, "strict": False}
    wanted: dict[str, Any] = {"input": "say it", "tools": [WEATHER, clock]}
    unary = responses.create(model="up~parallel-tools", **wanted)
    expected = [(item.call_id, item.name) for item in unary.output]
    same([name for _, name in expected], ["weather", "clock"])

    with responses.stream(model="up~parallel-tools", **wanted) as stream:
        final = stream.get_final_response()

    same([(item.call_id, item.name) for item in final.output], expected)


@check("responses.structured_parse")
def structured_parse() -> None:
    parsed = responses.parse(model="up~structured", input="say it", text_format=Trip)
    same(parsed.output_parsed, Trip(city="Zürich", days=2))

    with responses.stream(model="up~structured", input="say it", text_format=Trip) as stream:
        same(stream.get_final_response().output_parsed, Trip(city="Zürich", days=2))


@check("responses.reasoning")
def reasoning() -> None:
    unary = responses.create(model="up~reasoning", input="say it", reasoning={"summary": "auto"})
    same([item.type for item in unary.output], ["reasoning", "message"])
    same(_thought(unary), REASONING)

    with responses.stream(
        model="up~reasoning", input="say it", reasoning={"summary": "auto"}
    ) as stream:
        final = stream.get_final_response()

    same((_thought(final), final.output_text), (REASONING, "The answer is 42."))


@check("responses.refusal")
def refusal() -> None:
    unary = responses.create(model="up~refusal", input="say it")
    same([(part.type, part.refusal) for part in unary.output[0].content], [("refusal", REFUSAL)])
    events = list(responses.create(model="up~refusal", input="say it", stream=True))
    same([event.refusal for event in events if event.type == "response.refusal.done"], [REFUSAL])
    same(events[-1].type, "response.completed")


@check("responses.incomplete")
def incomplete() -> None:
    unary = responses.create(model="up~length", input="say it")
    same((unary.status, unary.incomplete_details.reason), ("incomplete", "max_output_tokens"))
    events = list(responses.create(model="up~length", input="say it", stream=True))
    same((events[-1].type, events[-1].response.status), ("response.incomplete", "incomplete"))


@check("responses.retrieve")
def retrieve() -> None:
    made = responses.create(model="up~plain", input="say it", metadata={"topic": "foxes"})
    kept = responses.retrieve(made.id)
    same((kept.id, kept.output_text, kept.metadata), (made.id, PLAIN, {"topic": "foxes"}))
    same(kept.output, made.output)
    streamed = list(responses.create(model="up~plain", input="say it", stream=True))[-1].response
    same(responses.retrieve(streamed.id).output_text, PLAIN)


@check("responses.not_stored")
def not_stored() -> None:
    made = responses.create(model="up~plain", input="say it", store=False)
    raises(openai.NotFoundError, lambda: responses.retrieve(made.id))


@check("responses.delete")
def delete() -> None:
    made = responses.create(model="up~plain", input="say it")
    responses.delete(made.id)
    raises(openai.NotFoundError, lambda: responses.retrieve(made.id))
    raises(openai.NotFoundError, lambda: responses.delete(made.id))


@check("responses.input_items")
def input_items() -> None:
    made = responses.create(
        model="up~echo",
        input=[{"role": "user", "content": "one"}, {"role": "user", "content": "two"}],
    )
    items = list(responses.input_items.list(made.id, order="asc"))
    same([part.text for item in items for part in item.content], ["one", "two"])


@check("responses.previous_response_id")
def previous_response_id() -> None:
    first = responses.create(model="up~echo", input="one")
    second = responses.create(model="up~echo", input="two", previous_response_id=first.id)
    same((second.output_text, second.previous_response_id), ("two", first.id))
    made = responses.create(model="up~tools", input="say it", tools=[WEATHER])
    last = responses.create(
        model="up~tools",
        input=[_output(made.output[0])],
        tools=[WEATHER],
        previous_response_id=made.id,
    )
    same(last.output_text, "The tools said: sunny")
    raises(
        (openai.NotFoundError, openai.BadRequestError),
        lambda: responses.create(model="up~echo", input="two", previous_response_id="resp_absent"),
    )


@check("responses.background")
def background() -> None:
    made = responses.create(model="up~plain", input="say it", background=True)
    deadline = time.monotonic() + 20

    while made.status in ("queued", "in_progress"):
        assert time.monotonic() < deadline, made.status
        made = responses.retrieve(made.id)

    same((made.status, made.output_text), ("completed", PLAIN))


@check("responses.cancel")
def cancel() -> None:
    made = responses.create(model="up~hang", input="say it", background=True)
    same(responses.cancel(made.id).status, "cancelled")
    same(responses.retrieve(made.id).status, "cancelled")


@check("responses.errors")
def errors() -> None:
    create = responses.create
    raises(openai.NotFoundError, lambda: create(model="up~absent", input="say it"))
    raises(openai.BadRequestError, lambda: create(model="up~fussy", input="say it"))
    raises(openai.RateLimitError, lambda: create(model="up~error-429", input="say it"))
    raises(openai.InternalServerError, lambda: create(model="up~error-500", input="say it"))
    stranger = client.with_options(api_key="spn_nobody")
    raises(
        openai.AuthenticationError,
        lambda: stranger.responses.create(model="up~plain", input="say it"),
    )
    raises(openai.NotFoundError, lambda: responses.retrieve("resp_absent"))


@check("responses.errors_in_stream")
def errors_in_stream() -> None:
    for name in ("up~in-stream-error", "up~cut"):
        events = list(responses.create(model=name, input="say it", stream=True))
        same((events[-1].type, events[-1].response.status), ("response.failed", "failed"))
        assert events[-1].response.error.message
        assert "sk-upstream" not in events[-1].response.error.message


@check("responses.retries")
def retries() -> None:
    requests = Requests("/v1/responses")
    poor = client.with_options(api_key=gateway.poor_token, max_retries=2)
    raises(openai.RateLimitError, lambda: poor.responses.create(model="mock~plain", input="one"))
    requests.expect(1)
    requests = Requests("/v1/responses")
    patient = client.with_options(max_retries=1)
    raises(
        openai.InternalServerError,
        lambda: patient.responses.create(model="up~error-503", input="say it"),
    )
    requests.expect(2)


def _output(call: Any) -> Any:
    return {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}


def _thought(response: Any) -> str:
    (item,) = (item for item in response.output if item.type == "reasoning")
    return "".join(part.text for part in [*item.summary, *(item.content or [])])
