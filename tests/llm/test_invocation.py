"""Calls from other protocols: a model as a tool, and a model itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.plays import PLAIN_TEXT
from spindle_llm.invocation import serve
from spindle_spi.admission import Permit
from spindle_spi.errors import (
    ContractViolation,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    Unsupported,
    UpstreamError,
)
from spindle_spi.invocation import Complete, Invocation, Streaming
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target, ToolSpec, Visibility
from tests.llm.chat.harness import World, chats
from tests.llm.chat.records import context_of, model, provider, record
from tests.support.upstream_process import Upstream, running_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

ADA = context_of("ada@x")
EVE = context_of("eve@x", permissions=("tools.*",))


@pytest.fixture(scope="module")
async def upstream() -> AsyncGenerator[Upstream]:
    """Run the simulated upstream."""
    async with running_upstream(chunk=7) as running:
        yield running


def _ask(name: str) -> CatalogRecord:
    spec = ToolSpec(model=f"sim~{name}")
    return record(Kind.TOOL, f"ask-{name}", spec, module="llm")


def _tool_call(name: str, arguments: JsonObject, lease: str | None = None) -> Invocation:
    """Return a call as the core hands it to the owner."""
    permit = Permit(id="permit-tool", lease_id=lease or ADA.trace.request_id, record=_ask(name))
    target = Target(kind=Kind.TOOL, name=permit.record.name)
    return Invocation(target=target, arguments=arguments, permit=permit, depth=1)


async def _model_call(world: World, name: str, *, stream: bool = False) -> Invocation:
    target = Target(kind=Kind.MODEL, name=f"sim~{name}")
    permit = await world.runtime.services.catalog.admit(ADA, target, Action.EXECUTE)
    messages: list[Json] = [{"role": "user", "content": "hi"}]
    return Invocation(target=target, arguments={"messages": messages}, permit=permit, stream=stream)


async def test_a_model_as_a_tool_answers_a_prompt(upstream: Upstream) -> None:
    """Walk 5: the model is admitted for the same caller, under the same lease, and settled."""
    async with chats([provider(upstream.url), model("echo")], [ADA]) as world:
        await upstream.reset()
        arguments: JsonObject = {"prompt": "hello", "system": "be short", "max_tokens": 5}
        result = await serve(world.runtime, ADA, _tool_call("echo", arguments))
        (seen,) = await upstream.log()

    assert isinstance(result, Complete)
    assert result.usage is None
    assert result.payload["content"] == [{"type": "text", "text": "hello"}]
    told = result.payload["structuredContent"]
    assert isinstance(told, dict)
    assert told["text"] == "hello"
    assert told["model"] == "sim~echo"
    assert told["finish_reason"] == "stop"
    assert isinstance(seen["body"], dict)
    assert seen["body"]["messages"] == [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": "hello"},
    ]
    assert seen["body"]["max_tokens"] == 5
    assert world.settled() == [("sim~echo", "ok")]


async def test_the_models_permit_belongs_to_the_callers_lease(upstream: Upstream) -> None:
    """The invocation's lease counts, and by default that of the tool's permit."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        catalog = world.runtime.services.catalog
        one, other = [(await catalog.open_lease(ADA, 60)).id for _ in range(2)]
        call = _tool_call("plain", {"prompt": "hello"}, one)

        for invocation in (call, replace(call, lease_id=other)):
            await serve(world.runtime, ADA, invocation)

    assert [entry.permit.lease_id for entry in world.host.journal.admitted] == [one, other]


async def test_a_hidden_model_behind_a_tool_is_like_an_absent_one(upstream: Upstream) -> None:
    """The tool cannot be used, and the model is not named."""
    hidden = model("plain", visibility=Visibility.TEAM, team="blue")
    told: list[str] = []

    async with chats([provider(upstream.url), hidden], [ADA]) as world:
        for _ in range(2):
            with pytest.raises(FailedPrecondition) as caught:
                await serve(world.runtime, ADA, _tool_call("plain", {"prompt": "hello"}))

            told.append(caught.value.message)
            world.host.records.clear()

    assert told[0] == told[1]
    assert "sim~plain" not in told[0]


