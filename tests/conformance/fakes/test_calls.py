"""Cross-protocol calls: the fake host carries them out as the core does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spindle_spi.errors import (
    FailedPrecondition,
    PluginDenied,
    Unavailable,
    Unsupported,
)
from spindle_spi.invocation import Complete, InputRequired, Invocation, StreamEvent, Streaming
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from tests.conformance.fakes.sides import MAIL, Side, refused
from tests.core.heart import Owner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from spindle_spi.types import JsonObject


ASK = Target(kind=Kind.TOOL, name="ask")


def asking(**arguments: str) -> Invocation:
    return Invocation(target=ASK, arguments={**arguments})


async def test_a_call_reaches_the_owner_with_its_permit(side: Side) -> None:
    """It is settled by the host; who serves it is told what was admitted."""
    owner = side.owners["llm"] = Owner()
    result = await side.services("mcp").catalog.invoke(await side.caller("red"), asking(q="hi"))
    assert isinstance(result, Complete)
    assert owner.seen[0].permit is not None
    assert owner.seen[0].permit.record.name == "ask"
    assert side.statuses() == {"ok": 1}


async def test_a_call_that_cannot_be_made_is_refused_and_settled(side: Side) -> None:
    """Too deep, nobody there, no kind to be called, no backend."""
    catalog, red = side.services("mcp").catalog, await side.caller("red")
    deep = replace(asking(), depth=5)
    assert (await refused(catalog.invoke(red, deep)))[:2] == (
        FailedPrecondition,
        "core.invoke.too_deep",
    )
    assert (await refused(catalog.invoke(red, asking())))[:2] == (
        Unavailable,
        "core.owner.unavailable",
    )
    server = Invocation(target=Target(kind=Kind.SERVER, name="desk"), action=Action.USE)
    assert (await refused(catalog.invoke(red, server)))[0] is Unsupported
    assert side.statuses() == {"error": 2}


async def test_the_host_runs_the_hooks_of_a_call(masked: Side) -> None:
    """On arguments and result; a stream is asked for whole, and more input is refused."""

    def answer(invocation: Invocation) -> Complete:
        content: JsonObject = {"type": "text", "text": f"{invocation.arguments} {MAIL}"}
        return Complete(payload={"content": [content]})

    owner = masked.owners["llm"] = Owner(answer=answer)
    catalog, red = masked.services("mcp").catalog, await masked.caller("red")
    result = await catalog.invoke(red, replace(asking(q=MAIL), stream=True))
    assert isinstance(result, Complete)
    assert "ada@example.org" not in str(owner.seen[0].arguments) + str(result.payload)
    assert owner.seen[0].stream is False
    owner.answer = lambda _: InputRequired(requests={})
    assert (await refused(catalog.invoke(red, asking())))[0] is Unsupported
    assert masked.statuses() == {"ok": 1, "error": 1}


async def test_a_refused_call_is_settled_as_denied(blocked: Side) -> None:
    """The owner never hears of it."""
    owner = blocked.owners["llm"] = Owner()
    catalog = blocked.services("mcp").catalog
    work = catalog.invoke(await blocked.caller("red"), asking(q=MAIL))
    assert (await refused(work))[0] is PluginDenied
    assert owner.seen == []
    assert blocked.statuses() == {"denied": 1}


async def _events() -> AsyncIterator[StreamEvent]:
    yield StreamEvent(payload={})
    yield StreamEvent(payload={})


async def test_a_streamed_call_is_settled_when_its_stream_ends(side: Side) -> None:
    """At its end, in its middle, or before it began; once."""
    side.owners["llm"] = Owner(answer=lambda _: Streaming(_events()))
    catalog, red = side.services("mcp").catalog, await side.caller("red")

    async def begin() -> Streaming:
        result = await catalog.invoke(red, replace(asking(), stream=True))
        assert isinstance(result, Streaming)
        return result

    assert len([event async for event in (await begin()).events]) == 2
    cut, unread = await begin(), await begin()
    await anext(cut.events)

    for stream in (cut, unread):
        await stream.close()
        await stream.close()

    assert side.statuses() == {"ok": 1, "partial": 1, "cancelled": 1}
