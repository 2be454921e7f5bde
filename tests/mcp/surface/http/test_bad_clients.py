"""Clients that contradict themselves, or leave without a word."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest

from spindle_conformance.fakes import caller
from spindle_mcp.surface.shelf import listeners
from tests.mcp.support.clients import connected, text_of
from tests.mcp.support.raw import META
from tests.mcp.support.records import demo_host
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from tests.mcp.support.serving import Served

pytestmark = pytest.mark.anyio

VISITORS = 40
VERSION = "2026-07-28"
ACCEPT = "application/json, text/event-stream"
META_FIELDS: dict[str, Any] = {f"{META}/protocolVersion": VERSION, f"{META}/clientCapabilities": {}}


@pytest.fixture(autouse=True, params=[True, False], ids=["short", "long"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every test here holds for both ways of `tools/call`."""
    accelerated = bool(request.param)
    monkeypatch.setattr("tests.mcp.support.serving.ACCELERATED", accelerated)
    return accelerated


def request(method: str, **params: Any) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "id": 1, "method": method}
    return {**message, "params": {**params, "_meta": META_FIELDS}}


@pytest.mark.parametrize(
    "changed",
    [
        {"mcp-method": "tools/list"},
        {"mcp-method": None},
        {"mcp-name": "demo__add"},
        {"mcp-name": None},
        {"mcp-protocol-version": "2027-01-01"},
    ],
    ids=["another method", "no method", "another name", "no name", "another version"],
)
async def test_headers_that_contradict_their_body_are_refused(
    changed: dict[str, str | None],
) -> None:
    """Whoever decides by headers and whoever decides by bodies decide on the same request."""
    host = demo_host()
    body = request("tools/call", name="demo__echo", arguments={"text": "hi"})
    headers = {
        "authorization": "Bearer a",
        "accept": ACCEPT,
        "mcp-protocol-version": VERSION,
        "mcp-method": "tools/call",
        "mcp-name": "demo__echo",
        **changed,
    }
    said = {name: value for name, value in headers.items() if value is not None}

    async with (
        serving(host, {"a": caller("a")}, wait_for=4) as served,
        httpx2.AsyncClient(timeout=10) as http,
    ):
        answer = await http.post(served.endpoint(), json=body, headers=said)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32020
    assert host.journal.settled == []


async def test_streams_whose_clients_vanished_are_forgotten() -> None:
    """Whoever stays is served, and heard of alone."""
    async with (
        serving(demo_host(), {"a": caller("a")}, wait_for=4) as served,
        connected(served.endpoint()) as stays,
    ):
        for _ in range(VISITORS):
            await vanish(served, listening_head(served))

        with anyio.fail_after(10):
            while (await served.module.stats())["listeners"]:
                await anyio.sleep(0.01)

        assert await text_of(stays, "demo__echo", {"text": "hi"}) == "hi"


async def test_one_caller_cannot_take_every_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of them, however many it asks for; another caller has theirs."""
    monkeypatch.setattr(listeners, "_MAX_STREAMS", 4)
    callers = {"a": caller("a"), "b": caller("b")}

    async with (
        serving(demo_host(), callers, wait_for=4) as served,
        connected(served.endpoint()) as greedy,
        connected(served.endpoint(), token="b") as other,
        greedy.listen(tools_list_changed=True),
        greedy.listen(tools_list_changed=True),
    ):
        with pytest.raises(Exception, match="Too many open subscriptions"):
            async with greedy.listen(tools_list_changed=True):
                pass

        async with other.listen(tools_list_changed=True):
            assert (await served.module.stats())["listeners"] == 3


async def test_a_session_whose_stream_broke_may_open_another_and_is_one_all_the_same() -> None:
    """However often: it is there once, with one stream."""
    async with serving(demo_host(), {"a": caller("a")}, wait_for=4) as served:
        head = await session_head(served)

        for _ in range(VISITORS):
            await vanish(served, head)

        assert (await served.module.stats())["listeners"] == 1


async def vanish(served: Served, head: bytes) -> None:
    """Open a stream, wait until it has begun, and cut it; the one before may be ending yet."""
    host, port = served.url.removeprefix("http://").split(":")

    with anyio.fail_after(10):
        while True:
            async with await anyio.connect_tcp(host, int(port)) as stream:
                await stream.send(head)
                status = (await stream.receive(64)).split()[1]

            if status == b"200":
                return

            assert status == b"409"


def listening_head(served: Served) -> bytes:
    wanted = request("subscriptions/listen", notifications={"toolsListChanged": True})
    body = json.dumps(wanted).encode()
    lines = (
        "POST /mcp HTTP/1.1",
        f"host: {served.url.removeprefix('http://')}",
        "authorization: Bearer a",
        f"accept: {ACCEPT}",
        f"mcp-protocol-version: {VERSION}",
        "mcp-method: subscriptions/listen",
        "content-type: application/json",
        f"content-length: {len(body)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


async def session_head(served: Served) -> bytes:
    hello: dict[str, Any] = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    headers = {"authorization": "Bearer a", "accept": ACCEPT}

    async with httpx2.AsyncClient(headers=headers, timeout=10) as http:
        opened = await http.post(served.endpoint(), json=body)
        session = {"mcp-session-id": opened.headers["mcp-session-id"]}
        begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await http.post(served.endpoint(), json=begun, headers=session)

    lines = (
        "GET /mcp HTTP/1.1",
        f"host: {served.url.removeprefix('http://')}",
        "authorization: Bearer a",
        "accept: text/event-stream",
        f"mcp-session-id: {session['mcp-session-id']}",
    )
    return "\r\n".join((*lines, "", "")).encode()
