"""Models as tools: what they take, what they give, and how far they are meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spindle.config.model_tools import (
    CHAT_INPUT,
    CHAT_OUTPUT,
    EMBEDDINGS_INPUT,
    EMBEDDINGS_OUTPUT,
    AsksModel,
    model_tool_spec,
)
from spindle_conformance.upstreams.embeddings import vector
from spindle_conformance.upstreams.plays import PLAIN_TEXT
from spindle_llm.invocation import serve
from spindle_llm.model_tools.arguments import fault_in
from spindle_spi.admission import Permit
from spindle_spi.errors import FailedPrecondition, InvalidArgument, UpstreamError
from spindle_spi.invocation import Complete, Invocation, Progress
from spindle_spi.plugin import HookPhase
from spindle_spi.records import Kind, ModelSpec, Target
from tests.llm.chat.harness import World, chats
from tests.llm.chat.records import context_of, model, provider, record
from tests.llm.support.records import Word
from tests.support.upstream_process import Upstream, running_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.records import CatalogRecord, ToolSpec
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

ADA = context_of("ada@x")


@pytest.fixture(scope="module")
async def upstream() -> AsyncGenerator[Upstream]:
    """Run the simulated upstream."""
    async with running_upstream(chunk=7) as running:
        yield running


def asks(name: str, **said: Any) -> ToolSpec:
    """Return the spec of a tool as the core makes it."""
    unified = f"sim~{name}"
    return model_tool_spec(AsksModel(model=unified, **said), unified, None)


async def called(
    world: World, spec: ToolSpec, arguments: JsonObject, heard: list[Progress] | None = None
) -> dict[str, Any]:
    """Call a tool as the core hands it to the owner."""
    permit = Permit(
        id="permit-tool",
        lease_id=ADA.trace.request_id,
        record=record(Kind.TOOL, "ask", spec, module="llm"),
    )
    invocation = Invocation(
        target=Target(kind=Kind.TOOL, name="ask"), arguments=arguments, permit=permit, depth=1
    )

    async def hear(progress: Progress) -> None:
        assert heard is not None
        heard.append(progress)

    result = await serve(world.runtime, ADA, invocation, None if heard is None else hear)
    assert isinstance(result, Complete)
    # Tokens are counted on the model, so that nothing is counted twice.
    assert result.usage is None
    return result.payload


def embedder(name: str = "embed", dimensions: int | None = None) -> CatalogRecord:
    """Return a model that makes vectors."""
    spec = ModelSpec(
        provider="sim", upstream_name=name, supports=("embedding",), dimensions=dimensions
    )
    return record(Kind.MODEL, f"sim~{name}", spec, module="llm")


async def test_every_argument_of_a_chat_reaches_the_model(upstream: Upstream) -> None:
    """The instructions come first, the prompt last."""
    arguments: JsonObject = {
        "system": "be short",
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "prompt": "c",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "stop": ["x"],
        "seed": 3,
    }

    async with chats([provider(upstream.url), model("echo")], [ADA]) as world:
        await upstream.reset()
        answer = await called(world, asks("echo"), arguments)
        (seen,) = await upstream.log()

    body: Any = seen["body"]
    assert [message["content"] for message in body["messages"]] == ["be short", "a", "b", "c"]
    wanted = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "stop": ["x"], "seed": 3}
    assert {key: body[key] for key in wanted} == wanted
    assert fault_in(CHAT_INPUT, arguments) is None
    assert fault_in(CHAT_OUTPUT, answer["structuredContent"]) is None


async def test_messages_may_stand_for_a_prompt(upstream: Upstream) -> None:
    """As other programs write them."""
    messages: JsonObject = {"messages": [{"role": "user", "content": "hello"}]}

    async with chats([provider(upstream.url), model("echo")], [ADA]) as world:
        answer = await called(world, asks("echo"), messages)

    assert answer["structuredContent"]["text"] == "hello"


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "user", "content": "a", "name": "b"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "a"}] * 1_001}, "messages"),
        ({"prompt": "a", "temperature": 3}, "temperature"),
        ({"prompt": "a", "temperature": True}, "temperature"),
        ({"prompt": "a", "top_p": -1}, "top_p"),
        ({"prompt": "a", "stop": []}, "stop"),
        ({"prompt": "a", "stop": [""]}, "stop"),
        ({"prompt": "a", "seed": 1.5}, "seed"),
        ({"prompt": "a\ud800"}, "prompt"),
    ],
)
async def test_what_is_no_chat_is_refused_before_anything_is_asked(
    upstream: Upstream, arguments: JsonObject, param: str
) -> None:
    """The error names the argument."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        with pytest.raises(InvalidArgument) as caught:
            await called(world, asks("plain"), arguments)

    assert caught.value.param == param
    assert world.settled() == []


