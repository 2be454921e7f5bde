"""The two ways of `tools/call` give the same answers, to the letter but for ids and framing."""

from __future__ import annotations

import json
import re
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.surface.http import answers
from tests.mcp.support.records import Word, demo_host, gateway, server
from tests.mcp.support.serving import serving
from tests.mcp.support.upstream import OBJECT, Scripted, scripted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.mcp.support.serving import Served

pytestmark = pytest.mark.anyio

CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
VERSION = "io.modelcontextprotocol/protocolVersion"
META: dict[str, Any] = {VERSION: "2026-07-28", CAPABILITIES: {}}
CLIENT = "io.modelcontextprotocol/clientInfo"
HEADERS = {
    "authorization": "Bearer a",
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
}
TOOLS = ("echo", "html", "deny", "refuse", "dislike", "odd", "ask", "list", "steps", "cut")


@asynccontextmanager
async def both_ways(host: FakeHost | None = None) -> AsyncGenerator[tuple[Served, Served]]:
    mirrored: dict[str, Any] = {
        "name": "mirrored",
        "inputSchema": {
            "type": "object",
            "properties": {"text": {"type": "string", "x-mcp-header": "Text"}},
        },
    }
    tools: list[Any] = [{"name": name, "inputSchema": OBJECT} for name in TOOLS]
    tools.append(mirrored)
    host = host or FakeHost()

    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(scripted(Scripted(tools=tools)))
        host.records.add(
            gateway("up", url=url),
            gateway("demo", transport="builtin"),
            server("bare", gateways=("up",), prefix_free=True),
        )
        short, long = [
            await stack.enter_async_context(
                serving(host, {"a": caller("a")}, config={"accelerated": accelerated}, wait_for=15)
            )
            for accelerated in (True, False)
        ]
        yield short, long


def modern(name: object = "up__echo", **changes: Any) -> tuple[dict[str, str], Any]:
    params: dict[str, Any] = {"name": name, "arguments": {"text": "hi"}, "_meta": META}
    params |= changes.pop("params", {})
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        **HEADERS,
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": name if isinstance(name, str) else "x",
        **changes.pop("headers", {}),
    }
    return headers, {**message, **changes}


