"""Sessions of upstreams that belong to one client: whose, how many, and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.upstream.connections.base import Endpoint
from spindle_mcp.upstream.connections.connect import open_own
from spindle_mcp.upstream.connections.pool import own_sessions
from spindle_spi.records import GatewaySpec
from tests.mcp.support.answering import Answering
from tests.mcp.support.asking import TOOLS, Asking
from tests.mcp.support.clients import connected, error_of, first_text
from tests.mcp.support.raw import raw_client
from tests.mcp.support.records import gateway
from tests.mcp.support.requests import tool_call
from tests.mcp.support.serving import serving
from tests.mcp.support.told import Told

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a"), "b": caller("b")}


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


def host_of(url: str, **fields: Any) -> FakeHost:
    return FakeHost([gateway("up", url=url, **fields)])


async def test_each_session_has_one_and_those_that_cannot_be_asked_share_one() -> None:
    """Two clients that can be asked, two that cannot."""
    upstream = Asking("legacy")

    async with (
        upstream.running() as url,
        serving(host_of(url, era="legacy"), CALLERS, wait_for=len(TOOLS)) as served,
        connected(served.endpoint(), era="legacy", **Answering().options()) as one,
        connected(served.endpoint(), era="legacy", **Answering().options()) as two,
        connected(served.endpoint(), era="legacy") as three,
        connected(served.endpoint(), token="b", era="legacy") as four,
    ):
        for client in (one, one, two, two, three, four):
            await client.call_tool("up__echo", {})

    first, again, second, more, shared, too = upstream.sessions
    assert first == again
    assert second == more
    assert shared == too
    assert len({first, second, shared}) == 3
    assert upstream.declared[0].keys() == {"elicitation", "roots", "sampling"}
    assert upstream.declared[-1].keys() <= {"extensions"}


async def test_questions_go_to_the_client_whose_call_runs() -> None:
    """Though both calls run at once."""
    upstream, ada, bob = Asking("legacy"), Answering(), Answering(content={"name": "Bob"})

    async with (
        upstream.running() as url,
        serving(host_of(url, era="legacy"), CALLERS, wait_for=len(TOOLS)) as served,
        connected(served.endpoint(), era="legacy", **ada.options()) as one,
        connected(served.endpoint(), token="b", era="legacy", **bob.options()) as two,
    ):
        said: dict[str, str] = {}

        async def call(name: str, client: Any) -> None:
            said[name] = first_text(await client.call_tool("up__elicit", {}))

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(call, "ada", one)
                group.start_soon(call, "bob", two)

    assert "Ada" in said["ada"]
    assert "Bob" in said["bob"]
    assert len(ada.asked) == len(bob.asked) == 3


async def test_the_last_used_makes_room_and_none_is_taken_from_a_running_call() -> None:
    upstream = Asking("legacy")
    config: Any = {"max_own_sessions": 1}

    async with (
        upstream.running() as url,
        serving(host_of(url, era="legacy"), CALLERS, wait_for=len(TOOLS), config=config) as served,
        connected(served.endpoint(), era="legacy", **Answering().options()) as one,
        connected(served.endpoint(), era="legacy", **Answering().options()) as two,
    ):
        await one.call_tool("up__echo", {})
        await two.call_tool("up__echo", {})

        errors: list[Any] = []

        async with anyio.create_task_group() as group:
            group.start_soon(two.call_tool, "up__hang")

            with anyio.fail_after(10):
                await upstream.reached.wait()

            errors.append(await error_of(one, "up__echo", {}))
            group.cancel_scope.cancel()

    assert errors[0].data["code"] == "mcp.gateway.sessions"
    assert len(set(upstream.sessions)) == 2


async def test_an_idle_one_is_closed_and_another_opened_when_needed() -> None:
    upstream = Asking("legacy")
    config: Any = {"own_session_idle_seconds": 0.1}

    async with (
        upstream.running() as url,
        serving(host_of(url, era="legacy"), CALLERS, wait_for=len(TOOLS), config=config) as served,
        connected(served.endpoint(), era="legacy", **Answering().options()) as client,
    ):
        await client.call_tool("up__echo", {})
        await until(lambda: upstream.ended)
        await client.call_tool("up__echo", {})

    assert upstream.ended[0] == upstream.sessions[0]
    assert len(set(upstream.sessions)) == 2


async def test_one_ends_with_its_clients_session() -> None:
    upstream = Asking("legacy")

    async with (
        upstream.running() as url,
        serving(host_of(url, era="legacy"), CALLERS, wait_for=len(TOOLS)) as served,
    ):
        async with connected(served.endpoint(), era="legacy", **Answering().options()) as client:
            await client.call_tool("up__echo", {})

        await until(lambda: upstream.ended)

    assert upstream.ended == upstream.sessions


async def test_one_that_the_upstream_forgot_is_opened_anew() -> None:
    upstream = Asking("legacy")

    async with (
        upstream.running() as url,
        serving(host_of(url, era="legacy"), CALLERS, wait_for=len(TOOLS)) as served,
        connected(served.endpoint(), era="legacy", **Answering().options()) as client,
    ):
        await client.call_tool("up__echo", {})
        upstream.forgotten.add(upstream.sessions[0])
        assert first_text(await client.call_tool("up__echo", {"text": "hi"})) == "hi"

    assert len(set(upstream.sessions)) == 2


async def test_an_upstream_of_both_eras_is_met_in_the_clients_own() -> None:
    """There it can ask in the middle of a call, which many do not do otherwise."""
    upstream, answering = Asking("both"), Answering()

    async with (
        upstream.running() as url,
        serving(host_of(url), CALLERS, wait_for=len(TOOLS)) as served,
        connected(served.endpoint(), era="legacy", **answering.options()) as older,
        connected(served.endpoint(), era="legacy") as plain,
        raw_client(served.endpoint()) as newer,
    ):
        await older.call_tool("up__elicit", {})
        await plain.call_tool("up__echo", {})
        await newer.call("up__echo")

    assert upstream.sessions[0]
    assert upstream.sessions[1:] == ["", ""]


async def test_one_that_speaks_the_current_protocol_alone_is_met_in_it() -> None:
    upstream, answering = Asking("modern"), Answering()

    async with (
        upstream.running() as url,
        serving(host_of(url), CALLERS, wait_for=len(TOOLS)) as served,
        connected(served.endpoint(), era="legacy", **answering.options()) as older,
    ):
        result = await older.call_tool("up__elicit", {})

    assert "Ada" in first_text(result)
    assert set(upstream.sessions) == {""}


async def test_the_level_of_log_messages_is_handed_on() -> None:
    """Of a session that never said, the usual one."""
    upstream = Asking("legacy")
    meta: Any = {"io.modelcontextprotocol/logLevel": "debug"}

    async with (
        upstream.running() as url,
        serving(host_of(url, era="legacy"), CALLERS, wait_for=len(TOOLS)) as served,
        connected(served.endpoint(), era="legacy", **Answering().options()) as client,
        raw_client(served.endpoint()) as newer,
    ):
        await client.call_tool("up__echo", {})
        await newer.call("up__echo", capabilities={}, meta=meta)

    assert upstream.levels == ["info", "debug"]


async def test_on_the_shared_session_nobody_is_asked_or_told() -> None:
    """It cannot be known for whom the upstream asks there."""
    upstream, answering = Asking("legacy"), Answering()
    options: Any = {"logging_callback": answering.log}

    async with (
        upstream.running() as url,
        serving(host_of(url, era="legacy"), CALLERS, wait_for=len(TOOLS)) as served,
        connected(served.endpoint(), era="legacy", **options) as client,
    ):
        await client.call_tool("up__elicit", {})
        await client.call_tool("up__log", {})

    # Not the client's own words, which are other ones.
    assert "no request for which" in upstream.heard[0]["message"]
    assert answering.logged == []


async def test_two_calls_at_once_without_a_session_have_one_each() -> None:
    """What is said on it is for that call alone."""
    upstream = Asking("legacy")

    async with (
        upstream.running() as url,
        serving(host_of(url, era="legacy"), CALLERS, wait_for=len(TOOLS)) as served,
        raw_client(served.endpoint()) as client,
        anyio.create_task_group() as group,
    ):
        group.start_soon(client.call, "up__hang")

        with anyio.fail_after(10):
            await upstream.reached.wait()

        await client.call("up__echo")
        group.cancel_scope.cancel()

    assert len(set(upstream.sessions)) == 2


async def test_two_persons_never_have_one_between_them() -> None:
    """Also not where a client's key would be the same for both."""
    upstream, peer = Asking("legacy"), Told(capabilities={"roots": {}})
    opened: list[str | None] = []

    async with upstream.running() as url:
        endpoint = Endpoint(gateway="up", url=url, version="1", connect_seconds=5)

        def open_one(offered: JsonObject, person: AuthenticatedContext | None) -> Any:
            opened.append(None if person is None else person.subject.user_email)
            return open_own(GatewaySpec(url=url), endpoint, offered)

        async with own_sessions(open_one, most=5, idle_seconds=60) as own:
            for person in (caller("ada@a.example"), caller("bob@a.example"), None):
                for _ in range(2):
                    await own.request(peer, tool_call("echo", silence=5), person)

            assert len(own) == 3
            own.forget("ada@a.example")
            assert len(own) == 2

    assert opened == ["ada@a.example", "bob@a.example", None]
    assert len(set(upstream.sessions)) == 3