async def test_a_tool_may_take_less_than_a_model_does(upstream: Upstream) -> None:
    """Whoever calls it, and however."""
    schema: JsonObject = {
        "type": "object",
        "properties": {"prompt": {"type": "string", "maxLength": 5}},
        "required": ["prompt"],
        "additionalProperties": False,
    }
    spec = asks("echo", input_schema=schema)

    async with chats([provider(upstream.url), model("echo")], [ADA]) as world:
        assert (await called(world, spec, {"prompt": "short"}))["content"][0]["text"] == "short"

        wrong: list[JsonObject] = [{"prompt": "longer"}, {"prompt": "a", "max_tokens": 1}]

        for arguments in wrong:
            with pytest.raises(InvalidArgument, match="Invalid arguments: "):
                await called(world, spec, arguments)

        with pytest.raises(FailedPrecondition, match="schema cannot be used"):
            await called(world, replace(spec, input_schema={"$ref": "#/x"}), {"prompt": "a"})


FORM: JsonObject = {
    "type": "object",
    "properties": {"mood": {"type": "string"}},
    "required": ["mood"],
}


async def test_an_answer_may_have_a_form(upstream: Upstream) -> None:
    """The model is asked for it, and the answer is what the tool promises."""
    spec = asks("echo", output_schema=FORM)
    assert (spec.task, spec.output_schema) == ("object", FORM)

    async with chats([provider(upstream.url), model("echo")], [ADA]) as world:
        await upstream.reset()
        answer = await called(world, spec, {"prompt": json.dumps({"mood": "good"})})
        (seen,) = await upstream.log()

    body: Any = seen["body"]
    assert body["response_format"]["json_schema"]["schema"] == FORM
    assert answer["structuredContent"] == {"mood": "good"}


@pytest.mark.parametrize("said", ["good", "[1]", '{"mood": 5}', "{}"])
async def test_an_answer_of_another_form_is_an_error_that_shows_it(
    upstream: Upstream, said: str
) -> None:
    """It was paid for, and clients would refuse it."""
    async with chats([provider(upstream.url), model("echo")], [ADA]) as world:
        answer = await called(world, asks("echo", output_schema=FORM), {"prompt": said})

    assert answer["isError"] is True
    assert "structuredContent" not in answer
    assert answer["content"][0]["text"].endswith(f"It is:\n{said}")
    assert world.settled() == [("sim~echo", "ok")]


async def test_who_listens_hears_how_far_an_answer_is(upstream: Upstream) -> None:
    """How long it is, not what it says; in the end it is the answer that unary gives."""
    heard: list[Progress] = []

    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        unary = await called(world, asks("plain"), {"prompt": "hi"})
        streamed = await called(world, asks("plain"), {"prompt": "hi"}, heard)
        usages = [one.outcome.usage for one in world.host.journal.settled]

    assert streamed == unary
    assert streamed["content"][0]["text"] == PLAIN_TEXT
    assert heard
    assert 0 < heard[0].progress <= len(PLAIN_TEXT)
    assert heard[0].message == f"{heard[0].progress:g} characters"
    assert [one.progress for one in heard] == sorted({one.progress for one in heard})
    assert usages[0] == usages[1]
    assert world.settled() == [("sim~plain", "ok")] * 2


