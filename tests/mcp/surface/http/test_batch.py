"""Batches of the one revision that has them: each message as if it had come alone, and bounded."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from spindle_conformance.fakes import caller
from spindle_mcp.surface.http.batch import MAX_MESSAGES
from tests.mcp.support.records import demo_host
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from spindle_conformance.fakes import FakeHost

    Post = Callable[[Any], Awaitable[httpx2.Response]]

pytestmark = pytest.mark.anyio

HEADERS = {"accept": "application/json, text/event-stream", "authorization": "Bearer a"}


def request(number: int, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def call(number: int, name: str, **arguments: Any) -> dict[str, Any]:
    return request(number, "tools/call", name=name, arguments=arguments)


@asynccontextmanager
async def session(
    host: FakeHost, *, version: str = "2025-03-26", accelerated: bool = True
) -> AsyncGenerator[Post]:
    hello = request(
        0,
        "initialize",
        protocolVersion=version,
        capabilities={},
        clientInfo={"name": "t", "version": "1"},
    )

    async with (
        serving(
            host, {"a": caller("a")}, wait_for=4, config={"accelerated": accelerated}
        ) as served,
        httpx2.AsyncClient(headers=HEADERS, timeout=20) as http,
    ):
        opened = await http.post(served.endpoint(), json=hello)
        kept = {"mcp-session-id": opened.headers["mcp-session-id"]}
        begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await http.post(served.endpoint(), json=begun, headers=kept)

        async def post(body: Any) -> httpx2.Response:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers = {**kept, "content-type": "application/json"}
            return await http.post(served.endpoint(), content=content, headers=headers)

        yield post


def messages(answer: httpx2.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"] == "text/event-stream"
    return [json.loads(data) for data in re.findall(r"^data: (.+)$", answer.text, re.MULTILINE)]


@pytest.mark.parametrize("accelerated", [True, False])
async def test_each_message_is_served_and_every_request_answered_once(accelerated: bool) -> None:
    host = demo_host()

    async with session(host, accelerated=accelerated) as post:
        slow = request(
            5,
            "tools/call",
            name="demo__slow",
            arguments={"steps": 2, "delay": 0},
            _meta={"progressToken": "p"},
        )
        answer = await post(
            [
                call(1, "demo__echo", text="hi"),
                request(2, "ping"),
                {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
                call(3, "none"),
                request(4, "tools/list"),
                slow,
            ]
        )

    assert answer.status_code == 200
    said = messages(answer)
    answers = {message["id"]: message for message in said if "id" in message}
    assert sorted(answers) == [1, 2, 3, 4, 5]
    assert answers[1]["result"]["content"][0]["text"] == "hi"
    assert answers[2]["result"] == {}
    assert answers[3]["error"]["code"] == -32602
    assert len(answers[4]["result"]["tools"]) == 4
    assert [message["method"] for message in said if "id" not in message] == [
        "notifications/progress"
    ] * 2
    assert len(host.journal.settled) == 2


async def test_a_batch_that_asks_nothing_is_accepted() -> None:
    async with session(demo_host()) as post:
        note = {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}
        answer = await post([note, note])

    assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize(
    "batch",
    [
        [],
        [request(number, "ping") for number in range(MAX_MESSAGES + 1)],
        [[request(1, "ping")]],
        [request(1, "ping"), request(1, "ping")],
        [request(1, "initialize")],
        b"[1",
    ],
    ids=["empty", "bomb", "nested", "twice", "initialize", "no json"],
)
async def test_a_bad_batch_is_refused_whole(batch: Any) -> None:
    host = demo_host()

    async with session(host) as post:
        answer = await post(batch)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32600
    assert not host.journal.settled


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
async def test_other_revisions_have_none(version: str) -> None:
    host = demo_host()

    async with session(host, version=version) as post:
        answer = await post([call(1, "demo__echo", text="hi")])

    assert answer.status_code == 400
    assert not host.journal.settled
