from __future__ import annotations

import json
from dataclasses import replace

import anyio
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Status
from spindle_spi.invocation import Complete
from spindle_spi.records import CatalogRecord, Kind, ToolSpec, Visibility
from tests.mcp.support.clients import ERAS, connected, error_of, first_text, names, text_of
from tests.mcp.support.other import Other
from tests.mcp.support.records import ANSWER, Word, demo_host, has_tool, server, tool_record
from tests.mcp.support.serving import serving

pytestmark = pytest.mark.anyio

DEMO = ["demo__add", "demo__echo", "demo__slow", "demo__time"]


@pytest.fixture(autouse=True, params=[True, False], ids=["short", "long"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every test here holds for both ways of `tools/call`."""
    accelerated = bool(request.param)
    monkeypatch.setattr("tests.mcp.support.serving.ACCELERATED", accelerated)
    return accelerated


eras = pytest.mark.parametrize("era", ERAS)


def hide(host: FakeHost, name: str) -> None:
    record = tool_record(host, name)
    host.records.add(replace(record, visibility=Visibility.TEAM, team="others"))


async def forget(host: FakeHost, name: str) -> None:
    """Take a hidden tool away, and have its gateway offer it no more."""
    rest = [one for one in host.journal.published[-1].records if one.name != name]
    await host.services_for("mcp").catalog.publish("mcp", "gateway:demo", rest)
    host.records.remove(tool_record(host, name))
    assert not has_tool(host, name)


@pytest.mark.requirement("card-module-exposes-tools")
@eras
async def test_tools_are_listed_by_their_prefixed_names_in_order(era: str) -> None:
    """The same list in both eras."""
    host = demo_host()

    async with (
        serving(host, {"a": caller("a")}, wait_for=4) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        assert await names(client) == DEMO


@eras
async def test_a_call_is_admitted_carried_out_and_settled_once(era: str) -> None:
    """The permit is of the tool's record, and its outcome says who served it."""
    host = demo_host()

    async with (
        serving(host, {"a": caller("a")}, wait_for=4) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        assert await text_of(client, "demo__echo", {"text": "hi"}) == "hi"

    (settled,) = host.journal.settled
    assert settled.permit.record.name == "demo__echo"
    assert settled.outcome.status is Status.OK
    assert settled.outcome.attempts[0].backend == "demo"
    assert not host.open_permits
    assert not host.open_leases


@eras
async def test_progress_reaches_a_client_that_asked_for_it(era: str) -> None:
    """Numbers and messages, in order."""
    host, heard = demo_host(), list[tuple[float, float | None, str | None]]()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with (
        serving(host, {"a": caller("a")}, wait_for=4) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        await client.call_tool("demo__slow", {"steps": 2, "delay": 0.01}, progress_callback=hear)

    assert heard == [(1.0, 2.0, "step 1"), (2.0, 2.0, "step 2")]


@eras
async def test_a_cancelled_call_stops_and_is_settled_as_cancelled(era: str) -> None:
    """In the modern era by leaving, in the legacy era by notification."""
    host = demo_host()

    async with (
        serving(host, {"a": caller("a")}, wait_for=4) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "demo__slow", {"steps": 9, "delay": 20})

            with anyio.fail_after(5):
                while not host.open_permits:
                    await anyio.lowlevel.checkpoint()

            group.cancel_scope.cancel()

        with anyio.fail_after(5):
            while not host.journal.settled:
                await anyio.lowlevel.checkpoint()

        assert await text_of(client, "demo__echo", {"text": "still here"}) == "still here"

    assert host.journal.settled[0].outcome.status is Status.CANCELLED
    assert not host.open_leases


@eras
async def test_arguments_that_break_the_schema_are_a_result_the_model_can_read(era: str) -> None:
    """Not a protocol error: the caller is to correct itself."""
    host = demo_host()

    async with (
        serving(host, {"a": caller("a")}, wait_for=4) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        result = await client.call_tool("demo__add", {"a": "one", "b": 2})

    assert getattr(result, "is_error", None) is True
    assert first_text(result) == "Invalid arguments: a: 'one' is not of type 'number'"
    assert host.journal.settled[0].outcome.status is Status.ERROR


@eras
async def test_a_hidden_tool_answers_exactly_like_an_absent_one(era: str) -> None:
    """Same code, same words, same data, but for the id of the request."""
    host = demo_host()

    async with serving(host, {"a": caller("a")}, wait_for=4) as served:
        hide(host, "demo__echo")

        async with connected(served.endpoint(), era=era) as client:
            assert await names(client) == ["demo__add", "demo__slow", "demo__time"]
            hidden = await error_of(client, "demo__echo", {"text": "hi"})
            await forget(host, "demo__echo")
            absent = await error_of(client, "demo__echo", {"text": "hi"})

    assert (hidden.code, hidden.message) == (-32602, "Unknown tool: demo__echo")
    assert hidden.message == absent.message
    assert hidden.code == absent.code
    assert {**hidden.data, "traceId": ""} == {**absent.data, "traceId": ""}
    assert not host.journal.settled


@eras
async def test_a_view_is_its_callers_own(era: str) -> None:
    """Whoever asks first: what one is shown says nothing of what another is."""
    host = demo_host()
    callers = {"a": caller("a"), "b": caller("b", "others")}

    async with serving(host, callers, wait_for=4) as served:
        hide(host, "demo__echo")

        for token, count in (("b", 4), ("a", 3), ("b", 4)):
            async with connected(served.endpoint(), token=token, era=era) as client:
                assert len(await names(client)) == count


@eras
async def test_what_a_caller_may_see_but_not_do_says_so(era: str) -> None:
    """A protocol error with the category's code, origin policy."""
    host = demo_host()
    reader = caller("a", permissions=("tools.read", "servers.use"))

    async with (
        serving(host, {"a": reader}, wait_for=4) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        error = await error_of(client, "demo__echo", {"text": "hi"})

    assert error.code == -32003
    assert error.data["origin"] == "policy"
    assert error.data["code"] == "permission_denied"


@eras
async def test_who_may_call_but_not_list_still_calls(era: str) -> None:
    """The list is empty, the call goes by way of the core."""
    host = demo_host()
    doer = caller("a", permissions=("tools.execute", "servers.use"))

    async with (
        serving(host, {"a": doer}, wait_for=4) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        assert await names(client) == []
        assert await text_of(client, "demo__echo", {"text": "hi"}) == "hi"


@eras
async def test_another_modules_tool_goes_through_the_core(era: str) -> None:
    """This module neither admits nor settles it."""
    host = demo_host()
    host.owners["other"] = Other()
    host.records.add(
        CatalogRecord(
            id="ask",
            kind=Kind.TOOL,
            name="ask",
            module="other",
            visibility=Visibility.PUBLIC,
            spec=ToolSpec(
                model="m",
                description="Ask.",
                input_schema={"type": "object", "required": ["prompt"]},
            ),
        )
    )

    async with (
        serving(host, {"a": caller("a")}, wait_for=5) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        assert await names(client) == ["ask", *DEMO]
        assert await text_of(client, "ask", {"prompt": "hi"}) == "done"
        assert first_text(await client.call_tool("ask", {})).startswith("Invalid arguments")

    assert [admitted.module for admitted in host.journal.admitted] == [""]
    assert host.outcome.status is Status.OK
    assert not host.open_leases


@eras
async def test_a_virtual_server_shows_its_part_and_may_drop_the_prefix(era: str) -> None:
    """By upstream names, where it is over one gateway and says so."""
    host = demo_host()
    host.records.add(
        server("plain", gateways=("demo",), prefix_free=True, instructions="Be brief."),
        server("some", tools=("demo__add",)),
    )

    async with serving(host, {"a": caller("a")}, wait_for=4) as served:
        async with connected(served.endpoint("plain"), era=era) as client:
            assert await names(client) == ["add", "echo", "slow", "time"]
            assert await text_of(client, "echo", {"text": "hi"}) == "hi"
            assert client.session.instructions == "Be brief."
            assert (await error_of(client, "demo__echo", {"text": "hi"})).code == -32602

        async with connected(served.endpoint("some"), era=era) as client:
            assert await names(client) == ["demo__add"]


@eras
async def test_hooks_change_arguments_and_results(era: str) -> None:
    """What the client gets back has been judged twice."""
    host = demo_host()
    host.plugins.append(Word("secret", "***"))

    async with (
        serving(host, {"a": caller("a")}, wait_for=4) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        assert await text_of(client, "demo__echo", {"text": "my secret"}) == "my ***"


@eras
async def test_what_a_plugin_refuses_is_an_error_and_settled_as_denied(era: str) -> None:
    """The origin is the plugin."""
    host = demo_host()
    host.plugins.append(Word("secret", None, ANSWER))

    async with (
        serving(host, {"a": caller("a")}, wait_for=4) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        error = await error_of(client, "demo__echo", {"text": "my secret"})

    assert error.data["origin"] == "plugin"
    assert host.journal.settled[0].outcome.status is Status.DENIED


@eras
async def test_progress_carries_no_words_when_answers_are_judged(era: str) -> None:
    """A message on the way would be content nobody looked at."""
    host, heard = demo_host(), list[str | None]()
    host.plugins.append(Word("", None, ANSWER))

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    async with (
        serving(host, {"a": caller("a")}, wait_for=4) as served,
        connected(served.endpoint(), era=era) as client,
    ):
        await client.call_tool("demo__slow", {"steps": 1, "delay": 0.01}, progress_callback=hear)

    assert heard == [None]


async def test_white_space_after_a_protocol_header_does_no_harm() -> None:
    """The server's parser leaves it on; the protocol says it means nothing."""
    host = demo_host()
    meta: dict[str, object] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    )
    head = (
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer a\r\n"
        "accept: application/json, text/event-stream\r\ncontent-type: application/json\r\n"
        "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/list  \t\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )

    async with serving(host, {"a": caller("a")}, wait_for=4) as served:
        port = int(served.url.rpartition(":")[2])

        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send((head + body).encode())
            answer = b"".join([chunk async for chunk in stream]).decode()

    assert answer.startswith("HTTP/1.1 200")
    result = json.loads(answer.partition("\r\n\r\n")[2])["result"]
    assert (result["cacheScope"], result["ttlMs"]) == ("private", 5000)


async def test_another_modules_call_enters_at_the_upstream() -> None:
    """The core has admitted it, runs its hooks and settles it; nothing of that is done here."""
    host = demo_host()

    async with serving(host, {"a": caller("a")}, wait_for=4):
        from spindle_spi.invocation import Invocation
        from spindle_spi.records import Target

        result = await host.services_for("other").catalog.invoke(
            caller("a"),
            Invocation(target=Target(kind=Kind.TOOL, name="demo__add"), arguments={"a": 1, "b": 2}),
        )

    assert isinstance(result, Complete)
    assert result.payload["structuredContent"] == {"sum": 3}
    assert [admitted.module for admitted in host.journal.admitted] == [""]
    assert host.outcome.status is Status.OK
