"""The hooked path decides and answers like the raw one; what plugins change or refuse is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.openai import answer
from spindle_conformance.upstreams.scripts import dump
from spindle_conformance.upstreams.server import Play
from spindle_llm.relay.folding import Fold
from spindle_spi.admission import Status
from spindle_spi.plugin import Plugin, SegmentKind
from tests.llm.relay.test_folding import without_nulls
from tests.llm.support.gateway import Client, Gateway, gateway
from tests.llm.support.records import ANSWER, REQUEST, Word, model

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

TOOLS: list[Json] = [
    {"type": "function", "function": {"name": "f"}},
    {"type": "function", "function": {"name": "g"}},
]
NAMES = [
    *("plain", "echo", "reasoning", "tools", "parallel-tools", "bad-arguments", "choices"),
    *("length", "empty", "usage-less", "crlf", "no-done", "sloppy", "sloppy-tools"),
    *("cut", "cut-clean", "in-stream-error", "error-first", "error-400", "error-429", "html"),
]


def _comparable(client: Client) -> Json:
    """Return what a client makes of an answer, without ids and times that are made up."""
    if client.status != 200:
        return [client.status, client.error]

    if not client.headers["content-type"].startswith("text/event-stream"):
        return without_nulls(client.json)

    fold = Fold()
    *events, last = client.events

    for event in events:
        fold.add(json.loads(event))

    return [without_nulls(fold.answer()), last]


async def _ask(up: Gateway, name: str, plugins: list[Plugin], *, stream: bool) -> tuple[Json, Json]:
    up.host.plugins[:] = plugins
    options: JsonObject = {"stream_options": {"include_usage": True}} if stream else {}
    client = await up.chat(f"up~{name}", stream=stream, tools=TOOLS, **options)
    outcome = up.host.journal.settled.pop().outcome
    usage = outcome.usage
    counted: Json = None

    if usage is not None and not usage.estimated:
        counted = [usage.input_tokens, usage.output_tokens]

    reasons: list[Json] = [*outcome.finish_reasons]
    return _comparable(client), [outcome.status.value, outcome.error_code, counted, reasons]


@pytest.mark.parametrize("chunk", [0, 7, 333])
@pytest.mark.parametrize("name", NAMES)
async def test_a_plugin_that_changes_nothing_changes_nothing(name: str, chunk: int) -> None:
    """Raw and hooked give equal answers, statuses and settlements for the same upstream bytes."""
    async with gateway(answer, model(name), chunk=chunk) as up:
        for stream in (False, True):
            raw = await _ask(up, name, [], stream=stream)
            assert await _ask(up, name, [Word()], stream=stream) == raw


@pytest.mark.parametrize("chunk", [1, 5, 64, 0])
@pytest.mark.parametrize("name", ["plain", "reasoning", "choices"])
async def test_what_a_plugin_replaces_is_replaced_at_any_chunking(name: str, chunk: int) -> None:
    """A stream folds to what unary shows, and the word is nowhere in the bytes."""
    async with gateway(answer, model(name), chunk=chunk) as up:
        up.host.plugins.append(Word("answer", "######"))
        streamed = await up.chat(f"up~{name}", stream=True, stream_options={"include_usage": True})
        whole = await up.chat(f"up~{name}")

    assert without_nulls(streamed.folded()) == without_nulls(whole.json)
    assert b"answer" not in streamed.content
    assert (b"######" in whole.content) == (name == "reasoning")


async def test_a_request_is_changed_before_it_goes_upstream() -> None:
    """Only what the plugin changed."""
    async with gateway(answer, model("echo")) as up:
        up.host.plugins.append(Word("hi", "ho", REQUEST))
        client = await up.chat("up~echo", seed=7)

    assert up.received["messages"] == [{"role": "user", "content": "ho"}]
    assert up.received["seed"] == 7
    assert client.status == 200
    assert [run.phase for run in up.host.journal.hooks] == [REQUEST]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refused_request_never_goes_upstream(stream: bool) -> None:
    """Status 403, origin plugin, settled as denied."""
    async with gateway(answer, model("echo")) as up:
        up.host.plugins.append(Word("hi"))
        client = await up.chat("up~echo", stream=stream)

    assert (client.status, client.error["code"]) == (403, "plugin.test.word")
    assert client.headers["x-spindle-origin"] == "plugin"
    assert up.upstream.seen == []
    assert up.host.outcome.status is Status.DENIED


@pytest.mark.parametrize("chunk", [1, 5, 64, 0])
async def test_a_refused_answer_is_not_released(chunk: int) -> None:
    """Nothing of the refused word, at any chunking; unary and stream say the same code."""
    async with gateway(answer, model("plain"), chunk=chunk) as up:
        up.host.plugins.append(Word("lazy", None, ANSWER))
        whole = await up.chat("up~plain")
        streamed = await up.chat("up~plain", stream=True)

    assert (whole.status, whole.error["code"]) == (403, "plugin.test.word")
    assert streamed.error["code"] == "plugin.test.word"
    assert "[DONE]" not in streamed.events
    text = "".join(
        json.loads(event)["choices"][0]["delta"].get("content", "")
        for event in streamed.events[:-1]
    )
    assert "Grüße! The quick brown fox (狐) jumps over the lazy dog".startswith(text)
    assert "laz" not in text
    assert [outcome.status for outcome in up.outcomes] == [Status.DENIED] * 2


@pytest.mark.parametrize("chunk", [1, 7, 0])
async def test_tool_arguments_are_judged_whole_and_decoded(chunk: int) -> None:
    """As one piece for each value, under the pointer that unary has; sent as one delta."""
    async with gateway(answer, model("parallel-tools"), chunk=chunk) as up:
        up.host.plugins.append(Word("Zürich", "Geneva"))
        streamed = await up.chat("up~parallel-tools", stream=True, tools=TOOLS)
        whole = await up.chat("up~parallel-tools", tools=TOOLS)

    assert without_nulls(streamed.folded()["choices"]) == without_nulls(whole.json["choices"])
    assert b"Geneva" in streamed.content
    (guard,) = up.host.guards
    assert guard.is_finished
    assert [segment.pointer for segment in guard.judged] == [
        "/choices/0/message/tool_calls/0/function/arguments#/city",
        "/choices/0/message/tool_calls/1/function/arguments#/city",
    ]
    assert {segment.kind for segment in guard.judged} == {SegmentKind.TOOL_ARGUMENTS}
    deltas = [chunk["choices"] for chunk in streamed.chunks if "tool_calls" in json.dumps(chunk)]
    assert len([delta for delta in deltas if "arguments" in json.dumps(delta)]) == 2


def _stream_of(*deltas: JsonObject, logprobs: Json = None) -> Play:
    events: list[JsonObject] = [
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": None}],
        }
        for delta in deltas
    ]
    body = b"".join(b"data: " + dump(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"
    return Play(body=body, streamed=True, content_type="text/event-stream")


async def test_log_probabilities_do_not_carry_what_was_replaced() -> None:
    """They repeat the text token by token."""
    said: JsonObject = {"content": [{"token": "secret"}]}
    message: JsonObject = {"role": "assistant", "content": "secret"}
    choice: JsonObject = {
        "index": 0,
        "message": message,
        "logprobs": said,
        "finish_reason": "stop",
    }
    whole = Play(body=dump({"id": "c", "object": "x", "created": 1, "choices": [choice]}))

    for play, stream in ((whole, False), (_stream_of({"content": "secret"}, logprobs=said), True)):
        async with gateway(play) as up:
            up.host.plugins.append(Word("secret", "******"))
            client = await up.chat(stream=stream)

        assert b"secret" not in client.content
        assert client.content.count(b"*") == 6


async def test_legacy_function_calls_are_judged_too() -> None:
    """Old upstreams still send them."""
    call: JsonObject = {"function_call": {"name": "f", "arguments": '{"x":"se'}}
    rest: JsonObject = {"function_call": {"arguments": 'cret"}'}}

    async with gateway(_stream_of({"role": "assistant"}, call, rest)) as up:
        up.host.plugins.append(Word("secret", "******"))
        client = await up.chat(stream=True)

    choices = client.folded()["choices"]
    assert isinstance(choices, list)
    assert isinstance(choices[0], dict)
    message = choices[0]["message"]
    assert isinstance(message, dict)
    assert message["function_call"] == {"name": "f", "arguments": '{"x": "******"}'}


def _deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("stream", [b"false", b"true"])
@pytest.mark.parametrize("depth", [300, 700, 850, 900, 930, 960])
async def test_a_deep_request_is_taken_or_refused(stream: bytes, depth: int) -> None:
    """Nothing overflows on either path, wherever the depth stands."""
    body = b'{"model":"up~plain","stream":%s,"messages":[{"content":"hi"}],"x":%s}'

    async with gateway(answer, model("plain")) as up:
        for plugins in ([], [Word("hi", "ho")]):
            up.host.plugins[:] = plugins
            client = await up.ask(body % (stream, _deep(depth)))
            assert client.status == 200 or client.error["code"] == "invalid_json"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("depth", [500, 900, 940, 5000])
async def test_deep_arguments_are_judged_or_refused(stream: bool, depth: int) -> None:
    """The client's own as a bad request, the upstream's as a bad gateway; nothing overflows."""
    call: JsonObject = {
        "id": "a",
        "type": "function",
        "function": {"name": "f", "arguments": _deep(depth).decode()},
    }
    said: JsonObject = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice: JsonObject = {"index": 0, "message": said, "finish_reason": "tool_calls"}
    whole = Play(body=dump({"id": "c", "object": "x", "created": 1, "choices": [choice]}))
    streamed = _stream_of({"role": "assistant"}, {"tool_calls": [{**call, "index": 0}]})

    async with gateway(streamed if stream else whole) as up:
        up.host.plugins.append(Word())
        client = await up.chat(stream=stream, messages=[said])

    codes = ("invalid_json", "upstream_garbage")
    assert b"[[[[" in client.content or client.error["code"] in codes