async def test_a_model_that_cannot_stream_is_asked_whole(upstream: Upstream) -> None:
    """There is nothing to hear of it."""
    heard: list[Progress] = []
    spec = ModelSpec(provider="sim", upstream_name="plain", supports=("chat",))
    slow = record(Kind.MODEL, "sim~plain", spec, module="llm")

    async with chats([provider(upstream.url), slow], [ADA]) as world:
        answer = await called(world, asks("plain"), {"prompt": "hi"}, heard)

    assert answer["content"][0]["text"] == PLAIN_TEXT
    assert heard == []


async def test_an_answer_that_plugins_judge_is_asked_whole(upstream: Upstream) -> None:
    """Nothing of it is heard before, and what they replace stays replaced."""
    heard: list[Progress] = []

    async with chats([provider(upstream.url), model("echo")], [ADA]) as world:
        world.host.plugins.append(Word("secret", "***", HookPhase.POST_INVOKE))
        answer = await called(world, asks("echo"), {"prompt": "my secret"}, heard)

    assert answer["content"][0]["text"] == "my ***"
    assert answer["structuredContent"]["text"] == "my ***"
    assert heard == []


async def test_a_stream_that_breaks_is_the_models_failure(upstream: Upstream) -> None:
    """Half an answer is none."""
    async with chats([provider(upstream.url), model("cut")], [ADA]) as world:
        with pytest.raises(UpstreamError):
            await called(world, asks("cut"), {"prompt": "hi"}, [])

    assert world.settled() == [("sim~cut", "error")]


async def test_texts_become_vectors(upstream: Upstream) -> None:
    """As data and as text, their tokens counted once, on the model."""
    spec = asks("embed", task="embeddings")
    assert (spec.input_schema, spec.output_schema) == (EMBEDDINGS_INPUT, EMBEDDINGS_OUTPUT)

    async with chats([provider(upstream.url), embedder()], [ADA]) as world:
        answer = await called(world, spec, {"input": ["one", "two"]})
        single = await called(world, spec, {"input": "three", "dimensions": 4})
        (usage, _) = (one.outcome.usage for one in world.host.journal.settled)

    found = answer["structuredContent"]
    assert found["embeddings"] == [vector("one"), vector("two")]
    assert found["model"] == "sim~embed"
    assert found["usage"] == {"input_tokens": 6}
    assert json.loads(answer["content"][0]["text"]) == found
    assert fault_in(EMBEDDINGS_OUTPUT, found) is None
    assert single["structuredContent"]["embeddings"] == [vector("three", 4)]
    assert usage is not None
    assert usage.input_tokens == 6
    assert world.settled() == [("sim~embed", "ok")] * 2


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 9}, "dimensions"),
        ({"input": "a", "prompt": "b"}, "prompt"),
    ],
)
async def test_what_cannot_be_embedded_is_refused(
    upstream: Upstream, arguments: JsonObject, param: str
) -> None:
    """The error names the argument."""
    async with chats([provider(upstream.url), embedder(dimensions=8)], [ADA]) as world:
        with pytest.raises(InvalidArgument) as caught:
            await called(world, asks("embed", task="embeddings"), arguments)

    assert caught.value.param == param


async def test_vectors_of_the_wrong_length_are_the_models_failure(upstream: Upstream) -> None:
    """The tool fails with it, and the call is settled as it ended."""
    name = "embed-wrong-dimension"

    async with chats([provider(upstream.url), embedder(name, 8)], [ADA]) as world:
        with pytest.raises(UpstreamError):
            await called(world, asks(name, task="embeddings"), {"input": "a"})

    assert world.settled() == [(f"sim~{name}", "error")]
