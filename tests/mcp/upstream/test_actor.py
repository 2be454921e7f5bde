from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.errors import Unavailable
from tests.mcp.support.clients import connected, error_of, names, text_of
from tests.mcp.support.records import count_tools, gateway, has_tool, logged
from tests.mcp.support.serving import serving
from tests.mcp.support.upstream import OBJECT, Scripted, scripted

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}


def tool(name: str) -> JsonObject:
    return {"name": name, "inputSchema": OBJECT}


async def until(condition: Any) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


async def test_one_bad_upstream_hurts_nobody_else() -> None:
    """One is absent, one answers nonsense; the third serves."""
    broken, host = Scripted(is_broken=True), FakeHost()

    async with scripted(Scripted()) as good, scripted(broken) as bad:
        host.records.add(
            gateway("bad", url=bad),
            gateway("gone", url="http://127.0.0.1:1/mcp"),
            gateway("odd", transport="carrier-pigeon"),
            gateway("up", url=good),
        )

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"
            await until(lambda: len(logged(host, "mcp.gateway.down")) >= 3)
            health = await served.module.health()

    assert health.state.value == "degraded"
    assert health.message == "not connected: bad, gone, odd"


async def test_an_upstream_that_starts_later_is_found() -> None:
    """Attempts go on, with pauses."""
    host, script = FakeHost(), Scripted()

    async with scripted(script) as url:
        port = int(url.rsplit(":", 1)[1].partition("/")[0])

    host.records.add(gateway("up", url=url))

    async with serving(host, CALLERS) as served:
        await until(lambda: logged(host, "mcp.gateway.down"))

        async with scripted(script, port=port):
            await until(lambda: has_tool(host, "up__echo"))

            async with connected(served.endpoint()) as client:
                assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"


async def test_an_upstream_that_was_away_works_again_without_being_asked_twice() -> None:
    """What it offered stays published meanwhile; calls say that it cannot be reached."""
    host, script = FakeHost(), Scripted()

    async with scripted(script) as url:
        port = int(url.rsplit(":", 1)[1].partition("/")[0])

    host.records.add(gateway("up", url=url))

    async with serving(host, CALLERS) as served:
        async with scripted(Scripted(), port=port):
            await until(lambda: has_tool(host, "up__echo"))

        async with connected(served.endpoint()) as client:
            error = await error_of(client, "up__echo", {"text": "hi"})
            assert error.data["code"] == "mcp.upstream.unreachable"
            assert await names(client) == ["up__echo"]

            async with scripted(Scripted(), port=port):
                assert await text_of(client, "up__echo", {"text": "hi"}) == "hi"


async def test_tools_are_read_again_when_the_upstream_says_they_changed() -> None:
    """And what is gone from the upstream is gone from the catalog."""
    host, script = FakeHost(), Scripted(announces=True)

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS, wait_for=1):
            script.tools = [tool("new")]
            script.news.set()
            await until(lambda: has_tool(host, "up__new"))
            assert not has_tool(host, "up__echo")
            script.release.set()


async def test_an_upstream_that_became_another_is_asked_anew_what_it_is() -> None:
    """A refusal in place of a list is an answer of somebody else."""
    host, script = FakeHost(), Scripted()

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS, wait_for=1, config={"refresh_seconds": 0.05}):
            script.refuses_lists = True
            await until(lambda: logged(host, "mcp.gateway.down"))
            assert has_tool(host, "up__echo")
            script.refuses_lists = False
            script.tools = [tool("new")]
            await until(lambda: has_tool(host, "up__new"))


async def test_a_list_that_is_none_and_too_long_a_list_are_bounded() -> None:
    """The first is a failure, of the second the beginning is taken."""
    host = FakeHost()

    async with (
        scripted(Scripted(lists_nothing=True)) as odd,
        scripted(Scripted(tools=[tool(f"t{number}") for number in range(5)])) as many,
    ):
        host.records.add(gateway("odd", url=odd), gateway("many", url=many))

        async with serving(host, CALLERS, wait_for=3, config={"max_tools": 3}):
            await until(lambda: logged(host, "mcp.gateway.down"))
            assert count_tools(host) == 3

    reasons = {str(f["reason"]) for f in logged(host, "mcp.tool.left_out")}
    assert reasons == {"more than 3 tools"}


async def test_a_failed_refresh_leaves_what_was_known() -> None:
    """A web page in place of a list is no reason to forget the tools."""
    host, script = FakeHost(), Scripted()

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url))

        async with serving(host, CALLERS, wait_for=1, config={"refresh_seconds": 0.05}):
            script.is_broken = True
            await until(lambda: logged(host, "mcp.gateway.refresh_failed"))
            assert has_tool(host, "up__echo")


async def test_gateways_come_and_go_with_their_records() -> None:
    """A removed gateway's actor is stopped, an added one's started, a changed one's renewed."""
    host = FakeHost()

    async with (
        scripted(Scripted()) as url,
        scripted(Scripted(tools=[tool("other")])) as second,
        serving(host, CALLERS) as served,
    ):
        host.records.add(gateway("up", url=url))
        await until(lambda: has_tool(host, "up__echo"))
        host.records.add(gateway("up", url=second))
        await until(lambda: has_tool(host, "up__other"))
        host.records.remove(gateway("up"))

        with anyio.fail_after(5):
            while (await served.module.stats())["gateways"]:
                await anyio.lowlevel.checkpoint()


async def test_a_module_that_does_not_run_says_so() -> None:
    """A call that arrives too early or too late is refused, not lost."""
    from spindle_mcp import McpModule
    from spindle_spi.ingress import Call

    module = McpModule()

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        raise AssertionError("nothing is sent")

    with pytest.raises(Unavailable):
        await module.routes[0].handler({}, receive, send, Call(caller("a")))

    assert (await module.health()).state.value == "failed"