async def test_a_caller_who_may_not_ask_models_may_not_ask_them_as_tools(
    upstream: Upstream,
) -> None:
    """tools.execute is not llm.invoke."""
    async with chats([provider(upstream.url), model("plain")], [EVE]) as world:
        with pytest.raises(PermissionDenied):
            await serve(world.runtime, EVE, _tool_call("plain", {"prompt": "hello"}))


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        ({}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": "a", "system": ""}, "system"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "a", "max_tokens": True}, "max_tokens"),
        ({"prompt": "a", "stream": True}, "stream"),
    ],
)
async def test_arguments_that_are_no_prompt_are_refused(
    upstream: Upstream, arguments: JsonObject, param: str
) -> None:
    """The error names the argument; no model is admitted."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        with pytest.raises(InvalidArgument) as caught:
            await serve(world.runtime, ADA, _tool_call("plain", arguments))

    assert caught.value.param == param
    assert world.settled() == []


async def test_an_upstreams_failure_leaves_a_model_tool_as_an_error(upstream: Upstream) -> None:
    """The model's permit is settled with the error's code."""
    async with chats([provider(upstream.url), model("error-500")], [ADA]) as world:
        with pytest.raises(UpstreamError) as caught:
            await serve(world.runtime, ADA, _tool_call("error-500", {"prompt": "hello"}))

    assert "sk-upstream" not in caught.value.message
    assert world.settled() == [("sim~error-500", "error")]
    assert world.host.outcome.error_code == caught.value.code


async def test_a_model_is_entered_at_its_upstream(upstream: Upstream) -> None:
    """Nothing is admitted again and nothing settled; the usage goes back with the answer."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        result = await serve(world.runtime, ADA, await _model_call(world, "plain"))

    assert isinstance(result, Complete)
    assert result.payload["model"] == "sim~plain"
    assert result.usage is not None
    assert result.usage.input_tokens == 11
    assert world.settled() == []


async def test_a_model_streams_when_asked_to(upstream: Upstream) -> None:
    """The chunks are the answer in pieces; closing the stream lets the upstream go."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        result = await serve(world.runtime, ADA, await _model_call(world, "plain", stream=True))
        assert isinstance(result, Streaming)
        text = "".join([_content(event.payload) async for event in result.events])
        await upstream.reset()
        call = await _model_call(world, "plain", stream=True)
        cut = await serve(world.runtime, ADA, replace(call, arguments=call.arguments))
        assert isinstance(cut, Streaming)
        await anext(cut.events)
        await cut.close()

    assert text == PLAIN_TEXT


def _content(chunk: JsonObject) -> str:
    choices = chunk["choices"]
    first: Json = choices[0] if isinstance(choices, list) and choices else None
    delta: Json = first.get("delta") if isinstance(first, dict) else None
    content: Json = delta.get("content") if isinstance(delta, dict) else None
    return content if isinstance(content, str) else ""


@pytest.mark.parametrize("messages", [None, [], "hi"])
async def test_a_model_wants_messages(upstream: Upstream, messages: Json) -> None:
    """A request without any is refused before the upstream hears of it."""
    async with chats([provider(upstream.url), model("plain")], [ADA]) as world:
        call = await _model_call(world, "plain")

        with pytest.raises(InvalidArgument):
            await serve(world.runtime, ADA, replace(call, arguments={"messages": messages}))


async def test_what_this_module_does_not_serve_is_refused(upstream: Upstream) -> None:
    """Other kinds are Unsupported; a call without its permit breaks the contract."""
    async with chats([provider(upstream.url)], [ADA]) as world:
        call = _tool_call("plain", {"prompt": "hello"})
        assert call.permit is not None
        other = replace(call.permit, record=record(Kind.TOOL, "x", ToolSpec(gateway="demo")))

        with pytest.raises(Unsupported):
            await serve(world.runtime, ADA, replace(call, permit=other))

        with pytest.raises(ContractViolation):
            await serve(world.runtime, ADA, replace(call, permit=None))


async def test_texts_become_vectors_for_another_protocol(upstream: Upstream) -> None:
    """Under the permit of the call: the core settles it with what the upstream counted."""
    async with chats([provider(upstream.url), model("embed")], [ADA]) as world:
        target = Target(kind=Kind.MODEL, name="sim~embed")
        permit = await world.runtime.services.catalog.admit(ADA, target, Action.EXECUTE)
        texts: list[Json] = ["one", "two"]
        invocation = Invocation(target=target, arguments={"input": texts}, permit=permit)
        result = await serve(world.runtime, ADA, invocation)

    assert isinstance(result, Complete)
    data = result.payload["data"]
    assert isinstance(data, list)
    vectors = [entry["embedding"] for entry in data if isinstance(entry, dict)]
    assert len(vectors) == 2
    assert vectors[0] != vectors[1]
    assert result.usage is not None
    assert result.usage.input_tokens > 0
