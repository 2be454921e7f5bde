"""Calls that wait for their client between two of its requests: once, bounded, and not for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Status
from tests.mcp.support.asking import TOOLS, Asking
from tests.mcp.support.raw import raw_client
from tests.mcp.support.records import gateway
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.mcp.support.raw import Raw

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a"), "b": caller("b")}
ADA: dict[str, Any] = {"q1": {"action": "accept", "content": {"name": "Ada"}}}


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


async def parked(client: Raw) -> str:
    answer = await client.call("up__elicit")
    state: str = answer["result"]["requestState"]
    return state


async def test_a_call_waits_with_one_permit_that_is_settled_once() -> None:
    upstream, host = Asking("legacy"), FakeHost()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=len(TOOLS)) as served,
            raw_client(served.endpoint()) as client,
        ):
            state = await parked(client)
            assert (await served.module.stats())["parked"] == 1
            assert len(host.open_permits) == len(host.open_leases) == 1
            assert not host.journal.settled
            await client.call("up__elicit", requestState=state, inputResponses=ADA)

    assert host.outcome.status is Status.OK
    assert not host.open_leases


async def test_an_answer_given_twice_runs_nothing_twice() -> None:
    """The second comes to a call that is no more, and hears so."""
    upstream, host = Asking("legacy"), FakeHost()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=len(TOOLS)) as served,
            raw_client(served.endpoint()) as client,
        ):
            state = await parked(client)
            await client.call("up__elicit", requestState=state, inputResponses=ADA)
            again = await client.call("up__elicit", requestState=state, inputResponses=ADA)

    assert again["error"]["data"]["code"] == "mcp.call.lost"
    assert "not run again" in again["error"]["message"]
    assert upstream.calls == ["elicit"]
    assert len(upstream.heard) == 1


async def test_another_process_does_not_run_the_call_again() -> None:
    """The state is good there as well, for the keys are shared; the call is not there."""
    upstream, host, other = Asking("legacy"), FakeHost(), FakeHost()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))
        other.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=len(TOOLS)) as served,
            serving(other, CALLERS, wait_for=len(TOOLS)) as second,
            raw_client(served.endpoint()) as client,
            raw_client(second.endpoint()) as elsewhere,
        ):
            state = await parked(client)
            answer = await elsewhere.call("up__elicit", requestState=state, inputResponses=ADA)
            assert answer["error"]["data"]["code"] == "mcp.call.lost"
            good = await client.call("up__elicit", requestState=state, inputResponses=ADA)

    assert "Ada" in good["result"]["content"][0]["text"]
    assert upstream.calls == ["elicit"]


async def test_an_incomplete_answer_is_asked_for_again() -> None:
    upstream, host = Asking("legacy"), FakeHost()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=len(TOOLS)) as served,
            raw_client(served.endpoint()) as client,
        ):
            state = await parked(client)
            again = await client.call("up__elicit", requestState=state, inputResponses={})
            assert again["result"]["resultType"] == "input_required"
            state = again["result"]["requestState"]
            good = await client.call("up__elicit", requestState=state, inputResponses=ADA)

    assert good["result"]["resultType"] == "complete"


async def test_a_call_that_waits_too_long_is_cancelled_upstream_and_settled() -> None:
    upstream, host = Asking("legacy"), FakeHost()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=len(TOOLS), config={"input_seconds": 0.2}) as served,
            raw_client(served.endpoint()) as client,
        ):
            await parked(client)
            await until(lambda: host.journal.settled)

            with anyio.fail_after(10):
                await upstream.cancelled.wait()

    assert host.outcome.status is Status.CANCELLED
    assert not host.open_leases


async def test_too_many_waiting_calls_of_one_caller_are_not_asked() -> None:
    """The upstream hears that nobody can be asked; others still can be."""
    upstream, host = Asking("legacy"), FakeHost()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=len(TOOLS), config={"max_parked_calls": 8}) as served,
            raw_client(served.endpoint()) as client,
            raw_client(served.endpoint(), token="b") as other,
        ):
            await parked(client)
            full = await client.call("up__elicit")
            assert full["result"]["resultType"] == "complete"
            await parked(other)

    assert upstream.heard[0]["error"] == -32600


async def test_leaving_in_the_middle_of_a_round_cancels() -> None:
    upstream, host = Asking("legacy"), FakeHost()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=len(TOOLS)) as served,
            raw_client(served.endpoint()) as client,
        ):
            async with anyio.create_task_group() as group:
                group.start_soon(client.call, "up__hang")

                with anyio.fail_after(10):
                    await upstream.reached.wait()

                group.cancel_scope.cancel()

            with anyio.fail_after(10):
                await upstream.cancelled.wait()

    assert host.outcome.status is Status.CANCELLED


async def test_what_became_of_a_call_meanwhile_is_kept_for_its_client() -> None:
    """An upstream need not wait for the answer."""
    upstream, host = Asking("legacy", patience=0.05), FakeHost()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=len(TOOLS)) as served,
            raw_client(served.endpoint()) as client,
        ):
            state = await parked(client)
            await until(lambda: host.journal.settled)
            late = await client.call("up__elicit", requestState=state, inputResponses=ADA)

    assert late["result"]["content"][0]["text"] == "nobody answered"
    assert host.outcome.status is Status.OK


async def test_a_plain_call_of_a_client_that_can_be_asked_is_not_held_up() -> None:
    """Its sessions upstream are used again, one request at a time."""
    upstream, host = Asking("legacy"), FakeHost()

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, CALLERS, wait_for=len(TOOLS)) as served,
            raw_client(served.endpoint()) as client,
            raw_client(served.endpoint(), token="b") as other,
        ):
            for _ in range(3):
                await client.call("up__echo")

            await other.call("up__echo")

    own = set(upstream.sessions)
    assert len(own) == 2
    assert len(set(upstream.sessions[:3])) == 1
