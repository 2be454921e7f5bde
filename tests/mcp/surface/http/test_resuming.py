"""A client that lost a stream hears what it missed, where that is turned on; nobody else does."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.surface.http import resuming
from spindle_spi.errors import Unavailable
from tests.mcp.support.records import demo_host
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.mcp.support.serving import Served

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a"), "b": caller("b"), "": caller(None)}
HEADERS = {"accept": "application/json, text/event-stream", "authorization": "Bearer a"}
HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}


@asynccontextmanager
async def session(host: FakeHost) -> AsyncGenerator[tuple[httpx2.AsyncClient, Served]]:
    """Yield a client whose requests belong to an open session."""
    async with (
        serving(host, CALLERS, wait_for=4, config={"resumable": True}) as served,
        httpx2.AsyncClient(headers=HEADERS, timeout=20, base_url=served.url) as http,
    ):
        opened = await http.post("/mcp", json=HELLO)
        http.headers["mcp-session-id"] = opened.headers["mcp-session-id"]
        http.headers["mcp-protocol-version"] = "2025-11-25"
        await http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        yield http, served


def slow(number: int, steps: int) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": number,
        "method": "tools/call",
        "params": {
            "name": "demo__slow",
            "arguments": {"steps": steps, "delay": 0.01},
            "_meta": {"progressToken": number},
        },
    }


async def events(response: httpx2.Response, most: int = 1000) -> list[tuple[str, Any]]:
    """Return ids and messages; of what began the stream, None."""
    found: list[tuple[str, Any]] = []
    number = ""

    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")

        if name == "id":
            number = value
        elif line.startswith("data:"):
            found.append((number, json.loads(value) if value else None))

            if len(found) == most or (value and '"result":' in value):
                break

    return found


async def cut_off(http: httpx2.AsyncClient, seen: int, steps: int = 4) -> list[tuple[str, Any]]:
    """Begin a call and leave after so many events."""
    async with http.stream("POST", "/mcp", json=slow(7, steps)) as response:
        return await events(response, seen)


async def test_what_was_missed_is_told_again() -> None:
    """From the event after the last that was seen, to the answer."""
    async with session(demo_host()) as (http, _):
        seen = await cut_off(http, 3)
        last = {"last-event-id": seen[-1][0]}

        with anyio.fail_after(10):
            async with http.stream("GET", "/mcp", headers=last) as response:
                missed = await events(response)

    steps = [
        message["params"]["progress"]
        for _, message in (*seen, *missed)
        if message and message.get("method") == "notifications/progress"
    ]
    assert steps == [1.0, 2.0, 3.0, 4.0]
    assert missed[-1][1]["id"] == 7
    assert missed[-1][1]["result"]["structuredContent"] == {"steps": 4}


async def test_other_streams_of_the_session_are_not_told_again() -> None:
    async with session(demo_host()) as (http, _):
        seen = await cut_off(http, 2)
        await http.post("/mcp", json={**slow(8, 1), "id": 8})

        with anyio.fail_after(10):
            async with http.stream(
                "GET", "/mcp", headers={"last-event-id": seen[-1][0]}
            ) as response:
                missed = await events(response)

    assert {message["id"] for _, message in missed if message and "id" in message} == {7}


async def test_nobody_hears_what_another_was_told() -> None:
    """With the id of an event, and even with that of the session."""
    host = demo_host()

    async with session(host) as (http, served):
        seen = await cut_off(http, 2)
        headers = {
            **HEADERS,
            "authorization": "Bearer b",
            "last-event-id": seen[-1][0],
        }
        theirs = await http.get("/mcp", headers=headers)

        async with httpx2.AsyncClient(headers=HEADERS, base_url=served.url) as other:
            other.headers["authorization"] = "Bearer b"
            opened = await other.post("/mcp", json=HELLO)
            other.headers["mcp-session-id"] = opened.headers["mcp-session-id"]
            begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            await other.post("/mcp", json=begun)
            other.headers["last-event-id"] = seen[-1][0]

            with anyio.move_on_after(0.5):
                async with other.stream("GET", "/mcp") as stream:
                    assert await events(stream) == []

    assert theirs.status_code == 404


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two logs, and in each no more than it may have."""
    monkeypatch.setattr(resuming, "MAX_EVENTS", 4)
    host = demo_host()

    async with session(host) as (http, _):
        for number in range(5):
            await http.post("/mcp", json=slow(number, 3))

        kept = [stored for stored in host.sessions.held.values() if stored.kind == resuming.KIND]

    assert len(kept) == 2
    assert all(stored.last_sequence <= 4 for stored in kept)


async def test_nothing_is_kept_of_a_session_that_its_client_ended() -> None:
    """Nor of what is said to it after that; another's is none the worse."""
    host, left = demo_host(), list[str]()

    async with (
        session(host) as (http, served),
        httpx2.AsyncClient(headers=HEADERS, timeout=20, base_url=served.url) as other,
        anyio.create_task_group() as group,
    ):
        await other.post("/mcp", json=HELLO)
        group.start_soon(cut_off, http, 2, 40)
        await http.post("/mcp", json=slow(8, 1))
        assert len(host.sessions.held) == 2
        assert (await http.delete("/mcp")).status_code == 200
        left.extend(host.sessions.held)

        with anyio.fail_after(10):
            while host.open_permits:
                await anyio.sleep(0.005)

    assert len(left) == 1
    assert [*host.sessions.held] == left


async def test_a_session_that_somebody_else_wants_to_end_is_kept() -> None:
    host = demo_host()

    async with session(host) as (http, served):
        await http.post("/mcp", json=slow(7, 1))
        stranger = {**HEADERS, "authorization": "Bearer b"}
        named = {"mcp-session-id": http.headers["mcp-session-id"]}

        async with httpx2.AsyncClient(headers={**stranger, **named}, base_url=served.url) as client:
            refused = await client.delete("/mcp")

        assert (refused.status_code, len(host.sessions.held)) == (404, 1)


async def test_a_long_answer_is_not_kept_but_told_to_be_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resuming, "MAX_BYTES", 200)
    call = slow(7, 2)
    call["params"] |= {"name": "demo__echo", "arguments": {"text": "x" * 300}}

    async with session(demo_host()) as (http, _):
        async with http.stream("POST", "/mcp", json=call) as response:
            told = await events(response)

        with anyio.fail_after(10):
            async with http.stream(
                "GET", "/mcp", headers={"last-event-id": told[0][0]}
            ) as response:
                (again,) = await events(response, 1)

    assert told[-1][1]["result"]["content"][0]["text"] == "x" * 300
    assert again[1]["error"]["message"] == "The answer was too long to be kept."


async def test_a_store_that_is_away_costs_nobody_a_call() -> None:
    host = demo_host()

    async with session(host) as (http, _):
        host.refuse("append_event", Unavailable("away"))
        answer = await http.post("/mcp", json=slow(7, 1))

    assert "1 steps done" in answer.text
    assert "retry: 1000" in answer.text


async def test_who_has_no_name_has_sessions_all_the_same() -> None:
    async with (
        serving(demo_host(), CALLERS, wait_for=4, config={"resumable": True}) as served,
        httpx2.AsyncClient(headers={"accept": HEADERS["accept"]}, timeout=20) as http,
    ):
        opened = await http.post(served.endpoint(), json=HELLO)

    assert opened.status_code in (200, 401)
