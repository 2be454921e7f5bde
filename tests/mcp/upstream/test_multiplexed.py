"""One endpoint over several upstreams: nobody has to know that there is something between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Limits
from tests.mcp.support.asking import Asking
from tests.mcp.support.clients import ERAS, connected, error_of, names, text_of
from tests.mcp.support.records import gateway, has_tool, logged, server
from tests.mcp.support.serving import serving
from tests.mcp.support.upstream import ECHO, OBJECT, Handshaking, Scripted, scripted

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp.server import ServerRequestContext

    from spindle_spi.types import Json, JsonObject, Send

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}
CALLS = 100
eras = pytest.mark.parametrize("era", ERAS)


def tool(name: str) -> JsonObject:
    return {"name": name, "inputSchema": OBJECT}


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


@eras
async def test_an_expired_session_of_one_upstream_costs_neither_a_call_nor_the_others(
    era: str,
) -> None:
    """It is opened anew; the client keeps its own session, the other upstream the one it had."""
    host, one, other = FakeHost(), Asking(era="legacy"), Asking(era="legacy")

    async with one.running() as first, other.running() as second:
        host.records.add(gateway("one", url=first), gateway("other", url=second))

        async with (
            serving(host, CALLERS, wait_for=24) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            for name in ("one__echo", "other__echo"):
                assert await text_of(client, name, {"text": "before"}) == "before"

            one.forgotten.update(one.sessions)

            for name in ("one__echo", "other__echo"):
                assert await text_of(client, name, {"text": "after"}) == "after"

    assert len(set(one.sessions)) == 2
    assert len(set(other.sessions)) == 1


@eras
async def test_calls_are_all_that_an_upstream_hears_of_calls_and_lists(era: str) -> None:
    """No handshake, no list and no probe before each; lists are answered here."""
    host, modern, older = FakeHost(), Scripted(), Handshaking()

    async with scripted(modern) as new, older.running() as old:
        host.records.add(gateway("new", url=new), gateway("old", url=old))

        async with (
            serving(host, CALLERS, wait_for=5) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            for name in ("new__echo", "old__echo"):
                await text_of(client, name, {"text": "warm"})

            before = len(modern.requests), len(older.headers)

            for number in range(CALLS):
                await client.list_tools(cache_mode="bypass")
                assert await text_of(client, "new__echo", {"text": str(number)}) == str(number)
                assert await text_of(client, "old__echo", {"text": str(number)}) == str(number)

            asked = [headers["mcp-session-id"] for headers in older.headers[before[1] :]]

    assert [entry["method"] for _, entry in modern.requests[before[0] :]] == ["tools/call"] * CALLS
    assert len(asked) == CALLS
    assert len(set(asked)) == 1


@pytest.mark.parametrize(
    "name", ["html", "deny", "fail", "cut", "refuse", "odd", "garbage", "slowly", "hang"]
)
async def test_an_error_names_the_upstream_and_not_its_address(name: str) -> None:
    """Among twenty of them one has to know which."""
    host = FakeHost()
    host.limits = Limits(timeout=0.3)

    async with scripted(Scripted(tools=[tool(name)])) as url:
        host.records.add(gateway("weather", url=url))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint()) as client,
        ):
            error = await error_of(client, f"weather__{name}", {})

    assert "'weather'" in error.message
    assert url.split("/")[2] not in f"{error.message}{error.data}"


async def test_another_gateway_with_the_same_tools_renames_nothing() -> None:
    """Neither when it comes nor when the first goes; whoever kept a name calls the same tool."""
    host = FakeHost()

    async with scripted(Scripted()) as first, scripted(Scripted()) as second:
        host.records.add(gateway("b", url=first))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint(), era="legacy") as client,
        ):
            assert await names(client) == ["b__echo"]
            host.records.add(gateway("a", url=second))
            await until(lambda: has_tool(host, "a__echo"))
            assert await names(client) == ["a__echo", "b__echo"]
            host.records.remove(gateway("b", url=first))
            await until(lambda: not has_tool(host, "b__echo"))
            assert await names(client) == ["a__echo"]


@eras
async def test_headers_of_the_client_stay_here(era: str) -> None:
    """Those of its hop, its credentials, and what it would have sent on."""
    host, modern, older = FakeHost(), Scripted(), Handshaking()
    sent = {
        "last-event-id": "7",
        "cookie": "session=of-the-client",
        "x-upstream-authorization": "Bearer of-the-client",
        "mcp-param-city": "Ulm",
        "x-forwarded-for": "192.0.2.7",
    }

    async with scripted(modern) as new, older.running() as old:
        host.records.add(gateway("new", url=new), gateway("old", url=old))

        async with (
            serving(host, CALLERS, wait_for=5) as served,
            connected(served.endpoint(), era=era, headers=sent) as client,
        ):
            for name in ("new__echo", "old__echo"):
                assert await text_of(client, name, {"text": "hi"}) == "hi"

    for headers in (modern.calls()[-1][0], older.headers[-1]):
        assert sent.keys() & headers.keys() == set()
        assert "authorization" not in headers
        assert "of-the-client" not in str(headers)

    assert modern.calls()[-1][0]["mcp-method"] == "tools/call"
    assert "mcp-session-id" not in modern.calls()[-1][0]
    assert "mcp-method" not in older.headers[-1]


@dataclass
class Steady(Handshaking):
    """Goes on telling of its steps for longer than anybody waits in silence."""

    async def _call(
        self, ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        for step in range(1, 5):
            await anyio.sleep(0.25)
            await ctx.session.report_progress(float(step), 4.0, f"step {step}")

        return types.CallToolResult(content=[types.TextContent(text="done")])


@eras
@pytest.mark.parametrize("is_legacy_only", [False, True], ids=["from-new", "from-old"])
async def test_progress_gives_an_upstream_more_time_and_is_relayed(
    era: str, is_legacy_only: bool
) -> None:
    """The limit is one of silence."""
    host, heard = FakeHost(), list[float]()
    host.limits = Limits(timeout=0.6)

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async with Steady(is_legacy_only=is_legacy_only).running() as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=4) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            result: Any = await client.call_tool("up__steps", {}, progress_callback=hear)

    assert result.content[0].text == "done"
    assert heard == [1, 2, 3, 4]


@dataclass
class Tiring(Scripted):
    """Gives the first page of its list alone, while it is tired."""

    status: int = 500
    is_tired: bool = False

    async def _list(self, send: Send, identity: Json, params: JsonObject) -> None:
        if self.is_tired and "cursor" in params:
            await send({"type": "http.response.start", "status": self.status, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return

        await super()._list(send, identity, params)


@pytest.mark.parametrize("status", [429, 500])
async def test_a_list_that_breaks_off_takes_nothing_away_and_is_read_to_its_end_later(
    status: int,
) -> None:
    """What was known before stays and can be called; then every page counts."""
    tools = [tool(f"t{number}") for number in range(7)]
    host, script = FakeHost(), Tiring(tools=tools, status=status)
    mine = [f"up__t{number}" for number in range(7)]

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, CALLERS, wait_for=7, config={"refresh_seconds": 0.1}) as served,
            connected(served.endpoint(), era="legacy") as client,
        ):
            script.is_tired = True
            script.tools = [tool(f"n{number}") for number in range(5)]
            await until(lambda: logged(host, "mcp.gateway.refresh_failed"))
            assert await names(client) == mine
            assert await text_of(client, "up__t6", {"text": "hi"}) == "hi"
            script.is_tired = False
            await until(lambda: has_tool(host, "up__n4"))
            assert await names(client) == [f"up__n{number}" for number in range(5)]

    assert logged(host, "mcp.gateway.down") == []


@eras
async def test_two_hundred_tools_are_two_where_a_server_searches(era: str) -> None:
    """Models take 128 at most; each of them can be found and called all the same."""
    host = FakeHost()
    many = Scripted(tools=[tool(f"t{number}") for number in range(199)] + [ECHO], page=200)

    async with scripted(many) as url:
        host.records.add(gateway("up", url=url), server("desk", gateways=("up",), mode="search"))

        async with (
            serving(host, CALLERS, wait_for=200) as served,
            connected(served.endpoint("desk"), era=era) as client,
        ):
            assert await names(client) == ["call_tool", "find_tools"]
            found: Any = await client.call_tool("find_tools", {"query": "echo"})
            assert found.structured_content["tools"][0]["name"] == "up__echo"
            wanted: JsonObject = {"name": "up__echo", "arguments": {"text": "hi"}}
            assert await text_of(client, "call_tool", dict(wanted)) == "hi"