def listing(**params: Any) -> tuple[dict[str, str], Any]:
    headers = {
        **HEADERS,
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/list",
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    message["params"] = {"_meta": META, **params}
    return headers, message


def without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


MODERN: dict[str, tuple[dict[str, str], Any]] = {
    **{f"tool {name}": modern(f"up__{name}") for name in TOOLS},
    "unknown tool": modern("none"),
    "demo": modern("demo__echo"),
    "text id": modern(id="seven"),
    "null id": modern(id=None),
    "float id": modern(id=1.5),
    "boolean id": modern(id=True),
    "object id": modern(id={}),
    "other jsonrpc": modern(jsonrpc="1.0"),
    "extra member": modern(extra=1),
    "extra param": modern(params={"extra": 1}),
    "task": modern(params={"task": {"ttl": 1}}),
    "input responses": modern(params={"inputResponses": {}}),
    "no arguments": modern(params={"arguments": None}),
    "arguments that are a list": modern(params={"arguments": []}),
    "arguments that break the schema": modern("demo__echo", params={"arguments": {"text": 7}}),
    "a name that is a number": modern(7),
    "a name with an accent": modern("né", headers={"mcp-name": "=?base64?bsOp?="}),
    "no meta": modern(params={"_meta": None}),
    "a meta that is a list": modern(params={"_meta": []}),
    "no capabilities": modern(params={"_meta": {VERSION: "2026-07-28"}}),
    "capabilities that are a list": modern(params={"_meta": {**META, CAPABILITIES: []}}),
    "a client without a name": modern(params={"_meta": {**META, CLIENT: {}}}),
    "a client": modern(params={"_meta": {**META, CLIENT: {"name": "c", "version": "1"}}}),
    "a future version": modern(
        params={"_meta": {**META, VERSION: "2027-01-01"}},
        headers={"mcp-protocol-version": "2027-01-01"},
    ),
    "versions that differ": modern(params={"_meta": {**META, VERSION: "2025-11-25"}}),
    "progress": modern("up__steps", params={"_meta": {**META, "progressToken": "p"}}),
    "progress by number": modern("up__steps", params={"_meta": {**META, "progressToken": 7}}),
    "a token that is a list": modern(params={"_meta": {**META, "progressToken": []}}),
    "a token that is true": modern(params={"_meta": {**META, "progressToken": True}}),
    "progress, then a break": modern("up__cut", params={"_meta": {**META, "progressToken": 7}}),
    "another method in the header": modern(headers={"mcp-method": "tools/list"}),
    "another name in the header": modern(headers={"mcp-name": "other"}),
    "accepts json only": modern(headers={"accept": "application/json"}),
    "accepts anything": modern(headers={"accept": "*/*"}),
    "another content type": modern(headers={"content-type": "text/plain"}),
    "a charset": modern(headers={"content-type": "application/json; charset=utf-8"}),
    "mirrored, and said": modern("up__mirrored", headers={"mcp-param-text": "hi"}),
    "mirrored, and not said": modern("up__mirrored"),
    "a header nobody asked for": modern(headers={"mcp-param-text": "hi"}),
    "deep": modern(params={"arguments": {"text": json.loads("[" * 60 + "]" * 60)}}),
    "an unwritable character": modern(params={"arguments": {"text": "\ud800"}}),
    "a big number": modern(params={"arguments": {"text": 10**40}}),
    "a list": listing(),
    "a list with a cursor": listing(cursor="x"),
    "a list with something else": listing(extra=1),
    "a list with a progress token": listing(_meta={**META, "progressToken": 1}),
    "a list with a token that is true": listing(_meta={**META, "progressToken": True}),
    "a list without a meta": listing(_meta=None),
    "a list without capabilities": listing(_meta={VERSION: "2026-07-28"}),
    "a list by text": (listing()[0], {**listing()[1], "id": "é"}),
    "a list without params": (listing()[0], {**listing()[1], "params": ...}),
    "a list that is a notification": (listing()[0], {**listing()[1], "id": ...}),
    "a method there is not": modern(method="tools/none", headers={"mcp-method": "tools/none"}),
    "a notification": modern(id=...),
}
BODIES: dict[str, bytes] = {
    "no json": b"{",
    "no text": b"\xff\xfe",
    "a list": b"[]",
    "not a number": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":NaN}}',
    "too deep": b"[" * 100_000,
    "nothing": b"",
}


async def ask(
    http: httpx2.AsyncClient, url: str, headers: dict[str, str], message: Any
) -> tuple[int, list[Any]]:
    content = message if isinstance(message, bytes) else written(message)

    answer = await http.post(url, content=content, headers=headers)
    return answer.status_code, messages_in(answer)


def written(message: dict[str, Any]) -> bytes:
    """Return a message as bytes, without the members that are left out."""
    return json.dumps({name: value for name, value in message.items() if value is not ...}).encode()


def messages_in(answer: httpx2.Response) -> list[Any]:
    text = re.sub(r'"traceId":"[^"]*"', '"traceId":""', answer.text)
    text = re.sub(r'"requestState":"v1[^"]*"', '"requestState":""', text)

    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return [json.loads(data) for data in re.findall(r"^data: (.+)$", text, re.MULTILINE)]

    try:
        return [json.loads(text)]
    except ValueError:
        return [text]


async def test_a_modern_request_is_answered_the_same_both_ways() -> None:
    """Plain or odd, right or wrong: status, messages and their order."""
    async with (
        both_ways() as (short, long),
        httpx2.AsyncClient(timeout=20) as http,
    ):
        for name, (headers, message) in MODERN.items():
            first = await ask(http, short.endpoint(), headers, message)
            second = await ask(http, long.endpoint(), headers, message)
            assert first == second, name

        headers, _ = modern()

        for name, body in BODIES.items():
            first = await ask(http, short.endpoint(), headers, body)
            second = await ask(http, long.endpoint(), headers, body)
            assert first == second, name

        for missing in ("mcp-method", "mcp-name", "accept", "content-type"):
            _, message = modern()
            first = await ask(http, short.endpoint(), without(headers, missing), message)
            second = await ask(http, long.endpoint(), without(headers, missing), message)
            assert first == second, missing

        headers, message = modern("echo")
        first = await ask(http, short.endpoint("bare"), headers, message)
        assert first == await ask(http, long.endpoint("bare"), headers, message)
        assert first[0] == 200


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_a_request_in_a_session_is_answered_the_same_both_ways(version: str) -> None:
    """The long way frames every answer as an event; the message in it is the same."""
    async with (
        both_ways() as (short, long),
        httpx2.AsyncClient(timeout=20) as http,
    ):
        first_session = await open_session(http, short.endpoint(), version)
        second_session = await open_session(http, long.endpoint(), version)

        for name, (_, message) in MODERN.items():
            if "id" in message and message["id"] is ...:
                continue

            older = json.loads(written(message))

            if isinstance(older.get("params", {}).get("_meta"), dict):
                meta = older["params"]["_meta"]
                older["params"]["_meta"] = {
                    key: value for key, value in meta.items() if key == "progressToken"
                }

            first = await ask(http, short.endpoint(), first_session, older)
            second = await ask(http, long.endpoint(), second_session, older)
            assert first == second, name

        for name, body in BODIES.items():
            first = await ask(http, short.endpoint(), first_session, body)
            second = await ask(http, long.endpoint(), second_session, body)
            assert first == second, name


async def test_judged_calls_are_the_same_both_ways() -> None:
    """Hooks replace and refuse wherever the call went."""
    host = FakeHost()
    headers, message = modern("up__steps", params={"_meta": {**META, "progressToken": 1}})

    async with (
        both_ways(host) as (short, long),
        httpx2.AsyncClient(timeout=20) as http,
    ):
        for plugin in (Word("done", "***"), Word("done")):
            host.plugins[:] = [plugin]
            first = await ask(http, short.endpoint(), headers, message)
            assert first == await ask(http, long.endpoint(), headers, message)

    statuses = [settled.outcome.status for settled in host.journal.settled]
    assert statuses[::2] == statuses[1::2]


async def test_a_long_silence_becomes_a_stream_with_signs_of_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before something between client and gateway takes the connection for dead."""
    monkeypatch.setattr(answers, "PING_SECONDS", 0.05)
    headers, message = modern("demo__slow", params={"arguments": {"steps": 1, "delay": 0.3}})

    async with (
        both_ways() as (short, _),
        httpx2.AsyncClient(timeout=20) as http,
    ):
        answer = await http.post(short.endpoint(), json=message, headers=headers)

    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.text.count(": ping") >= 2
    assert messages_in(answer)[-1]["result"]["structuredContent"] == {"steps": 1}


async def test_a_call_of_a_session_is_cancelled_by_its_notification_both_ways() -> None:
    """And answered, as before 2026 it has to be."""
    message = {
        "jsonrpc": "2.0",
        "id": 5,
        "method": "tools/call",
        "params": {"name": "demo__slow", "arguments": {"steps": 1, "delay": 30}},
    }
    stop = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}
    host, found = FakeHost(), list[Any]()

    async with (
        both_ways(host) as (short, long),
        httpx2.AsyncClient(timeout=20) as http,
    ):
        for served in (short, long):
            session = await open_session(http, served.endpoint(), "2025-11-25")

            async with anyio.create_task_group() as group:

                async def wait_for_it(url: str, headers: dict[str, str]) -> None:
                    found.append(await ask(http, url, headers, message))

                group.start_soon(wait_for_it, served.endpoint(), session)

                with anyio.fail_after(5):
                    while not host.open_permits:
                        await anyio.lowlevel.checkpoint()

                await http.post(served.endpoint(), json=stop, headers=session)

    assert found[0] == found[1]
    assert found[0][1][0]["error"]["code"] == -32800


async def test_a_session_in_use_is_kept_and_one_that_ended_is_gone() -> None:
    """What goes round the SDK must neither starve a session nor outlive it."""
    config = {"session_idle_seconds": 0.4}
    host = demo_host()
    message = {
        "jsonrpc": "2.0",
        "id": 5,
        "method": "tools/call",
        "params": {"name": "demo__add", "arguments": {"a": 1, "b": 2}},
    }

    async with (
        serving(host, {"a": caller("a")}, config=dict(config), wait_for=4) as served,
        httpx2.AsyncClient(timeout=20) as http,
    ):
        session = await open_session(http, served.endpoint(), "2025-11-25")

        with anyio.move_on_after(1.2):
            while True:
                assert (await ask(http, served.endpoint(), session, message))[0] == 200

        await http.delete(served.endpoint(), headers=session)
        assert (await ask(http, served.endpoint(), session, message))[0] == 404


async def open_session(http: httpx2.AsyncClient, url: str, version: str) -> dict[str, str]:
    hello = {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": version,
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        },
    }
    opened = await http.post(url, json=hello, headers=HEADERS)
    headers = {
        **HEADERS,
        "mcp-session-id": opened.headers["mcp-session-id"],
        "mcp-protocol-version": version,
    }
    begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert (await http.post(url, json=begun, headers=headers)).status_code == 202
    return headers
