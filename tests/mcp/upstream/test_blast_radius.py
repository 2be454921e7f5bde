"""Upstreams that go wrong, each in its own way; what others offer works all the same."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Limits
from tests.mcp.support.clients import ERAS, connected, error_of, text_of
from tests.mcp.support.records import count_tools, gateway, has_tool, logged
from tests.mcp.support.serving import serving
from tests.mcp.support.upstream import ECHO, OBJECT, Handshaking, Scripted, scripted

if TYPE_CHECKING:
    from mcp.client import Client

    from spindle_spi.types import Json, JsonObject, Receive, Send

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}
eras = pytest.mark.parametrize("era", ERAS)


def tool(name: str, description: str = "") -> JsonObject:
    return {"name": name, "description": description, "inputSchema": OBJECT}


async def until(condition: Any) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.005)


class HangingList(Scripted):
    """Says what it is, and nothing of its tools."""

    async def _list(self, send: Send, identity: Json, params: JsonObject) -> None:
        self.reached.set()
        await self.release.wait()


class Counting(Scripted):
    """Notes how many calls run at once."""

    most = 0
    running = 0

    async def _call_echo(self, message: JsonObject, receive: Receive, send: Send) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        self.reached.set()
        await self.release.wait()
        self.running -= 1
        await super()._call_echo(message, receive, send)


@eras
async def test_a_list_that_never_comes_holds_up_nobody(era: str) -> None:
    """Calls to others are answered meanwhile."""
    host, hanging = FakeHost(), HangingList()

    async with scripted(Scripted()) as good, scripted(hanging) as bad:
        host.records.add(gateway("bad", url=bad), gateway("up", url=good))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            with anyio.fail_after(10):
                await hanging.reached.wait()

            for number in range(5):
                assert await text_of(client, "up__echo", {"text": str(number)}) == str(number)

            assert not has_tool(host, "bad__echo")
            hanging.release.set()


async def test_ten_thousand_tools_are_bounded_and_cost_others_nothing() -> None:
    """The first are taken, a few of the rest are told of by name, calls go on."""
    host = FakeHost()
    many = Scripted(tools=[tool(f"t{number}") for number in range(10_000)], page=10_000)

    async with scripted(Scripted()) as good, scripted(many) as bad:
        host.records.add(gateway("up", url=good))

        async with (
            serving(host, CALLERS, wait_for=1, config={"max_tools": 1000}) as served,
            connected(served.endpoint()) as client,
        ):
            host.records.add(gateway("many", url=bad))
            answered = 0

            while count_tools(host) < 1001:
                assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"
                answered += 1

    assert answered >= 2
    assert len(logged(host, "mcp.tool.left_out")) == 20
    # A thousand are kept by name, and one entry that says how many more there were.
    assert [fields["more"] for fields in logged(host, "mcp.list.left_out")] == [981]


async def test_five_megabytes_of_tools_are_taken_and_more_than_the_bound_are_not() -> None:
    """A list beyond the bound is a failure of its gateway alone."""
    host = FakeHost()
    large = [tool(f"t{number}", "x" * 50_000) for number in range(100)]

    async with (
        scripted(Scripted(tools=large, page=100)) as fits,
        scripted(Scripted(tools=large * 2, page=200)) as too_much,
        scripted(Scripted()) as good,
    ):
        host.records.add(
            gateway("fits", url=fits), gateway("much", url=too_much), gateway("up", url=good)
        )

        async with (
            serving(host, CALLERS, wait_for=101, config={"max_result_bytes": 6_000_000}) as served,
            connected(served.endpoint()) as client,
        ):
            await until(lambda: logged(host, "mcp.gateway.down"))
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"

    (down,) = logged(host, "mcp.gateway.down")
    assert down["gateway"] == "much"
    assert "more than is taken" in str(down["failure"])


@eras
async def test_only_so_many_calls_run_and_only_so_many_wait(era: str) -> None:
    """The next is refused at once and told when to come again; another gateway has room."""
    host, slow = FakeHost(), Counting()
    answers: list[str] = []

    async with scripted(slow) as full, scripted(Scripted()) as good:
        host.records.add(gateway("full", url=full), gateway("up", url=good))
        bounds: JsonObject = {"max_connections": 2, "max_queued": 3}

        async with (
            serving(host, CALLERS, wait_for=2, config=bounds) as served,
            connected(served.endpoint(), era=era) as client,
            anyio.create_task_group() as group,
        ):

            async def ask(number: int) -> None:
                answers.append(await text_of(client, "full__echo", {"text": str(number)}))

            for number in range(5):
                group.start_soon(ask, number)

            async def waiting() -> tuple[object, object]:
                stats: Any = await served.module.stats()
                found = stats["gateways"]["full"]
                return found["in_flight"], found["waiting"]

            with anyio.fail_after(10):
                while await waiting() != (2, 3):
                    await anyio.sleep(0.005)

            refused = await error_of(client, "full__echo", {})
            assert refused.data["code"] == "mcp.gateway.busy"
            assert "'full' is busy" in refused.message
            assert "try again in 1.0 seconds" in refused.message
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"
            slow.release.set()

    assert sorted(answers) == ["0", "1", "2", "3", "4"]
    assert slow.most == 2


async def test_waiting_for_a_turn_ends_in_time() -> None:
    """By the patience of the call."""
    host, slow = FakeHost(), Counting()
    host.limits = Limits(timeout=0.3)
    codes: list[str] = []

    async with scripted(slow) as full:
        host.records.add(gateway("full", url=full))

        async with (
            serving(host, CALLERS, wait_for=1, config={"max_connections": 1}) as served,
            connected(served.endpoint()) as client,
            anyio.create_task_group() as group,
        ):

            async def ask() -> None:
                codes.append((await error_of(client, "full__echo", {})).data["code"])

            for _ in range(3):
                group.start_soon(ask)

    assert set(codes) <= {"upstream_timeout", "mcp.gateway.busy"}
    assert len(codes) == 3


@eras
async def test_after_failures_in_a_row_an_upstream_is_left_alone(era: str) -> None:
    """Then one call tries, and when it works all do."""
    host, script = FakeHost(), Scripted(tools=[ECHO, tool("fail")])

    async with scripted(script) as url, scripted(Scripted()) as good:
        host.records.add(gateway("bad", url=url), gateway("up", url=good))

        async with (
            serving(host, CALLERS, wait_for=3, config={"breaker_failures": 3}) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            codes = [(await error_of(client, "bad__fail", {})).data["code"] for _ in range(3)]
            assert set(codes) == {"mcp.upstream.http_error"}
            refused = await error_of(client, "bad__echo", {})
            assert refused.data["code"] == "mcp.gateway.circuit_open"
            assert "'bad'" in refused.message
            assert "try again in " in refused.message
            assert len(script.calls()) == 3
            stats: Any = await served.module.stats()
            assert stats["gateways"]["bad"]["circuit"] == "open"
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"
            await anyio.sleep(1.0)
            assert await text_of(client, "bad__echo", {"text": "again"}) == "again"
            stats = await served.module.stats()
            assert stats["gateways"]["bad"]["circuit"] == "closed"


async def test_errors_of_tools_and_hurried_callers_leave_the_circuit_closed() -> None:
    """They are signs of life, or say nothing."""
    host = FakeHost()
    names = ("refuse", "dislike", "need", "slowly")
    script = Scripted(tools=[ECHO, *(tool(name) for name in names)])

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=5, config={"breaker_failures": 1}) as served,
            connected(served.endpoint()) as client,
        ):
            for name in names:
                await error_of(client, f"up__{name}", {})
                assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"


async def test_a_dead_gateway_is_refused_without_waiting() -> None:
    """The first calls wait for it, the following ones are told at once."""
    host, script = FakeHost(), Handshaking()

    async with script.running() as url:
        host.records.add(gateway("gone", url=url, era="legacy"))

        async with serving(
            host, CALLERS, config={"breaker_failures": 1, "reconnect_max_seconds": 60}
        ) as served:
            await until(lambda: has_tool(host, "gone__echo"))

            async with connected(served.endpoint()) as client:
                await _kill(client, script)

                with anyio.fail_after(3):
                    refused = await error_of(client, "gone__echo", {})

    assert refused.data["code"] == "mcp.gateway.circuit_open"


async def _kill(client: Client, script: Handshaking) -> None:
    failed = await error_of(client, "gone__echo", {"text": "cut-me"})
    assert failed.data["code"] == "mcp.upstream.unreachable"


async def test_a_program_that_floods_its_outputs_costs_others_nothing() -> None:
    """Its error output is told of in part, its garbage not at all."""
    noise = (
        "import sys, threading\n"
        "def shout():\n"
        "    while True: sys.stderr.write('noise ' * 100 + '\\n')\n"
        "threading.Thread(target=shout, daemon=True).start()\n"
        "while True: sys.stdout.write('garbage\\n' * 1000)\n"
    )
    host = FakeHost()

    async with scripted(Scripted()) as good:
        host.records.add(
            gateway("up", url=good),
            gateway("loud", transport="stdio", command=(sys.executable, "-I", "-S", "-c", noise)),
        )

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            await until(lambda: logged(host, "mcp.gateway.stderr"))

            for number in range(20):
                assert await text_of(client, "up__echo", {"text": str(number)}) == str(number)

            await until(lambda: logged(host, "mcp.gateway.down"))

    assert "no MCP message" in str(logged(host, "mcp.gateway.down")[0]["failure"])
    assert all(len(str(fields["line"])) <= 2000 for fields in logged(host, "mcp.gateway.stderr"))


@dataclass
class Announcing(Scripted):
    """Says without end that its tools changed, and sometimes means it."""

    announces: bool = True
    lists: int = 0

    async def _answer(self, message: JsonObject, receive: Receive, send: Send) -> None:
        if message["method"] != "subscriptions/listen":
            self.lists += message["method"] == "tools/list"
            await super()._answer(message, receive, send)
            return

        note = b'data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n'
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        while not self.release.is_set():
            await send({"type": "http.response.body", "body": note * 50, "more_body": True})
            await anyio.lowlevel.checkpoint()


async def test_an_upstream_that_announces_without_end_is_read_now_and_then() -> None:
    """What it means is seen soon, and others are none the worse."""
    host, loud = FakeHost(), Announcing()

    async with scripted(loud) as bad, scripted(Scripted()) as good:
        host.records.add(gateway("loud", url=bad), gateway("up", url=good))

        async with (
            serving(host, CALLERS, wait_for=2) as served,
            connected(served.endpoint()) as client,
        ):
            before, begun = loud.lists, anyio.current_time()

            while anyio.current_time() < begun + 1.0:
                assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"

            read = loud.lists - before
            lasted = anyio.current_time() - begun
            loud.tools = [tool("new")]
            await until(lambda: has_tool(host, "loud__new"))
            loud.release.set()

    assert read <= lasted * 10 + 1
