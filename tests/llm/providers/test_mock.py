"""The mock provider through the whole module: each model does what its name says."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle_conformance.upstreams.server import Play
from spindle_llm.providers.mock_embeddings import DIMENSIONS, EMBEDDERS
from spindle_llm.providers.mock_scripts import CREATED, MODELS
from spindle_spi.admission import Status
from tests.llm.embeddings.upstream import vectors_in
from tests.llm.support.gateway import Client, Gateway, chat_bytes, gateway
from tests.llm.support.records import SPEC

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

MOCK = replace(
    SPEC,
    provider_type="mock",
    long_timeout=0.1,
    options={"long_count": 20, "long_gap_seconds": 0.001},
)
TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "deep": {"type": "boolean"},
                "unit": {"type": "string"},
            },
            "required": ["city", "days", "deep"],
        },
    },
}


@asynccontextmanager
async def _mock() -> AsyncGenerator[Gateway]:
    async with gateway(Play(), spec=MOCK) as up:
        yield up


async def _say(up: Gateway, name: str, *, stream: bool = False, **more: Json) -> Client:
    return await up.chat(f"up~{name}", stream=stream, **more)


def _message(client: Client) -> JsonObject:
    choices = (client.folded() if b"data: " in client.content else client.json)["choices"]
    assert isinstance(choices, list)
    assert isinstance(choices[0], dict)
    message = choices[0]["message"]
    assert isinstance(message, dict)
    return message


async def test_its_models_are_published_when_the_module_starts() -> None:
    """With a constant date, so that lists are the same every time."""
    async with _mock() as up:
        client = await up.ask(path="/v1/models", method="GET")

    listed = client.json["data"]
    assert isinstance(listed, list)
    names = [entry["id"] for entry in listed if isinstance(entry, dict)]
    assert names == sorted(["up~m", *(f"up~{name}" for name in (*MODELS, *EMBEDDERS))])
    assert all(one["created"] == CREATED for one in listed if isinstance(one, dict))


@pytest.mark.parametrize("stream", [False, True])
async def test_what_models_say(stream: bool) -> None:
    """Whole and streamed alike."""
    async with _mock() as up:
        said: list[Json] = [{"role": "user", "content": [{"type": "text", "text": "Grüße, du"}]}]
        echo = await _say(up, "echo", stream=stream, messages=said)
        nothing = await _say(up, "echo", stream=stream, messages=[{"role": "system"}])
        plain = await _say(up, "plain", stream=stream)
        long = await _say(up, "long", stream=stream)
        reasoning = await _say(up, "reasoning", stream=stream)

    assert _message(echo)["content"] == "Grüße, du"
    assert _message(nothing)["content"] == "(nothing was said)"
    assert str(_message(plain)["content"]).startswith("Hello")
    assert str(_message(long)["content"]).split()[-1] == "word20"
    assert _message(reasoning)["content"] == "The answer is 42."
    assert str(_message(reasoning)["reasoning_content"]).startswith("The user wants")
    assert {outcome.status for outcome in up.outcomes} == {Status.OK}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_tools_model_calls_and_then_quotes(stream: bool) -> None:
    """The first tool that is offered, with arguments its schema takes or the user gave."""
    async with _mock() as up:
        made_up = await _say(up, "tools", stream=stream, tools=[TOOL])
        given = await _say(
            up,
            "tools",
            stream=stream,
            tools=[TOOL],
            messages=[{"role": "user", "content": '{"city":"Bern"}'}],
        )
        told = await _say(
            up, "tools", stream=stream, messages=[{"role": "tool", "content": "sunny"}]
        )
        none = await _say(up, "tools", stream=stream)

    for client, arguments in (
        (made_up, {"city": "hi", "days": 1, "deep": True}),
        (given, {"city": "Bern"}),
    ):
        calls = _message(client)["tool_calls"]
        assert isinstance(calls, list)
        (call,) = calls
        assert isinstance(call, dict)
        assert (call["id"], call["type"]) == ("call_mock_1", "function")
        assert isinstance(call["function"], dict)
        assert call["function"]["name"] == "weather"
        assert json.loads(str(call["function"]["arguments"])) == arguments

    assert _message(told)["content"] == "The tool answered: sunny"
    assert _message(none)["content"] == "No tool was offered."


@pytest.mark.parametrize(
    ("name", "stream", "status", "code"),
    [
        ("cut", False, 502, "upstream_cut"),
        ("html", False, 502, "upstream_garbage"),
        ("html", True, 502, "upstream_garbage"),
        ("hang", False, 504, "upstream_timeout"),
        ("hang", True, 504, "upstream_timeout"),
        ("rate-limit", True, 429, "rate_limit_exceeded"),
        ("m", False, 404, "upstream_model_missing"),
    ],
)
async def test_what_models_do_wrong(name: str, stream: bool, status: int, code: str) -> None:
    """As a failing upstream would."""
    async with _mock() as up:
        client = await _say(up, name, stream=stream)

    assert (client.status, client.error["code"]) == (status, code)
    assert up.host.outcome.status is Status.ERROR


async def test_a_cut_stream_breaks_off_in_the_middle() -> None:
    """After some text."""
    async with _mock() as up:
        client = await _say(up, "cut", stream=True)

    assert client.status == 200
    assert client.error["code"] == "upstream_cut"
    assert len(client.events) == 5


async def test_a_rate_limit_says_how_long() -> None:
    """With the headers vendors send."""
    async with _mock() as up:
        client = await _say(up, "rate-limit")

    assert client.headers["retry-after"] == "2"
    assert client.headers["x-ratelimit-remaining-requests"] == "0"


async def test_a_client_may_leave_a_long_stream() -> None:
    """Playing stops."""
    async with gateway(
        Play(), spec=replace(MOCK, options={"long_gap_seconds": 30, "long_count": 10**9})
    ) as up:
        client = Client(chat_bytes("up~long", stream=True))
        up.start(client)
        await client.arrived.wait()
        client.leaves.set()

        with anyio.fail_after(5):
            await up.settled()

    assert up.host.outcome.status is Status.PARTIAL


async def test_its_vectors_follow_from_the_text() -> None:
    """The same text has the same vector, of as many dimensions as are asked for."""
    async with _mock() as up:
        said: JsonObject = {"model": "up~embed", "input": ["a", "b", "a"]}
        client = await up.ask(said, path="/v1/embeddings")
        short = await up.ask({**said, "dimensions": 4}, path="/v1/embeddings")
        chat = await up.ask({**said, "model": "up~echo"}, path="/v1/embeddings")

    one, two, three = vectors_in(client)
    assert one == three != two
    assert len(one) == DIMENSIONS
    assert [len(vector) for vector in vectors_in(short)] == [4, 4, 4]
    assert chat.status == 404
