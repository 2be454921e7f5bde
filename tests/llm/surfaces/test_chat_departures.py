"""Clients that leave, calls that are ended, streams that wait: the upstream is let go."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle_conformance.upstreams.openai import answer
from spindle_conformance.upstreams.server import Ending, Play
from spindle_spi.admission import Status
from tests.llm.support.gateway import Client, chat_bytes, gateway, play_of, until
from tests.llm.support.records import Word, model

if TYPE_CHECKING:
    from spindle_spi.types import Message

pytestmark = pytest.mark.anyio


async def test_the_first_event_goes_out_before_the_second_arrives() -> None:
    """An event is not held back for another one."""
    play = replace(play_of("hang-after-first"), chunk=0)

    async with gateway(play) as up:
        client = Client(chat_bytes("up~m", stream=True))
        up.start(client)
        await client.arrived.wait()
        assert len(client.sent) == 2
        client.leaves.set()
        await up.settled()


async def test_a_silent_stream_is_kept_awake() -> None:
    """By comments, which clients skip."""
    async with gateway(play_of("hang-after-first"), section={"keep_alive_seconds": 0.01}) as up:
        client = Client(chat_bytes("up~m", stream=True))
        up.start(client)

        await until(lambda: client.content.count(b": keep-alive\n\n") > 2)

        client.leaves.set()
        await up.settled()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_before_the_first_byte_ends_the_upstream(stream: bool) -> None:
    """The socket is closed, nothing is sent, and the call is settled as cancelled."""
    async with gateway(Play(silent=True, ending=Ending.HANG)) as up:
        client = Client(chat_bytes("up~m", stream=stream))
        up.start(client)

        await up.reached()

        client.leaves.set()
        await up.left()
        await up.settled()

    outcome = up.host.outcome
    assert (outcome.status, outcome.error_code) == (Status.CANCELLED, "client_closed_request")
    assert outcome.usage is not None
    assert outcome.usage.estimated
    assert client.sent == []


@pytest.mark.parametrize("hooked", [False, True])
async def test_a_client_that_leaves_in_the_middle_ends_the_upstream(hooked: bool) -> None:
    """The call is settled as partial, with what was told so far."""
    async with gateway(play_of("hang-after-first")) as up:
        if hooked:
            up.host.plugins.append(Word())

        client = Client(chat_bytes("up~m", stream=True))
        up.start(client)
        await client.arrived.wait()
        client.leaves.set()
        await up.left()
        await up.settled()

    outcome = up.host.outcome
    assert outcome.status is Status.PARTIAL
    assert outcome.usage is not None
    assert outcome.first_byte_ms is not None
    assert not client.is_complete


async def test_a_client_that_leaves_while_it_sends_costs_nothing() -> None:
    """Nothing is admitted, nothing is answered."""
    async with gateway(answer) as up:
        client = Client(b"{", pieces=0)
        client.leaves.set()
        await up.ask(client=client)

    assert (client.sent, up.host.journal.admitted, up.outcomes) == ([], [], [])


async def test_a_call_that_is_ended_from_outside_is_settled() -> None:
    """A server that shuts down cancels its handlers."""
    async with (
        gateway(Play(silent=True, ending=Ending.HANG)) as up,
        anyio.create_task_group() as group,
    ):
        client = Client(chat_bytes("up~m"))
        group.start_soon(partial(up.ask, client=client))
        await up.reached()
        group.cancel_scope.cancel()

    assert up.host.outcome.status is Status.CANCELLED


async def test_a_defect_in_the_handler_still_settles() -> None:
    """Here the server's own send fails; the error goes on to the process edge."""

    class Broken(Client):
        async def send(self, message: Message) -> None:
            raise RuntimeError("broken")

    async with gateway(answer, model("plain"), chunk=50) as up:
        with pytest.raises(RuntimeError, match="broken"):
            await up.ask(client=Broken(chat_bytes("up~plain", stream=True)))

    assert up.host.outcome.error_code == "internal"


async def test_the_next_request_is_answered_after_a_departure() -> None:
    """Nothing is left behind."""
    async with gateway(answer, model("slow"), model("plain")) as up:
        client = Client(chat_bytes("up~slow", stream=True))
        up.start(client)
        await client.arrived.wait()
        client.leaves.set()
        await up.settled()
        again = await up.chat("up~plain")

    assert again.status == 200
