"""Signed thoughts under plugins: judged like every text, signed only as they were signed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spindle_conformance.fakes.plugins import FakeGuard
from spindle_conformance.upstreams.anthropic import AnthropicSimulator
from spindle_llm.relay.folding import Fold
from spindle_llm.surfaces.guarded import GuardedStream
from spindle_spi.errors import PluginDenied, UpstreamError
from spindle_spi.plugin import PluginInput
from spindle_spi.records import Kind, ProviderSpec
from tests.llm.support.gateway import Gateway, gateway
from tests.llm.support.messages import folded, message
from tests.llm.support.records import ANSWER, CONTEXT, REQUEST, Word, model

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

SPEC = ProviderSpec(provider_type="anthropic", long_timeout=2.0)
NAME = "signed-reasoning"


async def answers(up: Gateway, plugin: Word) -> tuple[Any, Any]:
    """Return the message of a whole answer, and of its stream put together."""
    up.host.plugins[:] = [plugin]
    whole: Any = (await up.chat(f"up~{NAME}")).json
    streamed: Any = (await up.chat(f"up~{NAME}", stream=True)).folded()
    return whole["choices"][0]["message"], streamed["choices"][0]["message"]


@pytest.mark.parametrize("chunk", [0, 1, 7])
async def test_a_thought_that_was_changed_is_no_longer_signed(chunk: int) -> None:
    """Whole and in a stream, whatever the pieces; what is sealed goes on as it is."""
    async with gateway(AnthropicSimulator().answer, model(NAME), spec=SPEC, chunk=chunk) as up:
        whole, streamed = await answers(up, Word("think", "XXXXX", ANSWER))

    for said in (whole, streamed):
        thought, sealed = said["reasoning_details"]
        assert thought["text"] == said["reasoning_content"] == "First I XXXXX."
        assert "signature" not in thought
        assert sealed["data"]

    assert streamed["reasoning_details"] == whole["reasoning_details"]


@pytest.mark.parametrize("chunk", [0, 1, 7])
async def test_a_thought_that_was_only_looked_at_stays_signed(chunk: int) -> None:
    """After all of its text, though some of that was held back."""
    async with gateway(AnthropicSimulator().answer, model(NAME), spec=SPEC, chunk=chunk) as up:
        whole, streamed = await answers(up, Word("absent from it", "y" * 14, ANSWER))
        up.host.plugins[:] = [Word("absent from it", "y" * 14, ANSWER)]
        events = folded(await message(up, NAME, stream=True))

    assert whole["reasoning_details"] == streamed["reasoning_details"]
    assert whole["reasoning_details"][0]["signature"]
    content: Any = events["content"]
    assert content[0] == {
        "type": "thinking",
        "thinking": whole["reasoning_content"],
        "signature": whole["reasoning_details"][0]["signature"],
    }


async def test_a_thought_that_is_refused_is_never_released() -> None:
    """Neither as text nor as detail, whole or in a stream."""
    async with gateway(AnthropicSimulator().answer, model(NAME), spec=SPEC) as up:
        up.host.plugins[:] = [Word("think", None, ANSWER)]

        for stream in (False, True):
            client = await up.chat(f"up~{NAME}", stream=stream)
            assert b"think" not in client.content
            assert client.error["code"] == "plugin.test.word"


async def test_a_thought_that_was_changed_on_the_way_in_is_left_out() -> None:
    """Its provider would refuse a signature that does not fit."""
    said: JsonObject = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "a secret", "signature": "s"},
            {"type": "thinking", "thinking": "nothing", "signature": "t"},
            {"type": "text", "text": "hello"},
        ],
    }
    turns: list[Json] = [
        {"role": "user", "content": "a"},
        said,
        {"role": "user", "content": "b"},
    ]

    async with gateway(AnthropicSimulator().answer, model("plain"), spec=SPEC) as up:
        up.host.plugins[:] = [Word("secret", "XXXXXX", REQUEST)]
        await message(up, "plain", messages=turns)
        sent: Any = up.received["messages"]

    assert sent[1]["content"] == [
        {"type": "thinking", "thinking": "nothing", "signature": "t"},
        {"type": "text", "text": "hello"},
    ]


async def _guarded(word: Word, *deltas: JsonObject) -> JsonObject:
    call = PluginInput(context=CONTEXT, target_kind=Kind.MODEL, target_name="m", phase=ANSWER)
    guarded, fold = GuardedStream(FakeGuard([word], call, lambda: None)), Fold()

    for number, delta in enumerate(deltas, start=1):
        finish = "stop" if number == len(deltas) else None
        choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": finish}

        for chunk in await guarded.take({"choices": [choice]}):
            fold.add(json.loads(json.dumps(chunk)))

    answer: Any = fold.answer()
    message: JsonObject = answer["choices"][0]["message"]
    return message


def piece(index: int, **fields: Json) -> JsonObject:
    """Return a delta with one piece of a thought."""
    return {"reasoning_details": [{"type": "reasoning.text", "index": index, **fields}]}


async def test_each_thought_is_a_text_of_its_own() -> None:
    """What was held back of one that nobody signed comes at the end, in its place."""
    said = await _guarded(
        Word("ab", "xy"), piece(0, text="za"), piece(1, text="b"), piece(0, text="b"), {}
    )
    assert said["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "zxy"},
        {"type": "reasoning.text", "index": 1, "text": "b"},
    ]


async def test_a_summary_is_judged_too() -> None:
    """Whatever vendor it comes from."""
    with pytest.raises(PluginDenied):
        await _guarded(Word("ab"), piece(0, summary="a"), piece(0, summary="b"), {})


async def test_a_thought_does_not_go_on_after_it_was_signed() -> None:
    """Nobody signed what would follow."""
    with pytest.raises(UpstreamError):
        await _guarded(Word("ab"), piece(0, text="c", signature="s"), piece(0, text="d"), {})
