from __future__ import annotations

from dataclasses import replace

import anyio
import httpx2
import pytest

from spindle_conformance.fakes import caller
from spindle_spi.admission import Status
from spindle_spi.records import CatalogRecord, Kind, ToolSpec, Visibility
from tests.mcp.support.clients import ERAS, connected, text_of
from tests.mcp.support.records import demo_host, server
from tests.mcp.support.serving import serving

pytestmark = pytest.mark.anyio

HEADERS = {"accept": "application/json, text/event-stream", "authorization": "Bearer a"}
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}


eras = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(autouse=True, params=[True, False], ids=["short", "long"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every test here holds for both ways of `tools/call`."""
    accelerated = bool(request.param)
    monkeypatch.setattr("tests.mcp.support.serving.ACCELERATED", accelerated)
    return accelerated


@eras
async def test_a_client_hears_that_its_own_list_changed_and_of_no_others(era: str) -> None:
    """Before 2026 on its session's stream, since on the stream it asked for."""
    host, heard = demo_host(), anyio.Event()

    async def hear(message: object) -> None:
        if type(message).__name__ == "ToolListChangedNotification":
            heard.set()

    async with (
        serving(host, {"a": caller("a")}, wait_for=4) as served,
        connected(served.endpoint(), era=era, hear=hear) as client,
        anyio.create_task_group() as group,
    ):
        if era != "legacy":

            async def listen() -> None:
                async with client.listen(tools_list_changed=True) as stream:
                    async for _ in stream:
                        heard.set()

            group.start_soon(listen)

        with anyio.fail_after(5):
            while (await served.module.stats())["listeners"] != 1:
                await anyio.lowlevel.checkpoint()

        others = CatalogRecord(
            id="x", kind=Kind.TOOL, name="x", module="mcp", spec=ToolSpec(gateway="demo"),
            visibility=Visibility.TEAM, team="others",
        )  # fmt: skip
        host.records.add(others)
        await text_of(client, "demo__echo", {"text": "the change has been seen by now"})
        assert not heard.is_set()
        host.records.add(replace(others, visibility=Visibility.PUBLIC))

        with anyio.fail_after(5):
            await heard.wait()

        group.cancel_scope.cancel()


async def test_a_session_serves_only_the_credential_and_the_endpoint_that_opened_it() -> None:
    """For everybody else it does not exist."""
    host = demo_host()
    host.records.add(server("one", gateways=("demo",)))
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}

    async with (
        serving(host, {"a": caller("a"), "b": caller("b")}, wait_for=4) as served,
        httpx2.AsyncClient(headers=HEADERS, timeout=10) as http,
    ):
        mine = {"authorization": "Bearer a"}
        opened = await http.post(served.endpoint("one"), json=HELLO, headers=mine)
        mine["mcp-session-id"] = opened.headers["mcp-session-id"]
        theirs = {**mine, "authorization": "Bearer b"}
        statuses = [
            (await http.post(url, json=ping, headers=headers)).status_code
            for url, headers in (
                (served.endpoint("one"), mine),
                (served.endpoint("one"), theirs),
                (served.endpoint(), mine),
            )
        ]

    assert statuses == [200, 404, 404]


async def test_a_legacy_call_outlives_its_client(way: bool) -> None:
    """Its permit is settled when the tool is done."""
    host = demo_host()
    arguments = {"steps": 1, "delay": 0.2}
    call = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": "demo__slow", "arguments": arguments},
    }

    async with (
        serving(host, {"a": caller("a")}, wait_for=4) as served,
        httpx2.AsyncClient(headers=HEADERS, timeout=10) as http,
    ):
        opened = await http.post(served.endpoint(), json=HELLO)
        session = {"mcp-session-id": opened.headers["mcp-session-id"]}
        begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await http.post(served.endpoint(), json=begun, headers=session)

        async with anyio.create_task_group() as group:

            async def ask() -> None:
                await http.post(served.endpoint(), json=call, headers=session)

            group.start_soon(ask)

            with anyio.fail_after(5):
                while not host.open_permits:
                    await anyio.lowlevel.checkpoint()

            (permit,) = host.open_permits
            # The SDK ends the exchange at the departure, so there the lease is the call's own.
            assert (permit.lease_id in host.open_leases) is not way
            group.cancel_scope.cancel()

        # The client has left, the tool has not.
        with anyio.fail_after(5):
            while not host.journal.settled:
                await anyio.lowlevel.checkpoint()

    assert [settled.outcome.status for settled in host.journal.settled] == [Status.OK]
    assert not host.open_leases


async def test_a_flood_of_sessions_is_refused_and_open_ones_go_on() -> None:
    """Room is made by those that end; who floods has a half, and others the rest."""
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    callers, other = {name: caller(name) for name in "ab"}, {"authorization": "Bearer b"}

    async with (
        serving(demo_host(), callers, wait_for=4, config={"max_sessions": 4}) as served,
        httpx2.AsyncClient(headers=HEADERS, timeout=10) as http,
    ):
        opened = [await http.post(served.endpoint(), json=HELLO) for _ in range(4)]
        beside = [await http.post(served.endpoint(), json=HELLO, headers=other) for _ in range(3)]
        session = {"mcp-session-id": opened[0].headers["mcp-session-id"]}
        kept = await http.post(served.endpoint(), json=ping, headers=session)
        ended = await http.delete(served.endpoint(), headers=session)
        gone = await http.post(served.endpoint(), json=ping, headers=session)
        again = await http.post(served.endpoint(), json=HELLO)

    assert [answer.status_code for answer in opened] == [200, 200, 503, 503]
    assert [answer.status_code for answer in beside] == [200, 200, 503]
    assert opened[2].json()["error"]["data"]["code"] == "mcp.sessions.limit"
    assert [answer.status_code for answer in (kept, ended, gone, again)] == [200, 200, 404, 200]
